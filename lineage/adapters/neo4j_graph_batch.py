"""What the deltas of one batch come to: for every node and edge its last value, and the versions of an edge that lived in between.

The server compares an edge with what it holds, so a row says three things: how the edge stands after the batch (``p``), how it stood
after its first change and when that was (if that equals what is held, nothing changed then), and which versions came and went inside
the batch (``h``). That gives the same history as writing the deltas one by one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from lineage.adapters.neo4j_graph_props import edge_row, node_row
from lineage.model import Edge, GraphDelta, Node

__all__ = ["Batch", "Piece"]

Row = dict[str, Any]
Piece = dict[str, dict[str, list[Row]]]
"""Statement (``nodes``, ``gone``, ``edges``, ``history``, ``closed``) → label or type → rows."""

_ROWS = 20_000
"""Rows that one transaction of the server takes; a batch of more (one event may have 100 000 inputs) goes in pieces."""
_CHARACTERS = 16_000_000


class Batch:
    """The coalesced deltas of one transaction."""

    def __init__(self) -> None:
        self.position: int | None = None
        """What the last delta moved it to; ``None`` when there was none."""
        self.labels: set[str] = set()
        self.types: set[str] = set()
        self.walked: set[str] = set()
        """Types of which an edge is walked."""
        self._nodes: dict[str, _Known] = {}
        self._edges: dict[str, _History] = {}

    def add(self, delta: GraphDelta, position: int) -> None:
        """Take in one more delta."""
        nodes, edges = self._nodes, self._edges
        for node in delta.nodes:
            known = nodes.get(node.key)
            if known is None or known.node is None:
                nodes[node.key] = _Known(node, delta.recorded_at)
            else:
                known.node, known.gone = node, False
        for edge in delta.edges:
            history = edges.get(edge.key)
            if history is None:
                edges[edge.key] = _History(edge.recorded_at, [_Version(edge, edge.recorded_at)])
            else:
                history.put(edge)
        for key in delta.removed_edges:
            edges.setdefault(key, _History(delta.recorded_at, [])).close(delta.recorded_at)
        for key in delta.removed_nodes:
            nodes.setdefault(key, _Known(None, delta.recorded_at)).gone = True
        self.position = position

    def pieces(self) -> Iterator[Piece]:
        """The rows, nodes first, each kind sorted by key; at least one piece."""
        piece: Piece = {}
        rows = size = 0
        for statement, name, row in self._rows():
            if rows == _ROWS or size > _CHARACTERS:
                yield piece
                piece, rows, size = {}, 0, 0
            piece.setdefault(statement, {}).setdefault(name, []).append(row)
            rows += 1
            size += len(row.get("p", row).get("more", ""))
        yield piece

    def _rows(self) -> Iterator[tuple[str, str, Row]]:
        nodes = sorted(self._nodes.items())
        for key, known in nodes:
            if known.node is not None:
                self.labels.add(known.node.label)
                yield "nodes", known.node.label, {"k": key, "t": known.since, "p": node_row(known.node)}
        for key, known in nodes:
            if known.gone:
                yield "gone", "", {"k": key}
        for key, history in sorted(self._edges.items()):
            for version in history.versions:
                self.types.add(version.edge.type)
                if version.edge.walk:
                    self.walked.add(version.edge.type)
            yield history.row(key)


@dataclasses.dataclass(slots=True)
class _Known:
    """The last value of a node in the batch, when the batch first knew of it, and whether it is gone in the end."""

    node: Node | None
    since: int
    gone: bool = False


@dataclasses.dataclass(slots=True)
class _Version:
    """An edge as it was from ``edge.recorded_at`` until ``until`` (``None``: it lives)."""

    edge: Edge
    since: int
    until: int | None = None

    def row(self) -> Row:
        row = edge_row(self.edge)
        row["recorded_at"] = self.since
        if self.until is not None:
            row |= {"retracted_at": self.until, "was": self.edge.type}
        return row


@dataclasses.dataclass(slots=True)
class _History:
    """What a batch does to one edge: at ``first`` it was closed (no version) or stood as the first version says."""

    first: int
    versions: list[_Version]
    closed_first: bool = False

    def put(self, edge: Edge) -> None:
        """The edge is so from now on."""
        last = self.versions[-1] if self.versions else None
        if last is not None and last.until is None:
            if _content(last.edge) == _content(edge):
                last.edge = edge
                return
            self.close(edge.recorded_at)
        self.versions.append(_Version(edge, edge.recorded_at))

    def close(self, at: int) -> None:
        """The edge is no more. A version that lived for no time leaves no trace; the first may have lived before the batch."""
        if not self.versions:
            self.closed_first = True
        elif self.versions[-1].until is None:
            last = self.versions[-1]
            last.until = at
            if last.since >= at and (len(self.versions) > 1 or self.closed_first):
                self.versions.pop()

    def row(self, key: str) -> tuple[str, str, Row]:
        """(statement, type, row)."""
        if not self.versions:
            return "closed", key.split(":", 1)[0].upper(), {"k": key, "f": self.first}
        last = self.versions[-1]
        row: Row = {"k": key, "s": last.edge.source, "t": last.edge.target, "f": self.first}
        if last.until is None and len(self.versions) == 1 and not self.closed_first:
            return "edges", last.edge.type, row | {"p": last.row()}
        past = [version.row() for version in self.versions if version.until is not None]
        row["h"] = past
        if last.until is None:
            row["p"] = last.row()
        if not self.closed_first:
            row["c"] = edge_row(self.versions[0].edge) | {"recorded_at": 0, "witness": ""}
        return "history", last.edge.type, row


def _content(edge: Edge) -> tuple[Any, ...]:
    return edge.type, edge.source, edge.target, edge.walk, edge.valid_from, edge.valid_to, edge.props
