"""The ledger's PostgreSQL database without any toolkit: its address, its connections, its schema version.

The tables lie in a schema of their own, ``govern_ledger``, so that the database may hold other stores of Govern too. Connections are
psycopg's, in autocommit mode; values travel in binary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar, cast

import psycopg

from lineage.adapters.postgres_database import Fence, PostgresDatabase
from lineage.adapters.sql_ledger_file import stated_version
from lineage.adapters.sql_ledger_nodes import fetched
from lineage.adapters.sql_ledger_place import Found, Reader
from lineage.errors import StoreUnavailable
from lineage.ledger.tree import NodeReader

__all__ = ["SCHEMA", "PostgresPlace", "PostgresReader", "nodes_of"]

T = TypeVar("T")

SCHEMA: Final = "govern_ledger"
_OLDEST: Final = 13
"""The first version in which a lost commit can be asked for by its 64-bit number."""
_READS: Final = f"SET search_path TO {SCHEMA}; SET default_transaction_read_only TO on"
_NODES: Final = (
    "SELECT level, position, hash FROM nodes JOIN unnest(?::int[], ?::bigint[]) AS wanted (level, position) USING (level, position)"
    " UNION ALL SELECT 0, idx, leaf FROM entries WHERE idx = ANY(?::bigint[])"
)


class PostgresReader:
    """A psycopg connection whose statements take ``?``, as those of every other database's reader do."""

    __slots__ = ("db",)

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        self.db = db

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Found:
        return self.db.execute(sql.replace("?", "%s").encode(), parameters, binary=True)

    def close(self) -> None:
        self.db.close()


class PostgresPlace:
    """A ledger in a PostgreSQL database (:class:`lineage.adapters.sql_ledger_place.Place`).

    Args:
        uri: ``postgresql://USER:PASSWORD@HOST/DATABASE`` and whatever else libpq understands there.
        origin: whose ledger it is; a database that holds another's is refused.
        patience: seconds to wait for a connection, for an answer that was lost, and for readers when the tables are written anew.
        frozen: seconds after which the server ends the transaction of a writer that says nothing, so that others go on.
        fence: who owns the home that the ledger is of; every transaction of a writer asks it. ``None``: writers only follow one another.

    Raises:
        BadInput: that is no such address.
    """

    def __init__(self, uri: str, *, origin: str, patience: float = 10.0, frozen: float = 60.0, fence: Fence | None = None) -> None:
        self.database = PostgresDatabase(uri, patience=patience, fence=fence)
        self.origin = origin
        self.patience = patience
        self.frozen = frozen

    @property
    def name(self) -> str:
        return self.database.name

    def make(self) -> None:
        """Nothing: the tables are made by the first writer, the database by who owns the server."""

    def version(self, reader: Reader) -> int | None:
        (encoding, version, entries, stated) = reader.execute(
            "SELECT current_setting('server_encoding'), current_setting('server_version_num')::int / 10000,"
            f" to_regclass('{SCHEMA}.entries') IS NOT NULL, to_regclass('{SCHEMA}.alembic_version') IS NOT NULL"
        ).fetchone()
        if version < _OLDEST:
            raise StoreUnavailable(f"{self.name} is PostgreSQL {version}; the ledger needs {_OLDEST} or newer", hint="upgrade the server")
        if encoding != "UTF8":
            raise StoreUnavailable(f"{self.name} has the encoding {encoding}", hint="createdb --encoding=UTF8 --template=template0 NAME")
        if stated:
            found = stated_version(reader, self.name)
            self._must_be_ours(reader)
            return found
        if entries:
            raise StoreUnavailable(f"{self.name} has tables in {SCHEMA}, but no schema version", hint="name another database")
        return None

    def _must_be_ours(self, reader: Reader) -> None:
        owner = reader.execute("SELECT origin FROM log").fetchone()
        if owner is None or owner[0] != self.origin:
            whose = "nobody's" if owner is None else f"that of {owner[0]}"
            raise StoreUnavailable(
                f"the ledger in {self.name} is {whose}, not that of {self.origin}", hint="name another database in GOVERN_DATABASE"
            )

    def facts(self) -> dict[str, Any]:
        """``{server, database, durable, why, origin}`` as the server says.

        ``server`` is its version; ``durable``: what it acknowledges survives a power cut, else ``why`` not; ``origin``: whose ledger it is.

        Raises:
            StoreUnavailable: it cannot be asked.
        """
        with self.explained():
            reader = self.connect()
            try:
                server, database, fsync, pages, there = reader.execute(
                    "SELECT current_setting('server_version'), current_database()::text, current_setting('fsync'),"
                    f" current_setting('full_page_writes'), to_regclass('{SCHEMA}.log') IS NOT NULL"
                ).fetchone()
                owner = reader.execute("SELECT origin FROM log").fetchone() if there else None
            finally:
                reader.close()
        off = [f"{name} = off" for name, value in (("fsync", fsync), ("full_page_writes", pages)) if value != "on"]
        return {"server": server, "database": database, "durable": not off, "why": off, "origin": None if owner is None else owner[0]}

    def connect(self) -> Reader:
        return PostgresReader(self.database.open(_READS))

    def usable(self, reader: Reader) -> bool:
        return self.database.usable(cast("PostgresReader", reader).db)

    def tree(self, reader: Reader, ask: Callable[[NodeReader], T]) -> T:
        return fetched(ask, lambda wanted: nodes_of(reader, wanted))

    def explained(self) -> AbstractContextManager[None]:
        return self.database.explained()


def nodes_of(reader: Reader, wanted: Iterable[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """The stored hashes of inner nodes, and at level 0 the leaves' data, of those that are there; one round trip."""
    inner = [node for node in wanted if node[0]]
    leaves = [position for level, position in wanted if not level]
    rows = reader.execute(_NODES, ([level for level, _ in inner], [position for _, position in inner], leaves))
    return {(level, position): value for level, position, value in rows}
