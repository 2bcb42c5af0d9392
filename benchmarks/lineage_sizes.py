"""How much the lineage benchmarks do: the quick run ends within two minutes, the full one within half an hour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["SIZES", "Job", "Sizes"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Counts of one kind of run."""

    name: str
    events: int
    """Ingested in process."""
    posts: int
    """Sent over HTTP for each number of connections."""
    neo4j_events: int
    neo4j_nodes: int
    nodes: int
    """Of the graph in which closures are asked for."""
    closures: tuple[int, ...]
    """About how many nodes each closure has."""
    growth: tuple[int, ...]
    """Nodes at which the growing graph is looked at."""
    feast_events: int
    times: int
    """Runs of a measurement of which the median counts."""


SIZES = {
    "quick": Sizes(
        name="quick", events=2_000, posts=1_000, neo4j_events=1_000, neo4j_nodes=20_000, nodes=50_000, closures=(84, 1_100),
        growth=(1_000, 10_000), feast_events=0, times=5,
    ),
    "full": Sizes(
        name="full", events=10_000, posts=5_000, neo4j_events=5_000, neo4j_nodes=1_000_000, nodes=1_000_000, closures=(84, 1_100, 14_000),
        growth=(1_000, 10_000, 100_000, 1_000_000), feast_events=300, times=7,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a suite is given: its sizes, a folder to work in, and where the picture of the growth goes."""

    sizes: Sizes
    folder: Path
    picture: Path | None = None
