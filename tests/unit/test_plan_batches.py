"""When batches fire: at once, by cadence, by due date, never closer than the least interval; what cannot be met is said."""

from __future__ import annotations

import pytest

from governance.plan import ModelFacts, Path, Recent, Rules, Running, Waiting, path_of, schedule
from governance.plan.batches import PATIENCE
from governance.plan.paths import HOUR, spent_since

DAY = 24 * HOUR
WEEKLY = Rules(cadence=7 * DAY, least_interval=DAY)


def ask(ident="r", at=0, due=30 * DAY, models=("m",), **more) -> Waiting:
    return Waiting(id=ident, approved_at=at, due_at=due, models=frozenset(models), **more)


def model(name="m", path=HOUR, **more) -> dict[str, ModelFacts]:
    return {name: ModelFacts(model=name, path=path, **more)}


def test_a_policy_that_says_nothing_retrains_at_once() -> None:
    batch = schedule(5, [ask(at=5)], model()).of("m")
    assert (batch.ready, batch.because, batch.at, batch.ends_at) == (True, "at once", 5, 5 + HOUR)


def test_nothing_waits_and_nothing_is_planned() -> None:
    plan = schedule(0, [], model())
    assert (plan.batches, plan.alerts, plan.wake_at) == ((), (), None)


def test_the_first_request_waits_one_cadence_for_others() -> None:
    waiting = [ask("a", at=DAY), ask("b", at=3 * DAY)]
    plan = schedule(3 * DAY, waiting, model(rules=WEEKLY))
    assert plan.wake_at == 8 * DAY
    assert plan.of("m").requests == ("a", "b")
    assert not plan.of("m").ready
    assert schedule(8 * DAY, waiting, model(rules=WEEKLY)).of("m").ready


def test_a_due_date_that_draws_near_is_not_waited_past() -> None:
    plan = schedule(0, [ask(due=2 * DAY)], model(path=4 * HOUR, rules=WEEKLY))
    assert plan.of("m").because == "due date"
    assert plan.wake_at == 2 * DAY - 6 * HOUR


def test_models_that_share_a_worker_begin_early_enough_for_all() -> None:
    """Ten models are due at the same moment and take four hours each: the first must begin sixty hours before, not six."""
    names = [f"m{i}" for i in range(10)]
    facts = {name: ModelFacts(model=name, path=4 * HOUR, rules=Rules(cadence=60 * DAY)) for name in names}
    plan = schedule(0, [ask(due=10 * DAY, models=names)], facts)
    assert [10 * DAY - batch.at for batch in plan.batches] == [HOUR * 6 * n for n in range(10, 0, -1)]
    assert plan.alerts == ()


def test_the_least_interval_holds_also_when_the_due_date_is_missed_by_it_and_that_is_said() -> None:
    facts = model(rules=Rules(least_interval=7 * DAY), last_at=DAY)
    plan = schedule(2 * DAY, [ask(at=2 * DAY, due=3 * DAY)], facts)
    assert (plan.of("m").at, plan.of("m").because, plan.of("m").ready) == (8 * DAY, "least interval", False)
    (alert,) = plan.alerts
    assert (alert.kind, alert.requests) == ("late", ("r",))
    assert "121 h" in alert.detail


def test_a_human_decision_waits_for_neither_cadence_nor_interval() -> None:
    plan = schedule(2 * DAY, [ask(at=DAY, urgent=True)], model(rules=WEEKLY, last_at=2 * DAY - HOUR))
    assert (plan.of("m").because, plan.of("m").ready) == ("decided", True)


def test_a_number_of_requests_is_no_trigger() -> None:
    one = schedule(0, [ask()], model(rules=WEEKLY))
    many = schedule(0, [ask(f"r{n:04}") for n in range(2_000)], model(rules=WEEKLY))
    assert many.wake_at == one.wake_at


def test_a_batch_waits_for_rows_that_are_being_purged_but_not_for_ever() -> None:
    waiting = [ask("a", at=0), ask("b", at=10, purged=False)]
    plan = schedule(20, waiting, model())
    assert (plan.of("m").ready, plan.of("m").waits_for, plan.wake_at) == (False, ("b",), 10 + PATIENCE)
    later = schedule(10 + PATIENCE, waiting, model()).of("m")
    assert (later.ready, later.requests) == (True, ("a",))
    assert not schedule(10 + PATIENCE, waiting[1:], model()).of("m").ready, "nothing is purged: there is nothing to train without"


def test_rows_that_are_being_purged_are_not_waited_for_when_time_presses() -> None:
    waiting = [ask("a", due=HOUR), ask("b", due=HOUR, purged=False)]
    assert schedule(0, waiting, model()).of("m").requests == ("a",)


def test_a_model_has_one_batch_at_a_time() -> None:
    plan = schedule(DAY, [ask(at=DAY)], model(running=Running(started_at=DAY - HOUR // 2), last_at=DAY - HOUR // 2))
    assert (plan.of("m").ready, plan.of("m").waits_for, plan.wake_at) == (False, ("running",), None)
    assert plan.of("m").ends_at == DAY + HOUR // 2 + HOUR, "after the one that runs"


def test_the_cost_cap_is_an_alert_and_delays_nothing() -> None:
    capped = Rules(cost_cap=10 * HOUR)
    assert schedule(0, [ask()], model(rules=capped, spent=9 * HOUR)).alerts == ()
    plan = schedule(0, [ask()], model(rules=capped, spent=10 * HOUR))
    assert plan.of("m").ready
    assert [(alert.kind, alert.detail) for alert in plan.alerts] == [
        ("cost", "11.0 h of retraining in thirty days, the cap is 10.0 h; nothing is delayed")
    ]


def test_a_clock_that_was_set_back_holds_nothing_up_and_is_said() -> None:
    plan = schedule(DAY, [ask()], model(rules=Rules(least_interval=DAY), last_at=400 * DAY))
    assert plan.of("m").ready
    assert [alert.kind for alert in plan.alerts] == ["clock"]


def test_a_model_of_which_nothing_is_known_is_refused() -> None:
    with pytest.raises(KeyError):
        schedule(0, [ask(models=("unheard-of",))], model())


# ── how long it takes ───────────────────────────────────────────────────────────────────────────
def test_a_path_is_the_95th_percentile_of_the_last_fifty() -> None:
    old = [Recent(started_at=n, ended_at=n + 10_000) for n in range(50)]
    new = [Recent(started_at=100 + n, ended_at=100 + n + n + 1) for n in range(50)]
    assert path_of(old + new, [7]) == Path(ns=48, basis="measured")


@pytest.mark.parametrize(("trainings", "path"), [([3, 5], Path(ns=15, basis="trainings")), ([], Path(ns=HOUR, basis="unknown"))])
def test_a_path_that_was_never_gone_is_estimated_and_says_so(trainings, path) -> None:
    assert path_of([], trainings) == path


def test_what_was_spent_counts_from_a_moment_on() -> None:
    assert spent_since([Recent(started_at=1, ended_at=4), Recent(started_at=5, ended_at=9)], 5) == 4
