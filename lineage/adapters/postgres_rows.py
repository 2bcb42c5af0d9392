"""The row index in a PostgreSQL database, beside other tables.

What erasing means there. A deleted row version stays in its table's file until the table is vacuumed, and a plain ``VACUUM`` frees its
space without overwriting it. So each forgetting ends with ``VACUUM FULL``, which writes the tables anew and deletes the old files; no
file of the tables then holds what was forgotten. The write-ahead log does until its segments are recycled and overwritten, and so do
its archive, replicas and base backups until they age out: none of them can be reached by a client. :attr:`PostgresRows.remains` says so.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lineage.adapters.postgres_database import PostgresDatabase
from lineage.adapters.sql_rows import SqlRowIndex
from lineage.errors import StoreUnavailable

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["PostgresRowIndex", "PostgresRows"]

_SCHEMA = "govern_rows"
_SCHEMA_VERSION = 2
_SESSION = (
    f"SET search_path TO {_SCHEMA}; SET idle_in_transaction_session_timeout TO '60s';"
    " SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
_WRITER = 0x676F7665726E_0001
"""The advisory lock that its writer holds, in every process."""


class PostgresRowIndex(SqlRowIndex):
    """Port :class:`lineage.ports.RowIndex` in PostgreSQL, in the schema ``govern_rows``; any number of processes and threads.

    Args:
        database: ``postgresql://USER:PASSWORD@HOST/DATABASE`` as libpq takes it, or that database.

    Raises:
        BadInput: that is no such URI. StoreUnavailable: the server cannot be used, or a newer Govern made the tables.
    """

    def __init__(self, database: str | PostgresDatabase) -> None:
        super().__init__(PostgresRows(database))


class PostgresRows:
    """The database (:class:`lineage.adapters.sql_rows.RowsDatabase`)."""

    remains = (
        "PostgreSQL's write-ahead log holds what was forgotten until its segments are overwritten, and its archive, replicas and base "
        "backups until they age out"
    )

    def __init__(self, database: str | PostgresDatabase) -> None:
        self._database = PostgresDatabase(database) if isinstance(database, str) else database
        self._shown = self._database.name
        self._gate = threading.Lock()
        self._made = False

    @cached_property
    def _engine(self) -> sa.Engine:
        import sqlalchemy as sa

        return sa.create_engine("postgresql+psycopg://", creator=self._connected, pool_pre_ping=True, pool_size=5, max_overflow=15)

    @cached_property
    def _reading(self) -> sa.Engine:
        return self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that reads one snapshot."""
        with self._explained("read"):
            self._make()
            with self._reading.connect() as connection, connection.begin():
                yield connection

    @contextmanager
    def change(self) -> Iterator[sa.Connection]:
        """A transaction after every other writer's: its lock is taken before the first statement that reads."""
        with self._explained("written"):
            self._make()
            with self._engine.begin() as connection:
                _alone(connection)
                yield connection

    def erase(self) -> None:
        """Write the tables anew (``VACUUM FULL``); readers wait meanwhile.

        Raises:
            StoreUnavailable: it could not be done, or an old transaction may still see what was forgotten; run it again.
        """
        from lineage.adapters.sql_rows_tables import metadata

        with self._explained("vacuumed"):
            self._make()
        self._database.write_anew(_SCHEMA, [table.name for table in metadata.sorted_tables])

    def close(self) -> None:
        """Close every connection."""
        if "_engine" in self.__dict__:  # it was used
            self._engine.dispose()

    def _make(self) -> None:
        import sqlalchemy as sa

        from lineage.adapters.sql_rows_tables import meta, metadata

        with self._gate:
            if self._made:
                return
            with self._engine.begin() as connection:
                _alone(connection)
                if connection.exec_driver_sql(f"SELECT to_regnamespace('{_SCHEMA}') IS NULL").scalar_one():
                    connection.exec_driver_sql(f"CREATE SCHEMA {_SCHEMA}")
                metadata.create_all(connection)
                found = connection.execute(sa.select(meta.c.value).where(meta.c.name == "schema")).scalar()
                if found is None:
                    connection.execute(sa.insert(meta).values(name="schema", value=_SCHEMA_VERSION))
            if found is not None and found > _SCHEMA_VERSION:
                raise StoreUnavailable(
                    f"the row index in {self._shown} has schema {found}, newer than {_SCHEMA_VERSION}", hint="use the newer Govern"
                )
            self._made = True

    def _connected(self) -> Any:
        db = self._database.open(_SESSION)
        db.autocommit = False  # SQLAlchemy begins and ends transactions itself
        return db

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        import sqlalchemy as sa

        try:
            yield
        except sa.exc.DBAPIError as error:
            said = str(error.orig).strip().partition("\n")[0]
            raise StoreUnavailable(
                f"the row index in {self._shown} cannot be {what}: {said}", hint="check the server, then run it again"
            ) from error


def _alone(connection: sa.Connection) -> None:
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_WRITER,))
