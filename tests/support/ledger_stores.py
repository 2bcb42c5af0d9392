"""The ledger's stores for the contract suite: opened, edited behind the ledger's back, and read as the bytes that lie on the disk."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lineage.adapters.sql_ledger import SqlLedger
from tests.support.postgres import PostgresServer

__all__ = ["ORIGIN", "PostgresStore", "SqliteStore", "ledger_store", "postgres_ledger"]

ORIGIN = "govern.test/log"


class Store:
    """Ledgers over one place."""

    name: str

    def __init__(self, keys: Any, clock: Any) -> None:
        self._given = {"keys": keys, "origin": ORIGIN, "clock": clock}
        self._opened: list[SqlLedger] = []

    def place(self) -> Any:
        raise NotImplementedError

    def open(self, place: Any = None, **options: Any) -> SqlLedger:
        ledger = SqlLedger(place or self.place(), **(self._given | options))
        self._opened.append(ledger)
        return ledger

    def edit(self, statement: str, *values: Any) -> None:
        """Change the tables behind the ledger's back; values stand as ``?``."""
        raise NotImplementedError

    def row(self, index: int) -> dict[str, Any]:
        """An entry's columns as they are stored."""
        raise NotImplementedError

    def disk(self) -> bytes:
        """Every byte of the tables' files, and of what the store promises to empty beside them."""
        raise NotImplementedError

    def close(self) -> None:
        for ledger in self._opened:
            ledger.close()
        self._opened = []


class SqliteStore(Store):
    name = "sqlite"

    def __init__(self, folder: Path, keys: Any, clock: Any) -> None:
        super().__init__(keys, clock)
        self.folder = folder

    def place(self) -> Path:
        return self.folder / "ledger.db"

    def edit(self, statement: str, *values: Any) -> None:
        raw = sqlite3.connect(self.place(), isolation_level=None)
        try:
            raw.execute(statement, values)
        finally:
            raw.close()

    def row(self, index: int) -> dict[str, Any]:
        raw = sqlite3.connect(self.place())
        raw.row_factory = sqlite3.Row
        try:
            return dict(raw.execute("SELECT * FROM entries WHERE idx=?", (index,)).fetchone())
        finally:
            raw.close()

    def disk(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.folder.glob("ledger.db*"))


class PostgresStore(Store):
    name = "postgres"

    def __init__(self, server: PostgresServer, database: str, keys: Any, clock: Any) -> None:
        super().__init__(keys, clock)
        self.server = server
        self.database = database
        self.uri = server.uri(database)

    def place(self, **options: Any) -> Any:
        from lineage.adapters.sql_ledger_postgres import PostgresPlace

        return PostgresPlace(self.uri, **({"origin": ORIGIN} | options))

    def connect(self) -> Any:
        import psycopg

        db = psycopg.connect(self.uri, autocommit=True)
        db.execute("SET search_path TO govern_ledger")
        return db

    def edit(self, statement: str, *values: Any) -> None:
        with self.connect() as db:
            db.execute(statement.replace("?", "%s"), values or None)

    def row(self, index: int) -> dict[str, Any]:
        from psycopg.rows import dict_row

        with self.connect() as db:
            found: dict[str, Any] = db.cursor(row_factory=dict_row).execute("SELECT * FROM entries WHERE idx=%s", (index,)).fetchone()
            return found

    def disk(self) -> bytes:
        if self.server.data is None:
            pytest.skip("the files of a PostgreSQL that was given by its URI cannot be read")
        with self.connect() as db:
            db.execute("CHECKPOINT")  # what is in memory is written, what was dropped is deleted
            (oid,) = db.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
        return b"".join(path.read_bytes() for path in (self.server.data / "base" / str(oid)).iterdir())


@pytest.fixture(scope="module")
def _postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """One database for a module's tests: they find its tables empty, and do not make them each time."""
    name = f"govern_{secrets.token_hex(6)}"
    postgres_server.run(f"CREATE DATABASE {name}")
    yield name
    postgres_server.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_ledger(
    postgres_server: PostgresServer, _postgres_database: str, memory_keys: Any, ticking_clock: Any
) -> Iterator[PostgresStore]:
    store = PostgresStore(postgres_server, _postgres_database, memory_keys, ticking_clock)
    with store.connect() as db:
        if db.execute("SELECT to_regclass('govern_ledger.entries') IS NOT NULL").fetchone()[0]:
            db.execute("TRUNCATE entries, nodes, checkpoints, records; UPDATE log SET emptied = NULL")
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_store(request: pytest.FixtureRequest, tmp_path: Path, memory_keys: Any, ticking_clock: Any) -> Iterator[Store]:
    """An empty ledger's place, once for each adapter."""
    if request.param == "postgres":
        yield request.getfixturevalue("postgres_ledger")
        return
    store = SqliteStore(tmp_path, memory_keys, ticking_clock)
    yield store
    store.close()
