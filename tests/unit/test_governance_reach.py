"""What is kept ready between two questions is what a plain reading of the records says, after every change and at once."""

from __future__ import annotations

import pytest

from governance.plan import VersionFacts
from governance.registry.find import bodies
from governance.registry.models import spec_from_json
from lineage.errors import NotFound
from lineage.rows import canonical_subject, subject_refs
from tests.support.core import Core, opened


@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("credit.train", list(range(6)))
        core.people("credit.test", [3, 9])
        yield core


def plainly(core: Core, person: int) -> list[VersionFacts]:
    """The versions against the person's rows, from the records as they are and one by one."""
    rows = core.datasets.index.lookup(subject_refs(core.keys, canonical_subject("applicant", str(person))))
    found = []
    for body in bodies(core.ledger, "version"):
        hits, unknown = {}, []
        for given in body["spec"]["inputs"]:
            if given["role"] == "test":
                continue
            name = f"{given['dataset']}@{given['version']}"
            try:
                committed = set(core.datasets.commitments(given["row_set"]))
            except NotFound:
                if rows.get(given["dataset"]):
                    unknown.append(name)
                    continue
                committed = set()
            hits[name] = sum(core.datasets.commitment(given["dataset"], row) in committed for row in rows.get(given["dataset"], ()))
        serving = [one for one in bodies(core.ledger, "deployment") if one["active_to"] is None]
        serving.sort(key=lambda one: one["active_from"])
        found.append(
            VersionFacts(
                model=body["model"],
                version=body["version"],
                hits=hits,
                environments=tuple(
                    one["environment"] for one in serving if (one["model"], one["version"]) == (body["model"], body["version"])
                ),
                destroyed=body["destroyed_at"] is not None,
                spec=spec_from_json(body["spec"]),
                unknown=tuple(unknown),
            )
        )
    return found


def said(core: Core, person: int) -> list[VersionFacts]:
    """What a search says; that the answer about the person names the same is asserted beside it."""
    scope, _searched = core.searcher.search(subject_refs(core.keys, canonical_subject("applicant", str(person))))
    answer = core.subjects.trace("applicant", str(person), actor="key:p")
    resting = {(one.model, one.version): sum(one.hits.values()) for one in scope.versions if sum(one.hits.values())}
    assert {(one["model"], one["version"]): one["rows"] for one in answer["models"]} == resting
    assert {(one["model"], one["version"]): tuple(one["live"]) for one in answer["models"]} == {
        (one.model, one.version): one.environments for one in scope.versions if (one.model, one.version) in resting
    }
    return list(scope.versions)


def test_every_change_is_in_the_very_next_answer(core: Core) -> None:
    both = {"train": "credit.train", "test": "credit.test"}
    changes = [
        core.train,
        core.release,
        lambda: core.train("other", datasets=both),
        lambda: core.release("other", 1, "staging"),
        lambda: core.release("other", 1),
        lambda: core.people("credit.train", [person for person in range(6) if person != 4]),
        core.train,
        lambda: core.release("m", 2),
        lambda: core.deployments.withdraw("other", 1, reason="a test"),
        lambda: core.deployments.rollback("m", "production", actor="key:e"),
        lambda: core.predict("p-1", 3),
        lambda: core.keys.rotate("epoch"),
        lambda: core.people("credit.train", [3, 5]),
        core.train,
        lambda: core.erase(5),
    ]
    for number, change in enumerate(changes):
        change()
        for person in (3, 4, 5, 9):
            assert said(core, person) == plainly(core, person), f"after change {number}, person {person}"


def test_what_did_not_change_is_not_made_again(core: Core) -> None:
    core.train()
    before = said(core, 3)
    assert all(one is two for one, two in zip(before, said(core, 3), strict=True)), "the same question, the same facts"
    core.predict("p-1", 3)
    core.train()
    after = said(core, 3)
    assert after[0].spec is before[0].spec, "the recipe of a version that did not change is parsed once"
    assert len(after) == 2


def test_commitments_that_are_gone_are_unknown_at_once(core: Core) -> None:
    core.train()
    assert said(core, 3)[0].unknown == ()
    for path in (core.root / "rowsets").iterdir():
        path.unlink()
    assert said(core, 3)[0].unknown == ("credit.train@1",)
    assert said(core, 77)[0].hits == {"credit.train@1": 0}, "of nobody's rows it is known that there are none"


def test_an_answer_is_its_callers_own(core: Core) -> None:
    core.train()
    core.release()
    first = core.subjects.trace("applicant", "3", actor="key:p")
    first["deployments"][0]["environment"] = first["models"][0]["live"][0] = "elsewhere"
    again = core.subjects.trace("applicant", "3", actor="key:p")
    assert again["deployments"][0]["environment"] == again["models"][0]["live"][0] == "production"
