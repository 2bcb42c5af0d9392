"""SQLite under the ledger: connections that are durable and erase what they delete, and its errors in Govern's words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.pool import NullPool

from lineage.adapters.sql_ledger_file import meaning
from lineage.errors import GovernError, StoreUnavailable

__all__ = ["explain", "explained", "truncate_wal", "writer_engine"]


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
