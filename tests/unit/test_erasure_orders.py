"""Disgorgement: a dataset and all that descends from it, by lineage and by rows; previewed, approved by another key, certified."""

from __future__ import annotations

import json

import pytest

from governance.erasure.absences import proofs_again
from governance.erasure.descent import descend, own_descendants
from governance.registry.find import bodies
from lineage.errors import BadInput, Conflict, Forbidden, NotFound, Tampered
from reports.claims import check_claims
from tests.support.core import INSTALLATION, Core, assets, opened

DAY = 86_400 * 1_000_000_000
OURS = f"govern://{INSTALLATION}"
BASE = {"_producer": "https://x.test", "_schemaURL": "https://x.test/s"}


@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("scraped", list(range(6)))
        core.people("honest", list(range(20, 26)))
        yield core


def order(core: Core, dataset: str = "scraped", **more) -> dict:
    return {"dataset": dataset, "ground": "no consent", "reference": "C-4743", "due_at": core.clock.at + 30 * DAY} | more


def enter(core: Core, dataset: str = "scraped", **more) -> str:
    return core.erasures.disgorge(order(core, dataset, **more), actor="key:officer")["id"]


def carry_out(core: Core, ident: str) -> dict:
    core.erasures.approve(ident, {}, actor="key:other")
    core.engine.run()
    return core.erasures.get(ident)


def made(core: Core, run: int, sources: list[tuple[str, str]], target: tuple[str, str], *, namespace: str = OURS, **facets) -> None:
    """A job of a pipeline: datasets of ours → one dataset version."""

    def dataset(place, name, version, **more):
        return {"namespace": place, "name": name, "facets": {"version": BASE | {"datasetVersion": version}, **more}}

    core.emit(
        {
            "eventType": "COMPLETE", "eventTime": f"2030-01-01T00:00:0{run}Z", "producer": "https://x.test",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": f"0190a000-0000-7000-8000-00000000000{run}"}, "job": {"namespace": "pipeline", "name": f"job-{run}"},
            "inputs": [dataset(OURS, *one) for one in sources], "outputs": [dataset(namespace, *target, **facets)],
        }
    )  # fmt: skip
    assert core.ingestor.wait(10) == 0


def rows(core: Core, dataset: str) -> int:
    info = core.datasets.infos(dataset)[-1]
    return core.datasets.count(dataset, info.version)


# ── the whole way ───────────────────────────────────────────────────────────────────────────────
def test_all_that_descends_from_a_dataset_is_erased_and_nothing_else(core: Core) -> None:
    core.people("features", [100, 101, 102])
    made(core, 1, [("scraped", "1")], ("features", "1"))
    core.train("tainted", dataset="scraped")
    core.release("tainted")
    core.train("derived", dataset="features")
    core.train("clean", dataset="honest")
    core.release("clean")
    ident = enter(core)
    planned = assets(core.erasures.get(ident))
    assert {name: item["action"] for name, item in planned.items()} == {
        "dataset:scraped": "purge", "dataset:features": "purge", "dataset:honest": "none", "index:rows": "purge",
        "model:tainted@1": "retire", "model:derived@1": "destroy", "model:clean@1": "none", "findings": "retain",
    }  # fmt: skip
    done = carry_out(core, ident)
    assert done["state"] == "completed", done["error"]
    found = assets(done)
    assert {name: found[name]["level"] for name in ("dataset:scraped", "dataset:features", "index:rows", "model:tainted@1")} == {
        "dataset:scraped": "L1", "dataset:features": "L1", "index:rows": "L1", "model:tainted@1": "L2",
    }  # fmt: skip
    assert (rows(core, "scraped"), rows(core, "features"), rows(core, "honest")) == (0, 0, 6)
    assert core.deployments.active("tainted") is None
    assert core.models.resolve("tainted", 1)["destroyed_by"] == ident
    assert core.models.resolve("derived", 1)["destroyed_at"] is not None
    assert core.deployments.active("clean")["version"] == 1
    assert [body["model"] for body in bodies(core.ledger, "batch")] == [], "what is retired needs no batch"
    assert core.ledger.records("suppression") == [], "no person is suppressed by an order"
    (paper,) = core.papers.values()
    assert (paper.kind, paper.data["level"], paper.data["order"]["reference"]) == ("disgorgement-certificate", "L1", "C-4743")
    check_claims(paper.kind, paper.data)
    core.ledger.rebuild_records()
    assert core.erasures.get(ident)["state"] == "completed"


def test_a_model_with_rows_left_is_trained_again_without_those_of_the_version(core: Core) -> None:
    first = core.datasets.infos("honest")[-1].version
    core.people("honest", [40, 41, 42, 43], mode="append")
    both = core.datasets.infos("honest")[-1].version
    core.train(dataset="honest")
    core.release()
    before = core.datasets.row_ids("honest", first)
    ident = enter(core, "honest", version=first)
    planned = assets(core.erasures.get(ident))
    assert (planned["dataset:honest"]["found"], planned["model:m@1"]["found"], planned["model:m@1"]["action"]) == (6, 6, "retrain")
    done = carry_out(core, ident)
    assert done["state"] == "completed", done["error"]
    assert core.deployments.active("m")["version"] == 2
    assert core.rows_of("m", 2, {"honest": list(before)}) == 0
    assert rows(core, "honest") == 4
    assert {info.version: info.gone for info in core.datasets.infos("honest")} | {first: True, both: True} == {
        info.version: info.gone for info in core.datasets.infos("honest")
    }
    (successor,) = done["successors"]
    assert (successor["excluded"], successor["predecessor_destroyed"]) == (True, True)
    (proof,) = [one for one in successor["non_membership"] if one["dataset"] == "honest"]
    assert (proof["erased"]["count"], len(proof["proofs"])) == (6, 6)
    (paper,) = core.papers.values()
    (claim,) = check_claims(paper.kind, paper.data)
    assert claim.holds is True
    assert "none of the 6 erased rows of honest" in claim.sentence


@pytest.mark.slow
def test_an_order_may_retire_what_could_be_trained_again(core: Core) -> None:
    first = core.datasets.infos("honest")[-1].version
    core.people("honest", [40, 41], mode="append")
    core.train(dataset="honest")
    core.release()
    done = carry_out(core, enter(core, "honest", version=first, models="retire"))
    assert done["state"] == "completed"
    assert (core.deployments.active("m"), core.models.get("m")["latest"], done["successors"]) == (None, 1, [])


def test_the_proofs_of_very_many_rows_are_in_a_file_that_the_certificate_names(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("governance.workflows.successors.MOST_PROOFS", 3)
    first = core.datasets.infos("honest")[-1].version
    core.people("honest", [40, 41], mode="append")
    core.train(dataset="honest")
    core.release()
    done = carry_out(core, enter(core, "honest", version=first))
    assert done["successors"][0]["excluded"] is True, "it was checked as it was made"
    (kept,) = [one for one in done["successors"][0]["non_membership"] if one]
    assert kept["proofs"] is None
    (paper,) = core.papers.values()
    (claim,) = check_claims(paper.kind, paper.data)
    assert claim.holds is None, "what the reader does not have is not checked"
    file = proofs_again(core.datasets, core.erasures.record(done["id"]), kept["file"]["digest"])
    assert len(file) == kept["file"]["size"]
    (claim,) = check_claims(paper.kind, paper.data, {kept["file"]["digest"]: file})
    assert claim.holds is True
    with pytest.raises(NotFound, match="names no file of proofs"):
        proofs_again(core.datasets, core.erasures.record(done["id"]), "sha256:" + "0" * 64)
    path = core.root / "rowsets" / f"{kept['erased']['digest'].removeprefix('rs1:')}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"commitments": ["00" * 32]}))
    with pytest.raises(Tampered, match="do not make the file"):
        proofs_again(core.datasets, core.erasures.record(done["id"]), kept["file"]["digest"])


def test_a_kill_before_any_step_of_an_order_is_made_up_for(core: Core) -> None:
    core.train("tainted", dataset="scraped")
    core.release("tainted")
    core.train("idle", dataset="scraped", params={"lr": 2})
    ident = enter(core)
    core.erasures.approve(ident, {}, actor="key:other")
    for step in ("begin", "purge", "forget", "destroy", "retire", "waits", "again", "may end", "verify", "certificate"):
        core.engine.run_until(step)
    core.engine.run()
    done = core.erasures.get(ident)
    assert done["state"] == "completed", done["error"]
    assert len(core.papers) == 1
    assert [body["active_to"] is None for body in bodies(core.ledger, "deployment")] == [False]
    gone = [one for one in core.ledger.entries(0, 10_000) if one.kind == "govern.version.destroyed"]
    assert len(gone) == 2, "each version once"


# ── the door ────────────────────────────────────────────────────────────────────────────────────
def test_a_dry_run_tells_the_plan_and_enters_nothing(core: Core) -> None:
    core.train("tainted", dataset="scraped")
    core.release("tainted")
    size, sets = core.ledger.size(), sorted(path.name for path in (core.root / "rowsets").iterdir())
    told = core.erasures.disgorge(order(core, dry_run=True), actor="key:officer")
    assert {item["id"]: item["action"] for item in told["assets"]}["model:tainted@1"] == "retire"
    assert (core.ledger.size(), core.erasures.list()["requests"]) == (size, [])
    assert sorted(path.name for path in (core.root / "rowsets").iterdir()) == sets


def test_four_eyes_and_one_order_for_one_key(core: Core) -> None:
    given = order(core)
    first = core.erasures.disgorge(given, actor="key:officer", idempotency="k")
    assert core.erasures.disgorge(given, actor="key:officer", idempotency="k")["id"] == first["id"]
    with pytest.raises(Conflict, match="another order"):
        core.erasures.disgorge(given | {"reference": "C-1"}, actor="key:officer", idempotency="k")
    with pytest.raises(Forbidden):
        core.erasures.approve(first["id"], {}, actor="key:officer")
    shown = core.erasures.get(first["id"])
    assert (shown["state"], shown["due_at"], shown["clocks"][0]["source"]) == ("in_review", given["due_at"], "order C-4743")


def test_an_order_names_what_is_there_its_ground_its_number_and_a_day_to_come(core: Core) -> None:
    wrong = [
        ({"ground": " "}, "has a ground"),
        ({"reference": "Jane Doe <jane@example.org>"}, "named by its number"),
        ({"reference": ""}, "named by its number"),
        ({"models": "keep"}, "retrain or retire"),
        ({"due_at": core.clock.at - 1}, "still to come"),
        ({"due_at": None}, "still to come"),
    ]
    for change, said in wrong:
        with pytest.raises(BadInput, match=said):
            core.erasures.disgorge(order(core, **change), actor="key:officer")
    for change in ({"dataset": "scrapped"}, {"version": "99"}):
        with pytest.raises(NotFound):
            core.erasures.disgorge(order(core, **change), actor="key:officer")
    assert core.erasures.list()["requests"] == []


@pytest.mark.slow
def test_an_order_that_is_withdrawn_or_refused_in_part_leaves_what_it_leaves(core: Core) -> None:
    core.train("tainted", dataset="scraped")
    ident = enter(core)
    core.erasures.withdraw(ident, {"reason": "set aside"}, actor="key:officer")
    assert core.erasures.get(ident)["state"] == "withdrawn"
    again = enter(core)
    refuse = [{"asset": "model:tainted@1", "ground": "preserved", "reasons": "evidence"}]
    core.erasures.approve(again, {"refuse": refuse}, actor="key:other")
    core.engine.run()
    done = core.erasures.get(again)
    assert (rows(core, "scraped"), assets(done)["model:tainted@1"]["status"]) == (0, "retained")
    assert core.models.resolve("tainted", 1)["destroyed_at"] is None
    with pytest.raises(BadInput, match="lists no ground"):
        core.erasures.refuse(enter(core, "honest"), {"ground": "art-17-3-b"}, actor="key:officer")


@pytest.mark.slow
def test_a_hold_keeps_one_asset_of_an_order(core: Core) -> None:
    core.train("tainted", dataset="scraped")
    core.release("tainted")
    core.hold("model:tainted@1")
    done = carry_out(core, enter(core))
    assert (done["state"], assets(done)["model:tainted@1"]["status"]) == ("completed_partial", "held")
    assert core.deployments.active("tainted")["version"] == 1
    core.unhold("model:tainted@1")
    core.engine.run()
    assert core.erasures.get(done["id"])["state"] == "completed"
    assert core.deployments.active("tainted") is None


# ── what descends ───────────────────────────────────────────────────────────────────────────────
def found(core: Core, dataset: str, version: str | None = None, frozen=None):
    return descend(
        core.datasets,
        lambda versions: own_descendants(core.graph, core.datasets, OURS, versions),
        dataset=dataset, version=version, frozen=frozen,
    )  # fmt: skip


def test_a_purge_leads_nowhere_and_rows_lead_on_through_it(core: Core) -> None:
    """What a purge leaves is not made from what it removed; yet the same rows in the version that it made are the same rows."""
    core.people("features", [100, 101, 102])
    made(core, 1, [("scraped", "1")], ("features", "1"))
    core.erase(100)
    two = core.datasets.infos("features")[-1].version
    core.people("second", [200, 201])
    made(core, 2, [("features", two)], ("second", "1"))
    descent = found(core, "scraped")
    assert {name: len(ids) for name, ids in descent.rows.items()} == {"scraped": 6, "features": 2, "second": 2}
    assert two in descent.versions["features"]
    assert len(descent.commitments["features"]) == 3, "the purged row counts where models are asked"
    assert descent.unknown == set()


def test_a_purged_version_of_which_nothing_is_kept_is_unknown(core: Core) -> None:
    first = core.datasets.infos("scraped")[-1]
    core.erase(0)
    assert core.datasets.version("scraped", first.version).gone
    (core.root / "rowsets" / f"{first.row_set.digest.removeprefix('rs1:')}.json").unlink()
    assert found(core, "scraped", first.version).unknown == {f"scraped@{first.version}"}


def test_what_was_frozen_stays_when_the_rows_are_gone(core: Core) -> None:
    core.train("tainted", dataset="scraped")
    before = found(core, "scraped")
    frozen = {"rows": {name: sorted(ids) for name, ids in before.rows.items()}}
    core.datasets.purge("scraped", sorted(before.rows["scraped"]), request="r-0")
    after = found(core, "scraped", frozen=frozen)
    assert after.rows["scraped"] == before.rows["scraped"]
    assert after.commitments["scraped"] == before.commitments["scraped"]


def test_a_late_event_and_a_late_copy_reopen_an_order(core: Core) -> None:
    core.people("features", [100, 101])
    ident = enter(core)
    core.erasures.approve(ident, {}, actor="key:other")
    core.engine.run_until("again")
    made(core, 1, [("scraped", "1")], ("features", "1"))
    core.engine.run()
    done = core.erasures.get(ident)
    assert done["state"] == "completed", done["error"]
    assert (rows(core, "features"), assets(done)["dataset:features"]["level"]) == (0, "L1")


def test_a_model_elsewhere_that_descends_from_it_is_asked_of_its_owner(core: Core) -> None:
    model = {"datasetType": BASE | {"datasetType": "MODEL"}}
    made(core, 1, [("scraped", "1")], ("their-model", "v1"), namespace="s3://lake", **model)
    done = carry_out(core, enter(core))
    assert (done["state"], done["incomplete"]) == ("completed_partial", ["model:s3://lake/their-model@v1"])
    (task,) = core.tasks.list(request=done["id"])["tasks"]
    assert task["due_at"] == done["due_at"]


@pytest.mark.slow
def test_an_order_about_nothing_is_certified_as_such(core: Core) -> None:
    core.datasets.register({"name": "empty", "kind": "lance", "subject_key": "person", "subject_type": "applicant"}, actor="key:e")
    ident = enter(core, "empty")
    core.engine.run()
    done = core.erasures.get(ident)
    assert done["state"] == "completed"
    (paper,) = core.papers.values()
    assert "Nothing that descends from it" in paper.verdict
