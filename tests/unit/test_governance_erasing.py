"""The erasure carried out over real stores, with a trainer and an auditor that can be told to fail."""

from __future__ import annotations

import pytest

from governance.errors import GateRefused
from lineage.errors import Conflict, Gone
from tests.support.core import Core, Killed, assets, opened, policy_text

PERSONS = list(range(10))


@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("credit.train", PERSONS)
        yield core


@pytest.fixture
def live(core: Core) -> Core:
    """Version 1 is in production."""
    core.train()
    core.release()
    return core


def test_a_live_model_is_replaced_by_one_that_holds_none_of_the_rows(live: Core) -> None:
    rows = live.located(3)
    live.predict("p-3", 3)
    live.predict("p-4", 4)
    done = live.erase(3)
    found = assets(done)
    assert done["state"] == "completed", done["error"]
    assert found["dataset:credit.train"]["level"] == "L1"
    assert found["model:m@1"]["level"] == "L2"
    assert found["predictions"]["level"] == "L1"
    assert live.located(3) == {}
    assert live.rows_of("m", 2, rows) == 0 < live.rows_of("m", 1, rows)
    assert live.deployments.active("m")["version"] == 2
    with pytest.raises(Gone):
        live.models.living_artifact(live.models.resolve("m", 1))
    with pytest.raises(Gone):
        live.predictions.get("p-3")
    assert live.predictions.get("p-4")["inputs"]
    assert live.scopes.read(done["id"]) is None, "the frozen row ids are forgotten with the request"
    assert ("suppression", [{"ref", "request", "at"}]) == (
        "suppression",
        [set(body) for _i, body, _r in live.ledger.records("suppression")],
    )
    assert next(iter(live.papers.values())).kind == "erasure-certificate"


def test_a_reproduced_successor_reaches_l3(core: Core) -> None:
    core.train(policy=policy_text(reproduce=True))
    core.release()
    done = core.erase(3)
    assert assets(done)["model:m@1"]["level"] == "L3"
    assert done["successors"][0]["reproduced"] is True


def test_a_version_that_is_not_in_service_is_destroyed_without_a_successor(core: Core) -> None:
    core.train()
    done = core.erase(3)
    assert done["state"] == "completed"
    assert done["successors"] == []
    assert core.models.get("m")["latest"] == 1
    assert core.models.resolve("m", 1)["status"] == "destroyed"


def test_a_subject_that_is_nowhere_is_certified_without_approval(core: Core) -> None:
    core.train()
    ident = core.request(999)
    core.engine.run()
    done = core.erasures.get(ident)
    assert done["state"] == "completed"
    assert all(item["found"] == 0 for item in done["assets"])
    assert assets(done)["model:m@1"]["reason"] == "its committed row sets hold none of the rows"
    assert core.models.resolve("m", 1)["destroyed_at"] is None


@pytest.mark.parametrize("step", ["begin", "purge", "forget", "train", "measure", "release", "may end", "verify", "certificate"])
def test_a_kill_before_any_step_is_made_up_for(live: Core, step: str) -> None:
    rows = live.located(3)
    ident = live.approve(3)
    live.engine.die_before = step
    with pytest.raises(Killed):
        live.engine.run()
    live.engine.run()
    done = live.erasures.get(ident)
    assert done["state"] == "completed", done
    assert live.models.get("m")["latest"] == 2, "nothing is trained twice"
    assert live.rows_of("m", 2, rows) == 0


def test_two_erasures_of_one_model_share_one_retrain(live: Core) -> None:
    first, second = live.located(3), live.located(4)
    one, two = live.approve(3), live.approve(4)
    assert assets(live.erasures.get(two))["model:m@1"]["action"] == "retrain"
    live.engine.run()
    done = [live.erasures.get(ident) for ident in (one, two)]
    assert [request["state"] for request in done] == ["completed", "completed"], [request["error"] for request in done]
    assert live.deployments.active("m")["version"] == 2
    assert live.models.get("m")["latest"] == 2, "one training for both"
    assert live.rows_of("m", 2, first) == live.rows_of("m", 2, second) == 0
    for request in done:
        assert assets(request)["model:m@1"]["level"] == "L2"
        (successor,) = request["successors"]
        assert (successor["version"], successor["excluded"], successor["predecessor_destroyed"]) == (2, True, True)
        assert len(successor["non_membership"]) == 1, "each certificate proves its own person's absence"
    assert len(live.papers) == 2
    assert len(live.deployments.list("m")["deployments"]) == 2, "put into service once"


# ── a successor that does not pass ──────────────────────────────────────────────────────────────
def waiting(core: Core, person: int = 3) -> str:
    core.auditor.accuracy = 0.5
    ident = core.approve(person)
    core.engine.run()
    assert core.erasures.get(ident)["state"] == "awaiting_decision"
    return ident


def test_a_failing_successor_waits_and_the_predecessor_serves(live: Core) -> None:
    request = live.erasures.get(waiting(live))
    asset = assets(request)["model:m@1"]
    assert asset["status"] == "awaiting_decision"
    assert "gate says no" in asset["reason"]
    assert asset["detail"]["successor"] == 2
    assert live.deployments.active("m")["version"] == 1
    assert assets(request)["dataset:credit.train"]["status"] == "purged", "the data is erased all the same"


def test_where_the_policy_withdraws_nothing_serves_meanwhile(core: Core) -> None:
    core.train(policy=policy_text(on_gate_failure="withdraw"))
    core.release()
    waiting(core)
    assert core.deployments.active("m") is None


def test_keep_is_said_on_the_certificate(live: Core) -> None:
    ident = waiting(live)
    live.erasures.decide(ident, {"action": "keep", "reason": "the bank stands without it"}, actor="key:dpo")
    live.engine.run()
    request = live.erasures.get(ident)
    assert request["state"] == "completed_partial"
    assert request["incomplete"] == ["model:m@1"]
    assert "decision: keep: the bank stands without it" in [step["reason"] for step in request["history"]]
    assert assets(request)["model:m@1"]["status"] == "kept"
    assert live.deployments.active("m")["version"] == 1


def test_withdraw_ends_service_and_destroys(live: Core) -> None:
    ident = waiting(live)
    live.erasures.decide(ident, {"action": "withdraw"}, actor="key:dpo")
    live.engine.run()
    assert live.erasures.get(ident)["state"] == "completed"
    assert live.deployments.active("m") is None
    assert live.models.resolve("m", 1)["destroyed_by"] == ident


def test_release_asks_the_gate_again(live: Core) -> None:
    ident = waiting(live)
    live.erasures.decide(ident, {"action": "release"}, actor="key:dpo")
    live.engine.run()
    assert live.erasures.get(ident)["state"] == "awaiting_decision", "the findings are the same, so is the answer"
    live.auditor.accuracy = 0.9
    live.audits.carry_out("m", 2)
    live.erasures.decide(ident, {"action": "release"}, actor="key:dpo")
    live.engine.run()
    assert live.erasures.get(ident)["state"] == "completed"
    assert live.deployments.active("m")["version"] == 2


def test_retry_trains_anew_where_a_training_had_failed(live: Core) -> None:
    live.trainer.fail = "the disk was full"
    ident = live.approve(3)
    live.engine.run()
    request = live.erasures.get(ident)
    assert request["state"] == "awaiting_decision"
    assert assets(request)["model:m@1"]["reason"] == "the disk was full"
    live.erasures.decide(ident, {"action": "retry", "reason": "there is room"}, actor="key:dpo")
    live.engine.run()
    request = live.erasures.get(ident)
    assert request["state"] == "completed", request
    assert live.deployments.active("m")["version"] == 2
    assert "tried again: there is room" in [step["reason"] for step in request["history"]]


def test_a_version_destroyed_by_another_request_needs_no_decision(live: Core) -> None:
    ident = waiting(live, 3)
    live.auditor.accuracy = 0.9
    other = live.erase(4)
    assert other["state"] == "completed", other
    live.erasures.decide(ident, {"action": "keep"}, actor="key:dpo")
    live.engine.run()
    request = live.erasures.get(ident)
    assert request["state"] == "completed", request["assets"]
    assert assets(request)["model:m@1"]["reason"] == "destroyed by another request meanwhile"


def test_a_decision_that_nobody_waits_for_is_a_conflict(live: Core) -> None:
    ident = live.request(3)
    with pytest.raises(Conflict, match="awaits no decision"):
        live.erasures.decide(ident, {"action": "keep"}, actor="key:dpo")


# ── holds ───────────────────────────────────────────────────────────────────────────────────────
def test_a_held_model_stays_and_is_replaced_when_the_hold_ends(live: Core) -> None:
    rows = live.located(3)
    live.hold("model:m@1")
    done = live.erase(3)
    assert done["state"] == "completed_partial"
    assert done["incomplete"] == ["model:m@1"]
    assert live.deployments.active("m")["version"] == 1
    assert live.models.living_artifact(live.models.resolve("m", 1)).is_dir()
    assert live.located(3) == {}, "everything else proceeds"
    assert live.unhold("model:m@1") == [done["id"]]
    live.engine.run()
    request = live.erasures.get(done["id"])
    assert request["state"] == "completed", request
    assert live.rows_of("m", 2, rows) == 0 < live.rows_of("m", 1, rows), "the purged rows are still told by the version's commitments"


def test_a_model_waits_with_its_held_dataset(live: Core) -> None:
    live.hold("dataset:credit.train")
    done = live.erase(3)
    assert done["state"] == "completed_partial", done["error"]
    assert set(done["incomplete"]) == {"dataset:credit.train", "model:m@1"}
    assert live.models.get("m")["latest"] == 1, "a successor would rest on the same rows"
    assert live.located(3)
    assert live.unhold("dataset:credit.train") == [done["id"]]
    live.engine.run()
    assert live.erasures.get(done["id"])["state"] == "completed"
    assert live.located(3) == {}
    assert live.deployments.active("m")["version"] == 2


def test_held_predictions_go_when_their_hold_ends(core: Core) -> None:
    core.predict("p-3", 3)
    core.predict("p-3b", 3)
    core.hold("prediction:p-3")
    done = core.erase(3)
    assert done["incomplete"] == ["predictions"]
    assert core.predictions.get("p-3")["inputs"]
    with pytest.raises(Gone):
        core.predictions.get("p-3b")
    assert core.unhold("prediction:p-3") == [done["id"]]
    core.engine.run()
    assert core.erasures.get(done["id"])["state"] == "completed"
    with pytest.raises(Gone):
        core.predictions.get("p-3")


# ── what is left ────────────────────────────────────────────────────────────────────────────────
def test_residue_fails_the_request_and_a_retry_looks_again(live: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    ident = live.approve(3)
    with monkeypatch.context() as patch:
        patch.setattr(live.datasets, "residual", lambda name, rows: (1, 4))
        live.engine.run()
    request = live.erasures.get(ident)
    assert request["state"] == "failed"
    assert assets(request)["dataset:credit.train"]["level"] == "L0"
    assert request["error"]["hint"] == f"govern erasure decide {ident} retry"
    live.erasures.decide(ident, {"action": "retry"}, actor="key:dpo")
    live.engine.run()
    request = live.erasures.get(ident)
    assert request["state"] == "completed", request
    assert assets(request)["dataset:credit.train"]["level"] == "L1"


def test_a_retry_destroys_nothing_that_was_never_approved(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    ident = core.request(50)
    with monkeypatch.context() as patch:
        patch.setattr(core.verifying, "_certify", lambda *_given: (_ for _ in ()).throw(Conflict("no room")))
        core.engine.run()
    assert core.erasures.get(ident)["state"] == "failed"
    core.people("credit.train", [*PERSONS, 50])
    core.erasures.decide(ident, {"action": "retry"}, actor="key:dpo")
    core.engine.run()
    assert core.located(50), "nobody approved that these rows go"
    assert core.erasures.get(ident)["state"] == "completed"


def test_a_subject_that_comes_back_while_the_request_is_open_is_erased_again(live: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    live.hold("model:m@1")
    done = live.erase(3)
    with monkeypatch.context() as patch:  # a writer that passed the door by
        patch.setattr(live.datasets.suppression, "listed", lambda persons: [False for _ in persons])
        live.people("credit.train", PERSONS)
    assert live.located(3)
    live.unhold("model:m@1")
    live.engine.run()
    request = live.erasures.get(done["id"])
    assert request["state"] == "completed", request
    assert live.located(3) == {}


# ── rollback ────────────────────────────────────────────────────────────────────────────────────
def test_rollback_counts_the_rows_that_meet_the_suppression_list(live: Core) -> None:
    live.people("credit.train", [*PERSONS, 10])
    live.train()
    live.release(version=2)
    assert live.deployments.rollback("m", "production", actor="key:e")["version"] == 1
    live.release(version=2)
    live.hold("model:m@1")
    assert live.erase(3)["state"] == "completed_partial"
    with pytest.raises(GateRefused, match=r"m@2 was trained on 1 row\(s\) of erased subjects"):
        live.deployments.rollback("m", "production", actor="key:e")
    with pytest.raises(GateRefused, match="release is refused"):
        live.deployments.release("m", "1", "production", actor="key:e")


def test_rollback_is_not_refused_for_a_purge_that_took_none_of_its_rows(live: Core) -> None:
    """The newest version of the dataset held the erased row; the one that both models were trained on did not."""
    live.train(params={"lr": 2})
    live.release(version=2)
    live.people("credit.train", [*PERSONS, 10])
    assert live.erase(10)["state"] == "completed"
    assert live.deployments.rollback("m", "production", actor="key:e")["version"] == 1
