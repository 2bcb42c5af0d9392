"""From an event's bytes to durable in the ledger, and on into the SQLite graph, in one process; how often the disk is told to write.

The baseline inserts the same bytes, in batches as large, into one SQLite table with the same durability.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.lineage_events import training_events
from benchmarks.lineage_sizes import Job
from benchmarks.measure import Line
from lineage.adapters.file_keys import FileKeyStore
from lineage.adapters.sql_ledger import SqlLedger
from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.clock import SystemClock
from lineage.collector import keep_latency_low
from lineage.ingest import Ingestor

__all__ = ["bare_inserts", "measured", "opened", "rate", "run"]

BATCH = 500
SINGLE = 300
COUNTED = 1_000
"""Events of the short run in which the disk's syncs are counted: tracing slows it, so nothing else is measured there."""
LEDGER_LIMIT = 5_000.0
GRAPH_LIMIT = 2_000.0
WAIT = 900.0


def run(job: Job) -> Iterator[Line]:
    """Acknowledged, folded, both; one by one; and the syncs."""
    events = training_events(job.sizes.events)
    yield from measured(
        job.folder, events, batch=BATCH, limits=(LEDGER_LIMIT, GRAPH_LIMIT), one_by_one=training_events(SINGLE, prefix="single")
    )
    yield _syncs(job.folder)


def measured(
    folder: Path,
    events: Sequence[bytes],
    *,
    batch: int,
    limits: tuple[float | None, float | None] = (None, None),
    one_by_one: Sequence[bytes] = (),
) -> Iterator[Line]:
    """Lines of these events: acknowledged in batches, folded, both, and ``one_by_one`` each alone.

    Args:
        folder: where stores are made.
        events: as they are sent.
        batch: events acknowledged together.
        limits: events a second promised into the ledger, and into the graph.
        one_by_one: further events.
    """
    keep_latency_low()
    size = sum(map(len, events)) // len(events)
    bare = bare_inserts(folder / "bare.db", events, batch)
    ledger, graph, ingestor = opened(folder / "ingest")
    try:
        accepted = rate(len(events), lambda: accept(ingestor, events, batch))
        note = f"{len(events):,} events of {size:,} B, batches of {batch}"
        yield _line("ingest: bytes → durable in the ledger", accepted, bare, note, limits[0])
        folded = rate(len(events), lambda: project(ingestor))
        yield _line("ingest: ledger → folded into SQLite", folded, bare)
        both = (1 / (1 / accepted[0] + 1 / folded[0]), 1 / (1 / accepted[1] + 1 / folded[1]))
        counts = graph.counts()
        made = f"{counts['nodes'] / len(events):.1f} nodes and {counts['edges'] / len(events):.1f} edges an event"
        yield _line("ingest: bytes → folded into SQLite", both, bare, made, limits[1])
        if one_by_one:
            bare_one = bare_inserts(folder / "bare-one.db", one_by_one, 1)
            yield _line("ingest: one by one, each durable", rate(len(one_by_one), lambda: accept(ingestor, one_by_one, 1)), bare_one)
    finally:
        ingestor.stop()
        graph.close()
        ledger.close()


def opened(home: Path) -> tuple[SqlLedger, SqliteGraph, Ingestor]:
    """A fresh ledger and graph in ``home``, and the ingestor over them, not started."""
    home.mkdir(parents=True)
    keys = FileKeyStore.create(home / "keys")
    ledger = SqlLedger(home / "ledger.db", keys=keys, origin="govern.bench/log", clock=SystemClock())
    graph = SqliteGraph(home / "graph.db")
    return ledger, graph, Ingestor(ledger, graph, SystemClock())


def accept(ingestor: Ingestor, events: Sequence[bytes], batch: int) -> None:
    """Acknowledge the events; a refusal is an error here."""
    for at in range(0, len(events), batch):
        for answer in ingestor.accept_many(events[at : at + batch], actor="key:bench"):
            if isinstance(answer, Exception):
                raise answer


def project(ingestor: Ingestor) -> None:
    """Fold all that was acknowledged."""
    ingestor.start()
    left = ingestor.wait(WAIT)
    if left:
        raise TimeoutError(f"{left} events were not folded after {WAIT:g} s")


def bare_inserts(path: Path, events: Sequence[bytes], batch: int) -> tuple[float, float]:
    """Events a second, and a processor second, of plain durable inserts."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL").fetchall()
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE t(i INTEGER PRIMARY KEY, payload BLOB)")

        def insert() -> None:
            for at in range(0, len(events), batch):
                db.execute("BEGIN IMMEDIATE")
                db.executemany("INSERT INTO t(payload) VALUES (?)", [(raw,) for raw in events[at : at + batch]])
                db.execute("COMMIT")

        return rate(len(events), insert)
    finally:
        db.close()
        path.unlink(missing_ok=True)


def rate(count: int, work: Callable[[], object]) -> tuple[float, float]:
    """Per second, and per processor second of this process (all its threads)."""
    begin, cpu = time.perf_counter(), time.process_time()
    work()
    return count / (time.perf_counter() - begin), count / (time.process_time() - cpu)


def _line(name: str, ours: tuple[float, float], bare: tuple[float, float], note: str = "", limit: float | None = None) -> Line:
    said = f"{ours[1]:,.0f} per cpu second, bare {bare[1]:,.0f}"
    return Line(
        name=name, value=ours[0], unit="/s", baseline="SQLite FULL", baseline_value=bare[0], limit=limit,
        note=f"{note}; {said}" if note else said,
    )  # fmt: skip


# ── syncs ───────────────────────────────────────────────────────────────────────────────────────
def _syncs(folder: Path) -> Line:
    """How many events are acknowledged for each time the disk is told to write, counted from outside."""
    name = "ingest: fsyncs for each 1 000 events in batches"
    strace = shutil.which("strace")
    if strace is None:
        return Line(name=name, value=0, unit="", baseline="", baseline_value=0, failed="strace is not here to count them")
    trace = folder / "syncs.txt"
    command = [strace, "-f", "-e", "trace=fsync,fdatasync", "-o", str(trace), sys.executable, "-m", __name__]
    counts = []
    for what in ("bare", "ours"):
        done = subprocess.run([*command, what, str(folder / f"syncs-{what}")], capture_output=True, text=True, check=False, env=os.environ)
        if done.returncode:
            said = done.stderr.strip()[-200:]
            return Line(name=name, value=0, unit="", baseline="", baseline_value=0, failed=f"strace or the run under it failed: {said}")
        counts.append(len(re.findall(r"\bf(?:data)?sync\(.*= 0$", trace.read_text(), re.MULTILINE)))
    bare, ours = counts
    if not ours:
        return Line(
            name=name, value=0, unit="", baseline="", baseline_value=0, failed="no sync was seen: an acknowledged event is not durable"
        )
    return Line(name=name, value=ours, unit="", baseline="SQLite FULL", baseline_value=bare, note=f"batches of {BATCH}, seen by strace")


def main() -> int:
    """The short run under strace: only what is counted."""
    what, where = sys.argv[1], Path(sys.argv[2])
    events = training_events(COUNTED)
    if what == "bare":
        where.mkdir()
        bare_inserts(where / "bare.db", events, BATCH)
        return 0
    ledger, graph, ingestor = opened(where)
    accept(ingestor, events, BATCH)
    ledger.close()
    graph.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
