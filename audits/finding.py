"""How an audit states its result: from metrics and requirements to a Finding, and from a failure to an ERROR finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audits.bounds import Interval
from audits.judge import judge_all, requirements
from audits.model import Evidence, Finding, Metric, Verdict, json_digest
from audits.subject import rounded

__all__ = ["Context", "Measured", "conclude", "failed", "metric", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Whom and what a finding is about."""

    model: str
    version: str
    model_digest: str
    data: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What an audit measured, before it is judged. Aggregates only."""

    metrics: tuple[Metric, ...]
    assumptions: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    tables: Mapping[str, Any] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    library: str = ""
    reasons: tuple[str, ...] = ()
    """Said before the reasons of the judgement."""
    at_most: Verdict = Verdict.PASS
    """INCONCLUSIVE when the measurement itself cannot carry a pass (masked gradients, disagreeing explainers)."""


def metric(
    name: str, interval: Interval, *, method: str, n: int, direction: str = "higher", group: str | None = None, note: str = ""
) -> Metric:
    """A metric from an interval, rounded to six digits."""
    return Metric(
        name=name,
        value=rounded(interval.value),
        low=rounded(interval.low),
        high=rounded(interval.high),
        method=method,
        n=n,
        direction=direction,
        group=group,
        note=note,
    )


def unknown(name: str, note: str, *, n: int = 0, direction: str = "higher", group: str | None = None, applicable: bool = True) -> Metric:
    """A metric without a value, and why."""
    return Metric(name=name, value=None, n=n, direction=direction, group=group, note=note, applicable=applicable)


def conclude(audit: str, measured: Measured, config: Mapping[str, Any], context: Context, duration_s: float) -> Finding:
    """The finding: every requirement of ``config["require"]`` judged on the metrics."""
    verdict, reasons = judge_all(measured.metrics, requirements(config))
    if verdict is Verdict.PASS and measured.at_most is Verdict.INCONCLUSIVE:
        verdict = Verdict.INCONCLUSIVE
    return Finding(
        audit=audit,
        model=context.model,
        version=context.version,
        spec_digest=json_digest(dict(config)),
        model_digest=context.model_digest,
        data=context.data,
        seed=context.seed,
        metrics=measured.metrics,
        verdict=verdict,
        reasons=measured.reasons + reasons,
        assumptions=measured.assumptions,
        limits=measured.limits,
        tables=measured.tables,
        evidence=measured.evidence,
        library=measured.library,
        duration_s=duration_s,
    )


def failed(audit: str, reason: str, config: Mapping[str, Any], context: Context, duration_s: float = 0.0) -> Finding:
    """The ERROR finding of an audit that could not be made."""
    return Finding(
        audit=audit,
        model=context.model,
        version=context.version,
        spec_digest=json_digest(dict(config)),
        model_digest=context.model_digest,
        data=context.data,
        seed=context.seed,
        metrics=(),
        verdict=Verdict.ERROR,
        reasons=(reason,),
        duration_s=duration_s,
    )


def percent(confidence: float) -> str:
    """``95%``, for the method of an interval."""
    return f"{confidence * 100:g}%"


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """A table for the papers."""
    return {"columns": list(columns), "rows": [list(r) for r in rows]}
