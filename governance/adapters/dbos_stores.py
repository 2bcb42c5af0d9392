"""Where the steps of durable workflows are remembered: a SQLite file, or a schema of a PostgreSQL database.

What lies there is progress alone, and may be lost whole: what was entered in the ledger and has not ended is begun again, and every step
can be repeated. DBOS makes and migrates its tables itself.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import sqlalchemy as sa
from sqlalchemy import event

from lineage.errors import StoreUnavailable

__all__ = ["Database", "PostgresSteps", "SqliteSteps", "StepStore", "give_subseconds"]

SCHEMA: Final = "govern_workflows"
_POOL: Final = 8
"""Connections that are kept; as many again while they are needed."""
_SESSION: Final = (
    "SET idle_in_transaction_session_timeout TO '60s';"
    " SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)


class StepStore(Protocol):
    """What :class:`governance.adapters.dbos_engine.DbosEngine` needs to know of a database."""

    @property
    def url(self) -> str:
        """Names the kind of database, in SQLAlchemy's words; connections come from :meth:`engine`."""
        ...

    @property
    def schema(self) -> str | None:
        """The schema of the tables; ``None`` where a database has none."""
        ...

    def engine(self) -> sa.Engine:
        """A new pool of connections; whoever asks for it disposes of it."""
        ...

    def explained(self) -> AbstractContextManager[None]:
        """Errors of the database inside come out in Govern's words."""
        ...


class SqliteSteps:
    """A SQLite file (WAL, ``synchronous=FULL``), readable by its owner alone."""

    schema: str | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = f"sqlite:///{path}"

    def engine(self) -> sa.Engine:
        connection = sqlite3.connect(self._path)
        try:
            connection.execute("PRAGMA journal_mode=WAL")  # kept in the file; DBOS would leave the rollback journal
        finally:
            connection.close()
        self._path.chmod(0o600)
        engine = sa.create_engine(self.url, connect_args={"timeout": 30})
        event.listen(engine, "connect", _prepared)
        return engine

    @contextmanager
    def explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, sa.exc.DBAPIError) as error:
            said = error.orig if isinstance(error, sa.exc.DBAPIError) else error
            raise StoreUnavailable(f"the workflow store {self._path} cannot be used: {said}", hint="govern doctor") from error


class Database(Protocol):
    """What the steps need of a PostgreSQL database; the wiring hands it in."""

    name: str

    def open(self, prepare: str) -> Any: ...
    def explained(self) -> AbstractContextManager[None]: ...


class PostgresSteps:
    """A schema of its own in a PostgreSQL database, beside the ledger's."""

    url: str = "postgresql+psycopg:///govern"  # DBOS wants a name in it, and connects by the engine alone
    schema: str | None = SCHEMA

    def __init__(self, database: Database) -> None:
        self._database = database

    def engine(self) -> sa.Engine:
        return sa.create_engine(self.url, creator=self._connected, pool_size=_POOL, max_overflow=_POOL, pool_pre_ping=True)

    @contextmanager
    def explained(self) -> Iterator[None]:
        with self._database.explained():
            try:
                yield
            except sa.exc.DBAPIError as error:
                raise (error.orig or error) from error

    def _connected(self) -> Any:
        db = self._database.open(_SESSION)
        db.autocommit = False  # SQLAlchemy begins and ends transactions itself
        return db


def _prepared(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = "IMMEDIATE"  # who will write waits for its turn at the beginning, and never in the middle
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    give_subseconds(connection)


def give_subseconds(connection: sqlite3.Connection) -> None:
    """Teach an older SQLite ``unixepoch('subsec')``, seconds with their fraction, which SQLite has since 3.42.

    From Python 3.12 on DBOS 3.4 writes its times with it, but Python's version says nothing of SQLite's: Debian 12 has 3.40 under every
    Python, where the call gives NULL and the first insert fails.
    """
    if sqlite3.sqlite_version_info < (3, 42):
        connection.create_function("unixepoch", 1, _unixepoch)


def _unixepoch(modifier: str) -> float:
    if modifier != "subsec":
        raise ValueError(f"unixepoch({modifier!r}) is not known here")
    return time.time()
