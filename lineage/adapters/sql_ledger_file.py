"""The ledger's SQLite file without any toolkit: made for its owner only, its schema version, and its errors in Govern's words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

from lineage.adapters.sql_ledger_nodes import node_reader
from lineage.adapters.sql_ledger_place import Reader
from lineage.errors import GovernError, StoreUnavailable, Tampered
from lineage.ledger.tree import NodeReader

__all__ = ["HEAD", "SqliteFile", "create_file", "explained_file", "meaning", "stated_version", "suits"]

T = TypeVar("T")

HEAD = 1
"""The schema version this code reads and writes; migrations are named by it, ``0001`` …"""

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


def _schema_version(connection: Reader, path: Path) -> int | None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite_%'")}
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise StoreUnavailable(f"{path} is a database, but no ledger: it has no schema version", hint="name another GOVERN_HOME")
    return stated_version(connection, str(path))


def stated_version(connection: Reader, name: str) -> int:
    """The schema version that the tables state.

    Raises:
        StoreUnavailable: no Govern wrote it.
    """
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if found is None or not str(found[0]).isdigit():
        said = None if found is None else found[0]
        raise StoreUnavailable(f"{name} has the schema version {said!r}, which no Govern wrote", hint="restore it from a backup")
    return int(found[0])


def suits(version: int, name: str) -> None:
    """Nothing, when this code reads that schema version.

    Raises:
        StoreUnavailable: the tables are older or newer than this code's.
    """
    if version > HEAD:
        raise StoreUnavailable(
            f"{name} has schema version {version}; this Govern knows versions up to {HEAD}",
            hint="install the newer release that wrote it: pip install --upgrade govern-ml",
        )
    if version < HEAD:
        raise StoreUnavailable(f"{name} has schema version {version}; this Govern needs {HEAD}", hint="govern upgrade")


def meaning(error: BaseException | None, path: Path) -> GovernError | None:
    """What the database's error means: the store cannot be used, or its content is not what we wrote.

    ``None`` for an error with neither meaning: a mistake in this program.
    """
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(_DAMAGED):
        return Tampered(f"{path} is damaged: {error}", hint="govern ledger fsck, then restore it from a backup")
    for code, (reason, hint) in _REASONS.items():
        if name.startswith(code):
            return StoreUnavailable(f"{path} cannot be used: {reason} ({error})", hint=hint)
    if isinstance(error, sqlite3.IntegrityError):
        return Tampered(f"{path} already holds what should be written next: {error}", hint="govern ledger fsck")
    if isinstance(error, sqlite3.OperationalError) and "no such table" in str(error):
        return Tampered(f"{path} has lost a table: {error}", hint="govern ledger fsck, then restore it from a backup")
    return None


@contextmanager
def explained_file(path: Path) -> Iterator[None]:
    """Errors of SQLite inside come out in Govern's words."""
    try:
        yield
    except sqlite3.Error as error:
        known = meaning(error, path)
        if known is None:
            raise
        raise known from error


class SqliteFile:
    """A ledger in one SQLite file (:class:`lineage.adapters.sql_ledger_place.Place`).

    Args:
        path: the file; made, for its owner only, when it is not there.
        busy_timeout_ms: how long to wait for another process's lock.
    """

    def __init__(self, path: Path, *, busy_timeout_ms: int = 5000) -> None:
        self.path = path
        self.busy_timeout_ms = busy_timeout_ms

    @property
    def name(self) -> str:
        return str(self.path)

    def make(self) -> None:
        create_file(self.path)

    def version(self, reader: Reader) -> int | None:
        return _schema_version(reader, self.path)

    def connect(self) -> Reader:
        connection = sqlite3.connect(
            self.path.absolute(), isolation_level=None, check_same_thread=False, timeout=self.busy_timeout_ms / 1000
        )
        try:
            connection.execute("PRAGMA query_only=ON").fetchall()
        except sqlite3.Error:
            connection.close()
            raise
        return cast("Reader", connection)

    def usable(self, reader: Reader) -> bool:
        del reader  # a file does not go away between two statements
        return True

    def tree(self, reader: Reader, ask: Callable[[NodeReader], T]) -> T:
        return ask(node_reader(reader))

    @contextmanager
    def explained(self) -> Iterator[None]:
        with explained_file(self.path):
            yield
