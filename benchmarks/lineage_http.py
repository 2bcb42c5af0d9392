"""Events over HTTP: single posts from one, four and eight keep-alive connections, and batches, each beside a bare server answering 201.

The lag at the end is what a user would meet: how long after the last acknowledgement a read takes that rests on every event.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.lineage_client import send
from benchmarks.lineage_events import training_events
from benchmarks.lineage_server import Served, bare_asgi, made_home, served
from benchmarks.lineage_sizes import Job
from benchmarks.measure import Line

__all__ = ["run"]

CONNECTIONS = (1, 4, 8)
BATCH = 100
SINGLE_LIMIT = 1_000.0
BATCH_LIMIT = 2_000.0
P99_LIMIT = 50.0
LAG_LIMIT = 1.0
WARM_UP = 200
BARE = "bare ASGI 201"


def run(job: Job) -> Iterator[Line]:
    """The bare server first, then ours with every number of connections, then batches."""
    posts, folder = job.sizes.posts, job.folder
    warm, many = training_events(WARM_UP, prefix="warm"), training_events(posts, prefix="batch")
    single = {count: training_events(posts, prefix=f"c{count}") for count in CONNECTIONS}
    with bare_asgi(folder / "bare") as server:
        send(server, warm, folder, connections=4)
        bare = {count: send(server, single[count], folder, connections=count) for count in CONNECTIONS}
        bare_batch = send(server, many, folder, connections=8, batch=BATCH)
    key = made_home(folder / "home")
    with served(folder / "home", key) as server:
        send(server, warm, folder, connections=4)
        for count in CONNECTIONS:
            name = f"http: single posts, {count} connection{'s' if count > 1 else ''}"
            limit = SINGLE_LIMIT if count == max(CONNECTIONS) else None
            yield from _measured(name, server, single[count], folder, bare[count], limit=limit, connections=count)
        name = f"http: batches of {BATCH}, 8 connections"
        yield from _measured(name, server, many, folder, bare_batch, limit=BATCH_LIMIT, connections=8, batch=BATCH)


def _measured(
    name: str, server: Served, events: list[bytes], folder: Path, bare: dict[str, Any], *, limit: float | None, **how: int
) -> Iterator[Line]:
    cpu = server.cpu()
    ours = send(server, events, folder, **how)  # type: ignore[arg-type]
    lag = server.settle(json.loads(events[-1])["run"]["runId"])
    cpu = (server.cpu() - cpu) / len(events)
    if ours["errors"]:
        failed = f"{ours['errors']} errors, the first: {ours['samples'][:1]}"
        yield Line(name=name, value=0, unit="/s", baseline="", baseline_value=0, failed=failed)
        return
    note = f"p50 {ours['p50_ms']:.1f}, p95 {ours['p95_ms']:.1f}, max {ours['max_ms']:.0f} ms; {1e3 * cpu:.2f} ms of server cpu an event"
    rate, bare_rate = ours["events_per_s"], bare["events_per_s"]
    yield Line(name=name, value=rate, unit="/s", baseline=BARE, baseline_value=bare_rate, limit=limit, note=note)
    promised = limit is not None
    yield Line(
        name=f"{name}: p99", value=ours["p99_ms"], unit="ms", baseline=BARE, baseline_value=bare["p99_ms"],
        limit=P99_LIMIT if promised else None,
    )  # fmt: skip
    yield Line(
        name=f"{name}: lag at the end", value=lag, unit="s", baseline="the run", baseline_value=len(events) / rate,
        limit=LAG_LIMIT if promised else None,
    )  # fmt: skip
