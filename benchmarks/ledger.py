"""The ledger against bare SQLite with the same durability: what proofs, salts and control records cost."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Line, seconds
from lineage.adapters.file_keys import FileKeyStore
from lineage.adapters.sql_ledger import SqlLedger
from lineage.ledger import fsck
from lineage.model import NewEntry

PAYLOAD = 1500
BATCH = 500
BATCHES = 20
SERIAL = 300
THREADS = 16


class Now:
    """The system's clock."""

    def now(self) -> int:
        return time.time_ns()


def run() -> Iterator[Line]:
    """Appends in batches, one by one and from many threads; a proof; the check of the whole log."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        bare = sqlite3.connect(home / "bare.db", isolation_level=None)
        bare.execute("PRAGMA journal_mode=WAL").fetchall()
        bare.execute("PRAGMA synchronous=FULL")
        bare.execute("CREATE TABLE t(i INTEGER PRIMARY KEY, payload BLOB)")
        ledger = SqlLedger(home / "ledger.db", keys=FileKeyStore.create(home / "keys"), origin="govern.bench/log", clock=Now())
        try:
            yield from _appends(bare, ledger)
            yield from _reads(ledger)
        finally:
            ledger.close()
            bare.close()


def _appends(bare: sqlite3.Connection, ledger: SqlLedger) -> Iterator[Line]:
    base = _rate(lambda: _insert(bare, BATCH), BATCHES, BATCH)
    ours = _rate(lambda: ledger.append(_entries(BATCH)), BATCHES, BATCH)
    yield Line(name=f"ledger: appends in batches of {BATCH}", value=ours, unit="/s", baseline="SQLite FULL", baseline_value=base)
    base = _rate(lambda: _insert(bare, 1), SERIAL, 1)
    ours = _rate(lambda: ledger.append(_entries(1)), SERIAL, 1)
    yield Line(name="ledger: appends one by one", value=ours, unit="/s", baseline="SQLite FULL", baseline_value=base)
    begin = time.perf_counter()
    threads = [threading.Thread(target=lambda: [ledger.append(_entries(1)) for _ in range(SERIAL // 4)]) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ours = THREADS * (SERIAL // 4) / (time.perf_counter() - begin)
    yield Line(name=f"ledger: {THREADS} threads, one by one", value=ours, unit="/s", baseline="SQLite FULL", baseline_value=base)


def _reads(ledger: SqlLedger) -> Iterator[Line]:
    size = ledger.size()
    base = seconds(lambda: [ledger.entry(n) for n in range(20)], 20)
    ours = seconds(lambda: ledger.inclusion(size // 3, size), 50)
    yield Line(name=f"ledger: inclusion proof in {size:,}", value=ours, unit="s", baseline="reading 20 entries", baseline_value=base)
    content = os.urandom(PAYLOAD)
    base = seconds(lambda: [hashlib.sha256(content).digest() for _ in range(size)], 3)
    ours = seconds(lambda: fsck(ledger), 1)
    yield Line(name=f"ledger: fsck of {size:,}", value=ours, unit="s", baseline="hashing the payloads", baseline_value=base)


def _entries(count: int) -> list[NewEntry]:
    payloads = [os.urandom(PAYLOAD) for _ in range(count)]
    return [NewEntry(kind="openlineage", payload=p, actor="key:bench", identity=hashlib.sha256(p).hexdigest()) for p in payloads]


def _insert(connection: sqlite3.Connection, count: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO t(payload) VALUES (?)", [(os.urandom(PAYLOAD),) for _ in range(count)])
    connection.execute("COMMIT")


def _rate(work: object, times: int, each: int) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        work()  # type: ignore[operator]
    return times * each / (time.perf_counter() - begin)
