"""SQLite under the ledger's writer: a connection that is durable and erases what it deletes, alone by SQLite's own write lock."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.pool import NullPool

from lineage.adapters import sql_ledger_schema as schema
from lineage.adapters.sql_ledger_file import SqliteFile, meaning, suits
from lineage.adapters.sql_ledger_nodes import node_reader
from lineage.adapters.sql_ledger_place import Reader
from lineage.adapters.sql_ledger_wal import WalKeeper
from lineage.errors import GovernError, StoreUnavailable
from lineage.ledger.tree import NodeReader

__all__ = ["SqliteWriting", "explain", "explained", "truncate_wal", "writer_engine"]

T = TypeVar("T")

_PATIENCE = 10.0
"""Seconds in which the write-ahead log must have been emptied."""
# The statements of every append, for the driver itself: a toolkit's cost per row would be more than the row's.
_BY_IDENTITIES = (
    "SELECT idx, kind, recorded_at, actor, identity, leaf, salt, payload FROM entries WHERE identity IN (SELECT value FROM json_each(?))"
)
_INSERT = "INSERT INTO entries (idx, kind, recorded_at, actor, identity, leaf, salt, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_NODE = "INSERT INTO nodes (level, position, hash) VALUES (?, ?, ?)"
_RECORD = "SELECT body, revision FROM records WHERE kind = ? AND ident = ?"
_PUT = (
    "INSERT INTO records (kind, ident, body, revision) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (kind, ident) DO UPDATE SET body = excluded.body, revision = excluded.revision"
)
_DROP = "DELETE FROM records WHERE kind = ? AND ident = ?"
_log = logging.getLogger(__name__)


class SqliteWriting:
    """The writer's connection to a file (:class:`lineage.adapters.sql_ledger_place.Writing`); the tables of a new one are made.

    Raises:
        StoreUnavailable: the file cannot be used, or has another schema version. Tampered: it is damaged.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._path = file.path
        self.engine = writer_engine(file.path, busy_timeout_ms=file.busy_timeout_ms)
        with explained(file.path):
            with self.engine.begin() as connection:
                version = file.version(cast("Reader", connection.connection.dbapi_connection))
                if version is None:
                    schema.migrate(connection)
                else:
                    suits(version, file.name)
            self.connection = self.engine.connect()
        self._db = cast("sqlite3.Connection", self.connection.connection.dbapi_connection)
        self._wal = WalKeeper(file.path, self._db)

    def begin(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def execute(self, statement: str) -> None:
        self._db.execute(statement)

    def size(self) -> int:
        (last,) = self._db.execute("SELECT max(idx) FROM entries").fetchone()
        return 0 if last is None else int(last) + 1

    def tree(self, ask: Callable[[NodeReader], T]) -> T:
        return ask(node_reader(cast("Reader", self._db)))

    def by_identities(self, identities: Sequence[str]) -> Iterable[tuple[Any, ...]]:
        return self._db.execute(_BY_IDENTITIES, (json.dumps(identities),))

    def insert(self, entries: Sequence[tuple[object, ...]], nodes: Sequence[tuple[int, int, bytes]]) -> None:
        if entries:
            self._db.executemany(_INSERT, entries)
        if nodes:
            self._db.executemany(_INSERT_NODE, nodes)

    def record(self, kind: str, ident: str) -> tuple[str, int] | None:
        return cast("tuple[str, int] | None", self._db.execute(_RECORD, (kind, ident)).fetchone())

    def put(self, kind: str, ident: str, body: str, revision: int) -> None:
        self._db.execute(_PUT, (kind, ident, body, revision))

    def drop(self, kind: str, ident: str) -> None:
        self._db.execute(_DROP, (kind, ident))

    def meaning(self, error: BaseException | None) -> GovernError | None:
        return meaning(error, self._path)

    def wrote(self, size: int) -> None:
        try:
            self._wal.wrote(size)
        except sqlite3.Error:  # all is durable in the log; a disk that cannot take more says so at the next commit
            _log.warning("the write-ahead log of %s cannot be moved into it", self._path.name)

    def empty(self) -> None:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                with explained(self._path), self.engine.connect() as connection:
                    truncate_wal(connection, self._path)
            except StoreUnavailable:  # SQLite does not wait for a checkpoint that another connection is at, and after much it often is
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
            else:
                return

    def close(self) -> None:
        self._wal.close()
        self.connection.close()
        self.engine.dispose()


def writer_engine(path: Path, *, busy_timeout_ms: int) -> sa.Engine:
    """Connections for the one writer: WAL, every commit synced to disk, deleted content overwritten.

    They are in autocommit mode: the writer states its transactions itself, because SQLite ends them by itself on a full disk.
    """
    engine = sa.create_engine(_url(path), poolclass=NullPool, isolation_level="AUTOCOMMIT")

    @sa.event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: Any) -> None:
        for pragma in (
            f"busy_timeout={busy_timeout_ms}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "secure_delete=ON",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()

    return engine


def truncate_wal(connection: sa.Connection, path: Path) -> None:
    """Move the write-ahead log into the file and empty it, so that no destroyed byte stays in it.

    Raises:
        StoreUnavailable: a reader kept it from being emptied.
    """
    busy, _, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    if busy:
        raise StoreUnavailable(
            f"what was destroyed is gone from {path}, but readers keep its write-ahead log from being emptied",
            hint="repeat the request: it then only empties the log",
        )


def explain(error: exc.DBAPIError, path: Path) -> GovernError:
    """What the database's error means; one that is a mistake in this program is raised again as it is."""
    known = meaning(error.orig, path)
    if known is None:
        raise error
    return known


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Database errors inside come out in Govern's words."""
    try:
        yield
    except exc.DBAPIError as error:
        raise explain(error, path) from error


def _url(path: Path) -> sa.URL:
    return sa.URL.create("sqlite", database=str(path.absolute()))
