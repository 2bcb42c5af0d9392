"""What a user's module and Govern say to each other (design §8).

The module named by ``entrypoint`` has three functions::

    def build(params, state) -> torch.nn.Module      # the empty module; we load its weights
    def encode(table, state) -> Tensors              # raw named features → tensors; the same in training, audits and serving
    def train(run: TrainingRun) -> Trained           # the only one that sees training rows

and, when it trains with ``privacy`` or with ``strategy: replay``, a fourth::

    def public_state(params) -> dict                 # the state, from declared public bounds alone

The module's output is one logit per class, [n, classes]; for two classes also [n] or [n, 1], the logit of the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trainers.errors import BadModule

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from trainers.model import PrivacySpec, PrivacySpend
    from trainers.steps import Steps

__all__ = ["ROW_ID", "Batch", "Cancelled", "Tensors", "Trained", "TrainingRun", "batch_order"]

ROW_ID = "govern_row_id"


class Cancelled(BaseException):
    """The run was cancelled. Not an ``Exception``, so that user code's own handlers let it through."""


class Tensors(NamedTuple):
    """Encoded rows: ``Tensors(x)`` or ``Tensors(x, y)``."""

    x: torch.Tensor
    """float32 [n, d]."""
    y: torch.Tensor | None = None
    """int64 [n], index into the classes; ``None`` when the table has no label column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What ``train`` returns."""

    model: torch.nn.Module
    state: Mapping[str, Any]
    """What was fitted on rows; a JSON value."""
    classes: Sequence[str | int]
    """Label values in the order of the module's outputs."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Figures over the training, aggregates only. Not kept for a run with ``privacy``: they would leak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some rows of one epoch."""

    x: torch.Tensor
    y: torch.Tensor
    epoch: int
    step: int


def batch_order(seed: int, epoch: int, row_ids: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Positions of the rows in the order of hash(seed, epoch, row id): leaving a row out never swaps two others.

    The hash is three rounds of SplitMix64's finaliser (Steele, Lea, Flood 2014, OOPSLA); equal hashes fall back to the row id.

    >>> ids = np.arange(10)
    >>> kept = np.delete(ids, 4)
    >>> [i for i in ids[batch_order(7, 0, ids)] if i != 4] == list(kept[batch_order(7, 0, kept)])
    True
    """
    mask = (1 << 64) - 1
    start = np.array([seed & mask], dtype=np.uint64)
    key = _mix(_mix(start) ^ np.array([epoch & mask], dtype=np.uint64))
    return np.lexsort((row_ids, _mix(key ^ row_ids.astype(np.uint64))))


def _mix(z: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class TrainingRun:
    """One training as the user's ``train`` sees it.

    Attributes:
        params: hyperparameters.
        seed: the only source of randomness; torch, numpy and random are seeded with it. With ``privacy`` it is drawn anew and not kept.
        label: name of the label column.
        features: names of the raw feature columns.
        privacy: the (epsilon, delta) to stay within, or ``None``.
    """

    def __init__(
        self,
        *,
        tables: Mapping[str, pa.Table],
        params: Mapping[str, Any],
        seed: int,
        label: str,
        features: Sequence[str],
        privacy: PrivacySpec | None = None,
        steps: Steps | None = None,
        report: Callable[[int, int | None, str], None] = lambda _done, _total, _what: None,
    ) -> None:
        self.params = params
        self.seed = seed
        self.label = label
        self.features = tuple(features)
        self.privacy = privacy
        self.spend: PrivacySpend | None = None
        """What :meth:`private_batches` used up; set when its last batch was taken."""
        self.replayed = False
        """Whether :meth:`replay` gave its batches."""
        self._tables = tables
        self._steps = steps
        self._report = report
        self._done = 0
        self._total: int | None = None

    def rows(self, role: str = "train") -> pa.Table:
        """The rows of a role in row-id order, ``govern_row_id`` included; :class:`BadModule` for a role the model does not declare."""
        if self._steps is not None:
            raise BadModule(
                "this model has `strategy: replay`: train() sees its rows in the order of run.replay(…) and no others",
                hint="a state comes from public_state(params), classes from the code, figures from a module that is kept",
            )
        try:
            return self._tables[role]
        except KeyError:
            raise BadModule(f"the model declares no dataset with role {role!r}", hint="add it under `datasets:` in govern.yaml") from None

    def batches(
        self, tensors: Tensors, *, batch_size: int, epochs: int, row_ids: Sequence[int] | None = None, role: str = "train"
    ) -> Iterator[Batch]:
        """Every row once per epoch, in :func:`batch_order`; reports progress and honours a cancel.

        ``row_ids`` names the rows of ``tensors`` when they are not all rows of ``role``.
        """
        if self.privacy is not None:
            raise BadModule("this model declares `privacy`, so its batches come from run.private_batches(…)")
        if self._steps is not None:
            raise BadModule("this model has `strategy: replay`, so its batches come from run.replay(…)")
        x, y = tensors.x, _labels(tensors)
        ids = self._ids(role, row_ids, len(x))
        steps = math.ceil(len(ids) / batch_size)
        self._total = steps * epochs
        for epoch in range(epochs):
            order = batch_order(self.seed, epoch, ids)
            for step in range(steps):
                at = order[step * batch_size : (step + 1) * batch_size].copy()
                yield Batch(x=x[at], y=y[at], epoch=epoch, step=epoch * steps + step)
                self._advance("")

    def private_batches(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, tensors: Tensors, *, batch_size: int, epochs: int
    ) -> Iterator[tuple[torch.nn.Module, torch.optim.Optimizer, Batch]]:
        """DP-SGD: (wrapped model, private optimizer, Poisson batch) for each step; the wrapped model's gradients are clipped and noised.

        Noise is calibrated so that all steps together stay within ``privacy``. See :mod:`trainers.privacy`.
        """
        if self.privacy is None:
            raise BadModule("run.private_batches(…) needs `privacy: {epsilon, delta}` in govern.yaml")
        from trainers.privacy import private_steps

        steps = private_steps(self.privacy, model, optimizer, tensors.x, _labels(tensors), batch_size=batch_size, epochs=epochs)
        self._total = steps.total
        for at, (x, y) in enumerate(steps):
            yield steps.model, steps.optimizer, Batch(x=x, y=y, epoch=at // steps.per_epoch, step=at)
            self._advance("")
        self.spend = steps.spend()

    def replay(self, **keep: Any) -> Iterator[Batch]:
        """The batches of a model with ``strategy: replay``, encoded with ``public_state(params)``; their size and the epochs as declared.

        ``keep`` names **all** that changes while it trains: modules, optimizers, schedules, whatever has ``state_dict`` and
        ``load_state_dict``. Their state is kept at some steps. A training that goes on from there puts it back into the objects that are
        given, as they were built, and gives the batches that follow. What changes elsewhere is lost then, and the weights are others;
        Govern tries it once at the end of each training.

            for batch in run.replay(model=model, optimizer=optimizer):
                optimizer.zero_grad()
                loss_of(model(batch.x), batch.y).backward()
                optimizer.step()
        """
        if self._steps is None:
            raise BadModule("run.replay(…) needs `strategy: replay` in govern.yaml")
        if self.replayed:
            raise BadModule("train() may go through run.replay(…) once")
        self.replayed = True
        self._total, self._done = self._steps.total, self._steps.first
        for x, y, epoch, step in self._steps(keep):
            yield Batch(x=x, y=y, epoch=epoch, step=step)
            self._advance("")

    def log(self, **figures: float) -> None:
        """Report aggregate figures such as ``loss=0.31`` with the progress; honours a cancel. Not shown with ``privacy``."""
        words = "" if self.privacy else " ".join(f"{name} {float(value):.4g}" for name, value in figures.items())
        self._report(self._done, self._total, words)

    def _advance(self, what: str) -> None:
        self._done += 1
        self._report(self._done, self._total, what)

    def _ids(self, role: str, row_ids: Sequence[int] | None, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        ids = np.asarray(self.rows(role)[ROW_ID].to_numpy() if row_ids is None else row_ids, dtype=np.int64)
        if len(ids) != count:
            raise BadModule(f"{count} encoded rows for {len(ids)} row ids", hint="pass row_ids= with the ids of the rows you encoded")
        return ids


def _labels(tensors: Tensors) -> torch.Tensor:
    if tensors.y is None:
        raise BadModule("encode() gave no labels for the training rows")
    if len(tensors.y) != len(tensors.x):
        raise BadModule(f"encode() gave {len(tensors.y)} labels for {len(tensors.x)} rows")
    return tensors.y
