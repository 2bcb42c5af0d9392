"""PostgreSQL under the ledger's writer: alone by an advisory lock, sure of its commits, and able to take destroyed bytes out.

1. **Alone.** Every transaction of a writer takes the same advisory lock first, so that those of many processes follow one another; each
   reads how far the log is after it has the lock, and goes on from there. Where the ledger is of a home, it then asks whose that is: a
   process from which it was taken over writes nothing more.
2. **Frozen.** A writer that says nothing inside a transaction is ended by the server after a while and its lock with it. When it wakes, it
   cannot commit: what it had written is undone.
3. **Sure.** When the connection is lost while a commit is under way, the server is asked what became of that transaction.
4. **Destroyed.** PostgreSQL keeps the old row beside the new one until a VACUUM, and even then its bytes in the page. The tables are
   therefore written anew (VACUUM FULL) after something was destroyed; when an old snapshot still sees the old rows, that is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar, cast

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from sqlalchemy.pool import NullPool

from lineage.adapters import sql_ledger_schema as schema
from lineage.adapters.postgres_owner import WHOSE
from lineage.adapters.sql_ledger_file import suits
from lineage.adapters.sql_ledger_nodes import fetched
from lineage.adapters.sql_ledger_postgres import SCHEMA, PostgresPlace, PostgresReader, nodes_of
from lineage.errors import GovernError, StoreUnavailable
from lineage.ledger.entries import REDACTED
from lineage.ledger.retired import RETIRED
from lineage.ledger.tree import NodeReader

__all__ = ["PostgresWriting"]

T = TypeVar("T")

_LOCK: Final = 0x676F7665
"""First half of the advisory lock's name; the second is the table's number, so that two ledgers in one database are apart."""
_ALONE: Final = f"SELECT pg_advisory_xact_lock({_LOCK}, 'entries'::regclass::oid::int)"
_WHOSE: Final = f"{_ALONE}; {WHOSE}"  # two statements, so that the second sees what the lock was waited for
_MAKING: Final = f"SELECT pg_advisory_xact_lock({_LOCK}, 0)"
_WRITES: Final = (
    f"SET search_path TO {SCHEMA}; SET lock_timeout TO '{{wait}}ms'; SET idle_in_transaction_session_timeout TO '{{frozen}}ms';"
    " SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
_BY_IDENTITIES: Final = "SELECT idx, kind, recorded_at, actor, identity, leaf, salt, payload FROM entries WHERE identity = ANY(?::text[])"
_INSERT: Final = (
    b"INSERT INTO entries (idx, kind, recorded_at, actor, identity, leaf, salt, payload) VALUES (%s, %s, %s, %s, %s, %b, %b, %b)"
)
_INSERT_NODE: Final = b"INSERT INTO nodes (level, position, hash) VALUES (%s, %s, %b)"

_RECORD: Final = b"SELECT body, revision FROM records WHERE kind = %s AND ident = %s"
_PUT: Final = (
    b"INSERT INTO records (kind, ident, body, revision) VALUES (%s, %s, %s, %s)"
    b" ON CONFLICT (kind, ident) DO UPDATE SET body = excluded.body, revision = excluded.revision"
)
_DROP: Final = b"DELETE FROM records WHERE kind = %s AND ident = %s"


class PostgresWriting:
    """The writer's connection to a server (:class:`lineage.adapters.sql_ledger_place.Writing`); a new database's tables are made.

    It is opened again by the first transaction after it was lost.

    Raises:
        StoreUnavailable: the server is away, refuses the user, or has tables of another schema version.
    """

    def __init__(self, place: PostgresPlace) -> None:
        self._place = place
        prepare = _WRITES.format(wait=round((place.frozen + place.patience) * 1000), frozen=round(place.frozen * 1000))
        self.engine = sa.create_engine(
            "postgresql+psycopg://", creator=lambda: place.database.open(prepare), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        with place.explained():
            self._connect()
            try:
                self._prepare()
            except sa.exc.DBAPIError as error:
                self.close()
                raise (error.orig or error) from None
            except BaseException:
                self.close()
                raise

    # ── transactions ────────────────────────────────────────────────────────────────────────────
    def begin(self) -> None:
        try:
            self._begin()
        except psycopg.OperationalError:
            if not self._lost():
                raise
            self._connect()  # the server was away since the last transaction: nothing was under way
            self._begin()

    def _begin(self) -> None:
        self._db.execute("BEGIN")
        fence = self._place.database.fence
        if fence is None:
            self._db.execute(_ALONE)
            return
        said = self._db.execute(_WHOSE.encode())
        said.nextset()
        fence.check(*(said.fetchone() or (None, "nobody")))

    def commit(self) -> None:
        (transaction,) = self._one("SELECT pg_current_xact_id_if_assigned()::text")
        try:
            done = self._db.execute("COMMIT")
        except psycopg.OperationalError as error:
            if not self._lost() or (transaction is not None and not self._committed(transaction, error)):
                raise
            return
        if done.statusmessage != "COMMIT":
            raise StoreUnavailable(f"{self._place.name} undid the transaction; nothing was written", hint="try again")

    def _committed(self, transaction: str, lost: BaseException) -> bool:
        """Whether a commit whose answer was lost was carried out, as the server says."""
        end = time.monotonic() + self._place.patience
        while True:
            try:
                self._connect()
                (status,) = self._one("SELECT pg_xact_status(%s::xid8)", (transaction,))
            except psycopg.Error:
                status = "in progress"
            if status in ("committed", "aborted"):
                return bool(status == "committed")
            if status is None or time.monotonic() > end:
                raise StoreUnavailable(
                    f"the connection to {self._place.name} was lost while it committed: it is not known whether that was written",
                    hint="repeat it once the server answers: what has an identity is not entered twice",
                ) from lost
            time.sleep(0.1)

    def rollback(self) -> None:
        if self.in_transaction():
            self._db.execute("ROLLBACK")

    def in_transaction(self) -> bool:
        return self._db.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    def execute(self, statement: str) -> None:
        self._db.execute(statement.encode())

    # ── rows ────────────────────────────────────────────────────────────────────────────────────
    def size(self) -> int:
        (last,) = self._one("SELECT max(idx) FROM entries")
        return 0 if last is None else int(last) + 1

    def tree(self, ask: Callable[[NodeReader], T]) -> T:
        reader = PostgresReader(self._db)
        return fetched(ask, lambda wanted: nodes_of(reader, wanted))

    def by_identities(self, identities: Sequence[str]) -> Iterable[tuple[Any, ...]]:
        return PostgresReader(self._db).execute(_BY_IDENTITIES, (list(identities),))

    def insert(self, entries: Sequence[tuple[object, ...]], nodes: Sequence[tuple[int, int, bytes]]) -> None:
        with self._db.cursor() as cursor:
            if entries:
                cursor.executemany(_INSERT, entries)
            if nodes:
                cursor.executemany(_INSERT_NODE, nodes)

    def record(self, kind: str, ident: str) -> tuple[str, int] | None:
        return self._db.execute(_RECORD, (kind, ident)).fetchone()

    def put(self, kind: str, ident: str, body: str, revision: int) -> None:
        self._db.execute(_PUT, (kind, ident, body, revision))

    def drop(self, kind: str, ident: str) -> None:
        self._db.execute(_DROP, (kind, ident))

    def meaning(self, error: BaseException | None) -> GovernError | None:
        return self._place.database.meaning(error)

    def wrote(self, size: int) -> None:
        """Nothing: the server keeps its own log."""

    # ── destroyed bytes ─────────────────────────────────────────────────────────────────────────
    def empty(self) -> None:
        with self._place.explained():
            db = self._place.database.open(f"SET search_path TO {SCHEMA}")
            try:
                row = db.execute(
                    "SELECT max(idx), (SELECT emptied FROM log) FROM entries WHERE kind = ANY(%s)", ([REDACTED, RETIRED],)
                ).fetchone()
                last, done = row or (None, None)
                if last is None or (done is not None and done >= last):
                    return
                self._place.database.write_anew(SCHEMA, ["entries", "records"])
                db.execute("UPDATE log SET emptied = %s", (last,))
            finally:
                db.close()

    # ── the connection ──────────────────────────────────────────────────────────────────────────
    def close(self) -> None:
        self.connection.close()
        self.engine.dispose()

    def _connect(self) -> None:
        before: sa.Connection | None = getattr(self, "connection", None)
        if before is not None:
            if not before.closed:
                before.invalidate()
            before.close()
        try:
            self.connection = self.engine.connect()
        except sa.exc.DBAPIError as error:
            raise (error.orig or error) from None
        self._db = cast("psycopg.Connection[Any]", self.connection.connection.dbapi_connection)

    def _lost(self) -> bool:
        return bool(self._db.closed)

    def _one(self, statement: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...]:
        found = self._db.execute(statement.encode(), parameters).fetchone()
        assert found is not None  # each of these answers one row
        return cast("tuple[Any, ...]", found)

    def _prepare(self) -> None:
        """Make the tables of a new database, once, whoever comes first; refuse those of another version."""
        version = self._place.version(PostgresReader(self._db))
        if version is None:
            with self.engine.connect().execution_options(isolation_level="READ COMMITTED") as connection, connection.begin():
                connection.exec_driver_sql(_MAKING)
                version = self._place.version(PostgresReader(cast("psycopg.Connection[Any]", connection.connection.dbapi_connection)))
                if version is None:
                    if connection.exec_driver_sql(f"SELECT to_regnamespace('{SCHEMA}') IS NULL").scalar_one():
                        connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")
                    schema.migrate(connection)
                    connection.execute(sa.insert(schema.log), {"origin": self._place.origin})
                    return
        suits(version, self._place.name)
