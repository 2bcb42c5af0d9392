"""What is reached from a node in a graph of a million: keys alone, all of it as JSON, and a cold ``govern trace``.

The baseline is a bare recursive query over the same edges as two integers, in the same run.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from benchmarks.lineage_million import BEGIN, HOUR, LAYERS, Layers, Start, bare_table, fill
from benchmarks.lineage_server import GOVERN, made_home
from benchmarks.lineage_sizes import Job
from benchmarks.measure import CommandFailed, Line, command, plain_environment, seconds
from governance.wiring import open_system
from lineage.model import Direction
from lineage.trace import trace

__all__ = ["answer_json", "run"]

KEYS_RATIO = 2.0
JSON_LIMITS = {84: 0.001, 1_100: 0.015, 14_000: 0.250}
COLD_LIMIT = 1.0
AS_OF = BEGIN + LAYERS * HOUR
CTE = "WITH RECURSIVE r(n) AS (SELECT ? UNION SELECT e.target FROM r JOIN e ON e.source = r.n) SELECT n FROM r"


def run(job: Job) -> Iterator[Line]:
    """Fill, then ask from each start; then the same question from a cold command."""
    layers = Layers(job.sizes.nodes)
    home = job.folder / "home"
    made_home(home)
    begin = time.perf_counter()
    bare = bare_table(job.folder / "bare.db", layers)
    bare_took = time.perf_counter() - begin
    starts = layers.starts(job.sizes.closures)
    try:
        with open_system(home, worker=False) as system:
            begin = time.perf_counter()
            fill(system.graph, layers, system.log.size())
            took = time.perf_counter() - begin
            name, edges = f"closure: {layers.nodes:,} nodes are put in", 2 * (layers.nodes - layers.width)
            rate = Line(name=name, value=edges / took, unit="/s", baseline="bare table", baseline_value=edges / bare_took)
            yield dataclasses.replace(rate, note=f"{edges:,} edges in {took:.0f} s")
            for wanted, start in zip(job.sizes.closures, starts, strict=True):
                base = _times(lambda start=start: bare.execute(CTE, (start.number,)).fetchall(), start, job)
                yield from _asked(system.graph, start, wanted, base, job)
    finally:
        bare.close()
    for wanted, start in zip(job.sizes.closures[:2], starts[:2], strict=True):
        yield _cold(home, layers, start, wanted, job)


def answer_json(graph: Any, start: str) -> bytes:
    """Every node and edge of the closure, with properties and times, as JSON: the whole answer of the graph."""
    found = graph.closure([start], Direction.DOWN, as_of=AS_OF)
    return orjson.dumps(
        {
            "nodes": [{"key": node.key, "label": node.label, "props": node.props} for node in found.nodes],
            "edges": [
                {
                    "key": e.key,
                    "type": e.type,
                    "source": e.source,
                    "target": e.target,
                    "props": e.props,
                    "from": e.valid_from,
                    "to": e.valid_to,
                }
                for e in found.edges
            ],
            "truncated": found.truncated,
        }
    )


def _asked(graph: Any, start: Start, wanted: int, base: float, job: Job) -> Iterator[Line]:
    size = f"{start.reached:,} nodes"
    keys, cut = graph.reach([start.key], Direction.DOWN, as_of=AS_OF)
    if len(keys) != start.reached or cut:
        yield Line(
            name=f"closure: {size}", value=0, unit="ms", baseline="", baseline_value=0, failed=f"{len(keys)} keys were reached, cut: {cut}"
        )
        return
    ours = _times(lambda: graph.reach([start.key], Direction.DOWN, as_of=AS_OF), start, job)
    yield _ms(f"closure: keys as of a day, {size}", ours, base, ratio_limit=KEYS_RATIO)
    body = answer_json(graph, start.key)
    ours = _times(lambda: answer_json(graph, start.key), start, job)
    yield _ms(f"closure: nodes and edges as JSON, {size}", ours, base, limit=JSON_LIMITS.get(wanted), note=f"{len(body):,} B")
    ours = _times(lambda: trace(graph, [start.key], Direction.DOWN, as_of=AS_OF), start, job)
    yield _ms(f"closure: trace with its completeness, {size}", ours, base)


def _cold(home: Any, layers: Layers, start: Start, wanted: int, job: Job) -> Line:
    name = f"cold: govern trace on {layers.nodes:,} nodes, about {wanted:,}"
    base = command([sys.executable, "-c", ""], times=job.sizes.times)
    run = layers.run(start.number + layers.width)  # a run of the next layer
    try:
        asked = [*GOVERN, "trace", "--run", run, "--direction", "down", "--json"]
        took = command(asked, times=job.sizes.times, environment=plain_environment(GOVERN_HOME=str(home)))
    except CommandFailed as error:
        return Line(name=name, value=0, unit="s", baseline="bare python", baseline_value=base.wall, failed=str(error)[-300:])
    found = len(orjson.loads(took.said)["nodes"])
    return Line(
        name=name, value=took.wall, unit="s", baseline="bare python", baseline_value=base.wall, limit=COLD_LIMIT, cpu=took.cpu,
        baseline_cpu=base.cpu, note=f"{found:,} nodes told",
    )  # fmt: skip


def _times(work: Callable[[], object], start: Start, job: Job) -> float:
    work()
    return seconds(work, max(job.sizes.times, 2_000 // start.reached))


def _ms(name: str, ours: float, base: float, *, limit: float | None = None, ratio_limit: float | None = None, note: str = "") -> Line:
    return Line(
        name=name, value=1e3 * ours, unit="ms", baseline="bare CTE", baseline_value=1e3 * base,
        limit=None if limit is None else 1e3 * limit, ratio_limit=ratio_limit, note=note,
    )  # fmt: skip
