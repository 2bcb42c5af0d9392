"""Feast 0.67, a peer that also takes OpenLineage events, beside us: the same events, one by one, into SQLite, each durable.

Feast lives in an environment of its own that is made for the run and thrown away. Where the package index cannot be reached, this says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.lineage_events import training_events
from benchmarks.lineage_ingest import accept, opened, project
from benchmarks.lineage_sizes import Job
from benchmarks.measure import Line, plain_environment

__all__ = ["run"]

VERSION = "0.67.0"
INSTALL_SECONDS = 900
NAME = f"feast: bytes → graph beside Feast {VERSION}"
SCRIPT = """
import json, sys, time
from sqlalchemy import create_engine, event
from feast.openlineage.processor import OpenLineageProcessor
from feast.openlineage.store import OpenLineageStore

rates = {}
for how, pragmas in (("default", ()), ("write-ahead log, no sync", ("journal_mode=WAL", "synchronous=OFF"))):
    engine = create_engine(f"sqlite:///{sys.argv[2]}-{len(rates)}.db")
    def tuned(connection, _record, pragmas=pragmas):
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
    event.listen(engine, "connect", tuned)
    store = OpenLineageStore(engine=engine)
    store.initialize()
    processor = OpenLineageProcessor(store)
    lines = open(sys.argv[1], "rb").read().splitlines()
    begin = time.perf_counter()
    for line in lines:
        processor.process_event(json.loads(line))
    rates[how] = len(lines) / (time.perf_counter() - begin)
print(json.dumps(rates))
"""


def run(job: Job) -> Iterator[Line]:
    """Ours over theirs, as theirs is by default and as it is with the sync given up."""
    if not job.sizes.feast_events:
        yield Line(name=NAME, value=0, unit="/s", baseline="", baseline_value=0, failed="left out of the quick run")
        return
    events = training_events(job.sizes.feast_events)
    python = _environment(job.folder / "feast")
    if isinstance(python, str):
        yield Line(name=NAME, value=0, unit="/s", baseline="", baseline_value=0, failed=f"Feast cannot be installed here: {python}")
        return
    lines = job.folder / "events.ndjson"
    lines.write_bytes(b"\n".join(events))
    asked = [str(python), "-W", "ignore", "-c", SCRIPT, str(lines), str(job.folder / "feast-store")]
    done = subprocess.run(asked, capture_output=True, text=True, env=plain_environment(), timeout=INSTALL_SECONDS, check=False)
    if done.returncode:
        yield Line(name=NAME, value=0, unit="/s", baseline="", baseline_value=0, failed=done.stderr.strip()[-200:])
        return
    ours = _ours(job.folder / "ours", events)
    for how, rate in json.loads(done.stdout.splitlines()[-1]).items():
        note = f"{len(events)} events, one by one; each of ours is synced"
        yield Line(name=NAME, value=ours, unit="/s", baseline=f"Feast, {how}", baseline_value=rate, note=note)


def _ours(folder: Path, events: list[bytes]) -> float:
    ledger, graph, ingestor = opened(folder)
    try:
        begin = time.perf_counter()
        accept(ingestor, events, 1)
        project(ingestor)
        return len(events) / (time.perf_counter() - begin)
    finally:
        ingestor.stop()
        graph.close()
        ledger.close()


def _environment(folder: Path) -> Path | str:
    """The interpreter of a fresh environment with Feast in it, or why there is none."""
    uv = Path(sys.executable).with_name("uv")
    python = folder / "bin" / "python"
    install = [str(uv), "pip", "install", "--python", str(python)] if uv.exists() else [str(python), "-m", "pip", "install"]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*install, "--quiet", f"feast[openlineage]=={VERSION}"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=plain_environment(), timeout=INSTALL_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode:
            return done.stderr.strip()[-200:]
    return python
