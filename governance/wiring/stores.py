"""Which store holds the lineage graph, as the settings say."""

from __future__ import annotations

from pathlib import Path

from governance.settings import Settings
from lineage.adapters.neo4j_graph import Neo4jGraph, Place
from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.errors import BadInput
from lineage.ports import GraphStore

__all__ = ["graph_at", "open_graph"]

_AHEAD = 1
"""Batches on their way to the server while the next one is folded."""


def open_graph(settings: Settings, home: Path, *, owner: str) -> GraphStore:
    """The graph of a home: the file ``graph.db`` in it, or a Neo4j with the fold's state in ``fold.db``.

    Args:
        settings: ``graph`` and what goes with it.
        home: the folder.
        owner: the installation, said in the Neo4j so that no other home takes it for its own.

    Raises:
        BadInput: ``GOVERN_GRAPH`` is neither ``sqlite`` nor the address of a Neo4j.
        StoreUnavailable: the local file cannot be used. A Neo4j that is away is no error here.
    """
    if settings.graph == "sqlite":
        return SqliteGraph(home / "graph.db")
    return Neo4jGraph(_place(settings, settings.graph), home / "fold.db", owner=owner, ahead=_AHEAD, warm=True)


def graph_at(settings: Settings, where: str, folder: Path, *, owner: str, force: bool = False) -> GraphStore:
    """An empty graph somewhere else: ``sqlite:PATH``, or a Neo4j whose fold's state goes into ``folder``.

    Raises:
        BadInput: ``where`` is neither.
        Conflict: there is something already, and ``force`` does not say to delete it.
    """
    if where.startswith("sqlite:"):
        path = Path(where.removeprefix("sqlite:"))
        if path.exists() and not force:
            raise BadInput(f"{path} is there already", hint="choose a new file, or --force to make it anew")
        if path.is_dir() or not path.parent.is_dir():
            raise BadInput(f"{path} cannot be a file", hint="name a file in a folder that exists: sqlite:graph.db")
        graph = SqliteGraph(path)
        graph.clear()
        return graph
    server = Neo4jGraph(_place(settings, where), folder / "fold.db", owner=owner, ahead=_AHEAD)
    try:
        server.begin(force=force)
    except BaseException:
        server.close()
        raise
    return server


def _place(settings: Settings, uri: str) -> Place:
    return Place(
        uri=uri,
        user=settings.graph_user,
        password=settings.graph_password,
        database=settings.graph_database or None,
        pool_size=settings.graph_pool,
    )
