"""SQLite under the ledger: connections that are durable and erase what they delete, and its errors in Govern's words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.pool import NullPool

from lineage.errors import GovernError, StoreUnavailable, Tampered

__all__ = ["create_file", "explain", "explained", "reader_engine", "truncate_wal", "writer_engine"]

_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_REASONS = {
    "SQLITE_FULL": ("the disk (or the file's limit) is full", "free some space, then try again"),
    "SQLITE_BUSY": ("another process holds it locked", "stop the other process, then try again"),
    "SQLITE_LOCKED": ("another connection holds it locked", "try again"),
    "SQLITE_READONLY": ("it cannot be written", "check the owner and the mode of the file and its folder"),
    "SQLITE_CANTOPEN": ("it cannot be opened", "check that the folder exists and is yours"),
    "SQLITE_PERM": ("access is refused", "check the owner and the mode of the file and its folder"),
    "SQLITE_IOERR": ("the disk reported an error, or is full", "check the disk and its free space, then try again"),
}


def create_file(path: Path) -> None:
    """Make an empty file that only its owner can read, unless it is there; SQLite gives its WAL the same mode.

    Raises:
        StoreUnavailable: it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be made or opened: {error.strerror}", hint="check the folder and its mode") from error


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


def reader_engine(path: Path, *, busy_timeout_ms: int) -> sa.Engine:
    """Pooled connections that cannot write; each sees what was committed when its statement began."""
    engine = sa.create_engine(_url(path), isolation_level="AUTOCOMMIT", pool_size=4, max_overflow=-1)

    @sa.event.listens_for(engine, "connect")
    def _(connection: sqlite3.Connection, _record: Any) -> None:
        for pragma in (f"busy_timeout={busy_timeout_ms}", "query_only=ON"):
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
    """What the database's error means: the store cannot be used, or its content is not what we wrote.

    An error with neither meaning is a mistake in this program and is raised again as it is.
    """
    name = getattr(error.orig, "sqlite_errorname", "") or ""
    if name.startswith(_DAMAGED):
        return Tampered(f"{path} is damaged: {error.orig}", hint="govern ledger fsck, then restore it from a backup")
    for code, (reason, hint) in _REASONS.items():
        if name.startswith(code):
            return StoreUnavailable(f"{path} cannot be used: {reason} ({error.orig})", hint=hint)
    if isinstance(error, exc.IntegrityError):
        return Tampered(f"{path} already holds what should be written next: {error.orig}", hint="govern ledger fsck")
    if isinstance(error, exc.OperationalError) and "no such table" in str(error.orig):
        return Tampered(f"{path} has lost a table: {error.orig}", hint="govern ledger fsck, then restore it from a backup")
    raise error


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Database errors inside come out in Govern's words."""
    try:
        yield
    except exc.DBAPIError as error:
        raise explain(error, path) from error


def _url(path: Path) -> sa.URL:
    return sa.URL.create("sqlite", database=str(path.absolute()))
