"""How long it takes to replace a model, from what its past replacements took: the 95th percentile, never a mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["HOUR", "MONTH", "Path", "Recent", "path_of", "spent_since"]

HOUR = 3_600 * 1_000_000_000
MONTH = 30 * 24 * HOUR
"""Thirty days: over so long a stretch the cost of retraining is added up."""
_LAST = 50
_AUDITS = 3
"""A path that was never gone: the training, its repetition by a second worker, and audits about as long as either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """One replacement of a model that ended: UTC nanoseconds."""

    started_at: int
    ended_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """How long a replacement of a model takes, nanoseconds, and where the figure comes from."""

    ns: int
    basis: str
    """``measured`` (past replacements), ``trainings`` (three times the longest training of the model), ``unknown`` (an hour)."""


def path_of(replacements: Sequence[Recent], trainings: Sequence[int]) -> Path:
    """The 95th percentile (nearest rank) over the last fifty replacements.

    Args:
        replacements: purge to release of earlier batches of the model.
        trainings: nanoseconds of the model's trainings, for a model that no batch replaced yet.

    >>> path_of([Recent(started_at=0, ended_at=n) for n in range(1, 21)], []).ns
    19
    >>> path_of([], [5, 7])
    Path(ns=21, basis='trainings')
    """
    last = sorted(replacements, key=lambda one: one.started_at)[-_LAST:]
    took = sorted(max(0, one.ended_at - one.started_at) for one in last)
    if took:
        return Path(ns=took[math.ceil(0.95 * len(took)) - 1], basis="measured")
    if trainings:
        return Path(ns=_AUDITS * max(trainings), basis="trainings")
    return Path(ns=HOUR, basis="unknown")


def spent_since(replacements: Sequence[Recent], moment: int) -> int:
    """Nanoseconds that replacements begun at ``moment`` or later took."""
    return sum(max(0, one.ended_at - one.started_at) for one in replacements if one.started_at >= moment)
