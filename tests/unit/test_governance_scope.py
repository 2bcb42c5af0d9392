"""What a search finds: rows of every version, models by their commitments, what lies elsewhere; and the plan made of it."""

from __future__ import annotations

import json

import pytest

from governance.erasure.scope import suppressed_rows
from governance.model import Asset
from governance.plan import ForeignReach, Scope, VersionFacts, asset_to_json, plan, plan_assets, plan_digest, plan_to_json
from lineage.errors import Gone, NotFound
from lineage.rows import canonical_subject, subject_refs
from tests.support.core import Core, assets, opened
from trainers.model import TrainSpec

PERSONS = list(range(6))


@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("credit.train", PERSONS)
        yield core


def refs(core: Core, person: int) -> list[str]:
    return subject_refs(core.keys, canonical_subject("applicant", str(person)))


def hits(scope: Scope) -> dict[str, int]:
    return {f"{facts.model}@{facts.version}": sum(facts.hits.values()) for facts in scope.versions}


def test_a_model_of_a_tombstoned_version_is_found_by_its_commitments(core: Core) -> None:
    """The trap: the dataset version is purged and the index has forgotten, yet the weights still rest on the row."""
    core.train()
    rows = core.located(3)
    scope, searched = core.searcher.search(refs(core, 3))
    frozen = searched["scope"]
    assert hits(scope) == {"m@1": 1}
    core.datasets.purge("credit.train", rows["credit.train"], request="r-0")
    assert core.datasets.version("credit.train", "1").gone
    assert core.located(3) == {}
    again, _searched = core.searcher.search(refs(core, 3), frozen=frozen)
    assert hits(again) == {"m@1": 1}
    assert again.rows["credit.train"] == tuple(rows["credit.train"])
    assert {item.id: item.action for item in plan_assets(again)}["model:m@1"] == "destroy"


def test_rows_of_an_older_version_count_although_the_newest_lacks_them(core: Core) -> None:
    core.train()
    core.people("credit.train", [person for person in PERSONS if person != 3])
    core.train()
    scope, _searched = core.searcher.search(refs(core, 3))
    assert len(scope.rows["credit.train"]) == 1
    assert hits(scope) == {"m@1": 1, "m@2": 0}


def test_frozen_rows_and_predictions_are_united_with_those_of_now(core: Core) -> None:
    frozen = {"rows": {"credit.train": core.located(4)["credit.train"], "gone.dataset": [7]}, "predictions": ["p-0"]}
    core.predict("p-1", 3)
    scope, searched = core.searcher.search(refs(core, 3), frozen=frozen)
    assert set(scope.rows["credit.train"]) == {*core.located(3)["credit.train"], *core.located(4)["credit.train"]}
    assert scope.rows["gone.dataset"] == (7,)
    assert searched["scope"]["predictions"] == ["p-0", "p-1"]


def test_every_living_epoch_is_searched(core: Core) -> None:
    core.keys.rotate("epoch")
    core.people("credit.more", [3])
    scope, _searched = core.searcher.search(refs(core, 3))
    assert {name: len(rows) for name, rows in scope.rows.items()} == {"credit.more": 1, "credit.train": 1}


def test_a_version_whose_commitments_are_not_kept_must_be_reviewed(core: Core) -> None:
    core.train()
    for path in (core.root / "rowsets").iterdir():
        path.unlink()
    scope, _searched = core.searcher.search(refs(core, 3))
    assert scope.versions[0].unknown == ("credit.train@1",)
    done = core.erase(3)
    assert done["state"] == "completed_partial"
    assert done["incomplete"] == ["model:m@1"]
    assert "are not kept here" in assets(done)["model:m@1"]["reason"]


def test_a_row_in_the_test_set_alone_makes_no_retrain(core: Core) -> None:
    core.people("credit.test", [9])
    core.train(datasets={"train": "credit.train", "test": "credit.test"})
    core.release()
    done = core.erase(9)
    assert done["state"] == "completed", done
    assert assets(done)["dataset:credit.test"]["status"] == "done"
    assert assets(done)["model:m@1"]["action"] == "none"


def test_a_changed_landing_file_is_scanned_before_it_is_searched(core: Core) -> None:
    path = core.root / "landing" / "raw.txt"
    path.write_text("first\n")
    core.datasets.register(
        {"name": "raw", "kind": "lines", "path": "raw.txt", "subject_key": "line", "subject_type": "line"}, actor="key:e"
    )
    path.write_text("first\nsecond\n")
    scope, _searched = core.searcher.search(subject_refs(core.keys, canonical_subject("line", "2")))
    assert scope.rows["raw"] == (2,)


def event(core: Core, run: int, inputs, outputs) -> None:
    def dataset(namespace, name, version, **facets):
        stated = {"_producer": "https://x.test", "_schemaURL": "https://x.test/v", "datasetVersion": version}
        return {"namespace": namespace, "name": name, "facets": {"version": stated, **facets}}

    core.emit(
        {
            "eventType": "COMPLETE",
            "eventTime": f"2030-01-01T00:00:0{run}Z",
            "producer": "https://x.test",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": f"0190a000-0000-7000-8000-00000000000{run}"},
            "job": {"namespace": "elsewhere", "name": f"job-{run}"},
            "inputs": [dataset(*one) for one in inputs],
            "outputs": [dataset(*one[:3], **(one[3] if len(one) > 3 else {})) for one in outputs],
        }
    )
    assert core.ingestor.wait(10) == 0


def test_what_lies_elsewhere_is_asked_of_its_owner_and_leaves_the_request_partial(core: Core) -> None:
    model = {"datasetType": {"_producer": "https://x.test", "_schemaURL": "https://x.test/t", "datasetType": "MODEL"}}
    event(core, 1, [("govern://test", "credit.train", "1")], [("s3://lake", "copy", "7")])
    event(core, 2, [("s3://lake", "copy", "7")], [("s3://lake", "their-model", "v1", model)])
    done = core.erase(3)
    found = assets(done)
    elsewhere = {"dataset:s3://lake/copy@7": "dataset-elsewhere", "model:s3://lake/their-model@v1": "model-elsewhere"}
    assert {ident: found[ident]["kind"] for ident in elsewhere} == elsewhere
    assert all((found[ident]["status"], found[ident]["level"]) == ("asked", "not_reachable") for ident in elsewhere)
    assert done["state"] == "completed_partial"
    assert set(done["incomplete"]) == set(elsewhere)


def test_impact_of_a_subject_names_everything_but_the_subject(core: Core) -> None:
    core.train()
    core.release()
    core.predict("p", 3)
    answer = core.subjects.trace("applicant", "3", actor="key:p")
    assert answer["datasets"] == [{"dataset": "credit.train", "rows": 1, "versions": ["1"]}]
    assert answer["models"] == [{"model": "m", "version": 1, "live": ["production"], "destroyed": False, "rows": 1}]
    assert [body["environment"] for body in answer["deployments"]] == ["production"]
    assert answer["predictions"] == 1
    before = sorted(path.name for path in (core.root / "rowsets").iterdir())
    nobody = core.subjects.trace("applicant", "77", actor="key:p")
    assert nobody["datasets"] == nobody["models"] == []
    assert sorted(path.name for path in (core.root / "rowsets").iterdir()) == before, "a look leaves nothing behind"


def test_suppressed_rows_are_counted_in_versions_that_no_request_saw(core: Core) -> None:
    core.train()
    before = core.models.resolve("m", 1)
    assert suppressed_rows(core.ledger, core.datasets, before) == 0
    core.hold("model:m@1")
    core.erase(3)
    core.erase(4)
    assert suppressed_rows(core.ledger, core.datasets, before) == 2
    late = before | {"version": 99}  # registered by a training that had read its rows before the purge
    assert suppressed_rows(core.ledger, core.datasets, late) == 2
    assert suppressed_rows(core.ledger, core.datasets, core.models.resolve("m", core.train())) == 0


def test_a_purged_version_is_gone_and_unlisted_row_sets_are_not_found(core: Core) -> None:
    core.erase(3)
    with pytest.raises(Gone):
        core.datasets.read("credit.train", "1")
    with pytest.raises(NotFound, match="not kept in this home"):
        core.datasets.commitments("rs1:" + "0" * 64)


# ── the plan ────────────────────────────────────────────────────────────────────────────────────
def facts(**more) -> VersionFacts:
    spec = TrainSpec(
        model="m",
        entrypoint="model",
        code="snapshot:0",
        params={},
        seed=7,
        threads=1,
        inputs=(),
        environment="e",
        label="y",
        features=("x",),
    )
    return VersionFacts(**{"model": "m", "version": 1, "hits": {"d@1": 0}, "environments": (), "destroyed": False, "spec": spec} | more)


@pytest.mark.parametrize(
    ("version", "action"),
    [
        (facts(), "none"),
        (facts(hits={"d@1": 2}), "destroy"),
        (facts(hits={"d@1": 2}, environments=("production",)), "retrain"),
        (facts(hits={"d@1": 2}, environments=("production",), destroyed=True), "none"),
        (facts(unknown=("d@1",)), "review"),
        (facts(hits={"d@1": 2}, unknown=("e@1",), environments=("production",)), "review"),
        (facts(unknown=("d@1",), destroyed=True), "none"),
    ],
)
def test_what_becomes_of_a_version(version, action) -> None:
    scope = Scope(rows={"d": (1,)}, row_sets={"d": "rs1:0"}, predictions=0, cases=(), versions=(version,))
    assert {item.id: item.action for item in plan_assets(scope)}["model:m@1"] == action


def test_the_plan_lists_negatives_and_its_json_says_why() -> None:
    scope = Scope(rows={"a": (), "b": (1, 2)}, row_sets={"b": "rs1:0"}, predictions=0, cases=("c",), versions=(facts(),))
    found = {item.id: asset_to_json(item) for item in plan_assets(scope)}
    assert set(found) == {"dataset:a", "dataset:b", "index:rows", "predictions", "case:c", "model:m@1", "findings"}
    assert found["dataset:a"]["reason"] == "searched, nothing found"
    assert found["model:m@1"]["reason"] == "its committed row sets hold none of the rows"
    assert found["findings"]["status"] == "retained"
    assert found["dataset:b"]["status"] == "pending"
    assert json.loads(json.dumps(found)) == found


def test_the_digest_is_over_the_request_and_every_asset() -> None:
    made = [Asset(id="a", kind="dataset", found=1, action="purge"), Asset(id="b", kind="index", found=0, action="none")]
    digest = plan_digest("r", made)
    assert plan_digest("r", list(made)) == digest
    changed = [
        ("other", made),
        ("r", made[:1]),
        ("r", made[::-1]),
        ("r", [Asset(id="a", kind="dataset", found=2, action="purge"), made[1]]),
        ("r", [Asset(id="a", kind="dataset", found=1, action="none"), made[1]]),
        ("r", [Asset(id="a", kind="dataset", found=1, action="purge", detail={"x": 1}), made[1]]),
    ]
    assert len({digest, *(plan_digest(*one) for one in changed)}) == len(changed) + 1


def test_the_plan_names_what_is_retrained_by_which_recipe_and_keeps_the_rows_out_of_its_record() -> None:
    live, idle = facts(hits={"b@1": 2}, environments=("production",)), facts(version=2, hits={"b@1": 1})
    scope = Scope(rows={"a": (), "b": (1, 2)}, row_sets={"b": "rs1:0"}, predictions=0, cases=(), versions=(live, idle))
    planned = plan("r", scope)
    assert (planned.assets, planned.digest) == (tuple(plan_assets(scope)), plan_digest("r", plan_assets(scope)))
    assert [(one.model, one.version, one.environments, one.spec) for one in planned.retrain] == [("m", 1, ("production",), live.spec)]
    assert planned.rows == {"b": (1, 2)}
    kept = plan_to_json(planned)
    assert kept["retrain"] == [
        {
            "model": "m",
            "version": 1,
            "environments": ["production"],
            "code": "snapshot:0",
            "seed": 7,
            "strategy": "full",
            "expected_fraction": 1.0,
        }
    ]
    assert "rows" not in kept


def test_a_request_keeps_the_plan_that_the_planner_made(core: Core) -> None:
    core.train()
    core.release()
    record = core.erasures.record(core.request(3))
    assert [(one["model"], one["version"], one["environments"]) for one in record["plan"]["retrain"]] == [("m", 1, ["production"])]
    assert record["plan"]["retrain"][0]["code"] == core.models.resolve("m", 1)["spec"]["code"]
    assert record["plan"]["assets"] == record["assets"]


def test_what_lies_elsewhere_is_an_asset_to_notify() -> None:
    reach = ForeignReach(id="model:s3/x@1", kind="model-elsewhere", reason="its owner must retrain")
    scope = Scope(rows={}, row_sets={}, predictions=0, cases=(), versions=(), foreign=(reach,))
    assert plan_assets(scope)[-1].action == "notify"
    assert scope.empty, "nothing of the subject was found here"


def test_what_is_parsed_once_is_parsed_again_when_a_record_changed(core: Core) -> None:
    core.train()
    before = core.models.all_versions()
    assert core.models.all_versions() is before, "nothing was entered: nothing is read again"
    core.train()
    assert [body["version"] for body in core.models.all_versions()] == [1, 2]
    core.release()
    (serves,) = core.deployments.list(active=True)["deployments"]
    serves["environment"] = "elsewhere"
    assert core.deployments.list(active=True)["deployments"][0]["environment"] == "production", "an answer is its caller's own"
    core.deployments.withdraw("m", 1, reason="a test")
    assert core.deployments.list(active=True)["deployments"] == []


def test_a_row_set_that_was_parsed_is_gone_with_its_file(core: Core) -> None:
    core.train()
    digest = core.datasets.version("credit.train", "latest").row_set.digest
    assert len(core.datasets.committed(digest)) == len(core.datasets.commitments(digest))
    assert core.datasets.committed(digest) is core.datasets.committed(digest)
    for path in (core.root / "rowsets").iterdir():
        path.unlink()
    with pytest.raises(NotFound):
        core.datasets.committed(digest)
