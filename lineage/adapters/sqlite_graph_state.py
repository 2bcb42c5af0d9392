"""The fold's ordered key-value state as one table, with the writes of a transaction gathered in memory until they are needed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator

__all__ = ["ReadState", "SqliteState"]


class ReadState:
    """The table ``state`` as it was last committed, to read; ``connection`` gives that of the thread that asks."""

    def __init__(self, connection: Callable[[], sqlite3.Connection]) -> None:
        self._connection = connection

    def get(self, key: str) -> bytes | None:
        """The value under ``key``."""
        row = self._connection().execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def put(self, key: str, value: bytes) -> None:
        """Refused."""
        raise RuntimeError(f"put({key!r}, {len(value)} bytes) outside of transaction(): here the state is only read")

    def delete(self, key: str) -> None:
        """Refused."""
        raise RuntimeError(f"delete({key!r}) outside of transaction(): here the state is only read")

    def scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Pairs whose key begins with ``prefix``, in key order; a snapshot."""
        return iter(self.between(prefix, prefix + "\U0010ffff"))

    def between(self, low: str, high: str, *, reverse: bool = False, limit: int | None = None) -> list[tuple[str, bytes]]:
        """Pairs with ``low <= key < high``."""
        return _between(self._connection(), low, high, reverse=reverse, limit=limit)

    def count(self, low: str, high: str) -> int:
        """How many keys with ``low <= key < high``."""
        return _count(self._connection(), low, high)


class SqliteState:
    """A :class:`lineage.ports.FoldState` over the table ``state``; keys compare by code point (BINARY over UTF-8).

    Writes wait in a dictionary: a fold touches the same few keys again and again. A range read first writes what waits in the
    family of its keys (``c/``, ``own/`` …: all up to the first slash).
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._waiting: dict[str, bytes | None] = {}
        self._families: dict[str, set[str]] = {}

    def get(self, key: str) -> bytes | None:
        """The value under ``key``."""
        if key in self._waiting:
            return self._waiting[key]
        row = self._connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def put(self, key: str, value: bytes) -> None:
        """Set a value."""
        self._waiting[key] = value
        self._families.setdefault(_family(key), set()).add(key)

    def delete(self, key: str) -> None:
        """Remove a key if it is there."""
        self._waiting[key] = None
        self._families.setdefault(_family(key), set()).add(key)

    def scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Pairs whose key begins with ``prefix``, in key order; a snapshot."""
        return iter(self.between(prefix, prefix + "\U0010ffff"))

    def between(self, low: str, high: str, *, reverse: bool = False, limit: int | None = None) -> list[tuple[str, bytes]]:
        """Pairs with ``low <= key < high``."""
        self._settle(low, high)
        return _between(self._connection, low, high, reverse=reverse, limit=limit)

    def count(self, low: str, high: str) -> int:
        """How many keys with ``low <= key < high``."""
        self._settle(low, high)
        return _count(self._connection, low, high)

    def _settle(self, low: str, high: str) -> None:
        """Write what waits among these keys."""
        family = _family(low)
        if _family(high) != family:
            self.flush()
        elif family in self._families:
            self._write(self._families.pop(family))

    def flush(self) -> None:
        """Write what waits."""
        self._write(list(self._waiting))
        self._families.clear()

    def drop(self) -> None:
        """Forget what waits: the transaction was rolled back."""
        self._waiting.clear()
        self._families.clear()

    def _write(self, keys: Iterable[str]) -> None:
        waiting = [(key, self._waiting.pop(key)) for key in keys]
        put = [(key, value) for key, value in waiting if value is not None]
        gone = [(key,) for key, value in waiting if value is None]
        self._connection.executemany("INSERT INTO state VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", put)
        self._connection.executemany("DELETE FROM state WHERE key = ?", gone)


def _between(connection: sqlite3.Connection, low: str, high: str, *, reverse: bool, limit: int | None) -> list[tuple[str, bytes]]:
    sql = f"SELECT key, value FROM state WHERE key >= ? AND key < ? ORDER BY key {'DESC' if reverse else 'ASC'} LIMIT ?"  # noqa: S608 - constants
    return connection.execute(sql, (low, high, -1 if limit is None else limit)).fetchall()


def _count(connection: sqlite3.Connection, low: str, high: str) -> int:
    return int(connection.execute("SELECT count(*) FROM state WHERE key >= ? AND key < ?", (low, high)).fetchone()[0])


def _family(key: str) -> str:
    return key.split("/", 1)[0]
