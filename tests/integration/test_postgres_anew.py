"""Tables of a real PostgreSQL written anew: a transaction that is about to end is waited for, one that stays is told of."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from lineage.adapters.postgres_database import PostgresDatabase
from lineage.errors import StoreUnavailable

pytestmark = pytest.mark.integration


def test_an_older_transaction_is_waited_for_and_one_that_stays_is_told_of(postgres_uri: str) -> None:
    with psycopg.connect(postgres_uri, autocommit=True) as db:
        db.execute("CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 'the destroyed one' AS said FROM generate_series(1, 5)")
        with psycopg.connect(postgres_uri) as reader:
            reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            reader.execute("SELECT 1")
            db.execute("DELETE FROM s.t")
            with pytest.raises(StoreUnavailable, match="5 old rows are kept"):
                PostgresDatabase(postgres_uri, patience=0.3).write_anew("s", ["t"])
            ending = threading.Timer(0.5, reader.rollback)
            ending.start()
            began = time.monotonic()
            PostgresDatabase(postgres_uri, patience=20).write_anew("s", ["t"])
            assert 0.3 < time.monotonic() - began < 15
            ending.join()
            reader.execute("SELECT 1")  # one that begins now sees none of it, and is not waited for
            PostgresDatabase(postgres_uri, patience=0.3).write_anew("s", ["t"])
