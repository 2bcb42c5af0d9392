"""One shape for every audit: a Finding with metrics, their bounds, and a verdict that unknown never passes. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Evidence", "Finding", "Metric", "Verdict"]


class Verdict(StrEnum):
    """What a finding says. Only PASS is a pass; ERROR always blocks."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    WAIVED = "WAIVED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One measured number with its interval."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""
    """How the interval was made, e.g. ``newcombe-wilson 95%``."""
    n: int = 0
    """Rows it rests on."""
    direction: str = "higher"
    """``higher`` is better or ``lower`` is better."""
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Something a finding rests on, by digest."""

    kind: str
    sha256: str
    contains_personal_data: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one audit measured on one model version. Holds aggregates only, never a row."""

    audit: str
    """perf.noninferior | fair.rates | robust.evasion | explain.additive | regression.cases …"""
    model: str
    version: str
    spec_digest: str
    """Digest of the audit's parameters."""
    model_digest: str
    data: tuple[str, ...]
    """``dataset@version rs1:…`` of what it was measured on."""
    seed: int
    metrics: tuple[Metric, ...]
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    """What this audit cannot say."""
    tables: Mapping[str, Any] = field(default_factory=dict)
    """Aggregate tables for the papers: name → {columns, rows}; cells under the policy's minimum are suppressed."""
    evidence: tuple[Evidence, ...] = ()
    library: str = ""
    """Name and version of what computed it."""
    duration_s: float = 0.0
