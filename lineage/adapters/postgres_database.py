"""A PostgreSQL database as Govern's stores use it: its address and name, its connections, its errors, and its tables written anew."""

from __future__ import annotations

import re
import select
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import psycopg
from psycopg.conninfo import conninfo_to_dict

from lineage.adapters.postgres_errors import meaning
from lineage.errors import BadInput, GovernError, StoreUnavailable

__all__ = ["Fence", "PostgresDatabase"]

_NEXT: Final = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_OLDER: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend' AND backend_xmin IS NOT NULL"
    " AND age(backend_xmin) > pg_snapshot_xmax(pg_current_snapshot())::text::bigint - %s"
)
_NUMBER: Final = re.compile(r"\d+")


class Fence(Protocol):
    """Keeps a process whose home was taken over out of the database (:class:`lineage.adapters.postgres_lease.PostgresLease`)."""

    def enter(self, db: psycopg.Connection[Any]) -> None:
        """Let a new connection in. Raises ``StoreUnavailable`` when the home is another's now."""
        ...

    def check(self, token: object, whose: str = "") -> None:
        """Go on when the token that the server names is this process's; ``whose`` it is. Raises as :meth:`enter` does."""
        ...


class PostgresDatabase:
    """One database of a server; nothing is opened by naming it.

    Args:
        uri: ``postgresql://USER:PASSWORD@HOST/DATABASE`` and whatever else libpq understands there.
        patience: seconds to wait for a connection, and for readers when tables are written anew.
        fence: who owns the home that lies there; connections are opened for its owner alone. ``None``: for everybody.

    Raises:
        BadInput: that is no such address.
    """

    def __init__(self, uri: str, *, patience: float = 10.0, fence: Fence | None = None) -> None:
        try:
            said: dict[str, Any] = conninfo_to_dict(uri.replace("postgresql+psycopg://", "postgresql://", 1))
        except psycopg.Error:  # its text repeats the address, and with it the password
            raise BadInput(
                "GOVERN_DATABASE is no address of a PostgreSQL database", hint="GOVERN_DATABASE=postgresql://USER:PASSWORD@HOST/DATABASE"
            ) from None
        said.setdefault("connect_timeout", max(2, round(patience)))
        said.setdefault("application_name", "govern")
        self._said = said
        self.patience = patience
        self.fence = fence
        self.name = f"the PostgreSQL database {said.get('dbname') or 'of its user'} at {said.get('host') or 'this machine'}"
        """What it is called in messages; neither user nor password."""

    def open(self, prepare: str) -> psycopg.Connection[Any]:
        """A connection in autocommit mode after these statements; the driver's errors come out as they are.

        Raises:
            StoreUnavailable: the home was taken over by another process.
        """
        db: psycopg.Connection[Any] = psycopg.connect(autocommit=True, **self._said)
        try:
            if self.fence is not None:
                self.fence.enter(db)
            db.execute(prepare.encode())
        except BaseException:
            db.close()
            raise
        return db

    @staticmethod
    def usable(db: psycopg.Connection[Any]) -> bool:
        """Whether a connection that was idle can be used again."""
        if db.closed:
            return False
        heard = select.poll()
        heard.register(db.fileno(), select.POLLIN)
        return not heard.poll(0)  # between two statements a server says something only when it ends the connection

    def meaning(self, error: BaseException | None) -> GovernError | None:
        """What the driver's error means; ``None`` for a mistake in this program."""
        return meaning(error, self.name)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Errors of the driver inside come out in Govern's words."""
        try:
            yield
        except psycopg.Error as error:
            known = self.meaning(error)
            if known is None:
                raise
            raise known from error

    def write_anew(self, schema: str, tables: Sequence[str]) -> None:
        """Write these tables into new files (VACUUM FULL): of rows that were changed or deleted no byte stays in the tables' files.

        Nobody reads or writes a table meanwhile. Transactions that are older than now are waited for first, ``patience`` seconds: what one
        of them may still see is kept, and the workflow engine, among others, has one open at every moment, each for a second.

        Raises:
            StoreUnavailable: somebody reads it and goes on reading; or an old transaction, a replication slot or a replica may still see
                old rows, which the server then keeps.
        """
        with self.explained():
            db = self.open(
                f"SET search_path TO {schema}; SET statement_timeout TO 0; SET lock_timeout TO '{round(self.patience * 1000)}ms'"
            )
            said: list[str] = []
            db.add_notice_handler(lambda notice: said.append(notice.message_detail or ""))
            try:
                self._older_ended(db)
                for table in tables:
                    said.clear()
                    db.execute(f"VACUUM (FULL, VERBOSE) {table}".encode())
                    self._nothing_kept(said)
            finally:
                db.close()

    def _older_ended(self, db: psycopg.Connection[Any]) -> None:
        """Wait for the transactions that began before now; one that does not end in time is told of by what it keeps."""
        (now,) = db.execute(_NEXT.encode()).fetchone() or (0,)
        end = time.monotonic() + self.patience
        while (db.execute(_OLDER.encode(), (now,)).fetchone() or (0,))[0] and time.monotonic() < end:
            time.sleep(0.02)

    def _nothing_kept(self, said: Sequence[str]) -> None:
        kept = next((int(found[0]) for detail in said if (found := _NUMBER.search(detail))), None)
        if kept != 0:  # a server that does not say it is not believed
            raise StoreUnavailable(
                f"what was destroyed is gone from the rows of {self.name}, but {'some' if kept is None else kept} old rows are kept in its"
                " files for an old transaction, a replication slot or a replica that may still read them",
                hint="end it (pg_stat_activity, pg_prepared_xacts, pg_replication_slots), then repeat the request: it only empties files",
            )
