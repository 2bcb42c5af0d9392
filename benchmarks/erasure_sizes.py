"""How much the erasure benchmarks do: the quick run ends within four minutes, the full one within an hour and a half.

The full one needs 17 GiB of memory and 4 GB of disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["SIZES", "Job", "Sizes"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Counts of one kind of run."""

    name: str
    rows: int
    """In the row index's first version."""
    subjects: int
    versions: int
    changed: int
    """Each version but the first changes one row in so many."""
    models: int
    """Trained on the versions, as many on each; all are deployed."""
    asked: int
    """Look-ups that are timed."""


SIZES = {
    "quick": Sizes(name="quick", rows=1_000_000, subjects=100_000, versions=50, changed=100, models=1_000, asked=200),
    "middle": Sizes(name="middle", rows=10_000_000, subjects=1_000_000, versions=50, changed=100, models=1_000, asked=500),
    "full": Sizes(name="full", rows=100_000_000, subjects=10_000_000, versions=50, changed=1_000, models=1_000, asked=1_000),
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a suite is given: its sizes and a folder to work in."""

    sizes: Sizes
    folder: Path
