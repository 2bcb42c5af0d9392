"""The local half of the Neo4j graph: the fold's state, whose half it is, and what is on its way to the server, in one SQLite file.

``synchronous=FULL``: what the server was given must never be ahead of this file, so the file is durable before the server is asked.
One process has it at a time (a lock beside it, released by the system when the process ends, however it ends).
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from lineage.adapters.home import HomeLock
from lineage.adapters.neo4j_graph_batch import Batch, Piece
from lineage.adapters.sqlite_graph_state import ReadState, SqliteState
from lineage.errors import StoreUnavailable

__all__ = ["FoldFile", "Waiting"]

VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS words (kind TEXT, word TEXT, PRIMARY KEY (kind, word)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, batch TEXT NOT NULL, after TEXT NOT NULL, position INTEGER NOT NULL, rows BLOB NOT NULL);
"""


_FRESH = {"position": "0", "last": "begin", "reached": "0", "written": "begin"}
"""``position`` and ``last`` (batch): of the fold. ``reached`` and ``written``: of the server, as far as is known here."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One transaction that the server has to take: its name, the one that must be there before, and where it moves the position."""

    id: int
    batch: str
    after: str
    position: int
    piece: Piece


class FoldFile:
    """The file ``path``.

    Raises:
        StoreUnavailable: it cannot be used, another process has it, or a newer Govern made it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.RLock()
        self._owner: int | None = None
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._lock = HomeLock(path.with_name(path.name + ".lock"))
        self._lock.__enter__()
        try:
            with self.errors():
                self._writer = self._connect()
                self._writer.execute("PRAGMA journal_mode=WAL")
                self._writer.execute("PRAGMA synchronous=FULL")
                self._writer.executescript(_SCHEMA)
                fresh = {**_FRESH, "version": str(VERSION), "pairing": uuid.uuid4().hex, "clearing": ""}
                self._writer.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", list(fresh.items()))
                self._state = SqliteState(self._writer)
                found = int(self.meta("version"))
            self._must_know(found)
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise

    def _must_know(self, version: int) -> None:
        if version > VERSION:
            self._writer.close()
            raise StoreUnavailable(f"{self.path} has schema version {version}, this Govern knows {VERSION}", hint="upgrade govern-ml")

    # ── the fold's transaction ──────────────────────────────────────────────────────────────────
    @contextlib.contextmanager
    def transaction(self) -> Iterator[SqliteState]:
        """Durable when it ends, or nothing of it happened."""
        with self._mutex, self.errors():
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

    @property
    def mine(self) -> bool:
        """This thread is inside :meth:`transaction`."""
        return self._owner == threading.get_ident()

    def post(self, batch: Batch, position: int) -> list[Waiting]:
        """Put a batch into the outbox, inside :meth:`transaction`; all its pieces but the last leave the position where it was."""
        after, before = self.meta("last"), int(self.meta("position"))
        pieces = list(batch.pieces())
        posted = []
        for number, piece in enumerate(pieces, start=1):
            name = uuid.uuid4().hex
            moved = position if number == len(pieces) else before
            row = (name, after, moved, orjson.dumps(piece))
            ident = self._writer.execute("INSERT INTO outbox(batch, after, position, rows) VALUES (?, ?, ?, ?)", row).lastrowid
            posted.append(Waiting(ident or 0, name, after, moved, piece))
            after = name
        self.set_meta(last=after, position=str(position))
        words = [("label", word) for word in batch.labels] + [("type", word) for word in batch.types]
        words += [("walked", word) for word in batch.walked]
        self._writer.executemany("INSERT OR IGNORE INTO words VALUES (?, ?)", words)
        return posted

    def written(self, done: Sequence[Waiting]) -> None:
        """Take out of the outbox what the server has, inside :meth:`transaction`."""
        self._writer.executemany("DELETE FROM outbox WHERE id = ?", [(one.id,) for one in done])
        if done:
            self.set_meta(written=done[-1].batch, reached=str(done[-1].position))

    def waiting(self) -> list[Waiting]:
        """What the server may not have yet, in order."""
        rows = self._rows("SELECT id, batch, after, position, rows FROM outbox ORDER BY id")
        return [Waiting(ident, batch, after, position, orjson.loads(raw)) for ident, batch, after, position, raw in rows]

    def forget(self) -> None:
        """Empty the file in one transaction: a new pairing begins at position 0, and the server's graph has to be cleared.

        The bytes go too, from free pages and, unless a reader holds it for long, from the write-ahead log.
        """
        with self.transaction():
            self._state.clear()
            for table in ("outbox", "words"):
                self._writer.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
            self.set_meta(**_FRESH, pairing=uuid.uuid4().hex, clearing="yes")
        with self._mutex, self.errors():
            self._writer.execute("VACUUM")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    # ── small things ────────────────────────────────────────────────────────────────────────────
    def meta(self, name: str) -> str:
        """One of the file's own facts."""
        return str(self._rows("SELECT value FROM meta WHERE name = ?", (name,))[0][0])

    def set_meta(self, **values: str) -> None:
        """Set some of them."""
        with self._mutex, self.errors():
            self._writer.executemany("UPDATE meta SET value = ? WHERE name = ?", [(value, name) for name, value in values.items()])

    def words(self, kind: str) -> set[str]:
        """Every ``label``, ``type`` or ``walked`` type that the graph ever held."""
        return {str(row[0]) for row in self._rows("SELECT word FROM words WHERE kind = ?", (kind,))}

    def state(self) -> ReadState:
        """The fold's state as last committed, to read."""
        return ReadState(self._reader)

    def close(self) -> None:
        """Close the file and give it back."""
        with self._mutex:
            for connection in [*self._readers, self._writer]:
                connection.close()
            self._readers.clear()
            self._lock.__exit__(None, None, None)

    def _rows(self, sql: str, args: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self.errors():
            return self._reader().execute(sql, args).fetchall()

    def _reader(self) -> sqlite3.Connection:
        """This thread's own connection; the thread that writes reads what it wrote."""
        if self.mine:
            self._state.write()
            return self._writer
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only=ON")
            self._local.connection = connection
            with self._mutex:
                self._readers.append(connection)
        return connection

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False, cached_statements=256)

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
            hint = "free some space, or run govern lineage rebuild: the graph is made anew from the ledger"
            raise StoreUnavailable(f"{self.path} cannot be used: {error}", hint=hint) from error
