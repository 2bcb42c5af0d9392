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
from typing import TYPE_CHECKING

from lineage.adapters.sql_rows import SqlRowIndex
from lineage.errors import BadInput, StoreUnavailable

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["PostgresRowIndex", "PostgresRows"]

_SCHEMA_VERSION = 2
_WRITER = 0x676F7665726E_0001
"""The advisory lock that its writer holds, in every process."""


class PostgresRowIndex(SqlRowIndex):
    """Port :class:`lineage.ports.RowIndex` in PostgreSQL; any number of processes and threads.

    Args:
        uri: ``postgresql://USER:PASSWORD@HOST/DATABASE`` as libpq takes it.

    Raises:
        BadInput: that is no such URI. StoreUnavailable: the server cannot be used, or a newer Govern made the tables.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(PostgresRows(uri))


class PostgresRows:
    """The database (:class:`lineage.adapters.sql_rows.RowsDatabase`)."""

    remains = (
        "PostgreSQL's write-ahead log holds what was forgotten until its segments are overwritten, and its archive, replicas and base "
        "backups until they age out"
    )

    def __init__(self, uri: str) -> None:
        import sqlalchemy as sa

        try:
            url = sa.make_url(uri)
        except sa.exc.ArgumentError:
            raise BadInput("this is no address of a PostgreSQL database", hint="postgresql://USER:PASSWORD@HOST/DATABASE") from None
        if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
            raise BadInput(f"{url.drivername}:// is no address of a PostgreSQL database", hint="postgresql://USER:PASSWORD@HOST/DATABASE")
        url = url.set(drivername="postgresql+psycopg")
        self._shown = url.render_as_string(hide_password=True)
        self._engine = sa.create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=15)
        self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._gate = threading.Lock()
        self._made = False

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
        """``VACUUM FULL`` of the tables; readers wait meanwhile.

        Raises:
            StoreUnavailable: it could not be done; run it again.
        """
        from lineage.adapters.sql_rows_tables import metadata

        with self._explained("vacuumed"), self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in metadata.sorted_tables:
                connection.exec_driver_sql(f"VACUUM (FULL) {table.name}")

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _make(self) -> None:
        import sqlalchemy as sa

        from lineage.adapters.sql_rows_tables import meta, metadata

        with self._gate:
            if self._made:
                return
            with self._engine.begin() as connection:
                _alone(connection)
                metadata.create_all(connection)
                found = connection.execute(sa.select(meta.c.value).where(meta.c.name == "schema")).scalar()
                if found is None:
                    connection.execute(sa.insert(meta).values(name="schema", value=_SCHEMA_VERSION))
            if found is not None and found > _SCHEMA_VERSION:
                raise StoreUnavailable(
                    f"the row index in {self._shown} has schema {found}, newer than {_SCHEMA_VERSION}", hint="use the newer Govern"
                )
            self._made = True

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
