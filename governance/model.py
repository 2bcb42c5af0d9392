"""The frozen types of decisions: plan, decision, deployment, erasure request, hold, incident."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from trainers.model import TrainSpec

__all__ = [
    "Asset",
    "Decision",
    "Deployment",
    "ErasureState",
    "GateOutcome",
    "Outcome",
    "Plan",
    "PlannedModel",
    "Sent",
    "TaskState",
]


class Outcome(StrEnum):
    """What a gate says. ``inconclusive`` blocks unless the policy says ``inconclusive: warn``."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOutcome:
    """What one gate of the policy said about one finding."""

    gate: str
    severity: str
    """block | warn."""
    outcome: Outcome
    reason: str
    observed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the policy says about a model version, with every reason."""

    model: str
    version: str
    policy: str
    """Name and version of the policy."""
    policy_digest: str
    outcome: Outcome
    gates: tuple[GateOutcome, ...]
    findings: tuple[str, ...]
    """Digests of the findings it rests on."""

    @property
    def allowed(self) -> bool:
        """True only when the outcome is a pass."""
        return self.outcome is Outcome.PASS


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A model version in an environment, from when to when."""

    id: str
    model: str
    version: str
    environment: str
    active_from: int
    active_to: int | None = None


class ErasureState(StrEnum):
    """States of an erasure request (design §9)."""

    RECEIVED = "received"
    IDENTITY_PENDING = "identity_pending"
    VERIFIED = "verified"
    SCOPING = "scoping"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    PARTIALLY_APPROVED = "partially_approved"
    REFUSED = "refused"
    SUPPRESSED = "suppressed"
    QUEUED = "queued"
    EXECUTING = "executing"
    VERIFYING = "verifying"
    COMPLETED = "completed"
    COMPLETED_PARTIAL = "completed_partial"
    AWAITING_DECISION = "awaiting_decision"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class TaskState(StrEnum):
    """States of a task that the owner of something elsewhere is given (design §7)."""

    OPEN = "open"
    TOLD = "told"
    OVERDUE = "overdue"
    ANSWERED_DONE = "answered_done"
    ANSWERED_CANNOT = "answered_cannot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One thing that may hold the subject, with what is to be done about it."""

    id: str
    """``dataset:credit.train``, ``index:rows``, ``model:credit-risk@1``, ``predictions``, ``case:…``."""
    kind: str
    """dataset | shared_rows | index | model | predictions | regression_case | findings | snapshot | dataset-elsewhere | model-elsewhere."""
    found: int
    """Rows, records or 1/0; 0 is a negative: searched, nothing there."""
    action: str
    """purge | retrain | retire | destroy | review | notify | retain | none."""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedModel:
    """A live model version that must be retrained, and how."""

    model: str
    version: int
    environments: tuple[str, ...]
    spec: TrainSpec
    """Its recipe. The successor is trained by it over the versions of its inputs without the rows, which are there after the purge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an erasure will do, frozen before the first destructive step; negatives included."""

    request: str
    assets: tuple[Asset, ...]
    retrain: tuple[PlannedModel, ...]
    rows: Mapping[str, tuple[int, ...]]
    """dataset → row ids."""
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one attempt to bring a message to a receiver."""

    status: int | None
    """The receiver's HTTP status; ``None`` when there was no answer."""
    fault: str = ""
    """Why it counts as failed, in plain words without anything that the receiver sent."""
    retry_after: float | None = None
    """Seconds that the receiver asks to wait."""

    @property
    def delivered(self) -> bool:
        """True for a 2xx answer and nothing else (Standard Webhooks, "Delivery success and failure")."""
        return self.status is not None and 200 <= self.status < 300
