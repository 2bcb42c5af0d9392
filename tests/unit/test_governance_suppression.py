"""From the approval on: trainings leave the person's rows out, no prediction is made, what comes in again is left out and counted."""

from __future__ import annotations

import pyarrow as pa
import pytest

from governance.errors import Suppressed
from governance.registry.committed import read_committed
from lineage.errors import BadInput
from lineage.rows import canonical_subject
from tests.support.core import Core, opened, policy_text

PERSONS = list(range(6))


@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("credit.train", PERSONS)
        yield core


def person(number: int) -> str:
    return canonical_subject("applicant", str(number))


# ── trainings ───────────────────────────────────────────────────────────────────────────────────
def test_a_training_between_approval_and_purge_is_given_no_row_of_the_person(core: Core) -> None:
    rows = core.located(3)
    core.train()
    ident = core.approve(3)
    queued = list(core.engine.waiting)
    core.engine.waiting.clear()  # the purge has not begun
    assert core.train() == 2
    assert core.located(3) == rows, "nothing is purged yet"
    assert core.trainer.rows[-1].isdisjoint(rows["credit.train"])
    assert len(core.trainer.rows[-1]) == len(PERSONS) - 1
    assert (core.rows_of("m", 1, rows), core.rows_of("m", 2, rows)) == (1, 0)
    (given,) = core.models.resolve("m", 2)["spec"]["inputs"]
    assert given["rows"] == len(PERSONS) - 1
    again = read_committed(core.datasets, given["dataset"], given["version"], given["row_set"])
    assert set(again["govern_row_id"].to_pylist()) == core.trainer.rows[-1], "whoever makes it again is given the same rows"
    core.audits.carry_out("m", 2)
    assert core.auditor.requests[-1].tables["train"].num_rows == len(PERSONS) - 1, "audits too"
    core.engine.waiting.extend(queued)
    core.engine.run()
    assert core.erasures.get(ident)["state"] == "completed"
    assert core.models.resolve("m", 2)["destroyed_at"] is None, "it rested on none of the rows"


def test_an_approval_while_the_training_waits_counts_too(core: Core) -> None:
    body = {"code": core.code(), "policy_text": policy_text(), "config": config()}
    core.trainings.start("m", body, actor="key:e")
    training = core.engine.waiting.popleft()
    core.approve(3)
    erasure = core.engine.waiting.popleft()
    core.engine.waiting.append(training)
    rows = core.located(3)
    core.engine.run()
    assert core.trainer.rows[-1].isdisjoint(rows["credit.train"])
    core.engine.waiting.append(erasure)
    core.engine.run()


def config() -> dict:
    return {"entrypoint": "model", "label": "y", "features": ["age"], "subject_key": "person", "datasets": {"train": "credit.train"}}


def test_what_was_left_out_is_said_to_who_trains(core: Core) -> None:
    core.approve(3)
    started = core.trainings.start("m", {"code": core.code(), "policy_text": policy_text(), "config": config()}, actor="key:e")
    assert started["left_out"] == 1


def test_a_held_dataset_keeps_its_rows_out_of_every_training(core: Core) -> None:
    core.hold("dataset:credit.train")
    assert core.erase(3)["state"] == "completed_partial"
    rows = core.located(3)
    core.train()
    assert core.trainer.rows[-1].isdisjoint(rows["credit.train"])


def test_a_person_who_only_asked_is_not_suppressed(core: Core) -> None:
    core.request(3)
    core.train()
    assert len(core.trainer.rows[-1]) == len(PERSONS)
    core.datasets.suppression.refuse(person(3))


def test_where_nothing_is_left_the_training_is_refused(core: Core) -> None:
    core.people("alone", [3])
    core.approve(3)
    given = {"code": core.code(), "policy_text": policy_text(), "config": config() | {"datasets": {"train": "alone"}}}
    with pytest.raises(BadInput, match="every row of alone@1 is of a person whose erasure was approved"):
        core.trainings.start("m", given, actor="key:e")


def test_a_successor_rests_on_nobody_whose_erasure_was_approved_meanwhile(core: Core) -> None:
    """The second request is approved while the first one's batch trains: its rows are there still, and are left out all the same."""
    core.train()
    core.release()
    rows = core.located(4)
    core.approve(3)
    core.engine.run_until("train")
    second = core.approve(4)
    core.engine.run()
    assert core.rows_of("m", 2, rows) == 0
    assert core.erasures.get(second)["state"] == "completed"
    assert core.models.get("m")["latest"] == 2, "the second needs no retrain any more"


# ── predictions ─────────────────────────────────────────────────────────────────────────────────
def test_no_prediction_about_the_person_from_the_approval_to_the_end(core: Core) -> None:
    ident = core.approve(3)
    with pytest.raises(Suppressed, match="no prediction is made") as refused:
        core.datasets.suppression.refuse(person(3))
    assert ident in str(refused.value.hint)
    assert "3" not in refused.value.message
    core.datasets.suppression.refuse(person(4))
    core.engine.run()
    assert core.erasures.get(ident)["state"] == "completed"
    core.datasets.suppression.refuse(person(3))  # a former customer may come back, on a ground of its own


# ── what comes in again ─────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("mode", ["replace", "append"])
def test_rows_of_an_erased_person_are_left_out_and_counted(core: Core, mode: str) -> None:
    core.erase(3)
    answer = core.people("credit.train", PERSONS, mode=mode)
    assert answer["left_out"] == 1
    assert core.located(3) == {}
    table = core.datasets.read("credit.train", answer["version"])
    assert "3" not in table["person"].to_pylist()
    assert answer["rows"] == table.num_rows == (len(PERSONS) - 1) * (2 if mode == "append" else 1)
    assert core.people("credit.train", [1, 2])["left_out"] == 0


def test_an_append_of_nobody_else_makes_no_version(core: Core) -> None:
    core.erase(3)
    before = core.datasets.versions("credit.train")
    answer = core.people("credit.train", [3], mode="append")
    assert answer["left_out"] == 1
    assert core.datasets.versions("credit.train") == before
    assert answer["version"] == before["versions"][-1]["version"]


def test_rows_of_nobody_pass(core: Core) -> None:
    core.erase(3)
    core.datasets.register({"name": "plain", "kind": "lance"}, actor="key:e")
    assert core.datasets.write("plain", pa.table({"person": ["3"]}), mode="replace", key=None, actor="key:e")["left_out"] == 0
    core.datasets.register({"name": "gaps", "kind": "lance", "subject_key": "person", "subject_type": "applicant"}, actor="key:e")
    answer = core.datasets.write("gaps", pa.table({"person": ["3", None, "4"]}), mode="replace", key=None, actor="key:e")
    assert (answer["left_out"], answer["rows"]) == (1, 2)
