"""Prediction records on PostgreSQL, in a schema of their own; any number of processes.

An erasure sets what a prediction says to nothing and then writes the table into a new file: PostgreSQL keeps the old row beside the new
one. Statistics of these columns are switched off, because ANALYZE would copy samples of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol

from governance.adapters.predictions import Connection, Found, Predictions
from lineage.errors import StoreUnavailable

__all__ = ["Database", "PostgresPredictions"]

SCHEMA: Final = "govern_predictions"
_SCHEMA_VERSION: Final = 2
_LOCK: Final = 0x676F7070
_TABLE: Final = (
    'CREATE TABLE prediction (id text COLLATE "C" PRIMARY KEY, at bigint NOT NULL, deployment text NOT NULL, model text NOT NULL,'
    " version text NOT NULL, subject text, inputs bytea, outputs bytea, request text, epoch text)"
)
_SECOND: Final = (
    "ALTER TABLE prediction ADD COLUMN epoch text",
    "UPDATE prediction SET epoch='epoch-1' WHERE subject IS NOT NULL",
    "UPDATE schema_version SET version=2",
)
"""From the first schema: there was one epoch then."""
_DDL: Final = (
    _TABLE,
    "CREATE INDEX prediction_subject ON prediction (subject) WHERE subject IS NOT NULL",
    "CREATE INDEX prediction_model ON prediction (model, at)",
    "ALTER TABLE prediction ALTER subject SET STATISTICS 0, ALTER inputs SET STATISTICS 0, ALTER outputs SET STATISTICS 0",
    f"CREATE TABLE schema_version AS SELECT {_SCHEMA_VERSION} AS version",
)


class Database(Protocol):
    """What these records need of a PostgreSQL database; the wiring hands it in."""

    name: str

    def open(self, prepare: str) -> Any: ...
    def usable(self, db: Any) -> bool: ...
    def explained(self) -> AbstractContextManager[None]: ...
    def write_anew(self, schema: str, tables: Sequence[str]) -> None: ...


class _Statements:
    """A psycopg connection whose statements take ``?``."""

    def __init__(self, db: Any) -> None:
        self._db = db

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Found:
        found: Found = self._db.execute(sql.replace("?", "%s"), parameters, binary=True)
        return found


class PostgresPredictions(Predictions):
    """The records of the predictions served, in a PostgreSQL database.

    Args:
        database: where; the tables are made when they are not there.

    Raises:
        StoreUnavailable: it cannot be used, or a newer Govern wrote the tables.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.RLock()
        self._closed = False
        self._db: Any = None
        try:
            with self._read():
                self._make()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._closed = True
            if self._db is not None:
                self._db.close()

    def _make(self) -> None:
        with self._db.transaction():
            self._db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            (there, tables) = self._db.execute(
                "SELECT to_regnamespace(%s) IS NOT NULL, to_regclass(%s) IS NOT NULL", (SCHEMA, f"{SCHEMA}.schema_version")
            ).fetchone()
            if not there:
                self._db.execute(f"CREATE SCHEMA {SCHEMA}")
            if not tables:
                for statement in _DDL:
                    self._db.execute(statement)
            (found,) = self._db.execute("SELECT version FROM schema_version").fetchone()
            if found == 1:
                for statement in _SECOND:
                    self._db.execute(statement)
        if found > _SCHEMA_VERSION:
            raise StoreUnavailable(
                f"the prediction records in {self._database.name} have schema {found}, newer than {_SCHEMA_VERSION}",
                hint="install the newer release that wrote them",
            )

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._lock, self._database.explained():
            yield _Statements(self._connection())

    @contextmanager
    def _change(self) -> Iterator[Connection]:
        with self._lock, self._database.explained():
            db = self._connection()
            with db.transaction():
                yield _Statements(db)

    def _empty(self) -> None:
        self._database.write_anew(SCHEMA, ["prediction"])

    def _connection(self) -> Any:
        if self._closed:
            raise StoreUnavailable(f"the prediction records in {self._database.name} are closed")
        if self._db is not None and not self._database.usable(self._db):
            self._db.close()
            self._db = None
        if self._db is None:
            self._db = self._database.open(
                f"SET search_path TO {SCHEMA};"
                " SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
            )
        return self._db
