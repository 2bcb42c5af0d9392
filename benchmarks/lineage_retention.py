"""What it costs to retire events: the snapshot written and read back, the payloads destroyed, and the graph made from the snapshot.

The baseline of each is of the same run: the events folded from the ledger one by one, and their own bytes. Times are processor time of
this process, all its threads: a loaded machine does not change it.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil

from benchmarks.lineage_events import training_events
from benchmarks.lineage_ingest import accept, project
from benchmarks.lineage_sizes import SIZES, Job
from benchmarks.measure import Line
from lineage.adapters.file_keys import FileKeyStore
from lineage.adapters.snapshot_files import SnapshotFolder
from lineage.adapters.sql_ledger import SqlLedger
from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.clock import SystemClock
from lineage.ingest import Ingestor
from lineage.retention import Archive, Retention

__all__ = ["run"]

T = TypeVar("T")
ORIGIN = "govern.bench/log"
BATCH = 500


def run(job: Job) -> Iterator[Line]:
    """A line for each step, per event, and one for the bytes and one for the memory."""
    events = training_events(job.sizes.events)
    many, size = len(events), sum(map(len, events))
    home = job.folder / "retention"
    home.mkdir(parents=True)
    clock, keys, files = SystemClock(), FileKeyStore.create(home / "keys"), SnapshotFolder(home / "snapshots")
    ledger = SqlLedger(home / "ledger.db", keys=keys, origin=ORIGIN, clock=clock)
    graph = SqliteGraph(home / "graph.db")
    archive = Archive(ledger, files, origin=ORIGIN, public=lambda: keys.public_ed25519("checkpoint"))
    ingestor = Ingestor(ledger, graph, clock, archive=archive)
    projector = ingestor.projector
    retention = Retention(
        ledger=ledger, graph=graph, hold=projector.hold, wait=ingestor.lag, archive=archive, files=files, keys=keys,
        clock=clock, origin=ORIGIN, generator="benchmark",
    )  # fmt: skip
    try:
        accept(ingestor, events, BATCH)
        del events
        project(ingestor)
        ingestor.stop()
        digest = ingestor.digest()
        folded, _ = _timed(ingestor.rebuild)  # every event from the ledger, nothing kept parsed
        if ingestor.digest() != digest:
            raise RuntimeError("the graph that was folded again is another")
        before = psutil.Process().memory_info().rss
        written, snapshot = _timed(lambda: retention._write("key:bench"))  # noqa: SLF001 - a step of the act, measured alone
        verified, _ = _timed(lambda: archive.verify(snapshot))
        grown = psutil.Process().memory_info().rss - before
        destroyed, answer = _timed(lambda: retention.run(1, actor="key:bench"))
        if answer["events"] != many or answer["snapshot"]["new"]:
            raise RuntimeError("not every event was retired under the snapshot that was there")
        restored, _ = _timed(ingestor.rebuild)
        if ingestor.digest() != digest:
            raise RuntimeError("the graph that was made from the snapshot is another")
        note = f"{many:,} events of {size // many:,} B"
        for name, seconds in (
            ("snapshot written", written),
            ("snapshot read back and held against what is signed", verified),
            ("read back again, payloads destroyed, log emptied", destroyed),
            ("graph made from the snapshot", restored),
        ):
            each, base = seconds / many * 1e6, folded / many * 1e6
            yield Line(name=f"retention: {name}", value=each, unit="µs CPU/event", baseline="folded", baseline_value=base, note=note)
            note = ""
        each, base = snapshot.size / many, size / many
        yield Line(name="retention: snapshot an event", value=each, unit="B", baseline="the event", baseline_value=base)
        yield Line(
            name="retention: memory grown, the graph's mapped file included", value=grown / 1e6, unit="MB", baseline="the snapshot's file",
            baseline_value=snapshot.size / 1e6,
            note=", ".join(f"{count:,} {name}" for name, count in snapshot.said["counts"].items()),
        )  # fmt: skip
    finally:
        ingestor.stop()
        graph.close()
        ledger.close()


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    begin = time.process_time()
    found = work()
    return time.process_time() - begin, found


def main() -> int:
    """``python -m benchmarks.lineage_retention --events 20000``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lineage_retention", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    options = parser.parse_args()
    sizes = dataclasses.replace(SIZES["quick"], events=options.events)
    with tempfile.TemporaryDirectory(prefix="govern-bench-") as folder:
        for line in run(Job(sizes=sizes, folder=Path(folder))):
            print(line.text(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
