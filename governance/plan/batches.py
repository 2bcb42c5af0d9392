"""When each model is retrained, and for which requests at once. Pure: the clock and all facts are arguments.

A batch of a model fires at the earliest of

1. one cadence after its oldest request was approved,
2. the moment at which all that waits can still be done in time: due dates less one and a half paths, laid back to back, since the
   models share a worker,

and never closer than the least interval to the model's batch before. No number of requests is a trigger: whoever could fire a batch by
sending requests could buy any number of retrains. So a model is retrained at most ``ceil(span / least interval)`` times in any span,
whatever arrives (cf. Marchant et al. 2022, arXiv:2109.08266, for the attack), but for what a human decides.

What cannot be met in time is said, and so is a cost above the cap; neither delays anything.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from governance.plan.paths import HOUR

__all__ = ["PATIENCE", "Alert", "Batch", "ModelFacts", "Rules", "Running", "Schedule", "Waiting", "schedule"]

PATIENCE = HOUR // 4
"""So long a batch that may fire waits for requests that were approved and whose rows are not purged yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An approved request of a verified person, some models of which still rest on its rows."""

    id: str
    approved_at: int
    due_at: int
    models: frozenset[str]
    purged: bool = True
    """Whether its rows are gone: a training begun before would only have to be repeated."""
    urgent: bool = False
    """A human decided that it goes on now: neither cadence nor least interval hold it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the policy of a model says about its batches; nanoseconds."""

    cadence: int = 0
    least_interval: int = 0
    cost_cap: int | None = None
    """Retraining time in thirty days above which an alert is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A batch of the model that has begun and not ended."""

    started_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model as the planner sees it."""

    model: str
    path: int
    """Nanoseconds from the first step to the release of the successor (95th percentile)."""
    rules: Rules = Rules()
    last_at: int | None = None
    """When its last batch began."""
    running: Running | None = None
    spent: int = 0
    """Retraining time of the last thirty days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One retrain to come: of which model, when, for which requests."""

    model: str
    at: int
    ends_at: int
    """When it is expected to be over, one batch after the other."""
    requests: tuple[str, ...]
    because: str
    """``at once``, ``cadence``, ``due date``, ``least interval``, ``decided``."""
    ready: bool
    """Whether it is to be begun now."""
    waits_for: tuple[str, ...] = ()
    """Requests whose rows are not purged yet, or the model's own batch that runs (``running``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What a human must know; it delays nothing."""

    kind: str
    """``late`` (a due date cannot be met), ``cost`` (the cap is passed), ``clock`` (the last batch lies in the future)."""
    model: str
    requests: tuple[str, ...]
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """All batches to come, the next first."""

    batches: tuple[Batch, ...] = ()
    alerts: tuple[Alert, ...] = ()
    wake_at: int | None = None
    """When to plan again though nothing was said meanwhile; ``None``: when something is."""

    def of(self, model: str) -> Batch | None:
        """The model's next batch."""
        return next((batch for batch in self.batches if batch.model == model), None)


def schedule(now: int, waiting: Collection[Waiting], facts: Mapping[str, ModelFacts]) -> Schedule:
    """What is to be retrained when, for whom.

    Args:
        now: UTC nanoseconds.
        waiting: approved requests alone; in any order.
        facts: of every model that one of them names.

    Raises:
        KeyError: a request names a model of which nothing is known.

    >>> due, ask = 30 * 24 * HOUR, Waiting(id="r", approved_at=0, due_at=30 * 24 * HOUR, models=frozenset({"m"}))
    >>> weekly = Rules(cadence=7 * 24 * HOUR, least_interval=24 * HOUR)
    >>> schedule(0, [ask], {"m": ModelFacts(model="m", path=HOUR, rules=weekly)}).wake_at == 7 * 24 * HOUR
    True
    """
    groups: dict[str, _Group] = {}
    for one in sorted(waiting, key=attrgetter("id")):
        for name in one.models:
            group = groups.get(name)
            if group is None:
                group = groups[name] = _Group(first=one.approved_at, due=one.due_at)
            group.take(one)
    latest = _latest_starts(groups, facts)
    planned = sorted((_planned(now, facts[name], groups[name], latest[name]) for name in groups), key=lambda one: (one.at, one.model))
    batches, alerts = _laid_out(now, planned, facts, groups)
    wakes = [moment for moment in (_wake(now, batch, groups[batch.model]) for batch in batches) if moment is not None]
    return Schedule(batches=tuple(batches), alerts=tuple(alerts), wake_at=min(wakes, default=None))


@dataclass(slots=True, kw_only=True)
class _Group:
    """The requests that wait for one model, by id, and what is asked of them together."""

    first: int
    due: int
    urgent: bool = False
    members: list[Waiting] = field(default_factory=list)
    unpurged: list[Waiting] = field(default_factory=list)

    def take(self, one: Waiting) -> None:
        self.members.append(one)
        self.first = min(self.first, one.approved_at)
        self.due = min(self.due, one.due_at)
        self.urgent = self.urgent or one.urgent
        if not one.purged:
            self.unpurged.append(one)


def _latest_starts(groups: Mapping[str, _Group], facts: Mapping[str, ModelFacts]) -> dict[str, int]:
    """The last moment at which each model's batch can begin: from the latest due date back, one worker, half a path to spare each."""
    found: dict[str, int] = {}
    free: float = math.inf
    for name in sorted(groups, key=lambda name: (groups[name].due, name), reverse=True):
        free = found[name] = int(min(groups[name].due, free)) - 3 * facts[name].path // 2
    return found


def _planned(now: int, model: ModelFacts, group: _Group, latest: int) -> Batch:
    rules = model.rules
    wanted, because = group.first + rules.cadence, "cadence" if rules.cadence else "at once"
    if latest < wanted:
        wanted, because = latest, "due date"
    if group.urgent:
        wanted, because = now, "decided"
    # A clock that was set back leaves a last batch in the future: it would hold everything up until then, so it does not count.
    elif model.last_at is not None and model.last_at <= now and wanted < model.last_at + rules.least_interval:
        wanted, because = model.last_at + rules.least_interval, "least interval"
    at = max(now, wanted)
    nobody = len(group.unpurged) == len(group.members)
    waits = tuple(one.id for one in group.unpurged if now < one.approved_at + PATIENCE or nobody)
    if now >= latest and not nobody:
        waits = ()  # time presses: what is purged is not kept waiting for what is not
    if model.running is not None:
        waits = ("running", *waits)
    ready = at == now and not waits
    taken = tuple(one.id for one in group.members if one.purged or not ready)
    return Batch(model=model.model, at=at, ends_at=at + model.path, requests=taken, because=because, ready=ready, waits_for=waits)


def _laid_out(
    now: int, planned: Sequence[Batch], facts: Mapping[str, ModelFacts], groups: Mapping[str, _Group]
) -> tuple[list[Batch], list[Alert]]:
    """One after the other, as one worker does them, with what is late and what costs too much."""
    free = max([now, *(one.running.started_at + one.path for one in facts.values() if one.running is not None)])
    batches: list[Batch] = []
    alerts: list[Alert] = []
    for batch in planned:
        model, group = facts[batch.model], groups[batch.model]
        free = max(free, batch.at) + model.path
        batches.append(replace(batch, ends_at=free))
        alerts += _alerts(now, batch, model, group, free)
    return batches, alerts


def _alerts(now: int, batch: Batch, model: ModelFacts, group: _Group, ends: int) -> Iterator[Alert]:
    if group.due < ends:
        late = tuple(one.id for one in group.members if one.due_at < ends)
        over = math.ceil((ends - group.due) / HOUR)
        yield Alert(kind="late", model=batch.model, requests=late, detail=f"the due date is passed by about {over} h ({batch.because})")
    if model.rules.cost_cap is not None and model.spent + model.path > model.rules.cost_cap:
        total, cap = (round(value / HOUR, 2) for value in (model.spent + model.path, model.rules.cost_cap))
        detail = f"{total} h of retraining in thirty days, the cap is {cap} h; nothing is delayed"
        yield Alert(kind="cost", model=batch.model, requests=batch.requests, detail=detail)
    if model.last_at is not None and model.last_at > now:
        detail = "its last batch began in the future: the clock went back"
        yield Alert(kind="clock", model=batch.model, requests=batch.requests, detail=detail)


def _wake(now: int, batch: Batch, group: _Group) -> int | None:
    if batch.ready:
        return None
    if batch.at > now:
        return batch.at
    ends = [one.approved_at + PATIENCE for one in group.unpurged]
    return min((moment for moment in ends if moment > now), default=None)
