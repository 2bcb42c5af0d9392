"""Batches over real stores: one retrain for all that wait, by the policy's cadence and interval, and what a late copy does."""

from __future__ import annotations

import pytest

from governance.errors import Superseded
from governance.registry import fence
from governance.registry.acts import act
from governance.registry.find import bodies
from lineage.errors import Conflict, StoreUnavailable
from tests.support.core import Core, Killed, assets, opened, policy_text

PERSONS = list(range(12))
HOUR = 3_600 * 1_000_000_000
DAY = 24 * HOUR


@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("credit.train", PERSONS)
        yield core


def served(core: Core, more: str = "", **given) -> Core:
    core.train(policy=policy_text(more=more, **given))
    core.release()
    return core


def passes(core: Core, ns: int) -> None:
    """Time goes by, and the alarm clock looks."""
    core.clock.at += ns
    core.wake()
    core.engine.run()


def batches(core: Core) -> list[dict]:
    return bodies(core.ledger, "batch")


# ── cadence and interval ────────────────────────────────────────────────────────────────────────
def test_rows_go_at_once_and_the_model_with_its_cadence(core: Core) -> None:
    live = served(core, "  cadence: 7d\n  min_interval: 1d")
    first = live.approve(3)
    live.engine.run()
    request = live.erasures.get(first)
    assert request["state"] == "executing"
    assert assets(request)["dataset:credit.train"]["status"] == "purged"
    assert live.located(3) == {}
    assert live.deployments.active("m")["version"] == 1
    assert request["schedule"]["models"]["m"]["because"] == "cadence"
    assert request["history"][-1]["reason"] == "the rows are gone; m: retrained in the next batch"
    passes(live, 3 * DAY)
    second = live.approve(4)
    live.engine.run()
    assert live.models.get("m")["latest"] == 1
    passes(live, 4 * DAY)
    assert [live.erasures.get(ident)["state"] for ident in (first, second)] == ["completed", "completed"]
    assert live.models.get("m")["latest"] == 2
    (batch,) = batches(live)
    assert (batch["state"], batch["requests"], batch["successors"]) == ("done", sorted([first, second]), [2])


def test_a_flood_of_approved_requests_costs_one_retrain_an_interval(core: Core) -> None:
    live = served(core, "  min_interval: 1d")
    for person in (1, 2, 3, 4):
        live.approve(person)
        live.engine.run()
    assert live.models.get("m")["latest"] == 2, "the first at once, the others with the next"
    passes(live, DAY)
    assert live.models.get("m")["latest"] == 3
    assert {request["state"] for request in live.erasures.list()["requests"]} == {"completed"}
    assert len(batches(live)) == 2


def test_unverified_and_unapproved_requests_plan_nothing(core: Core) -> None:
    live = served(core)
    live.erasures.request({"subject": {"type": "applicant", "value": "1"}}, actor="key:asks")
    live.request(2)
    live.wake()
    live.engine.run()
    assert batches(live) == []
    assert live.batching.schedule().batches == ()


def test_two_models_of_one_request_have_a_batch_each_and_it_ends_with_the_last(core: Core) -> None:
    live = served(core, "  min_interval: 1d")
    live.train("slow", policy=policy_text(more="  cadence: 2d"))
    live.release("slow")
    ident = live.approve(3)
    live.engine.run()
    request = live.erasures.get(ident)
    assert (request["state"], live.models.get("m")["latest"], live.models.get("slow")["latest"]) == ("executing", 2, 1)
    passes(live, 2 * DAY)
    request = live.erasures.get(ident)
    assert request["state"] == "completed", request
    assert {one["model"]: one["version"] for one in request["successors"]} == {"m": 2, "slow": 2}


def test_versions_of_one_recipe_share_a_successor_and_those_of_another_do_not(core: Core) -> None:
    live = served(core)
    live.train()
    live.release(version=2, environment="staging")
    live.train(params={"lr": 2})
    live.release(version=3, environment="canary")
    done = live.erase(3)
    assert done["state"] == "completed", done
    assert sorted((one["predecessor"], one["version"]) for one in done["successors"]) == [(1, 4), (2, 4), (3, 5)]
    active = {body["environment"]: body["version"] for body in live.deployments.list("m", active=True)["deployments"]}
    assert active == {"production": 4, "staging": 4, "canary": 5}


def test_a_version_that_no_longer_serves_when_its_batch_comes_is_destroyed_without_a_successor(core: Core) -> None:
    live = served(core, "  cadence: 2d")
    ident = live.approve(3)
    live.engine.run()
    live.train()
    live.release(version=2)
    passes(live, 2 * DAY)
    assert live.erasures.get(ident)["state"] == "completed"
    assert live.models.get("m")["latest"] == 2
    assert live.models.resolve("m", 1)["destroyed_by"] == ident


_OFTEN = ("members", "look again", "gather", "measure", "release", "waits", "end")


@pytest.mark.parametrize("step", ["train", "again", *(pytest.param(step, marks=pytest.mark.slow) for step in _OFTEN)])
def test_a_kill_before_any_step_of_a_batch_is_made_up_for(core: Core, step: str) -> None:
    live = served(core)
    one, two = live.approve(3), live.approve(4)
    live.engine.run_until("members")
    live.engine.die_before = step
    with pytest.raises(Killed):
        live.engine.run()
    live.engine.run()
    assert [live.erasures.get(ident)["state"] for ident in (one, two)] == ["completed", "completed"]
    assert live.models.get("m")["latest"] == 2
    assert len(live.papers) == 2
    assert [batch["state"] for batch in batches(live)] == ["done"]


def test_a_batch_whose_start_was_cut_off_is_started_at_the_next_opening(core: Core) -> None:
    live = served(core)
    ident = live.approve(3)
    live.engine.run_until("members")
    lost = live.engine.waiting.pop()
    assert lost.startswith("erasure-batch:")
    live.engine.forget(lost)
    live.engine.run()
    assert live.erasures.get(ident)["state"] == "executing"
    live.batching.resume(live.engine)
    live.engine.run()
    assert live.erasures.get(ident)["state"] == "completed"


# ── what a human must know ──────────────────────────────────────────────────────────────────────
def alerts(core: Core) -> list[str]:
    import json

    entries = core.ledger.entries(0, 10_000, kind="govern.batch.alert")
    return [one["kind"] for entry in entries for one in json.loads(entry.payload)["detail"]["alerts"]]


def test_what_cannot_be_met_in_time_is_entered_once(core: Core) -> None:
    live = served(core, "  min_interval: 60d")
    live.erase(3)
    live.approve(4)
    live.engine.run()
    live.wake()
    assert alerts(live) == ["late"]


def test_a_cost_above_the_cap_is_entered_and_nothing_waits(core: Core) -> None:
    live = served(core, "  cost_cap: 0s")
    assert live.erase(3)["state"] == "completed"
    assert alerts(live) == ["cost"]


def test_a_predecessor_is_kept_until_its_day_and_then_withdrawn(core: Core) -> None:
    live = served(core, on_gate_failure="keep_until 2023-11-20")  # the clock begins on 14 November 2023
    live.auditor.accuracy = 0.5
    ident = live.erase(3)["id"]
    assert live.erasures.get(ident)["state"] == "awaiting_decision"
    passes(live, 6 * DAY)
    assert live.deployments.active("m")["version"] == 1, "the day itself is included"
    passes(live, DAY)
    assert live.deployments.active("m") is None
    request = live.erasures.get(ident)
    assert request["state"] == "awaiting_decision", "the decision is still a human's"
    assert assets(request)["model:m@1"]["detail"]["meanwhile"] == "withdraw"


def test_who_subscribed_hears_of_a_batch_from_its_start_to_its_end_and_of_alerts(core: Core) -> None:
    live = served(core, "  cost_cap: 0s")
    listed = {"endpoints": [{"id": "hook", "events": ["batch.*"]}]}
    live.ledger.append([act("webhook.added", actor="key:a", records={("subscriptions", "webhooks"): listed})])
    done = live.erase(3)
    rows = [row for _, row, _ in live.ledger.records("outbox", prefix="hook/")]
    assert [row["type"] for row in rows if row["type"] not in ("batch.taken", "batch.changed")] == [
        "batch.started", "batch.alert", "batch.done",
    ]  # fmt: skip
    (told,) = rows[-1]["data"]["changes"]
    assert (told["kind"], told["model"], told["state"], told["requests"], told["requests_count"]) == ("batch", "m", "done", [done["id"]], 1)
    assert told["successors"] == [2]
    (alert,) = next(row for row in rows if row["type"] == "batch.alert")["data"]["alerts"]
    assert alert == {"kind": "cost", "model": "m"}


def test_a_batch_that_fails_is_told_as_failed(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    live = served(core)
    listed = {"endpoints": [{"id": "hook", "events": ["batch.failed"]}]}
    live.ledger.append([act("webhook.added", actor="key:a", records={("subscriptions", "webhooks"): listed})])

    def away(_model, _version):
        raise StoreUnavailable("the artifacts are away")

    monkeypatch.setattr(live.successors, "recipe", away)
    live.erase(3)
    (row,) = [row for _, row, _ in live.ledger.records("outbox", prefix="hook/")]
    assert row["data"]["changes"][0]["state"] == "failed"
    assert "away" not in str(row["data"]), "a reason is free text"


# ── holds, stores, late copies ──────────────────────────────────────────────────────────────────
def test_a_hold_that_comes_a_second_before_the_purge_is_seen_inside_it(core: Core) -> None:
    live = served(core)
    ident = live.approve(3)
    live.engine.run_until("purge")
    live.hold("dataset:credit.train")
    live.engine.run()
    request = live.erasures.get(ident)
    assert assets(request)["dataset:credit.train"]["status"] == "held"
    assert live.located(3), "nothing was purged"
    assert request["state"] == "completed_partial"
    assert set(request["incomplete"]) == {"dataset:credit.train", "model:m@1"}


def test_a_hold_that_comes_before_the_predecessor_is_destroyed_keeps_it(core: Core) -> None:
    live = served(core)
    ident = live.approve(3)
    live.engine.run_until("release")
    live.hold("model:m@1")
    live.engine.run()
    assert live.models.resolve("m", 1)["destroyed_at"] is None
    assert "model:m@1" in live.erasures.get(ident)["incomplete"]


def test_a_store_that_is_away_keeps_its_asset_waiting_and_the_rest_goes_on(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    core.people("other", [3, 4])
    live = served(core)
    real = live.datasets.purge

    def away(name, rows, **given):
        if name == "other":
            raise StoreUnavailable("the bucket does not answer")
        return real(name, rows, **given)

    monkeypatch.setattr(live.datasets, "purge", away)
    done = live.erase(3)
    assert done["state"] == "completed_partial"
    assert done["incomplete"] == ["dataset:other"]
    assert "the bucket does not answer" in assets(done)["dataset:other"]["reason"]
    assert live.deployments.active("m")["version"] == 2, "its rows were elsewhere"
    monkeypatch.undo()
    passes(live, HOUR)
    done = live.erasures.get(done["id"])
    assert done["state"] == "completed", done
    assert live.located(3) == {}


def test_a_copy_that_appears_meanwhile_is_one_more_asset_and_is_purged(core: Core) -> None:
    live = served(core, "  cadence: 2d")
    ident = live.approve(3)
    live.engine.run()
    listed = live.datasets.suppression.listed
    live.datasets.suppression.listed = lambda persons: [False for _ in persons]  # a copy that no door of ours saw
    live.people("late.copy", [3, 5])
    live.datasets.suppression.listed = listed
    passes(live, 2 * DAY)
    request = live.erasures.get(ident)
    assert request["state"] == "completed", request
    assert assets(request)["dataset:late.copy"]["level"] == "L1"
    assert any("found since the scope was frozen: dataset:late.copy" in (step["reason"] or "") for step in request["history"])


def test_a_lineage_event_that_tells_of_a_copy_reopens_the_scope_after_the_purge(core: Core) -> None:
    from tests.unit.test_governance_scope import event

    live = served(core, "  cadence: 2d")
    ident = live.approve(3)
    live.engine.run()
    event(live, 1, [("govern://test", "credit.train", "1")], [("s3://lake", "copy", "7")])
    event(
        live, 2, [("govern://test", "credit.train", live.datasets.version("credit.train", "latest").version)], [("s3://lake", "clean", "1")]
    )
    passes(live, 2 * DAY)
    request = live.erasures.get(ident)
    assert request["state"] == "completed_partial"
    assert request["incomplete"] == ["dataset:s3://lake/copy@7"], "what was made from the purged version is no copy"


def test_a_copy_that_is_found_at_the_very_end_fails_the_request_until_it_is_dealt_with(core: Core) -> None:
    live = served(core)
    ident = live.approve(3)
    live.engine.run_until("verify")
    listed = live.datasets.suppression.listed
    live.datasets.suppression.listed = lambda persons: [False for _ in persons]
    live.people("late.copy", [3])
    live.datasets.suppression.listed = listed
    live.engine.run()
    request = live.erasures.get(ident)
    assert request["state"] == "failed"
    assert "dataset:late.copy" in request["error"]["detail"]
    live.erasures.decide(ident, {"action": "retry"}, actor="key:dpo")
    live.engine.run()
    assert live.erasures.get(ident)["state"] == "completed"


# ── fencing ─────────────────────────────────────────────────────────────────────────────────────
def test_a_worker_that_wakes_late_writes_nothing(core: Core) -> None:
    live = served(core)
    ident = live.approve(3)
    token = fence.take(live.ledger, "erasure", ident)
    before = live.erasures.record(ident)
    with fence.held("erasure", ident, token):
        live.erasures.note(ident, kind="looked", reason="still mine")
        fence.take(live.ledger, "erasure", ident)  # another took it over
        taken = live.ledger.size()
        body = live.models.resolve("m", 1)
        for effect in (
            lambda: live.erasures.set_asset(ident, "model:m@1", status="purged"),
            lambda: live.erasures.note(ident, kind="looked", reason="no longer mine"),
            lambda: live.models.destroy("m", 1, request=ident),
            lambda: live.deployments.activate("d", body, "production", reason="late"),
            lambda: live.deployments.withdraw("m", 1, reason="late"),
            lambda: live.purging.purge(ident, assets(before)["dataset:credit.train"]),
        ):
            with pytest.raises(Superseded, match="taken over"):
                effect()
        assert live.ledger.size() == taken
    assert live.located(3), "the rows are whoever took over's to purge"
    live.engine.run()
    assert live.erasures.get(ident)["state"] == "completed"


def test_a_batch_that_was_taken_over_makes_nothing_more(core: Core) -> None:
    live = served(core)
    ident = live.approve(3)
    live.engine.run_until("measure")
    (batch,) = batches(live)

    def take() -> None:
        fence.take(live.ledger, "batch", batch["id"])

    live.auditor.before = take
    live.engine.run()
    request = live.erasures.get(ident)
    assert request["state"] == "executing", "neither failed nor ended by the one that lost it"
    assert live.deployments.active("m")["version"] == 1
    assert batches(live)[0]["state"] == "running"


# ── the preview ─────────────────────────────────────────────────────────────────────────────────
def test_the_preview_says_what_when_and_how_long_before_anyone_approves(core: Core) -> None:
    live = served(core, "  cadence: 7d\n  min_interval: 1d")
    live.approve(4)
    live.engine.run()
    ident = live.request(3)
    told = live.previews.plan(ident)
    assert (told["state"], told["approved"], told["in_time"]) == ("in_review", False, True)
    assert [item["asset"] for item in told["purge"]] == ["dataset:credit.train", "index:rows"]
    (retrain,) = told["retrain"]
    assert (retrain["model"], retrain["versions"], retrain["environments"]) == ("m", [1], ["production"])
    assert (retrain["because"], retrain["with_requests"]) == ("cadence", 1)
    assert told["eta"] == retrain["ends_at"] > retrain["at"] > live.clock.at
    assert told["progress"] == {"done": 0, "worked_on": 0, "total": 3}
    assert batches(live) == [], "looking starts nothing"


def test_the_preview_follows_the_work_to_its_end(core: Core) -> None:
    live = served(core)
    done = live.erase(3)
    told = live.previews.plan(done["id"])
    assert told["retrain"] == []
    assert told["progress"]["done"] == told["progress"]["total"]
    assert told["eta"] == done["completed_at"]


def test_there_is_no_plan_before_the_identity_is_verified(core: Core) -> None:
    live = served(core)
    ident = live.erasures.request({"subject": {"type": "applicant", "value": "1"}}, actor="key:asks")["id"]
    with pytest.raises(Conflict, match="it has no plan"):
        live.previews.plan(ident)
