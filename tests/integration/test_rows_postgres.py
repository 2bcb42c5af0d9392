"""The row index in a real PostgreSQL: several processes, its errors, and what erasing means on its disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from lineage.adapters.postgres_rows import PostgresRowIndex, PostgresRows
from lineage.adapters.sql_rows_person import find
from lineage.errors import BadInput, StoreUnavailable
from tests.support.postgres import PostgresServer
from tests.unit.test_rows_sqlite import batch, contents, pieces_of, ref, some

pytestmark = pytest.mark.integration

CHILD = """
import sys
from lineage.adapters.postgres_rows import PostgresRowIndex
index = PostgresRowIndex(sys.argv[1])
who = int(sys.argv[2])
for n in range(5):
    index.replace(f"own{who}", str(n), [(f"{who:031x}{n % 10}", row) for row in range(n + 1)])
    index.replace("both", f"{who}.{n}", [(f"{who:031x}{n % 10}", 1000 * who + n)])
index.close()
"""


def test_two_processes_write_one_index(postgres_uri: str) -> None:
    children = [subprocess.Popen([sys.executable, "-c", CHILD, postgres_uri, str(who)]) for who in (1, 2)]
    assert [child.wait(300) for child in children] == [0, 0]
    index = PostgresRowIndex(postgres_uri)
    assert len(index.versions("both")) == 10
    for who in (1, 2):
        assert index.versions(f"own{who}") == [str(n) for n in range(5)]
        assert [index.count(f"own{who}", str(n)) for n in range(5)] == list(range(1, 6))
    assert index.find([f"{1:031x}3"])[0].versions == ("1.3",)
    index.close()


def on_disk(server: PostgresServer, database: str, pieces: set[bytes]) -> tuple[int, int]:
    """How many of the pieces lie in the files of the database's tables, and in the write-ahead log."""
    assert server.data is not None
    server.run("CHECKPOINT")
    with psycopg.connect(server.uri(database)) as connection:
        (number,) = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()  # type: ignore[misc]
    tables = [path.read_bytes() for path in (server.data / "base" / str(number)).iterdir() if path.is_file()]
    log = [path.read_bytes() for path in (server.data / "pg_wal").iterdir() if path.is_file()]
    return tuple(sum(any(piece in data for data in files) for piece in some(pieces)) for files in (tables, log))  # type: ignore[return-value]


def struck(uri: str) -> tuple[PostgresRowIndex, set[bytes]]:
    index = PostgresRowIndex(uri)
    index.replace("a", "0", [batch(range(8000), range(8000))])
    index.replace("a", "1", [batch(range(100, 8100), range(100, 8100))])
    before = contents(index)
    index.forget("a", range(50, 8000, 160))
    return index, pieces_of(before, but=contents(index))


def test_no_file_of_the_tables_holds_a_forgotten_block_and_the_log_may(postgres_server: PostgresServer, postgres_uri: str) -> None:
    if postgres_server.data is None:
        pytest.skip("the files of a server that was given cannot be read")
    index, pieces = struck(postgres_uri)
    name = Path(postgres_uri.partition("?")[0]).name
    assert len(pieces) > 100
    in_tables, in_log = on_disk(postgres_server, name, pieces)
    assert in_tables == 0
    assert in_log > 0, "what `remains` says"
    assert "write-ahead log" in str(index.remains)
    assert on_disk(postgres_server, name, pieces_of(contents(index)))[0] > 100, "the search finds what is there"
    index.close()


def test_a_plain_vacuum_would_leave_the_bytes(postgres_server: PostgresServer, postgres_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if postgres_server.data is None:
        pytest.skip("the files of a server that was given cannot be read")

    def plain(self: PostgresRows) -> None:
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM rows_block")

    monkeypatch.setattr(PostgresRows, "erase", plain)
    index, pieces = struck(postgres_uri)
    assert on_disk(postgres_server, Path(postgres_uri.partition("?")[0]).name, pieces)[0] > 10
    index.close()


def test_errors_name_the_server_and_never_the_password(postgres_uri: str) -> None:
    away = PostgresRowIndex("postgresql://ada:hunter2@127.0.0.1:1/rows?connect_timeout=2")
    with pytest.raises(StoreUnavailable, match=r"the PostgreSQL database rows at 127\.0\.0\.1 cannot be read") as caught:
        away.lookup([ref(1)])
    assert "hunter2" not in str(caught.value)
    away.close()
    for wrong in ("sqlite:///x", "no address"):
        with pytest.raises(BadInput, match="PostgreSQL"):
            PostgresRowIndex(wrong)
    index = PostgresRowIndex(postgres_uri)
    index.replace("a", "1", [(ref(1), 1)])
    index.close()
    with psycopg.connect(postgres_uri) as connection:
        connection.execute("UPDATE govern_rows.rows_meta SET value = 99")
    newer = PostgresRowIndex(postgres_uri)
    with pytest.raises(StoreUnavailable, match="newer"):
        newer.versions("a")
    newer.close()


def asked_while_it_ends(index: PostgresRowIndex, uri: str) -> None:
    """A look-up whose connection the server ends after it began."""
    with index._place.read() as connection:
        own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with psycopg.connect(uri, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (own,))
        find(connection, [ref(1)])


def test_a_connection_that_ends_inside_a_look_up_is_named_and_opened_again(postgres_uri: str) -> None:
    index = PostgresRowIndex(postgres_uri)
    index.replace("a", "1", [(ref(1), 1)])
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        asked_while_it_ends(index, postgres_uri)
    assert index.lookup([ref(1)]) == {"a": [1]}
    index.close()
