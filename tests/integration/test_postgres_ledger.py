"""The ledger on PostgreSQL where it differs from a file: many processes, lost connections, refusals, old rows in pages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from lineage.adapters import sql_ledger_schema as schema
from lineage.adapters.sql_ledger_postgres import PostgresPlace
from lineage.errors import BadInput, StoreUnavailable, Tampered
from lineage.ledger import fsck
from lineage.model import NewEntry, RecordChange
from tests.support.ledger_stores import ORIGIN
from tests.support.postgres_proxy import Proxy

pytestmark = pytest.mark.integration

MAKE = """
import sys
from lineage.adapters.sql_ledger import SqlLedger
from lineage.adapters.sql_ledger_postgres import PostgresPlace
class Unused: ...
ledger = SqlLedger(PostgresPlace(sys.argv[1], origin="o"), keys=Unused(), origin="o", clock=Unused())
print(ledger.size())
ledger.close()
"""
FREEZE = """
import sys, time
from lineage.adapters.sql_ledger import SqlLedger
from lineage.adapters.sql_ledger_postgres import PostgresPlace
from lineage.errors import GovernError
from lineage.model import NewEntry
from tests.conftest import MemoryKeys, TickingClock
ledger = SqlLedger(PostgresPlace(sys.argv[1], origin="govern.test/log", frozen=1.0), keys=MemoryKeys(), origin="govern.test/log", clock=TickingClock())
def work(tx):
    tx.append(NewEntry(kind="test.noted", payload=b"frozen", actor="a", identity="frozen"))
    print("inside", flush=True)
    sys.stdin.readline()
try:
    ledger.transact(work)
    print("committed", flush=True)
except GovernError as error:
    print(type(error).__name__, error.message, flush=True)
"""


def at(uri, **options):
    return PostgresPlace(uri, origin=ORIGIN, **options)


def entry(n, **given):
    return NewEntry(kind="test.noted", payload=b"%d" % n, actor="key:test", **given)


# ── who is let in ───────────────────────────────────────────────────────────────────────────────
def test_a_server_that_is_away_is_said_without_the_password(postgres_ledger):
    with pytest.raises(StoreUnavailable, match="cannot be reached") as caught:
        postgres_ledger.open(at("postgresql://govern:s3cret@127.0.0.1:1/govern", patience=2))
    assert "GOVERN_DATABASE" in caught.value.hint
    assert "s3cret" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("wrong", ["postgresql://u:s3cret@host:port/db?nonsense=1", "nonsense", "postgresql://[::/x"])
def test_what_is_no_address_is_bad_input_and_not_repeated(wrong):
    with pytest.raises(BadInput, match="GOVERN_DATABASE is no address") as caught:
        at(wrong)
    assert "s3cret" not in caught.value.message
    assert caught.value.__cause__ is None or "s3cret" not in caught.value.message


def test_a_database_that_is_not_there_is_said(postgres_ledger):
    with pytest.raises(StoreUnavailable, match="there is no such database"):
        postgres_ledger.open(at(postgres_ledger.server.uri("nobody_made_it")))


@pytest.fixture
def role(postgres_server, postgres_uri):
    """A user with a password, who owns nothing."""
    if postgres_server.data is None:
        pytest.skip("a server that was given keeps its rules")
    rules = postgres_server.data / "pg_hba.conf"
    before = rules.read_text()
    name = f"user_{os.getpid()}"
    postgres_server.run(f"CREATE ROLE {name} LOGIN PASSWORD 'right'")
    rules.write_text(f"local all {name} scram-sha-256\n{before}")
    postgres_server.run("SELECT pg_reload_conf()")
    parts = urlsplit(postgres_uri)

    def uri(password):
        return urlunsplit(parts._replace(netloc=f"{name}:{password}@"))

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:  # the server reads its rules in its own time
        try:
            psycopg.connect(uri("never")).close()
        except psycopg.OperationalError:
            break
        time.sleep(0.05)
    yield uri
    rules.write_text(before)
    postgres_server.run("SELECT pg_reload_conf()")
    postgres_server.run(f"DROP ROLE {name}")


def test_a_wrong_password_is_said_and_so_is_a_user_who_may_not(postgres_ledger, role):
    with pytest.raises(StoreUnavailable, match="refuses the user or the password") as caught:
        postgres_ledger.open(at(role("wrong")))
    assert "wrong" not in caught.value.message
    with pytest.raises(StoreUnavailable, match="may not do that") as caught:
        postgres_ledger.open(at(role("right")))
    assert "OWNER" in caught.value.hint


# ── the tables ──────────────────────────────────────────────────────────────────────────────────
def test_the_migrated_tables_are_those_of_the_code(postgres_ledger):
    postgres_ledger.open().close()
    engine = sa.create_engine("postgresql+psycopg://", creator=postgres_ledger.connect)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, [schema.metadata, schema.of_postgres]) == []
        kept = connection.exec_driver_sql(
            "SELECT attname FROM pg_attribute WHERE attstattarget = 0 AND attrelid IN ('entries'::regclass, 'records'::regclass)"
        )
        assert {name for (name,) in kept} == {"payload", "salt", "body"}
    engine.dispose()


@pytest.mark.slow
def test_processes_that_come_at_once_make_the_tables_once(postgres_uri):
    processes = [
        subprocess.Popen([sys.executable, "-c", MAKE, postgres_uri], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert out.strip() == "0", err


def test_the_tables_of_another_are_not_taken_for_a_ledger(postgres_ledger, postgres_uri):
    with psycopg.connect(postgres_uri, autocommit=True) as db:
        db.execute("CREATE SCHEMA govern_ledger CREATE TABLE entries (x int)")
    with pytest.raises(StoreUnavailable, match="no schema version"):
        postgres_ledger.open(at(postgres_uri))


def test_a_database_with_the_ledger_of_another_installation_is_refused(postgres_ledger):
    postgres_ledger.open().close()
    with pytest.raises(StoreUnavailable, match=r"is that of govern\.test/log, not that of govern\.other"):
        postgres_ledger.open(postgres_ledger.place(origin="govern.other"))


def test_a_lost_table_is_tampering(postgres_ledger, postgres_uri):
    ledger = postgres_ledger.open(at(postgres_uri))
    ledger.append([entry(0)])
    with psycopg.connect(postgres_uri, autocommit=True) as db:
        db.execute("DROP TABLE govern_ledger.nodes")
    assert "has lost a table" in fsck(ledger).problems[-1]
    with pytest.raises(Tampered, match="has lost a table"):
        ledger.append([entry(1), entry(2)])


def test_a_database_of_another_encoding_is_refused(postgres_server, postgres_ledger):
    name = f"latin_{os.getpid()}"
    postgres_server.run(f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    try:
        with pytest.raises(StoreUnavailable, match="encoding LATIN1"):
            postgres_ledger.open(at(postgres_server.uri(name)))
    finally:
        postgres_server.run(f"DROP DATABASE {name} WITH (FORCE)")


def test_what_postgres_cannot_keep_is_bad_input_and_takes_nothing_with_it(postgres_ledger):
    def reducing(new, read):
        yield RecordChange(kind="name", ident=new.payload.decode(), body=1)

    ledger = postgres_ledger.open(reducer=reducing)
    with pytest.raises(BadInput, match="NUL"):
        ledger.append([NewEntry(kind="test.noted", payload=b"a\0b", actor="a")])
    with pytest.raises(BadInput, match="too long"):
        ledger.append([NewEntry(kind="test.noted", payload=os.urandom(20_000).hex().encode(), actor="a")])
    assert ledger.append([entry(1)])[0].index == 0
    assert fsck(ledger).ok


# ── lost connections ────────────────────────────────────────────────────────────────────────────
def end_everyone(store):
    """End every connection of the database but this one, and wait until they are gone: the server ends them in its own time."""
    with store.connect() as db:
        ended = db.execute(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert all(gone for (gone,) in ended)


def test_reading_and_writing_go_on_after_every_connection_was_ended(postgres_ledger):
    ledger = postgres_ledger.open()
    ledger.append([entry(0)])
    assert ledger.size() == 1
    end_everyone(postgres_ledger)
    assert ledger.size() == 1
    end_everyone(postgres_ledger)
    assert ledger.append([entry(1)])[0].index == 1


def test_a_connection_that_is_ended_inside_a_transaction_leaves_nothing(postgres_ledger):
    ledger = postgres_ledger.open()

    def work(tx):
        tx.append(entry(0))
        end_everyone(postgres_ledger)

    with pytest.raises(StoreUnavailable):
        ledger.transact(work)
    assert ledger.size() == 0
    assert ledger.append([entry(1)])[0].index == 0


@pytest.fixture
def proxy(postgres_ledger, tmp_path):
    if postgres_ledger.server.data is None:
        pytest.skip("only a server on a Unix socket can be stood before")
    with Proxy(postgres_ledger.uri, tmp_path) as made:
        yield made


def test_a_commit_whose_answer_is_lost_is_acknowledged_once_the_server_says_it_was_carried_out(postgres_ledger, proxy):
    ledger = postgres_ledger.open(at(proxy.uri))
    ledger.append([entry(0)])
    proxy.lose = "after"
    assert ledger.append([entry(1)])[0].index == 1
    assert proxy.lost == 1
    assert ledger.append([entry(2)])[0].index == 2
    assert ledger.size() == 3
    assert fsck(ledger).ok


def test_a_commit_that_the_server_never_heard_is_an_error_and_nothing_is_there(postgres_ledger, proxy):
    ledger = postgres_ledger.open(at(proxy.uri))
    ledger.append([entry(0)])
    proxy.lose = "before"
    with pytest.raises(StoreUnavailable) as caught:
        ledger.append([entry(1)])
    assert "not known" not in caught.value.message
    assert ledger.size() == 1
    assert ledger.append([entry(1)])[0].index == 1


def test_a_commit_of_which_nobody_can_be_asked_is_said_to_be_unknown(postgres_ledger, proxy):
    ledger = postgres_ledger.open(at(proxy.uri, patience=1))
    ledger.append([entry(0)])
    proxy.lose, proxy.refuse = "after", True
    with pytest.raises(StoreUnavailable, match="it is not known whether that was written"):
        ledger.append([entry(1, identity="one")])
    proxy.refuse = False
    assert ledger.append([entry(1, identity="one")])[0].duplicate, "it was, and repeating it does no harm"
    assert ledger.size() == 2


# ── many processes ──────────────────────────────────────────────────────────────────────────────
@pytest.mark.crash
def test_a_writer_that_was_frozen_holds_nobody_up_and_cannot_commit_when_it_wakes(postgres_ledger):
    frozen = subprocess.Popen(
        [sys.executable, "-c", FREEZE, postgres_ledger.uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    try:
        ledger = postgres_ledger.open()
        assert frozen.stdout.readline() == "inside\n"
        os.kill(frozen.pid, signal.SIGSTOP)
        begin = time.monotonic()
        assert ledger.append([entry(0, identity="mine")])[0].index == 0
        assert time.monotonic() - begin < 10
        os.kill(frozen.pid, signal.SIGCONT)
        out, _ = frozen.communicate("\n", timeout=30)
        assert out.startswith("StoreUnavailable"), out
        assert ledger.by_identity("frozen") is None
        assert ledger.size() == 1
        assert fsck(ledger).ok
    finally:
        frozen.kill()
        frozen.wait()


def test_work_of_two_processes_writers_is_in_one_order_and_the_records_with_it(postgres_ledger):
    """Two ledgers of one process are two writers, with a connection and a view of the tree each."""

    def reducing(new, read):
        before = read("count", "all") or 0
        yield RecordChange(kind="count", ident="all", body=before + 1)

    ledgers = [postgres_ledger.open(reducer=reducing) for _ in range(2)]

    def run(ledger, k):
        for n in range(40):
            ledger.append([entry(n, identity=f"{k}.{n}"), entry(n, identity=f"shared.{n}")])

    threads = [threading.Thread(target=run, args=(ledger, k)) for k, ledger in enumerate(ledgers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ledgers[0].size() == 120
    assert ledgers[0].record("count", "all") == (120, 120)
    assert fsck(ledgers[1]).ok


# ── destroyed bytes ─────────────────────────────────────────────────────────────────────────────
def test_old_rows_that_an_old_transaction_still_sees_are_said_and_the_repetition_takes_them_out(postgres_ledger):
    ledger = postgres_ledger.open(postgres_ledger.place(patience=2))
    ledger.append([NewEntry(kind="test.noted", payload=b"SENTINEL", actor="a")])
    with postgres_ledger.connect() as other:
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM pg_class")
        with pytest.raises(StoreUnavailable, match="1 old rows are kept"):
            ledger.destroy_payload(0)
        other.execute("COMMIT")
    assert ledger.entry(0).payload is None
    assert b"SENTINEL" in postgres_ledger.disk()
    assert ledger.destroy_payload(0) is None
    assert b"SENTINEL" not in postgres_ledger.disk()


def test_the_tables_are_written_anew_only_after_something_was_destroyed(postgres_ledger):
    def file():
        with postgres_ledger.connect() as db:
            return db.execute("SELECT pg_relation_filenode('entries')").fetchone()

    ledger = postgres_ledger.open()
    ledger.append([entry(0), entry(1)])
    before = file()
    ledger.empty_wal()
    assert file() == before
    ledger.destroy_payload(0)
    after = file()
    assert after != before
    ledger.empty_wal()
    assert file() == after


def test_a_reader_that_holds_the_table_is_waited_for_and_then_said(postgres_ledger):
    ledger = postgres_ledger.open(postgres_ledger.place(patience=1))
    ledger.append([entry(0)])
    with postgres_ledger.connect() as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM entries")
        with pytest.raises(StoreUnavailable, match="holds a lock"):
            ledger.destroy_payload(0)
    assert ledger.destroy_payload(0) is None


def test_statistics_hold_no_payload(postgres_ledger):
    ledger = postgres_ledger.open()
    ledger.append([NewEntry(kind="test.noted", payload=b"SENTINEL", actor="a") for _ in range(50)])
    with postgres_ledger.connect() as db:
        db.execute("ANALYZE entries")
        kept = {name for (name,) in db.execute("SELECT attname FROM pg_stats WHERE tablename = 'entries'")}
    assert "actor" in kept
    assert not kept & {"payload", "salt"}
