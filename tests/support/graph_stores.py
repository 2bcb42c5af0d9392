"""Every graph store under one fixture: a suite that takes ``store`` from here is held by all of them, one after the other.

Another store joins by an entry in :data:`STORES`: a name and what opens an empty graph in a folder. Neo4j's is a real server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.ports import GraphStore
from lineage.trace import MemoryGraph

__all__ = ["STORES", "store"]

STORES: dict[str, Callable[[Path], GraphStore]] = {
    "memory": lambda _folder: MemoryGraph(),
    "sqlite": lambda folder: SqliteGraph(folder / "graph.db"),
}


@pytest.fixture(params=[*STORES, "neo4j"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GraphStore]:
    """An empty graph in each store."""
    if request.param == "neo4j":
        yield request.getfixturevalue("open_neo4j")()
        return
    graph = STORES[request.param](tmp_path)
    yield graph
    graph.close()
