"""Events a second from bytes to the graph, beside a bare insert of the same bytes with the same durability.

The events are the fourteen that real engines recorded (``tests/data/openlineage``), again and again with run ids of their own.
"""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from benchmarks.measure import Line
from lineage.adapters.file_keys import FileKeyStore
from lineage.adapters.sql_ledger import SqlLedger
from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.clock import SystemClock
from lineage.ingest import Ingestor
from lineage.openlineage import parse_event

RECORDED = Path(__file__).resolve().parents[1] / "tests" / "data" / "openlineage"
REPEATS = 30
BATCH = 100
WAIT = 600.0
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def run() -> Iterator[Line]:
    """Parsing alone; acknowledging (parse and ledger); and all of it (parse, ledger, fold, graph)."""
    events = recorded(REPEATS)
    note = f"{len(events)} events, {sum(map(len, events)) // len(events):,} B each"
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        bare = _bare(home / "bare.db", events)
        yield _line("ingest: parse alone", _rate(lambda: [parse_event(raw) for raw in events], len(events)), bare, note)
        keys = FileKeyStore.create(home / "keys")
        ledger = SqlLedger(home / "ledger.db", keys=keys, origin="govern.bench/log", clock=SystemClock())
        graph = SqliteGraph(home / "graph.db")
        ingestor = Ingestor(ledger, graph, SystemClock())
        try:
            accepted = _rate(lambda: _accept(ingestor, events), len(events))
            yield _line("ingest: acknowledged (parse, ledger)", accepted, bare)
            folded = _rate(lambda: _project(ingestor), len(events))
            yield _line("ingest: folded (fold, graph)", folded, bare)
            both = (1 / (1 / accepted[0] + 1 / folded[0]), 1 / (1 / accepted[1] + 1 / folded[1]))
            yield _line("ingest: from bytes to the graph", both, bare)
        finally:
            ingestor.stop()
            graph.close()
            ledger.close()


def recorded(repeats: int) -> list[bytes]:
    """The recorded events, ``repeats`` times, each round a day later and with UUIDs of its own; the same in every benchmark."""
    texts = [path.read_text() for path in sorted(RECORDED.rglob("*.json"))]
    if not texts:
        raise FileNotFoundError(f"no recorded events under {RECORDED}")
    events = []
    for turn in range(repeats):
        for text in texts:
            event = json.loads(_UUID.sub(lambda found, turn=turn: str(UUID(int=UUID(found[0]).int ^ turn)), text))
            event["eventTime"] = (datetime.fromisoformat(event["eventTime"]) + timedelta(days=turn)).isoformat()
            events.append(json.dumps(event, separators=(",", ":")).encode())
    return events


def _accept(ingestor: Ingestor, events: list[bytes]) -> None:
    for at in range(0, len(events), BATCH):
        for answer in ingestor.accept_many(events[at : at + BATCH], actor="key:bench"):
            if isinstance(answer, Exception):
                raise answer


def _project(ingestor: Ingestor) -> None:
    ingestor.start()
    left = ingestor.wait(WAIT)
    if left:
        raise TimeoutError(f"{left} events were not folded after {WAIT:g} s")


def _bare(path: Path, events: list[bytes]) -> tuple[float, float]:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL").fetchall()
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE t(i INTEGER PRIMARY KEY, payload BLOB)")

        def insert() -> None:
            for at in range(0, len(events), BATCH):
                db.execute("BEGIN IMMEDIATE")
                db.executemany("INSERT INTO t(payload) VALUES (?)", [(raw,) for raw in events[at : at + BATCH]])
                db.execute("COMMIT")

        return _rate(insert, len(events))
    finally:
        db.close()


def _rate(work: Callable[[], object], count: int) -> tuple[float, float]:
    """Per second, and per processor second of this process (all its threads)."""
    begin, cpu = time.perf_counter(), time.process_time()
    work()
    return count / (time.perf_counter() - begin), count / (time.process_time() - cpu)


def _line(name: str, ours: tuple[float, float], bare: tuple[float, float], note: str = "") -> Line:
    said = f"{ours[1]:,.0f} per cpu second, bare {bare[1]:,.0f}"
    return Line(
        name=name, value=ours[0], unit="/s", baseline="SQLite FULL", baseline_value=bare[0], note=f"{said}; {note}" if note else said
    )  # fmt: skip
