"""The frozen types of training: what is asked for, what a run reports, what it left. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ArtifactInfo", "InputSpec", "PrivacySpec", "PrivacySpend", "TrainRecord", "TrainSpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One dataset version a training reads, and the rows it commits to."""

    role: str
    """train | test | reference."""
    dataset: str
    version: str
    row_set: str
    """``rs1:<hex>``."""
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacySpec:
    """What a DP training must stay within ((epsilon, delta)-DP, unit = one row, add/remove neighbours)."""

    epsilon: float
    delta: float
    max_grad_norm: float = 1.0
    unit: str = "row"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacySpend:
    """What a DP training used up: the mechanism as recorded, and epsilon by two accountants."""

    delta: float
    noise_multiplier: float
    sample_rate: float
    steps: int
    epsilon_rdp: float
    epsilon_pld: float
    poisson: bool
    noise_source: str
    """Where the noise came from, e.g. ``os-entropy (torch generator reseeded; not cryptographic)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSpec:
    """Everything that determines the weights (design §8): rows, code snapshot, parameters, seed, environment."""

    model: str
    entrypoint: str
    """Module inside the code snapshot with build, encode, train."""
    code: str
    """``snapshot:<sha256>`` (or ``git:<sha>…``)."""
    params: Mapping[str, Any]
    seed: int
    threads: int
    inputs: tuple[InputSpec, ...]
    environment: str
    """Digest of packages, torch build, CPU capability, thread count."""
    label: str
    features: tuple[str, ...]
    subject_key: str | None = None
    privacy: PrivacySpec | None = None
    timeout_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactInfo:
    """A model artifact of four parts: weights.safetensors, state.json, signature.json, code digest."""

    digest: str
    """``sha256:<hex>`` over the digests of the parts."""
    files: Mapping[str, str]
    """file name → sha256 hex."""
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRecord:
    """How one training ended."""

    run_id: str
    spec: TrainSpec
    status: str
    """COMPLETE | FAIL | ABORT."""
    started_at: int
    ended_at: int
    artifact: ArtifactInfo | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str | None = None
    """Why it did not complete, in one sentence; no row values."""
    spend: PrivacySpend | None = None
