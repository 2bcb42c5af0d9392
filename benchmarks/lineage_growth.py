"""How ingest, closures, memory and disk grow with the graph: one process takes events until there are so many nodes, and is asked then.

The exponent is the slope of the straight line through the points on logarithmic scales: 1 is proportional, 0 does not grow.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import psutil

from benchmarks.lineage_events import grid_events
from benchmarks.lineage_growth_svg import Curve, picture
from benchmarks.lineage_ingest import accept, opened
from benchmarks.lineage_sizes import Job
from benchmarks.measure import CommandFailed, Line, plain_environment
from lineage.graph.keys import version_key
from lineage.model import Direction

__all__ = ["exponent", "run"]

WIDTH = 40
BATCH = 500
BELOW = {"about 84 nodes": 6, "about 1 100 nodes": 20}
"""Layers below the start of a closure, and how many nodes of versions and runs are reached."""
REPEATED = 15


def run(job: Job) -> Iterator[Line]:
    """One line for each size and figure, the exponents, and the picture."""
    asked = {"folder": str(job.folder / "growth"), "sizes": job.sizes.growth}
    done = subprocess.run(
        [sys.executable, "-m", __name__], input=json.dumps(asked), capture_output=True, text=True, env=plain_environment(), check=False
    )  # fmt: skip
    if done.returncode:
        raise CommandFailed(done.stderr.strip()[-400:])
    points: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    first = points[0]
    for point in points:
        size = f"growth: {point['nodes']:,} nodes"
        smallest = f"at {first['nodes']:,}"
        note = f"{point['events']:,} events, {point['seconds']:.1f} s so far"
        yield Line(name=f"{size}: ingest", value=point["rate"], unit="ev/s", baseline=smallest, baseline_value=first["rate"], note=note)
        for what in BELOW:
            if what in point:
                start = next(one for one in points if what in one)
                base = f"at {start['nodes']:,}"
                yield Line(
                    name=f"{size}: closure of {what}",
                    value=point[what],
                    unit="ms",
                    baseline=base,
                    baseline_value=start[what],
                    note=f"{point['found ' + what]:,} found",
                )
        yield Line(name=f"{size}: memory", value=point["memory"] / 1e6, unit="MB", baseline=smallest, baseline_value=first["memory"] / 1e6)
        disk = point["disk"] / point["events"]
        yield Line(
            name=f"{size}: disk an event", value=disk, unit="B", baseline="the event", baseline_value=point["bytes"] / point["events"]
        )
    if len(points) > 1:
        for curve in _curves(points):
            yield Line(name=f"growth: exponent of {curve.name}", value=curve.exponent, unit="", baseline="proportional", baseline_value=1.0)
        if job.picture is not None:
            job.picture.write_text(picture(_curves(points)))


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """Slope of the least-squares line through (log x, log y).

    >>> round(exponent([(1, 5), (10, 50), (100, 500)]), 6)
    1.0
    """
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    return statistics.linear_regression(xs, ys).slope


def _curves(points: list[dict[str, Any]]) -> list[Curve]:
    given = {
        "ingest time": ("s", [(p["nodes"], p["seconds"]) for p in points]),
        "memory": ("MB", [(p["nodes"], p["memory"] / 1e6) for p in points]),
        "disk": ("MB", [(p["nodes"], p["disk"] / 1e6) for p in points]),
    }
    given |= {f"closure of {what}": ("ms", [(p["nodes"], p[what]) for p in points if what in p]) for what in BELOW}
    return [Curve(name=name, unit=unit, points=found, exponent=exponent(found)) for name, (unit, found) in given.items() if len(found) > 1]


# ── the process that grows ──────────────────────────────────────────────────────────────────────
def grow(folder: Path, sizes: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Take events until each number of nodes is reached; what it cost so far, and what closures cost then."""
    ledger, graph, ingestor = opened(folder)
    events = grid_events(WIDTH, count(1))
    taken, sent, spent, before = 0, 0, 0.0, (0, 0.0)
    try:
        for size in sizes:
            while (nodes := graph.counts()["nodes"]) < size:
                batch = list(islice(events, min(BATCH, max(WIDTH, (size - nodes) // 8))))
                begin = time.perf_counter()
                accept(ingestor, batch, len(batch))
                while ingestor.project():
                    pass
                spent += time.perf_counter() - begin
                taken, sent = taken + len(batch), sent + sum(map(len, batch))
            point = {"nodes": nodes, "events": taken, "bytes": sent, "seconds": spent, "rate": (taken - before[0]) / (spent - before[1])}
            before = (taken, spent)
            for what, below in BELOW.items():
                layer = taken // WIDTH - below
                if layer > 0:
                    point |= _closure(graph, version_key("grid", f"d{layer}.{WIDTH // 2}", f"v{layer}"), what)
            disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            yield point | {"memory": psutil.Process(os.getpid()).memory_info().rss, "disk": disk}
    finally:
        ingestor.stop()
        graph.close()
        ledger.close()


def _closure(graph: Any, start: str, what: str) -> dict[str, Any]:
    times = []
    for _ in range(REPEATED):
        begin = time.perf_counter()
        found = graph.closure([start], Direction.DOWN)
        times.append(time.perf_counter() - begin)
    return {what: 1e3 * statistics.median(times), f"found {what}": len(found.nodes)}


def main() -> int:
    """Write one JSON line for each size."""
    asked = json.load(sys.stdin)
    for point in grow(Path(asked["folder"]), asked["sizes"]):
        print(json.dumps(point), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
