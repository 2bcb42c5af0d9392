"""A graph of many nodes put straight into a store through its port, and the same edges as a bare table of two integers.

Layers take turns: dataset versions, then the runs that read them, then the versions these wrote. Every node feeds two of the five nearest
nodes of the next layer, so there are two edges a node and diamonds everywhere. How many nodes are reached from a node depends on how many
layers are left below it: a start is looked for whose closure is nearest to the size that was asked for.
"""

from __future__ import annotations

import random
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from lineage.graph.keys import edge_key, run_key, version_key
from lineage.model import Edge, GraphDelta, Node
from lineage.ports import GraphStore

__all__ = ["BEGIN", "NAMESPACE", "Layers", "Start", "bare_table", "fill"]

NAMESPACE = "s3://million"
BEGIN = 1_700_000_000_000_000_000
HOUR = 3_600_000_000_000
LAYERS = 100
NEAR = 5
BATCH = 5_000
READS = ("INPUT_TO", {"basis": "declared", "version_basis": "stated"})
WRITES = ("PRODUCED", {"basis": "cartesian", "inputs": 2, "outputs": 2})


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a closure begins: the node's number, its key, and how many nodes are reached, itself included."""

    number: int
    key: str
    reached: int


class Layers:
    """The numbers of the nodes and which they feed, from a seed alone."""

    def __init__(self, nodes: int, seed: int = 1) -> None:
        self.width = nodes // LAYERS
        self.nodes = self.width * LAYERS
        self._seed = seed

    def edges(self, layer: int) -> list[tuple[int, int]]:
        """(node, node it feeds) from a layer to the next."""
        chance = random.Random(self._seed * LAYERS + layer)
        here, there = layer * self.width, (layer + 1) * self.width
        steps = [chance.sample(range(NEAR), 2) for _ in range(self.width)]
        return [(here + place, there + (place + step) % self.width) for place in range(self.width) for step in steps[place]]

    def key(self, number: int) -> str:
        """The key of a node: a dataset version in an even layer, a run in an odd one."""
        if number // self.width % 2:
            return run_key(self.run(number))
        return version_key(NAMESPACE, f"table{number}", "v1")

    def run(self, number: int) -> str:
        """The run id of a node in an odd layer."""
        return f"00000000-0000-4000-8000-{number:012d}"

    def node(self, number: int) -> Node:
        """The node with the properties that the fold gives one."""
        layer = number // self.width
        at = BEGIN + layer * HOUR
        if layer % 2:
            job = {"namespace": "bench", "name": f"job{number}"}
            told = {"state": "COMPLETE", "start": at, "end": at + HOUR, "attempts": 1, "terminal": True, "outputs": 2}
            return Node(key=self.key(number), label="Run", props={"run_id": self.run(number), "job": job, **told})
        named = {"namespace": NAMESPACE, "name": f"table{number}", "version": "v1"}
        told = {"created": at, "status": "ok", "row_count": 1000, "columns": ["a:BIGINT", "b:DOUBLE"]}
        return Node(key=self.key(number), label="DatasetVersion", props={**named, **told})

    def edge(self, source: int, target: int) -> Edge:
        """The edge as the fold makes one."""
        layer = source // self.width
        kind, props = WRITES if layer % 2 else READS
        ends = self.key(source), self.key(target)
        since = BEGIN + layer * HOUR
        return Edge(
            key=edge_key(kind, *ends), type=kind, source=ends[0], target=ends[1], props=props, walk=True, witness=f"{source:064x}",
            valid_from=since, recorded_at=since,
        )  # fmt: skip

    def starts(self, sizes: tuple[int, ...]) -> list[Start]:
        """For each size the node, of the middle of each layer of versions, whose closure is nearest to it."""
        feeds: dict[int, list[int]] = {}
        found: list[tuple[int, int]] = []
        for layer in range(LAYERS - 2, -1, -1):
            for source, target in self.edges(layer):
                feeds.setdefault(source, []).append(target)
            if layer % 2:
                continue
            start = layer * self.width + self.width // 2
            found.append((len(_reached(feeds, start)), start))
            if found[-1][0] > 2 * max(sizes):
                break
        best = [min(found, key=lambda one, size=size: abs(one[0] - size)) for size in sizes]
        return [Start(number=start, key=self.key(start), reached=reached) for reached, start in best]


def fill(graph: GraphStore, layers: Layers, position: int) -> None:
    """Put all nodes and edges into an empty graph, and its position where the ledger ends."""
    for first in range(0, layers.nodes, BATCH):
        numbers = range(first, min(first + BATCH, layers.nodes))
        with graph.transaction():
            graph.apply(GraphDelta(nodes=tuple(layers.node(number) for number in numbers), recorded_at=BEGIN), position)
    for layer in range(LAYERS - 1):
        edges = layers.edges(layer)
        for first in range(0, len(edges), BATCH):
            with graph.transaction():
                delta = GraphDelta(edges=tuple(layers.edge(*ends) for ends in edges[first : first + BATCH]), recorded_at=BEGIN)
                graph.apply(delta, position)


def bare_table(path: Path, layers: Layers) -> sqlite3.Connection:
    """The same edges as two integers under a primary key, and nothing else."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL").fetchall()
    db.execute("PRAGMA mmap_size=268435456").fetchall()
    db.execute("CREATE TABLE e(source INTEGER, target INTEGER, PRIMARY KEY(source, target)) WITHOUT ROWID")
    db.execute("BEGIN")
    for layer in range(LAYERS - 1):
        db.executemany("INSERT INTO e VALUES (?, ?)", layers.edges(layer))
    db.execute("COMMIT")
    return db


def _reached(feeds: dict[int, list[int]], start: int) -> set[int]:
    seen, todo = {start}, [start]
    while todo:
        todo = [target for node in todo for target in feeds.get(node, ()) if not (target in seen or seen.add(target))]  # type: ignore[func-returns-value]
    return seen
