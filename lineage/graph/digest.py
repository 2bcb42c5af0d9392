"""One digest for a whole graph, so that two stores, or one store and its past, can be held to be equal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from lineage.graph.keys import canonical
from lineage.model import Edge, Node

__all__ = ["graph_digest"]


def graph_digest(nodes: Iterable[Node], edges: Iterable[Edge]) -> str:
    """``sha256:`` of the sorted digests of all nodes and edges; the order given does not matter.

    Every field counts but ``recorded_at``, and no ledger position enters: the same facts learned on another day, in another
    order, give the same digest, and a changed node, edge or property another one.
    """
    leaves = [_leaf(["node", node.key, node.label, dict(node.props)]) for node in nodes]
    leaves += [
        _leaf(["edge", e.key, e.type, e.source, e.target, dict(e.props), e.walk, e.witness, e.valid_from, e.valid_to]) for e in edges
    ]
    total = hashlib.sha256()
    for leaf in sorted(leaves):
        total.update(leaf)
    return f"sha256:{total.hexdigest()}"


def _leaf(value: object) -> bytes:
    return hashlib.sha256(canonical(value).encode("ascii")).digest()
