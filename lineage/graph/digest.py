"""One digest for a whole graph, so that two stores, or one store and its past, can be held to be equal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from lineage.graph.keys import canonical
from lineage.model import Edge, Node

__all__ = ["GraphDigest", "graph_digest"]


class GraphDigest:
    """The digest of a graph that is told piece by piece, in any order: 32 bytes of each are held."""

    def __init__(self) -> None:
        self._leaves: list[bytes] = []

    def node(self, node: Node, *, live: bool = True) -> bytes:
        """Take in a node, unless it is gone; returns its digest."""
        return self._take(["node", node.key, node.label, dict(node.props)], live=live)

    def edge(self, e: Edge, *, live: bool = True) -> bytes:
        """Take in an edge, unless it is no more; returns its digest."""
        said = ["edge", e.key, e.type, e.source, e.target, dict(e.props), e.walk, e.witness, e.valid_from, e.valid_to]
        return self._take(said, live=live)

    def _take(self, value: object, *, live: bool) -> bytes:
        leaf = _leaf(value)
        if live:
            self._leaves.append(leaf)
        return leaf

    def text(self) -> str:
        """``sha256:`` of the sorted digests of all that was told."""
        total = hashlib.sha256()
        for leaf in sorted(self._leaves):
            total.update(leaf)
        return f"sha256:{total.hexdigest()}"


def graph_digest(nodes: Iterable[Node], edges: Iterable[Edge]) -> str:
    """``sha256:`` of the sorted digests of all nodes and edges; the order given does not matter.

    Every field counts but ``recorded_at``, and no ledger position enters: the same facts learned on another day, in another
    order, give the same digest, and a changed node, edge or property another one.
    """
    digest = GraphDigest()
    for node in nodes:
        digest.node(node)
    for edge in edges:
        digest.edge(edge)
    return digest.text()


def _leaf(value: object) -> bytes:
    return hashlib.sha256(canonical(value).encode("ascii")).digest()
