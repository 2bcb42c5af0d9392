"""The fold's ordered key-value state in two tables, with what a transaction changes gathered in memory until it ends.

Facts and claims are long and asked for by their whole key: they lie in a table of their own, in the order in which they came
(``facts``). All else is short and asked for by ranges (``state``). Values of JSON are kept parsed between transactions, so that
facts which are joined again and again are read once and written once a transaction.
"""

from __future__ import annotations

import bisect
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence

import orjson

from lineage.graph.state import dump, parse
from lineage.model import Json

__all__ = ["TABLES", "ReadState", "SqliteState"]

TABLES = {
    "state": "CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "facts": "CREATE TABLE IF NOT EXISTS facts (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL)",
}
"""The tables of the state, in the file of whoever keeps it: made with the state, emptied by its owner."""

_LONG = frozenset({"run", "job", "ds", "sym", "own"})
"""Families in ``facts``."""
_LONG_KEYS = tuple(f"{family}/" for family in sorted(_LONG))
_KEPT_BYTES = 12 * 1024 * 1024
"""JSON bytes of the values that are kept parsed: half of it is forgotten when it is reached. Parsed, they take some five times that."""
_SMALL = 64
"""What a kept value weighs beside its JSON."""
_END = "\U0010ffff"


class _Reads:
    """Reads of the two tables over a connection."""

    def row(self, connection: sqlite3.Connection, key: str) -> bytes | None:
        row = connection.execute(f"SELECT value FROM {_table(key)} WHERE key = ?", (key,)).fetchone()  # noqa: S608 - constants
        return None if row is None else row[0]

    def rows(self, connection: sqlite3.Connection, low: str, high: str, *, reverse: bool, limit: int | None) -> list[tuple[str, bytes]]:
        order = "DESC" if reverse else "ASC"
        found: list[tuple[str, bytes]] = []
        tables = _tables(low, high)
        for table in tables:
            sql = f"SELECT key, value FROM {table} WHERE key >= ? AND key < ? ORDER BY key {order} LIMIT ?"  # noqa: S608 - constants
            found += connection.execute(sql, (low, high, -1 if limit is None else limit)).fetchall()
        return found if len(tables) == 1 else sorted(found, reverse=reverse)[:limit]

    def total(self, connection: sqlite3.Connection, low: str, high: str) -> int:
        counts = (
            connection.execute(f"SELECT count(*) FROM {table} WHERE key >= ? AND key < ?", (low, high)).fetchone()[0]  # noqa: S608 - constants
            for table in _tables(low, high)
        )
        return sum(counts)


class ReadState(_Reads):
    """The state as it was last committed, to read; ``connection`` gives that of the thread that asks."""

    def __init__(self, connection: Callable[[], sqlite3.Connection]) -> None:
        self._connection = connection

    def get(self, key: str) -> bytes | None:
        """The value under ``key``."""
        return self.row(self._connection(), key)

    def load(self, key: str) -> Json:
        """The JSON value under ``key``."""
        raw = self.get(key)
        return None if raw is None else parse(raw)

    def preload(self, keys: Iterable[str]) -> None:
        """Nothing is kept here."""

    def put(self, key: str, value: bytes) -> None:
        """Refused."""
        raise RuntimeError(f"put({key!r}, {len(value)} bytes) outside of transaction(): here the state is only read")

    def store(self, key: str, value: Json) -> None:
        """Refused."""
        raise RuntimeError(f"store({key!r}, {type(value).__name__}) outside of transaction(): here the state is only read")

    def delete(self, key: str) -> None:
        """Refused."""
        raise RuntimeError(f"delete({key!r}) outside of transaction(): here the state is only read")

    def scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Pairs whose key begins with ``prefix``, in key order; a snapshot."""
        return iter(self.between(prefix, prefix + _END))

    def between(self, low: str, high: str, *, reverse: bool = False, limit: int | None = None) -> list[tuple[str, bytes]]:
        """Pairs with ``low <= key < high``."""
        return self.rows(self._connection(), low, high, reverse=reverse, limit=limit)

    def count(self, low: str, high: str) -> int:
        """How many keys with ``low <= key < high``."""
        return self.total(self._connection(), low, high)


class SqliteState(_Reads):
    """A :class:`lineage.ports.FoldState` over the tables :data:`TABLES`; keys compare by code point (BINARY over UTF-8).

    Whoever owns the connection calls :meth:`flush` before it commits, and :meth:`drop` after it rolled back.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        for statement in TABLES.values():
            connection.execute(statement)
        self._connection = connection
        self._waiting: dict[str, bytes | None] = {}  # raw values put in this transaction, None = deleted
        self._order: dict[str, list[str]] = {}  # by family, the sorted keys that wait
        self._dirty: set[str] = set()  # keys whose kept value is newer than the tables
        self._parsed: set[str] = set()  # and their families
        self._young: dict[str, Json] = {}  # parsed values, and None for a key that is not there; read lately
        self._old: dict[str, Json] = {}
        self._weight = 0
        self._bare: dict[str, bool] = {}  # families of short values, and whether the table holds none of them

    # ── raw values ──────────────────────────────────────────────────────────────────────────
    def get(self, key: str) -> bytes | None:
        """The value under ``key``."""
        if key in self._dirty:
            return dump(self._young[key])
        if key in self._waiting:
            return self._waiting[key]
        return self.row(self._connection, key)

    def put(self, key: str, value: bytes) -> None:
        """Set a value."""
        self._forget(key)
        self._wait(key, value)

    def delete(self, key: str) -> None:
        """Remove a key if it is there."""
        self._forget(key)
        self._wait(key, None)

    def scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Pairs whose key begins with ``prefix``, in key order; a snapshot."""
        return iter(self.between(prefix, prefix + _END))

    def between(self, low: str, high: str, *, reverse: bool = False, limit: int | None = None) -> list[tuple[str, bytes]]:
        """Pairs with ``low <= key < high``: what the table holds, with what waits laid over it."""
        waiting = self._waiting_between(low, high)
        if not waiting:
            if self._empty(low, high):
                return []
            return self.rows(self._connection, low, high, reverse=reverse, limit=limit)
        more = None if limit is None else limit + len(waiting)  # so many rows may be deleted or replaced by what waits
        found: dict[str, bytes | None] = dict(self.rows(self._connection, low, high, reverse=reverse, limit=more))
        found.update({key: self._waiting[key] for key in waiting})
        return [(key, value) for key, value in sorted(found.items(), reverse=reverse) if value is not None][:limit]

    def count(self, low: str, high: str) -> int:
        """How many keys with ``low <= key < high``."""
        self.write()
        return self.total(self._connection, low, high)

    # ── JSON values ─────────────────────────────────────────────────────────────────────────
    def load(self, key: str) -> Json:
        """The JSON value under ``key``: the one that is kept, so a change to it is to be given back with :meth:`store`."""
        try:
            return self._young[key]
        except KeyError:
            pass
        if key in self._old:  # what is asked for again stays
            value = self._young[key] = self._old.pop(key)
            return value
        raw = self.get(key)
        return self._keep(key, raw)

    def store(self, key: str, value: Json) -> None:
        """Set a JSON value; it is written when the transaction ends."""
        self._young[key] = value
        if key not in self._dirty:
            self._dirty.add(key)
            self._parsed.add(key.partition("/")[0])
        if key in self._waiting:
            del self._waiting[key]
            known = self._order[key.split("/", 1)[0]]
            del known[bisect.bisect_left(known, key)]

    def preload(self, keys: Iterable[str]) -> None:
        """Read these keys with one query, as they will be loaded one by one."""
        young, old, waiting = self._young, self._old, self._waiting
        wanted = [key for key in keys if key not in young and key not in old and key not in waiting]
        long = [key for key in wanted if key.startswith(_LONG_KEYS)]
        short = [key for key in wanted if not key.startswith(_LONG_KEYS)] if len(long) < len(wanted) else []
        for table, missing in (("facts", long), ("state", short)):
            for start in range(0, len(missing), 500):
                some = missing[start : start + 500]
                sql = f"SELECT s.key, s.value FROM json_each(?) k CROSS JOIN {table} s ON s.key = k.value"  # noqa: S608 - constants
                found = dict(self._connection.execute(sql, (orjson.dumps(some).decode(),)).fetchall())
                for key in some:
                    raw = found.get(key)
                    if raw is None:
                        young[key] = None
                    else:
                        self._keep(key, raw)
                self._weight += _SMALL * (len(some) - len(found))

    # ── the transaction ─────────────────────────────────────────────────────────────────────
    def flush(self) -> None:
        """Write what waits, before the commit; what was not read lately is no longer kept parsed."""
        self.write()
        if self._weight > _KEPT_BYTES // 2:
            self._old, self._young, self._weight = self._young, {}, 0

    def drop(self) -> None:
        """Forget all that waits and all that is kept: the transaction was rolled back, and kept values may have changed in it."""
        self._waiting.clear()
        self._order.clear()
        self._dirty.clear()
        self._parsed.clear()
        self._young, self._old, self._weight = {}, {}, 0
        self._bare.clear()

    def clear(self) -> None:
        """Forget everything, inside a transaction."""
        self.drop()
        for table in TABLES:
            self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - constants

    def _keep(self, key: str, raw: bytes | None) -> Json:
        value = None if raw is None else parse(raw)
        self._weight += _SMALL + (0 if raw is None else len(raw))
        self._young[key] = value
        return value

    def _forget(self, key: str) -> None:
        self._young.pop(key, None)
        self._old.pop(key, None)
        self._dirty.discard(key)

    def _wait(self, key: str, value: bytes | None) -> None:
        if key not in self._waiting:
            family = key.split("/", 1)[0]
            known = self._order.get(family)
            if not known:
                self._order[family] = [key]
            elif known[-1] < key:
                known.append(key)
            else:
                bisect.insort(known, key)
        self._waiting[key] = value

    def write(self) -> None:
        """Write what waits, sorted, so that neighbours are written together."""
        for key in self._dirty:
            raw = dump(self._young[key])
            self._weight += len(raw) + _SMALL
            self._waiting[key] = raw
        puts: dict[bool, list[tuple[str, bytes]]] = {False: [], True: []}
        for key, value in sorted(self._waiting.items()):
            if value is None:
                self._connection.execute(f"DELETE FROM {_table(key)} WHERE key = ?", (key,))  # noqa: S608 - constants
            else:
                puts[key.startswith(_LONG_KEYS)].append((key, value))
        for table, rows in (("state", puts[False]), ("facts", puts[True])):
            sql = f"INSERT INTO {table}(key, value) VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value"  # noqa: S608 - constants
            self._connection.executemany(sql, rows)
        for family in {key.partition("/")[0] for key in self._waiting} & self._bare.keys():
            self._bare[family] = False
        self._waiting.clear()
        self._order.clear()
        self._dirty.clear()
        self._parsed.clear()

    def _empty(self, low: str, high: str) -> bool:
        """Whether the table holds no key of the one family in which the range lies: asked for once, as most families stay so."""
        family, slash, _ = low.partition("/")
        if not slash or family in _LONG or not high.startswith(family + "/"):
            return False
        bare = self._bare.get(family)
        if bare is None:
            bare = self._bare[family] = not self.rows(self._connection, f"{family}/", f"{family}0", reverse=False, limit=1)
        return bare

    def _waiting_between(self, low: str, high: str) -> Sequence[str]:
        """The keys that wait in the range; parsed values that wait there are written first."""
        family = low.split("/", 1)[0]
        if family in self._parsed or high.split("/", 1)[0] != family:
            self.write()
            return ()
        known = self._order.get(family)
        return () if known is None else known[bisect.bisect_left(known, low) : bisect.bisect_left(known, high)]


def _table(key: str) -> str:
    return "facts" if key.startswith(_LONG_KEYS) else "state"


def _tables(low: str, high: str) -> tuple[str, ...]:
    """The tables in which keys of this range lie."""
    same = low.split("/", 1)[0] == high.split("/", 1)[0]
    return (_table(low),) if same and "/" in low else ("state", "facts")
