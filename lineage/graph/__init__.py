"""The graph as a fold over events: keys, facts, claims, and one digest for the whole."""

from __future__ import annotations

from lineage.graph import keys
from lineage.graph.digest import graph_digest
from lineage.graph.fold import Fold

__all__ = ["Fold", "graph_digest", "keys"]
