"""The row index in one SQLite file.

Erasure is physical: ``secure_delete`` overwrites what is freed, and after each forgetting the file is written anew (``VACUUM``) and the
write-ahead log truncated.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage.adapters.sql_rows import SqlRowIndex
from lineage.errors import StoreUnavailable

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["SqliteRowIndex", "SqliteRows"]

_SCHEMA_VERSION = 2
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY", "busy_timeout=30000", "cache_size=-65536")


class SqliteRowIndex(SqlRowIndex):
    """Port :class:`lineage.ports.RowIndex` in a file; one writer process, any number of threads.

    Args:
        path: the database file; made when missing.

    Raises:
        StoreUnavailable: it cannot be opened, or a newer Govern wrote it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(SqliteRows(path))


class SqliteRows:
    """The file (:class:`lineage.adapters.sql_rows.RowsDatabase`); looked at when it is opened, connected to when it is used."""

    remains = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._open: sa.Connection | None = None
        self._closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as db:
                (self._found,) = db.execute("PRAGMA user_version").fetchone()
                db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"the row index {path} cannot be opened: {error}", hint="govern doctor") from error
        if self._found > _SCHEMA_VERSION:
            raise StoreUnavailable(
                f"the row index {path} has schema {self._found}, newer than {_SCHEMA_VERSION}", hint="use the newer Govern"
            )

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """The one connection, under the lock: what another thread changes is whole or not there."""
        import sqlalchemy as sa

        with self._lock:
            try:
                yield self._connection()
            except sa.exc.DBAPIError as error:
                raise StoreUnavailable(f"the row index {self._path} cannot be read: {error.orig}", hint="govern doctor") from error

    @contextmanager
    def change(self) -> Iterator[sa.Connection]:
        """The one connection, in a transaction that is synced to the disk."""
        import sqlalchemy as sa

        with self._lock:
            try:
                connection = self._connection()
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    if _in_transaction(connection):  # a full disk has ended it already
                        connection.exec_driver_sql("ROLLBACK")
                    raise
                connection.exec_driver_sql("COMMIT")
            except sa.exc.DBAPIError as error:
                raise StoreUnavailable(
                    f"the row index {self._path} cannot be written: {error.orig}", hint="free some disk space, then run it again"
                ) from error

    def erase(self) -> None:
        """Write the file anew from what lives, fold the write-ahead log into it and cut the log to nothing.

        ``secure_delete`` overwrites what is freed, but a page that was split earlier may hold a stale copy of a block in its unused part,
        and old page images in the log would outlive the rows.

        Raises:
            StoreUnavailable: it could not be done; run it again.
        """
        with self.read() as connection:
            connection.exec_driver_sql("VACUUM")
            busy, _, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        if busy:
            raise StoreUnavailable(f"the write-ahead log of {self._path} could not be truncated: a reader holds it", hint="run it again")

    def close(self) -> None:
        """Close the file; the write-ahead log is folded in."""
        with self._lock:
            self._closed = True
            if self._open is not None:
                self._open.close()
                self._open.engine.dispose()
                self._open = None

    def _connection(self) -> sa.Connection:
        if self._closed:
            raise StoreUnavailable(f"the row index {self._path} is closed", hint="open it again")
        if self._open is None:
            self._open = _connect(self._path)
            if self._found < _SCHEMA_VERSION:
                self._make(self._open)
        return self._open

    def _make(self, connection: sa.Connection) -> None:
        """Make the tables, and bring over what the first schema held."""
        from lineage.adapters.sql_rows_tables import metadata

        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            metadata.create_all(connection)
            if self._found == 1:
                from lineage.adapters.sqlite_rows_first import bring_over

                bring_over(connection)
            connection.exec_driver_sql(f"PRAGMA user_version={_SCHEMA_VERSION}")
        except BaseException:
            if _in_transaction(connection):
                connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")
        old, self._found = self._found, _SCHEMA_VERSION
        if old == 1:
            connection.exec_driver_sql("VACUUM")


def _connect(path: Path) -> sa.Connection:
    """One connection for all threads, in autocommit: transactions are stated, because SQLite ends them by itself on a full disk."""
    import sqlalchemy as sa

    url = sa.URL.create("sqlite", database=str(path.absolute()))
    engine = sa.create_engine(
        url, poolclass=sa.pool.StaticPool, isolation_level="AUTOCOMMIT", connect_args={"check_same_thread": False, "timeout": 30}
    )

    @sa.event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: Any) -> None:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()

    return engine.connect()


def _in_transaction(connection: sa.Connection) -> bool:
    raw = connection.connection.dbapi_connection
    return bool(getattr(raw, "in_transaction", False))
