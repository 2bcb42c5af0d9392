"""What a bound says about a threshold: pass, fail or inconclusive; an unknown number never passes.

A requirement names a metric, which number of it to read, and a threshold:

=============  ==========================================================================================
``interval``   the whole interval must lie on the right side to pass and on the wrong side to fail;
               across the threshold it is inconclusive
``low``        the lower bound alone is compared
``high``       the upper bound alone is compared
``value``      the point estimate is compared: its uncertainty is ignored, and the reason says so
=============  ==========================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audits.model import Metric, Verdict
from lineage.errors import BadInput

__all__ = ["BOUNDS", "OPERATORS", "Judgement", "Requirement", "judge", "judge_all", "judge_metric", "requirements"]

BOUNDS = ("interval", "low", "high", "value")
OPERATORS = ("<=", ">=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """``metric[group] bound op threshold``; without a group it holds for every group that the finding has."""

    metric: str
    op: str
    threshold: float
    bound: str = "interval"
    group: str | None = None

    def __post_init__(self) -> None:
        if self.op not in OPERATORS or self.bound not in BOUNDS or not math.isfinite(self.threshold):
            raise BadInput(f"not a requirement: {self.metric} {self.bound} {self.op} {self.threshold}")

    def __str__(self) -> str:
        where = f"[{self.group}]" if self.group else ""
        how = "" if self.bound == "interval" else f" ({self.bound})"
        return f"{self.metric}{where}{how} {self.op} {_number(self.threshold)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one requirement says about one metric, with a sentence that has the numbers."""

    verdict: Verdict
    """PASS, FAIL, INCONCLUSIVE, ERROR or NOT_APPLICABLE."""
    reason: str


def requirements(config: Mapping[str, Any]) -> tuple[Requirement, ...]:
    """The ``require`` list of an audit's parameters."""
    try:
        return tuple(Requirement(**item) for item in config.get("require", ()))
    except TypeError as error:
        raise BadInput(f"not a list of requirements: {error}") from error


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _describe(metric: Metric) -> str:
    name = metric.name.replace("_", " ") + (f" of {metric.group}" if metric.group else "")
    if metric.low is None and metric.high is None:
        return f"{name} is {_number(metric.value)} (n={metric.n})"
    return f"{name} is {_number(metric.value)} [{_number(metric.low)}, {_number(metric.high)}] ({metric.method}, n={metric.n})"


def judge_metric(metric: Metric, need: Requirement) -> Judgement:
    """What ``need`` says about ``metric``."""
    if not metric.applicable:
        return Judgement(verdict=Verdict.NOT_APPLICABLE, reason=f"{metric.name.replace('_', ' ')}: not applicable, {metric.note}")
    numbers = [x for x in (metric.value, metric.low, metric.high) if x is not None]
    if any(math.isnan(x) for x in numbers):
        return Judgement(verdict=Verdict.ERROR, reason=f"{_describe(metric)}: not a number")
    said = _describe(metric)
    if metric.value is None:
        why = metric.note or "it has no value"
        name = metric.name.replace("_", " ") + (f" of {metric.group}" if metric.group else "")
        return Judgement(verdict=Verdict.INCONCLUSIVE, reason=f"{name} is unknown: {why}; required {need}")
    if need.bound == "interval":
        low, high = metric.low, metric.high
        if low is None or high is None:
            return Judgement(verdict=Verdict.INCONCLUSIVE, reason=f"{said} has no interval; required {need}")
        worst, best = (high, low) if need.op == "<=" else (low, high)
        if _holds(worst, need):
            return Judgement(verdict=Verdict.PASS, reason=f"{said}: the whole interval meets {need}")
        if not _holds(best, need):
            return Judgement(verdict=Verdict.FAIL, reason=f"{said}: the whole interval misses {need}")
        return Judgement(verdict=Verdict.INCONCLUSIVE, reason=f"{said}: the interval lies on both sides of {need}")
    number = {"low": metric.low, "high": metric.high, "value": metric.value}[need.bound]
    if number is None:
        return Judgement(verdict=Verdict.INCONCLUSIVE, reason=f"{said} has no such bound; required {need}")
    which = {"low": "lower bound", "high": "upper bound", "value": "point estimate (its uncertainty is not considered)"}[need.bound]
    if _holds(number, need):
        return Judgement(verdict=Verdict.PASS, reason=f"{said}: the {which} meets {need}")
    return Judgement(verdict=Verdict.FAIL, reason=f"{said}: the {which} misses {need}")


def _holds(number: float, need: Requirement) -> bool:
    return number <= need.threshold if need.op == "<=" else number >= need.threshold


# what decides when several groups are judged by one requirement: the worst
_ORDER = (Verdict.ERROR, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.NOT_APPLICABLE)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict that decides among several; ERROR before FAIL before INCONCLUSIVE before PASS."""
    return min(verdicts, key=_ORDER.index)


def judge(metrics: Sequence[Metric], need: Requirement) -> Judgement:
    """What ``need`` says about all the metrics it names; a metric that nobody measured is a FAIL, never a pass."""
    found = [m for m in metrics if m.name == need.metric and (need.group is None or m.group == need.group)]
    if not found:
        measured = ", ".join(sorted({m.name for m in metrics})) or "nothing"
        return Judgement(verdict=Verdict.FAIL, reason=f"{need} was required, but it was not measured (measured: {measured})")
    judged = [judge_metric(m, need) for m in found]
    verdict = worst(j.verdict for j in judged)
    return Judgement(verdict=verdict, reason="; ".join(j.reason for j in judged if j.verdict is verdict))


def judge_all(metrics: Sequence[Metric], needs: Sequence[Requirement]) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict over all requirements, with the reasons of every one that is not a pass.

    Without a requirement nothing was asked: the verdict is NOT_APPLICABLE, which is no pass either.
    A metric that is not a number is an ERROR even where nothing is required of it.
    """
    broken = [m for m in metrics if any(x is not None and math.isnan(x) for x in (m.value, m.low, m.high))]
    if broken:
        return Verdict.ERROR, tuple(f"{_describe(m)}: not a number" for m in broken)
    if not needs:
        return Verdict.NOT_APPLICABLE, ("the policy requires nothing of this audit: it was measured only",)
    judged = [judge(metrics, need) for need in needs]
    verdict = worst(j.verdict for j in judged)
    if verdict is Verdict.PASS:
        return verdict, tuple(j.reason for j in judged)
    return verdict, tuple(j.reason for j in judged if j.verdict is not Verdict.PASS)
