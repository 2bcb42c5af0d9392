"""The workflow engine's times on every SQLite that Python may be linked with."""

from __future__ import annotations

import sqlite3
import time

import pytest

from governance.adapters.dbos_stores import give_subseconds


def test_a_default_of_subseconds_is_a_time_on_every_sqlite():
    connection = sqlite3.connect(":memory:")
    give_subseconds(connection)
    connection.execute("CREATE TABLE t (i INTEGER, at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000))")
    before = time.time()
    connection.execute("INSERT INTO t (i) VALUES (1)")
    ((at,),) = connection.execute("SELECT CAST(at AS INTEGER) FROM t").fetchall()
    connection.close()
    assert before * 1000 - 2 <= at <= time.time() * 1000 + 2


@pytest.mark.skipif(sqlite3.sqlite_version_info >= (3, 42), reason="this SQLite has it, and is left alone")
def test_an_older_sqlite_does_not_have_it_and_takes_no_other_modifier():
    connection = sqlite3.connect(":memory:")
    assert connection.execute("SELECT unixepoch('subsec')").fetchone() == (None,)
    give_subseconds(connection)
    with pytest.raises(sqlite3.OperationalError, match="user-defined function"):
        connection.execute("SELECT unixepoch('now')").fetchone()
    connection.close()
