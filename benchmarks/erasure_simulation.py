"""The planner over simulated days: requests arrive, batches fire when the plan says so, nothing sleeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from governance.plan import ModelFacts, Recent, Rules, Running, Waiting, schedule
from governance.plan.paths import HOUR, MONTH, spent_since

__all__ = ["DAY", "Fired", "Simulation"]

DAY = 24 * HOUR


@dataclass(frozen=True)
class Fired:
    """One retrain that was made."""

    model: str
    at: int
    ended: int
    requests: tuple[str, ...]


@dataclass
class Simulation:
    """A clock, the models, and what waits. A retrain takes exactly the path that the planner was told."""

    models: Mapping[str, tuple[int, Rules]]
    """Model → (nanoseconds of its path, rules)."""
    one_worker: bool = False
    now: int = 0
    waiting: dict[str, Waiting] = field(default_factory=dict)
    fired: list[Fired] = field(default_factory=list)
    ended: dict[str, int] = field(default_factory=dict)
    """Request → when its last model was replaced."""
    plans: int = 0
    _busy: list[Fired] = field(default_factory=list)
    _made: dict[str, list[Fired]] = field(default_factory=dict)

    def run(self, arrivals: Sequence[Waiting], until: int) -> None:
        """Every arrival at its moment of approval, then to the end; the clock jumps from event to event."""
        coming = sorted(arrivals, key=lambda one: one.approved_at)
        while True:
            wake = self._plan()
            moments = [one.ended for one in self._busy] + ([coming[0].approved_at] if coming else []) + ([wake] if wake is not None else [])
            moment = min(moments, default=None)
            if moment is None or moment >= until:
                return
            self.now = max(self.now, moment)
            for one in [done for done in self._busy if done.ended <= self.now]:
                self._end(one)
            while coming and coming[0].approved_at <= self.now:
                one = coming.pop(0)
                self.waiting[one.id] = one

    def _plan(self) -> int | None:
        self.plans += 1
        plan = schedule(self.now, list(self.waiting.values()), self._facts())
        for batch in plan.batches:
            if batch.ready and not (self.one_worker and self._busy):
                path = self.models[batch.model][0]
                one = Fired(model=batch.model, at=self.now, ended=self.now + path, requests=batch.requests)
                self.fired.append(one)
                self._made.setdefault(batch.model, []).append(one)
                self._busy.append(one)
                for ident in batch.requests:  # no longer waits for this model
                    left = self.waiting[ident].models - {batch.model}
                    self.waiting[ident] = dataclasses.replace(self.waiting[ident], models=left)
        if self.one_worker and self._busy:
            return min(one.ended for one in self._busy)
        return plan.wake_at

    def _facts(self) -> dict[str, ModelFacts]:
        return {name: self._of(name) for name in self.models}

    def _of(self, name: str) -> ModelFacts:
        path, rules = self.models[name]
        mine = self._made.get(name, [])
        running = next((Running(started_at=one.at) for one in self._busy if one.model == name), None)
        recent = [Recent(started_at=one.at, ended_at=one.ended) for one in mine] if rules.cost_cap is not None else []
        last = mine[-1].at if mine else None
        return ModelFacts(model=name, path=path, rules=rules, last_at=last, running=running, spent=spent_since(recent, self.now - MONTH))

    def _end(self, fired: Fired) -> None:
        self._busy.remove(fired)
        for ident in fired.requests:
            if not self.waiting[ident].models and not any(ident in one.requests for one in self._busy):
                self.ended[ident] = self.now
                del self.waiting[ident]
