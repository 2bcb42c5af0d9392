"""The frozen types of training: what is asked for, what a run reports, what it left. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "STRATEGIES", "ArtifactInfo", "Checkpoint", "InputSpec", "PrivacySpec", "PrivacySpend", "Replay", "Replayed", "Retrained", "Sharding",
    "TrainRecord", "TrainSpec",
]  # fmt: skip

STRATEGIES = ("full", "sisa", "replay")
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
class Replay:
    """How a ``replay`` training takes its steps, and how often its state is kept (:mod:`trainers.replay`)."""

    batch_size: int
    """Rows of a step; the last step of an epoch may have fewer."""
    epochs: int = 1
    """How often each row is used."""
    checkpoints: int = 20
    """Checkpoints, spread evenly over the first epoch: each row is used in it, so no later one outlives an erasure."""


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
    replay: Replay | None = None
    """With ``replay``."""


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
class Checkpoint:
    """A state of a training that was kept: a file of the run's folder, named by its digest."""

    position: int
    """Rows used before it, counted from the first one of the first epoch."""
    digest: str
    """``sha256:<hex>`` of the file."""
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How much of a replayed training was done, and what it kept."""

    rows: int
    epochs: int
    position: int
    """Rows used before the checkpoint that it went on from; 0 when it was trained from scratch."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """In the order of their positions; those before :attr:`position` are the version before's."""
    reason: str | None = None
    """Why a checkpoint of the version before could not be used, where one was named."""
    changed: int | None = None
    """Rows in which the training rows differ from the version before's, where that is known."""
    expected: float | None = None
    """The share that was to be expected for so many rows (:func:`trainers.cost.expected_replay`)."""

    @property
    def retrain_fraction(self) -> float:
        """Share of a full training's work that was done: every row is used equally often."""
        return 1 - self.position / (self.rows * self.epochs)


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
    replayed: Replayed | None = None
    """Of a replayed training."""
