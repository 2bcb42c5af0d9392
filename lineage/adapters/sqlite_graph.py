"""The lineage graph in one SQLite file: a projection of the ledger with its position and the fold's state beside it.

One connection writes, behind a lock; every thread reads on a connection of its own (WAL: readers never wait for the writer).
``synchronous=NORMAL`` is enough: after a power cut the file is whole and at an earlier position, from which the ledger is read again.

An edge that changes is closed (``retracted_at``) and a new row begins, so that a question can be asked as known on a day.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from lineage.adapters import sqlite_graph_walk as walk
from lineage.adapters.sqlite_graph_schema import (
    EDGE,
    NODE,
    VERSION,
    Row,
    begin_anew,
    edges_of,
    kept_edges,
    node_of,
    pack,
    unpack,
    version_of,
)
from lineage.adapters.sqlite_graph_state import ReadState, SqliteState
from lineage.adapters.sqlite_graph_write import Batch
from lineage.errors import StoreUnavailable
from lineage.graph.facets import facets_of
from lineage.model import Direction, Edge, GraphDelta, Json, Node, Subgraph
from lineage.ports import FoldState

__all__ = ["SqliteGraph"]

_log = logging.getLogger(__name__)

_PAGE_BYTES = 8192
"""Facts and claims of a run take some kilobytes: with the default of 4 KiB most would spill over."""
_CACHE_KIB = 65_536
"""Of the writer: it comes back to the same inner pages at every batch."""

_NAMESPACES = (
    "WITH RECURSIVE spaces(one) AS ("
    "SELECT min(namespace) FROM nodes WHERE label = :label UNION ALL "
    "SELECT (SELECT min(namespace) FROM nodes WHERE label = :label AND namespace > one) FROM spaces WHERE one IS NOT NULL) "
    "SELECT one FROM spaces"
)
"""The namespaces of a label, each found by one step in the index."""


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
        self._type_names: dict[int, str] = {}
        self._stale_log = False  # the write-ahead log may hold bytes of what was forgotten
        with self._errors():
            self._writer = self._connect()
            self._writer.execute(f"PRAGMA page_size={_PAGE_BYTES}")  # of a new file; an older one keeps its own
            self._writer.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.execute("PRAGMA synchronous=NORMAL")
            self._writer.execute("PRAGMA wal_autocheckpoint=4000")
            found = version_of(self._writer)
            if found > VERSION:
                self._writer.close()
                raise StoreUnavailable(f"{path} has schema version {found}, this Govern knows {VERSION}", hint="upgrade govern-ml")
            if found < VERSION:
                if found:
                    _log.warning("%s has schema version %d and is made anew from the ledger in version %d", path, found, VERSION)
                begin_anew(self._writer)
            self._state = SqliteState(self._writer)
        self._batch = Batch(self._writer)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[SqliteState]:
        """One durable transaction of the only writer; yields the fold's state."""
        with self._lock, self._errors():
            self._writer.execute("BEGIN IMMEDIATE")
            self._owner = threading.get_ident()
            try:
                yield self._state
                self._state.flush()
                self._batch.flush()
                self._writer.execute("COMMIT")
            except BaseException:
                self._state.drop()
                self._batch.drop()
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            finally:
                self._owner = None

    def apply(self, delta: GraphDelta, position: int) -> None:
        """Write a delta and move the position; inside :meth:`transaction`."""
        if self._owner != threading.get_ident():
            raise RuntimeError("apply() outside of transaction(): the graph and its state would part")
        self._batch.apply(delta, position)

    def settle(self) -> None:
        """Nothing waits, for a transaction's end is its commit; but a log that readers kept from being emptied is emptied now."""
        if self._stale_log:
            self._empty_log()

    def position(self) -> int:
        """Ledger entries projected."""
        return int(self._read("SELECT value FROM meta WHERE name = 'position'")[0][0])

    # ── nodes ───────────────────────────────────────────────────────────────────────────────
    def node(self, key: str) -> Node | None:
        """The node under ``key``."""
        rows = self._read(f"SELECT {NODE} FROM nodes n WHERE n.key = ? AND n.gone = 0", (pack(key),))  # noqa: S608 - constants
        return node_of(rows[0]) if rows else None

    def nodes_of(self, keys: Sequence[str]) -> list[Node]:
        """The nodes under these keys that live, sorted by key."""
        with self._snapshot() as connection:
            rows = walk.nodes_under(connection, keys, "n.gone = 0")
        return sorted(map(node_of, rows), key=attrgetter("key"))

    def find(self, label: str, where: Mapping[str, Json] | None = None, limit: int = 1000, *, after: str | None = None) -> list[Node]:
        """Nodes of a label whose properties equal ``where``, sorted by key; those that come after the key ``after``."""
        wanted = dict(where or {})
        found: list[Node] = []
        with self._snapshot() as connection:
            rows = self._named(connection, label, wanted, after) if _text(wanted.get("name")) else self._labelled(connection, label, after)
            for node in map(node_of, rows):
                if len(found) == limit:
                    break
                if all(name in node.props and node.props[name] == wanted[name] for name in wanted):
                    found.append(node)
        return found

    def page(
        self, label: str, *, namespace: str | None = None, text: str | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[list[Node], int]:
        """(nodes of a label by (namespace, name, key), how many there are in all)."""
        where, args = "n.label = ? AND n.gone = 0", [label]
        if namespace is not None:
            where, args = f"{where} AND n.namespace {'= ?' if namespace else 'IS NULL'}", [*args, namespace] if namespace else args
        if text is not None:
            where, args = where + " AND instr(lower(coalesce(n.name, '')), lower(?))", [*args, text]
        with self._snapshot() as connection:
            total = connection.execute(f"SELECT count(*) FROM nodes n WHERE {where}", args).fetchone()[0]  # noqa: S608 - constants
            sql = f"SELECT {NODE} FROM nodes n WHERE {where} ORDER BY n.namespace, n.name, n.key LIMIT ? OFFSET ?"  # noqa: S608 - constants
            return [node_of(row) for row in connection.execute(sql, [*args, limit, offset])], total

    # ── walks ───────────────────────────────────────────────────────────────────────────────
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
        up = direction is Direction.UP
        with self._snapshot() as connection:
            return walk.closure(
                connection, self._types, start, up=up, as_of=as_of, known_at=known_at, depth=depth, max_nodes=max_nodes
            )  # fmt: skip

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
        up = direction is Direction.UP
        with self._snapshot() as connection:
            return walk.reach_keys(connection, start, up=up, as_of=as_of, known_at=known_at, depth=depth, max_nodes=max_nodes)

    def expand(
        self, start: Sequence[str], types: Sequence[str], *, direction: Direction | None, depth: int | None = None, max_nodes: int = 100_000
    ) -> tuple[list[str], list[tuple[str, str, str]], bool]:
        """What is reached along living edges of these types, and the edges between."""
        with self._snapshot() as connection:
            return walk.expand(connection, self._types, start, types, direction=direction, depth=depth, max_nodes=max_nodes)

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
        with self._snapshot() as connection:
            return walk.neighbours(connection, self._types, keys, types, as_of=as_of, known_at=known_at, limit=limit)

    # ── the fold's state, and the whole ─────────────────────────────────────────────────────
    def facets(self, key: str) -> Mapping[str, Json]:
        """The bodies of the facets that speak of a node."""
        with self._snapshot() as connection:
            return facets_of(ReadState(lambda: connection), key) if self.node(key) is not None else {}

    def state(self) -> FoldState:
        """The fold's state as last committed, to read."""
        return ReadState(self._reader)

    def nodes(self) -> Iterable[Node]:
        """Every live node, sorted by key."""
        rows = self._read(f"SELECT {NODE} FROM nodes n WHERE n.gone = 0")  # noqa: S608 - constants
        return sorted(map(node_of, rows), key=attrgetter("key"))

    def edges(self) -> Iterable[Edge]:
        """Every live edge, sorted by key."""
        with self._snapshot() as connection:
            keys = {ident: unpack(key) for ident, key in connection.execute("SELECT id, key FROM nodes")}
            names = self._types(connection)
            rows = connection.execute(f"SELECT {EDGE} FROM edges e WHERE e.retracted_at IS NULL")  # noqa: S608 - constants
            return sorted(edges_of(rows, keys, names), key=attrgetter("key"))

    def counts(self) -> Mapping[str, int]:
        """``nodes`` and ``edges`` that live."""
        sql = "SELECT (SELECT count(*) FROM nodes WHERE gone = 0), (SELECT count(*) FROM edges WHERE retracted_at IS NULL)"
        nodes, edges = self._read(sql)[0]
        return {"nodes": nodes, "edges": edges}

    def kept_nodes(self) -> Iterator[tuple[Node, bool]]:
        """Every node in the order in which they came, and whether it is gone."""
        with self._snapshot() as connection:
            for row in connection.execute(f"SELECT {NODE}, n.gone FROM nodes n ORDER BY n.id"):  # noqa: S608 - constants
                yield node_of(row[:-1]), row[-1] != 0

    def kept_edges(self) -> Iterator[tuple[Edge, int | None]]:
        """Every edge that was, then every edge that is, each in the order in which they came."""
        with self._snapshot() as connection:
            names = self._types(connection)
            for sql in kept_edges("e.retracted_at IS NOT NULL"), kept_edges("e.retracted_at IS NULL"):
                rows = connection.execute(sql)
                while some := rows.fetchmany(1000):
                    ends = {row[place]: unpack(row[place + 9]) for row in some for place in (2, 3)}
                    yield from zip(edges_of((row[:10] for row in some), ends, names), (row[10] for row in some), strict=True)

    def clear(self, *, force: bool = False) -> None:  # noqa: ARG002 - the file is this graph's alone
        """Forget everything, the bytes in free pages and in the write-ahead log too: the position is 0 again.

        What was redacted in the ledger must not outlive it here. A reader can put the emptying of the log off to :meth:`settle`.
        """
        with self.transaction():
            self._state.clear()
            self._batch.drop()
            for table in ("nodes", "edges", "kinds"):
                self._writer.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
            self._writer.execute("UPDATE meta SET value = 0 WHERE name = 'position'")
        with self._lock, self._errors():
            self._writer.execute("VACUUM")
        self._empty_log()

    def close(self) -> None:
        """Close every connection; the last thing to call."""
        with self._lock:
            for connection in [*self._readers, self._writer]:
                connection.close()
            self._readers.clear()

    def _empty_log(self) -> None:
        """Move the write-ahead log into the file and cut it to nothing; waits some seconds for readers."""
        with self._lock, self._errors():
            busy, _, _ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._stale_log = bool(busy)

    # ── how it is read ──────────────────────────────────────────────────────────────────────
    def _named(self, connection: sqlite3.Connection, label: str, wanted: Mapping[str, Json], after: str | None) -> Iterable[Row]:
        """The nodes of a label with one name, by key."""
        spaces: list[str | None] = [wanted["namespace"]] if _text(wanted.get("namespace")) else [None]
        if spaces == [None]:
            spaces += [row[0] for row in connection.execute(_NAMESPACES, {"label": label}) if row[0] is not None]
        sql = f"SELECT {NODE} FROM nodes n WHERE n.label = ? AND n.namespace IS ? AND n.name = ? AND n.gone = 0"  # noqa: S608 - constants
        rows = [row for space in spaces for row in connection.execute(sql, (label, space, wanted["name"]))]
        keyed = sorted((unpack(row[1]), row) for row in rows)
        return [row for key, row in keyed if after is None or key > after]

    def _labelled(self, connection: sqlite3.Connection, label: str, after: str | None) -> Iterator[Row]:
        """The nodes of a label by key: those of one kind of key lie together."""
        sql = f"SELECT {NODE} FROM nodes n WHERE n.key >= ? AND n.key < ? AND n.label = ? AND n.gone = 0 ORDER BY n.key"  # noqa: S608 - constants
        kinds = connection.execute("SELECT kind FROM kinds WHERE label = ?", (label,)).fetchall()
        for low, high in sorted((f"{kind}:", f"{kind};") for (kind,) in kinds):
            if after is not None and after >= high:
                continue
            kept = pack(after or "")
            for begin, end in ((low, high), (low.encode(), high.encode())):
                first = kept if type(kept) is type(begin) and after is not None and after > low else begin
                rows = connection.execute(sql, (first, end, label))
                yield from (row for row in rows if after is None or unpack(row[1]) > after)

    def _types(self, connection: sqlite3.Connection) -> Mapping[int, str]:
        """The names of edge types; there are few, and none is ever changed."""
        return dict(connection.execute("SELECT id, name FROM types").fetchall())

    def _read(self, sql: str, args: Sequence[Any] = ()) -> list[Row]:
        with self._errors():
            return self._reader().execute(sql, args).fetchall()

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection on which several reads see one state."""
        with self._errors():
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
            self._state.write()
            self._batch.flush()
            return self._writer
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only=ON")
            self._local.connection = connection
            self._readers.append(connection)  # not under the lock: a first read does not wait for the batch under way
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


def _text(value: Json) -> bool:
    return isinstance(value, str) and value != ""
