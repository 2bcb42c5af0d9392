"""The lineage graph in one SQLite file: a projection of the ledger with its position and the fold's state beside it.

One connection writes, behind a lock; every thread reads on a connection of its own (WAL: readers never wait for the writer).
``synchronous=NORMAL`` is enough: after a power cut the file is whole and at an earlier position, from which the ledger is read again.

An edge that changes is closed (``retracted_at``) and a new row begins, so that a question can be asked as known on a day.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from lineage.adapters.sqlite_graph_state import ReadState, SqliteState
from lineage.adapters.sqlite_graph_walk import EDGE, NODE, closure, condition_of, edge_of, expand, node_of, reach
from lineage.errors import StoreUnavailable
from lineage.graph.facets import facets_of
from lineage.model import Direction, Edge, GraphDelta, Json, Node, Subgraph
from lineage.ports import FoldState

__all__ = ["SqliteGraph"]

VERSION = 2
"""Schema version. A file with a greater one is refused; one with a smaller one is emptied, and the ledger is projected again."""

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE nodes (
  key TEXT PRIMARY KEY, label TEXT NOT NULL, props TEXT NOT NULL, recorded_at INTEGER NOT NULL, gone INTEGER NOT NULL DEFAULT 0);
CREATE TABLE edges (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, type TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, props TEXT NOT NULL,
  walk INTEGER NOT NULL, witness TEXT NOT NULL, valid_from INTEGER NOT NULL, valid_to INTEGER,
  recorded_at INTEGER NOT NULL, retracted_at INTEGER);
CREATE UNIQUE INDEX edges_live ON edges(key) WHERE retracted_at IS NULL;
CREATE INDEX edges_source ON edges(source, walk, target);
CREATE INDEX edges_target ON edges(target, walk, source);
CREATE INDEX nodes_label ON nodes(label, json_extract(props, '$.name'));
"""


class SqliteGraph:
    """A :class:`lineage.ports.GraphStore` in the file ``path``; threads may read while one writes.

    Raises:
        StoreUnavailable: the file cannot be opened or written, or was made by a newer Govern.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._owner: int | None = None
        with self._errors():
            self._writer = self._connect()
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.execute("PRAGMA synchronous=NORMAL")
            found = self._version()
            if found > VERSION:
                self._writer.close()
                raise StoreUnavailable(f"{path} has schema version {found}, this Govern knows {VERSION}", hint="upgrade govern-ml")
            if found < VERSION:
                self._begin_anew(found)
        self._state = SqliteState(self._writer)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[SqliteState]:
        """One durable transaction of the only writer; yields the fold's state."""
        with self._lock, self._errors():
            self._writer.execute("BEGIN IMMEDIATE")
            self._owner = threading.get_ident()
            try:
                yield self._state
                self._state.flush()
                self._writer.execute("COMMIT")
            except BaseException:
                self._state.drop()
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            finally:
                self._owner = None

    def apply(self, delta: GraphDelta, position: int) -> None:
        """Write a delta and move the position; inside :meth:`transaction`."""
        if self._owner != threading.get_ident():
            raise RuntimeError("apply() outside of transaction(): the graph and its state would part")
        write = self._writer.execute
        self._writer.executemany(
            "INSERT INTO nodes(key, label, props, recorded_at) VALUES (?, ?, ?, ?) "
            "ON CONFLICT(key) DO UPDATE SET label = excluded.label, props = excluded.props, gone = 0",
            [(node.key, node.label, _text(node.props), delta.recorded_at) for node in delta.nodes],
        )
        for edge in delta.edges:
            content = (edge.type, edge.source, edge.target, _text(edge.props), int(edge.walk), edge.valid_from, edge.valid_to)
            old = write(
                "SELECT id, type, source, target, props, walk, valid_from, valid_to, witness "
                "FROM edges WHERE key = ? AND retracted_at IS NULL",
                (edge.key,),
            ).fetchone()
            if old is not None and tuple(old[1:8]) == content:
                if old[8] != edge.witness:
                    write("UPDATE edges SET witness = ? WHERE id = ?", (edge.witness, old[0]))
                continue
            if old is not None:
                self._close_edge(edge.key, edge.recorded_at)
            write(
                "INSERT INTO edges(type, source, target, props, walk, valid_from, valid_to, key, witness, recorded_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*content, edge.key, edge.witness, edge.recorded_at),
            )
        for key in delta.removed_edges:
            self._close_edge(key, delta.recorded_at)
        self._writer.executemany("UPDATE nodes SET gone = 1 WHERE key = ?", [(key,) for key in delta.removed_nodes])
        write("UPDATE meta SET value = ? WHERE name = 'position'", (position,))

    def position(self) -> int:
        """Ledger entries projected."""
        return int(self._read("SELECT value FROM meta WHERE name = 'position'")[0][0])

    def node(self, key: str) -> Node | None:
        """The node under ``key``."""
        rows = self._read(f"SELECT {NODE} FROM nodes n WHERE n.key = ? AND NOT n.gone", (key,))  # noqa: S608 - constants
        return node_of(rows[0]) if rows else None

    def nodes_of(self, keys: Sequence[str]) -> list[Node]:
        """The nodes under these keys that live, sorted by key."""
        return [node_of(row) for row in sorted(self._nodes_under(keys, "NOT n.gone"))]

    def find(self, label: str, where: Mapping[str, Json] | None = None, limit: int = 1000, *, after: str | None = None) -> list[Node]:
        """Nodes of a label whose properties equal ``where``, sorted by key; those that come after the key ``after``."""
        wanted = dict(where or {})
        named = isinstance(wanted.get("name"), str)
        sql = f"SELECT {NODE} FROM nodes n WHERE n.label = ? AND NOT n.gone"  # noqa: S608 - constants
        if named:
            sql += " AND json_extract(n.props, '$.name') = ?"
        sql += "" if after is None else " AND n.key > ?"
        args = (label, *([wanted["name"]] if named else []), *([] if after is None else [after]))
        rows = self._read(sql + " ORDER BY n.key", args)
        found: list[Node] = []
        for node in map(node_of, rows):
            if len(found) == limit:
                break
            if all(name in node.props and node.props[name] == wanted[name] for name in wanted):
                found.append(node)
        return found

    def closure(
        self,
        start: Sequence[str],
        direction: Direction,
        *,
        as_of: int | None = None,
        known_at: int | None = None,
        depth: int | None = None,
        max_nodes: int = 100_000,
    ) -> Subgraph:
        """All that is reached along walked edges, start included."""
        with self._errors(), self._snapshot() as connection:
            return closure(
                connection, start, up=direction is Direction.UP, as_of=as_of, known_at=known_at, depth=depth, max_nodes=max_nodes
            )

    def page(
        self, label: str, *, namespace: str | None = None, text: str | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[list[Node], int]:
        """(nodes of a label by (namespace, name, key), how many there are in all)."""
        place, name = ("coalesce(json_extract(n.props, '$.namespace'), '')", "coalesce(json_extract(n.props, '$.name'), '')")
        where, args = "n.label = ? AND NOT n.gone", [label]
        if namespace is not None:
            where, args = where + f" AND {place} = ?", [*args, namespace]
        if text is not None:
            where, args = where + f" AND instr(lower({name}), lower(?))", [*args, text]
        with self._errors(), self._snapshot() as connection:
            total = connection.execute(f"SELECT count(*) FROM nodes n WHERE {where}", args).fetchone()[0]  # noqa: S608 - constants
            sql = f"SELECT {NODE} FROM nodes n WHERE {where} ORDER BY {place}, {name}, n.key LIMIT ? OFFSET ?"  # noqa: S608 - constants
            return [node_of(row) for row in connection.execute(sql, [*args, limit, offset])], total

    def reach(
        self,
        start: Sequence[str],
        direction: Direction,
        *,
        as_of: int | None = None,
        known_at: int | None = None,
        depth: int | None = None,
        max_nodes: int = 100_000,
    ) -> tuple[list[str], bool]:
        """The keys of :meth:`closure`'s nodes."""
        with self._errors(), self._snapshot() as connection:
            up = direction is Direction.UP
            seen, truncated = reach(connection, start, up=up, as_of=as_of, known_at=known_at, depth=depth, max_nodes=max_nodes)
        return sorted(seen), truncated

    def expand(
        self, start: Sequence[str], types: Sequence[str], *, direction: Direction | None, depth: int | None = None, max_nodes: int = 100_000
    ) -> tuple[list[str], list[tuple[str, str, str]], bool]:
        """What is reached along living edges of these types, and the edges between."""
        with self._errors(), self._snapshot() as connection:
            return expand(connection, start, types, direction=direction, depth=depth, max_nodes=max_nodes)

    def neighbours(
        self,
        keys: Sequence[str],
        types: Sequence[str] | None = None,
        *,
        as_of: int | None = None,
        known_at: int | None = None,
        limit: int | None = None,
    ) -> Subgraph:
        """The given nodes, the edges of these types that touch them, and the nodes at the other end."""
        condition, args = condition_of(as_of, known_at)
        if types is not None:
            condition += " AND e.type IN (SELECT value FROM json_each(:types))"
            args["types"] = json.dumps(list(types))
        living = "1" if known_at is not None else "NOT n.gone"
        with self._errors(), self._snapshot() as connection:
            given = [row[0] for row in self._nodes_under(keys, living)]
            args["keys"] = json.dumps(given)
            found: dict[str, Edge] = {}
            for end in ("source", "target"):
                sql = f"SELECT {EDGE} FROM json_each(:keys) k JOIN edges e ON e.{end} = k.value WHERE {condition}"  # noqa: S608 - constants
                found.update({row[0]: edge_of(row) for row in connection.execute(sql, args)})
            edges = [found[key] for key in sorted(found)][:limit]
            ends = {*given, *(key for edge in edges for key in (edge.source, edge.target))}
            nodes = tuple(node_of(row) for row in sorted(self._nodes_under(ends, living)))
        return Subgraph(nodes=nodes, edges=tuple(edges), truncated=len(edges) < len(found))

    def facets(self, key: str) -> Mapping[str, Json]:
        """The bodies of the facets that speak of a node."""
        with self._errors(), self._snapshot() as connection:
            return facets_of(ReadState(lambda: connection), key) if self.node(key) is not None else {}

    def state(self) -> FoldState:
        """The fold's state as last committed, to read."""
        return ReadState(self._reader)

    def nodes(self) -> Iterable[Node]:
        """Every live node, sorted by key."""
        return [node_of(row) for row in self._read(f"SELECT {NODE} FROM nodes n WHERE NOT n.gone ORDER BY n.key")]  # noqa: S608 - constants

    def edges(self) -> Iterable[Edge]:
        """Every live edge, sorted by key."""
        return [edge_of(row) for row in self._read(f"SELECT {EDGE} FROM edges e WHERE e.retracted_at IS NULL ORDER BY e.key")]  # noqa: S608 - constants

    def counts(self) -> Mapping[str, int]:
        """``nodes`` and ``edges`` that live."""
        sql = "SELECT (SELECT count(*) FROM nodes WHERE NOT gone), (SELECT count(*) FROM edges WHERE retracted_at IS NULL)"
        nodes, edges = self._read(sql)[0]
        return {"nodes": nodes, "edges": edges}

    def clear(self) -> None:
        """Forget everything: the position is 0 again."""
        with self.transaction():
            for table in ("state", "nodes", "edges"):
                self._writer.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
            self._writer.execute("UPDATE meta SET value = 0 WHERE name = 'position'")

    def close(self) -> None:
        """Close every connection; the last thing to call."""
        with self._lock:
            for connection in [*self._readers, self._writer]:
                connection.close()
            self._readers.clear()

    def _version(self) -> int:
        """The schema version of the file; 0 when it is new."""
        if not self._writer.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            return 0
        row = self._writer.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
        return int(row[0]) if row else 0

    def _begin_anew(self, found: int) -> None:
        """Make the tables of this version, empty: what an older one held is projected again from the ledger."""
        if found:
            _log.warning("%s has schema version %d and is made anew from the ledger in version %d", self._path, found, VERSION)
        self._writer.execute("BEGIN IMMEDIATE")
        tables = self._writer.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall()
        for (table,) in tables:
            self._writer.execute(f'DROP TABLE "{table}"')
        for statement in filter(str.strip, _SCHEMA.split(";")):
            self._writer.execute(statement)
        self._writer.execute("INSERT INTO meta VALUES ('version', ?), ('position', 0)", (VERSION,))
        self._writer.execute("COMMIT")

    def _close_edge(self, key: str, at: int) -> None:
        """End the live edge; one that lived for no time at all leaves no trace."""
        self._writer.execute("DELETE FROM edges WHERE key = ? AND retracted_at IS NULL AND recorded_at >= ?", (key, at))
        self._writer.execute("UPDATE edges SET retracted_at = ? WHERE key = ? AND retracted_at IS NULL", (at, key))

    def _nodes_under(self, keys: Iterable[str], living: str) -> list[tuple[Any, ...]]:
        sql = f"SELECT {NODE} FROM json_each(?) k JOIN nodes n ON n.key = k.value WHERE {living}"  # noqa: S608 - constants
        return self._read(sql, (json.dumps(sorted(set(keys))),))

    def _read(self, sql: str, args: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._errors():
            return self._reader().execute(sql, args).fetchall()

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection on which several reads see one state."""
        connection = self._reader()
        if connection.in_transaction:
            yield connection
            return
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")

    def _reader(self) -> sqlite3.Connection:
        """This thread's own connection; inside its own transaction a thread reads what it wrote."""
        if self._owner == threading.get_ident():
            return self._writer
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only=ON")
            self._local.connection = connection
            with self._lock:
                self._readers.append(connection)
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False, cached_statements=256)
        connection.execute("PRAGMA mmap_size=268435456")
        connection.execute("PRAGMA cache_size=-32768")
        return connection

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
            hint = "free some space, or run govern lineage rebuild: the graph is made anew from the ledger"
            raise StoreUnavailable(f"the lineage graph {self._path} cannot be used: {error}", hint=hint) from error


def _text(props: Mapping[str, Json]) -> str:
    try:
        return orjson.dumps(props, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair
        return json.dumps(props, sort_keys=True, separators=(",", ":"))
