"""The PostgreSQL of the tests is a real one, and no test sees another's tables."""

from __future__ import annotations

import psycopg
import pytest

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_an_empty_database(postgres_uri: str, turn: int) -> None:
    with psycopg.connect(postgres_uri) as connection:
        version = connection.execute("SHOW server_version_num").fetchone()
        assert version is not None
        assert int(version[0]) >= 150000
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
        connection.execute("CREATE TABLE seen (turn int)")
        connection.execute("INSERT INTO seen VALUES (%s)", (turn,))
        connection.commit()
        assert connection.execute("SELECT turn FROM seen").fetchall() == [(turn,)]
