"""Hub, tree and chain through the Marquez-compatible ``GET /api/v1/lineage``, as the first read after a new event on that graph.

Before each read one more run of a job of that graph is sent and projected, so that no answer is one that was kept; there is no ETag and
every read has a connection of its own. The last lines are the very first call of a process.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from urllib.parse import quote

from benchmarks.lineage_client import send
from benchmarks.lineage_events import Shape, encode, fresh, shapes
from benchmarks.lineage_server import Served, made_home, served
from benchmarks.lineage_sizes import Job
from benchmarks.measure import Line

__all__ = ["LIMITS", "measured", "run"]

LIMITS = {"chain of 20": 5.0, "tree of 1 344": 30.0, "hub of 1 000": 50.0}
DEPTH = 20
BASE = "GET /healthz"


def run(job: Job) -> Iterator[Line]:
    """On SQLite."""
    yield from measured(job, "SQLite", {})


def measured(job: Job, graph: str, environment: dict[str, str]) -> Iterator[Line]:
    """Every shape from each of its nodes on one server, then the first call of another process over the same home."""
    home = job.folder / "home"
    key = made_home(home)
    every = shapes()
    with served(home, key, **environment) as server:
        for shape in every:
            sent = send(server, [encode(event) for event in shape.events], job.folder, connections=4)
            if sent["errors"]:
                raise RuntimeError(f"{shape.name}: {sent['samples']}")
            server.settle(shape.events[-1]["run"]["runId"])
        for shape in every:
            yield from _shape(server, shape, graph, job)
    for shape in every:
        with served(home, key, **environment) as server:
            node = shape.ask["first dataset"]
            took, body = server.get(_path(node))
            base, _ = server.get("/healthz")
            note = f"{len(body):,} B"
            yield Line(
                name=f"reads: {shape.name}, first call of a process, {graph}",
                value=1e3 * took,
                unit="ms",
                baseline=BASE,
                baseline_value=1e3 * base,
                note=note,
            )


def _shape(server: Served, shape: Shape, graph: str, job: Job) -> Iterator[Line]:
    number = 0
    base = 1e3 * statistics.median(server.get("/healthz")[0] for _ in range(2 * job.sizes.times))
    for what, node in shape.ask.items():
        name = f"reads: {shape.name} from its {what}, {graph}"
        waits, body = [], b""
        for _ in range(job.sizes.times):
            number += 1
            event = fresh(shape.events[number % len(shape.events)], number)
            server.post("/api/v1/lineage", encode(event))
            server.settle(event["run"]["runId"])
            took, body = server.get(_path(node))
            waits.append(took)
        nodes = len(json.loads(body)["graph"])
        if nodes != shape.nodes:
            yield Line(
                name=name, value=0, unit="ms", baseline=BASE, baseline_value=base, failed=f"{nodes:,} nodes instead of {shape.nodes:,}"
            )
            continue
        yield Line(
            name=name, value=1e3 * statistics.median(waits), unit="ms", baseline=BASE, baseline_value=base, limit=LIMITS[shape.name],
            note=f"{nodes:,} nodes, {len(body):,} B, least {1e3 * min(waits):.1f}, most {1e3 * max(waits):.1f}",
        )  # fmt: skip


def _path(node: str) -> str:
    return f"/api/v1/lineage?nodeId={quote(node, safe='')}&depth={DEPTH}"
