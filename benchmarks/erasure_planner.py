"""Ten thousand verified requests over thirty simulated days against twenty models: how many retrains, beside one for each request.

The planner is the real one; the clock is simulated, a retrain takes the path that the planner was told. The promise is the bound: no model
is retrained more often than ``ceil(30 d / least interval)``, whatever arrives, and every request ends before it is due.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.erasure_simulation import DAY, Simulation
from benchmarks.measure import Line
from governance.plan import Rules, Waiting
from governance.plan.paths import HOUR

__all__ = ["Outcome", "arrivals", "measure", "simulate"]

DAYS = 30
MODELS = 20
REQUESTS = {"full": 10_000, "quick": 2_000}
RULES = {
    "cadence 7 d, least interval 1 d": Rules(cadence=7 * DAY, least_interval=DAY),
    "at once, least interval 1 d": Rules(least_interval=DAY),
    "at once, least interval 6 h": Rules(least_interval=6 * HOUR),
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a simulation did."""

    retrains: dict[str, int]
    late: int
    """Requests that ended after their due date, or never."""
    one_by_one: int
    """Retrains if every request were carried out alone."""
    plans: int
    seconds: float


def measure(job: Any) -> Iterator[Line]:
    """One line for each set of rules: the most retrains of a model against the bound, and all of them beside one by one."""
    size = getattr(getattr(job, "sizes", None), "name", "full")
    requests = arrivals(REQUESTS.get(size, REQUESTS["full"]))
    for name, rules in RULES.items():
        found = simulate(requests, rules)
        bound = math.ceil(DAYS * DAY / rules.least_interval)
        about = f"{len(requests):,} requests, {DAYS} d, {MODELS} models, {name}"
        if found.late:
            yield _failed(f"planner: {about}", f"{found.late} requests ended after they were due, or never")
            continue
        most, total = max(found.retrains.values()), sum(found.retrains.values())
        yield Line(
            name=f"planner: most retrains of a model, {name}", value=most, unit="times", baseline="bound", baseline_value=bound,
            limit=bound, note=about,
        )  # fmt: skip
        yield Line(
            name=f"planner: retrains of all models, {name}", value=total, unit="times", baseline="one by one",
            baseline_value=found.one_by_one, limit=MODELS * bound,
            note=f"{found.plans:,} plans in {found.seconds:.1f} s of processor time, {1e3 * found.seconds / found.plans:.2f} ms each",
        )  # fmt: skip


def arrivals(count: int, *, seed: int = 7) -> list[Waiting]:
    """Approved requests at random moments of thirty days, each about one to five of the models, due a month after they came."""
    chance = random.Random(seed)
    names = [f"m{number:02}" for number in range(MODELS)]
    moments = sorted(chance.randrange(DAYS * DAY) for _ in range(count))
    return [
        Waiting(
            id=f"r{number:05}", approved_at=at, due_at=at + 30 * DAY - chance.randrange(10 * DAY),
            models=frozenset(chance.sample(names, chance.randint(1, 5))),
        )
        for number, at in enumerate(moments)
    ]  # fmt: skip


def simulate(requests: Sequence[Waiting], rules: Rules, *, path: int = 2 * HOUR) -> Outcome:
    """Run the planner from event to event until nothing waits; a model's batches run beside those of the others."""
    began = time.process_time()
    simulation = Simulation(models={f"m{number:02}": (path, rules) for number in range(MODELS)})
    simulation.run(requests, 10 * DAYS * DAY)
    retrains: dict[str, int] = {}
    for one in simulation.fired:
        if one.at < DAYS * DAY:
            retrains[one.model] = retrains.get(one.model, 0) + 1
    late = sum(simulation.ended.get(one.id, math.inf) > one.due_at for one in requests)
    alone = sum(len(one.models) for one in requests)
    seconds = time.process_time() - began
    return Outcome(retrains=retrains, late=late, one_by_one=alone, plans=simulation.plans, seconds=seconds)


def _failed(name: str, why: str) -> Line:
    return Line(name=name, value=0, unit="", baseline="", baseline_value=0, failed=why)
