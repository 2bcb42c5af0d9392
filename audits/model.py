"""One shape for every audit: a Finding with metrics, their bounds, and a verdict that unknown never passes. Free of torch.

``finding_digest`` identifies what was found, not how long it took: the duration is no part of it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import rfc8785

from lineage.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "AuditRequest",
    "Evidence",
    "Finding",
    "Metric",
    "Production",
    "RegressionCases",
    "Verdict",
    "finding_digest",
    "finding_from_json",
    "finding_to_json",
    "json_digest",
]


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
    applicable: bool = True
    """False when the question does not arise (no production version to compare with); never when it merely has no answer."""
    note: str = ""
    """Why there is no value, or what the number rests on, in plain words."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Production:
    """The version that serves now, to compare with: its artifact and its own code snapshot, as local paths."""

    version: str
    artifact: str
    snapshot: str
    spec: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressionCases:
    """Rows on which an earlier version erred, with the labels that are right. A case is named by its id, never by its row."""

    ids: tuple[str, ...]
    table: pa.Table
    """One row per id, raw named features."""
    expected: tuple[str | int, ...]

    def __post_init__(self) -> None:
        if not len(self.ids) == len(self.expected) == self.table.num_rows:
            raise BadInput(f"{len(self.ids)} regression cases with {self.table.num_rows} rows and {len(self.expected)} expected labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRequest:
    """What to audit, on which rows, with which parameters."""

    model: str
    version: str
    model_digest: str
    artifact: str
    """Folder of the artifact's four parts."""
    snapshot: str
    """Code snapshot of this version (a tar, or an unpacked folder)."""
    spec: Mapping[str, Any]
    """What the artifact's loader needs beside it: entrypoint, label, features, params, …"""
    tables: Mapping[str, pa.Table]
    """role → rows: ``test`` is what is measured on; ``train`` gives the background and the ranges."""
    config: Mapping[str, Mapping[str, Any]]
    """audit → parameters, as ``Policy.audits`` has them."""
    data: Mapping[str, str] = field(default_factory=dict)
    """role → ``dataset@version rs1:…``, for the finding."""
    production: Production | None = None
    cases: RegressionCases | None = None
    seed: int = 0


# ── JSON and identity ───────────────────────────────────────────────────────────────────────────
def json_digest(value: Any) -> str:
    """``sha256:<hex>`` of a JSON value in its canonical form (RFC 8785)."""
    return "sha256:" + hashlib.sha256(rfc8785.dumps(value)).hexdigest()


def _plain(value: Any) -> Any:
    """A JSON value: tuples become lists, numbers stay, what is not finite becomes ``None`` (JSON has no NaN)."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def finding_to_json(finding: Finding) -> dict[str, Any]:
    """The finding as plain JSON; an infinite bound is written as ``null``, which no gate takes for a bound."""
    return {
        "audit": finding.audit,
        "model": finding.model,
        "version": finding.version,
        "spec_digest": finding.spec_digest,
        "model_digest": finding.model_digest,
        "data": list(finding.data),
        "seed": finding.seed,
        "metrics": [
            {
                "name": m.name,
                "value": _plain(m.value),
                "low": _plain(m.low),
                "high": _plain(m.high),
                "method": m.method,
                "n": m.n,
                "direction": m.direction,
                "group": m.group,
                "applicable": m.applicable,
                "note": m.note,
            }
            for m in finding.metrics
        ],
        "verdict": finding.verdict.value,
        "reasons": list(finding.reasons),
        "assumptions": list(finding.assumptions),
        "limits": list(finding.limits),
        "tables": _plain(finding.tables),
        "evidence": [{"kind": e.kind, "sha256": e.sha256, "contains_personal_data": e.contains_personal_data} for e in finding.evidence],
        "library": finding.library,
        "duration_s": finding.duration_s,
    }


def finding_from_json(value: Mapping[str, Any]) -> Finding:
    """The finding that :func:`finding_to_json` wrote.

    Raises:
        BadInput: a field is missing, unknown or of the wrong kind.
    """
    try:
        fields = dict(value)
        fields["metrics"] = tuple(Metric(**m) for m in fields["metrics"])
        fields["evidence"] = tuple(Evidence(**e) for e in fields["evidence"])
        fields["verdict"] = Verdict(fields["verdict"])
        for name in ("data", "reasons", "assumptions", "limits"):
            fields[name] = tuple(fields[name])
        return Finding(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"not a finding: {error}") from error


def finding_digest(finding: Finding) -> str:
    """``sha256:<hex>`` of what was found: the canonical JSON (RFC 8785) without the duration."""
    body = finding_to_json(finding)
    del body["duration_s"]
    return json_digest(body)
