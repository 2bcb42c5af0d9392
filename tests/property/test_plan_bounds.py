"""Whatever arrives: the retrains stay under their bound, no due date is missed that could be met, the order does not matter."""

from __future__ import annotations

import itertools
import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.erasure_simulation import DAY, Simulation
from governance.erasure.states import TRANSITIONS
from governance.plan import ModelFacts, Rules, Waiting, schedule
from governance.plan.paths import HOUR
from governance.workflows.batching import waiting_of

NAMES = ("a", "b", "c")

rules = st.builds(
    Rules,
    cadence=st.sampled_from([0, HOUR, DAY, 7 * DAY]),
    least_interval=st.sampled_from([HOUR, 6 * HOUR, DAY, 3 * DAY]),
    cost_cap=st.sampled_from([None, HOUR]),
)
paths = st.integers(min_value=1, max_value=6 * HOUR)
arrival = st.tuples(
    st.integers(min_value=0, max_value=20 * DAY),
    st.integers(min_value=HOUR, max_value=40 * DAY),
    st.sets(st.sampled_from(NAMES), min_size=1),
)
arrivals = st.lists(arrival, min_size=1, max_size=40)


def requests(drawn) -> list[Waiting]:
    return [
        Waiting(id=f"r{number:03}", approved_at=at, due_at=at + allowed, models=frozenset(models))
        for number, (at, allowed, models) in enumerate(drawn)
    ]


@settings(max_examples=50, deadline=None)
@given(arrivals, st.tuples(*[st.tuples(paths, rules) for _ in NAMES]))
def test_retrains_stay_under_the_bound_whatever_arrives(drawn, models) -> None:
    """ceil(span / least interval) for each model (W_min), and never two closer than it."""
    span = 60 * DAY
    simulation = Simulation(models=dict(zip(NAMES, models, strict=True)))
    simulation.run(requests(drawn), span)
    for name in NAMES:
        fired = [one.at for one in simulation.fired if one.model == name]
        least = simulation.models[name][1].least_interval
        assert len(fired) <= math.ceil(span / least)
        assert all(later - earlier >= least for earlier, later in itertools.pairwise(fired))
        cadence = simulation.models[name][1].cadence
        if cadence and all(allowed > 30 * DAY for _at, allowed, _models in drawn):  # no due date fires it: one a cadence
            assert len(fired) <= math.ceil(span / max(cadence, least))


@settings(max_examples=50, deadline=None)
@given(arrivals, paths, rules)
def test_no_due_date_is_missed_that_could_be_met(drawn, path, rule) -> None:
    """It could be met when, at the approval, the least interval and the batch that runs left room for one more path."""
    simulation = Simulation(models={"a": (path, rule)})
    asked = [Waiting(id=one.id, approved_at=one.approved_at, due_at=one.due_at, models=frozenset({"a"})) for one in requests(drawn)]
    simulation.run(asked, 200 * DAY)
    fired = [(one.at, one.ended) for one in simulation.fired]
    for one in asked:
        last = max((item for item in fired if item[0] < one.approved_at), default=None)
        free = one.approved_at if last is None else max(one.approved_at, last[0] + rule.least_interval, last[1])
        assert one.id in simulation.ended, "nothing waits for ever"
        if free + path <= one.due_at:
            assert simulation.ended[one.id] <= one.due_at, (one, fired)


@settings(max_examples=50, deadline=None)
@given(arrivals, st.tuples(*[st.tuples(paths, rules) for _ in NAMES]), st.integers(min_value=0, max_value=60 * DAY), st.randoms())
def test_the_order_of_arrivals_is_of_no_account(drawn, models, now, chance: random.Random) -> None:
    facts = {name: ModelFacts(model=name, path=path, rules=rule) for name, (path, rule) in zip(NAMES, models, strict=True)}
    asked = requests(drawn)
    shuffled = list(asked)
    chance.shuffle(shuffled)
    assert schedule(now, asked, facts) == schedule(now, shuffled, facts)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(sorted(TRANSITIONS)),
    st.booleans(),
    st.booleans(),
    st.integers(min_value=1, max_value=3),
    st.booleans(),
    st.sampled_from(["system", "key:dpo"]),
)
def test_what_is_not_verified_and_approved_plans_nothing(state, verified, approved, round_, purged, actor) -> None:
    asset = {"kind": "model", "action": "retrain", "status": "pending", "detail": {"model": "m"}}
    record = {
        "id": "r",
        "state": state,
        "history": [{"state": "queued", "actor": "key:first"}, {"state": "queued", "actor": actor}],
        "assets": [asset] * 3,
        "due_at": 9,
        "round": round_,
        "purged_at": 5 if purged else None,
        "verified": {"by": "k"} if verified else None,
        "approved": {"by": "k", "at": 1} if approved else None,
    }
    found = waiting_of(record)
    at_work = state in ("approved", "partially_approved", "suppressed", "queued", "executing")
    assert (found is not None) == (verified and approved and at_work)
    if found is not None:
        assert found.urgent == (round_ > 1 and actor != "system")
        assert found.purged == (purged and state == "executing")
