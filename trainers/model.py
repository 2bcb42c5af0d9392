"""The frozen types of training: what is asked for, what a run reports, what it left. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["STRATEGIES", "ArtifactInfo", "InputSpec", "PrivacySpec", "PrivacySpend", "Retrained", "Sharding", "TrainRecord", "TrainSpec"]

STRATEGIES = ("full", "sisa")
"""What ``strategy`` may be: how a model is trained again when rows were erased."""


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
class Sharding:
    """How a ``sisa`` training divides its rows (Bourtoule et al. 2021, arXiv:1912.03817): one constituent per shard of subjects."""

    shards: int
    """2 or more. Which shard a row belongs to comes with the rows, see :data:`trainers.shards.PLACE`."""


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
    """For the whole training."""
    strategy: str = "full"
    """One of :data:`STRATEGIES`."""
    sharding: Sharding | None = None
    """With ``sisa``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactInfo:
    """A model artifact of four parts: weights.safetensors, state.json, signature.json, code digest."""

    digest: str
    """``sha256:<hex>`` over the digests of the parts."""
    files: Mapping[str, str]
    """file name → sha256 hex."""
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """How much of a sharded training was done, and how much was taken over from the version before. Never which shards."""

    constituents: int
    """Shards that hold a row."""
    taken_over: int
    """Of them, those whose weights are the version before's, bit for bit: trained on the same rows in the same way."""
    rows: int
    rows_trained: int
    """Rows of the constituents that were trained now."""
    reason: str | None = None
    """Why nothing could be taken over from the version before, where one was named."""

    @property
    def retrain_fraction(self) -> float:
        """Share of a full training's work that was done: every row is used equally often."""
        return self.rows_trained / self.rows


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
    retrained: Retrained | None = None
    """Of a sharded training."""
