"""A snapshot back into a store, through the port alone: whatever store wrote it, each reads it, and each answers the same.

An edge that was is put and then taken back at its own time, so that the store keeps it as its own past. The position stays 0 until the
last transaction: what is killed on the way is begun anew by the next one who looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from lineage.model import Edge, GraphDelta, Node
from lineage.ports import GraphStore
from lineage.retention.records import Record

__all__ = ["restore"]

_STEP = 5000
"""Records in one transaction."""


def restore(graph: GraphStore, records: Iterable[Record], position: int) -> None:
    """Fill an empty graph with the records of a snapshot that stands for ``position`` ledger entries.

    Raises:
        whatever reading the records raises; the graph's position is 0 then.
    """
    told = iter(records)
    while step := list(islice(told, _STEP)):
        with graph.transaction() as state:
            for delta in _deltas(step):
                graph.apply(delta, 0)
            for thing, beside in step:
                if isinstance(thing, str) and isinstance(beside, bytes):
                    state.put(thing, beside)
    with graph.transaction():
        graph.apply(GraphDelta(), position)
    graph.settle()


def _deltas(step: Iterable[Record]) -> Iterator[GraphDelta]:
    for thing, beside in step:
        if isinstance(thing, Node):
            gone = (thing.key,) if beside else ()
            yield GraphDelta(nodes=(thing,), removed_nodes=gone, recorded_at=thing.recorded_at)
        elif isinstance(thing, Edge):
            yield GraphDelta(edges=(thing,), fresh=frozenset((thing.key,)), recorded_at=thing.recorded_at)
            if isinstance(beside, int):
                yield GraphDelta(removed_edges=(thing.key,), removed_ends=((thing.source, thing.target),), recorded_at=beside)
