"""What the erasure benchmarks stand on: the same requests in every run, retrains that are counted, a bound that can be passed."""

from __future__ import annotations

import math
from types import SimpleNamespace

from benchmarks import erasure_planner
from benchmarks.erasure_planner import DAYS, MODELS, arrivals, simulate
from benchmarks.erasure_simulation import DAY
from governance.plan import Rules
from governance.plan.paths import HOUR


def test_the_requests_are_the_same_in_every_run_and_due_after_they_came() -> None:
    requests = arrivals(300)
    assert requests == arrivals(300)
    assert requests != arrivals(300, seed=8)
    assert all(one.due_at - one.approved_at >= 20 * DAY for one in requests)
    assert {name for one in requests for name in one.models} == {f"m{number:02}" for number in range(MODELS)}


def test_batches_stay_under_the_bound_and_without_rules_there_are_more() -> None:
    requests = arrivals(300)
    kept = simulate(requests, Rules(cadence=7 * DAY, least_interval=DAY))
    assert kept.late == 0
    assert max(kept.retrains.values()) <= math.ceil(DAYS / 7) < DAYS
    free = simulate(requests, Rules(), path=1)
    assert sum(free.retrains.values()) == free.one_by_one, "one by one when nothing is waited for"
    late = simulate(requests, Rules(least_interval=60 * DAY), path=HOUR)
    assert late.late, "an interval of two months cannot keep a month's due dates"


def test_the_page_gets_figures_against_the_bound(monkeypatch) -> None:
    monkeypatch.setitem(erasure_planner.REQUESTS, "quick", 200)
    lines = list(erasure_planner.measure(SimpleNamespace(sizes=SimpleNamespace(name="quick"))))
    assert len(lines) == 2 * len(erasure_planner.RULES)
    assert not any(line.too_slow or line.failed for line in lines)
    assert all(line.value < line.baseline_value for line in lines[1::2])
