"""Into and out of a real Neo4j that the run starts itself: the full model beside the same statements sent bare, closures, reads.

Where there is no Java, or its jars cannot be fetched, this says so. ``GOVERN_TEST_NEO4J_URI`` (with ``_USER`` and ``_PASSWORD``) names one
that runs already; it is emptied.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.lineage_closure import AS_OF, CTE, answer_json
from benchmarks.lineage_events import training_events
from benchmarks.lineage_ingest import accept
from benchmarks.lineage_million import Layers, bare_table, fill
from benchmarks.lineage_reads import measured
from benchmarks.lineage_sizes import Job
from benchmarks.measure import Line, seconds
from deploy.neo4j.start import Neo4j
from lineage.adapters.file_keys import FileKeyStore
from lineage.adapters.neo4j_graph import Neo4jGraph, Place
from lineage.adapters.sql_ledger import SqlLedger
from lineage.clock import SystemClock
from lineage.ingest import Ingestor
from lineage.model import Direction, GraphDelta

__all__ = ["neo4j", "run"]

FULL_LIMIT = 1_200.0
BARE_RATIO = 0.8
CLOSURE_LIMIT = 50.0
CLOSURE = 1_100
WARM_UP = 1_000
TURNS = ("bare", "adapter", "adapter", "bare")
AHEAD = 2
"""Transactions on their way while the next is folded, as the server of a home has it."""


def run(job: Job) -> Iterator[Line]:
    """Each on a database that was emptied."""
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(neo4j(job.folder / "server"))
        except Exception as error:  # noqa: BLE001 - whatever keeps it from starting is said on the page
            yield Line(name="neo4j: everything", value=0, unit="/s", baseline="", baseline_value=0, failed=f"no Neo4j: {error}")
            return
        yield from _ingest(place, job)
        yield from _closure(place, job)
        environment = {"GOVERN_GRAPH": place.uri, "GOVERN_GRAPH_USER": place.user, "GOVERN_GRAPH_PASSWORD": place.password}
        _left_to_others(place, job.folder / "empty-reads.db")
        yield from measured(job, "Neo4j", environment)


@contextlib.contextmanager
def neo4j(folder: Path) -> Iterator[Place]:
    """A server that runs, started by ``deploy/neo4j/start.py`` or given."""
    given = os.environ.get("GOVERN_TEST_NEO4J_URI")
    if given:
        user, password = os.environ.get("GOVERN_TEST_NEO4J_USER", "neo4j"), os.environ.get("GOVERN_TEST_NEO4J_PASSWORD", "")
        yield Place(uri=given, user=user, password=password)
        return
    server = Neo4j(folder)
    server.start()
    try:
        yield Place(uri=server.uri, password=server.password)
    finally:
        server.stop()


def _ingest(place: Place, job: Job) -> Iterator[Line]:
    """Fold into the server; then empty it and send the very statements bare; then give the adapter the very deltas, without a fold.

    What came before those that count is sent before each, so that all three write beside the same graph. The whole is first, on a server
    that has compiled least: its ratio is a lower bound.
    """
    name = "neo4j: ledger → folded into Neo4j, full model"
    events, warm = training_events(job.sizes.neo4j_events), training_events(WARM_UP, prefix="warm")
    home = job.folder / "neo4j-ingest"
    home.mkdir()
    ledger = SqlLedger(home / "ledger.db", keys=FileKeyStore.create(home / "keys"), origin="govern.bench/log", clock=SystemClock())
    graph = _emptied(place, home / "fold.db")
    ingestor = Ingestor(ledger, graph, SystemClock())
    sent: list[list[tuple[str, dict[str, Any]]]] = []
    deltas: list[list[tuple[GraphDelta, int]]] = []
    plain = graph.transaction

    @contextlib.contextmanager
    def watched() -> Iterator[Any]:
        deltas.append([])
        with plain() as state:
            yield state

    def apply(delta: GraphDelta, position: int) -> None:
        deltas[-1].append((delta, position))
        type(graph).apply(graph, delta, position)

    try:
        accept(ingestor, warm, 500)
        graph.server.on_write = sent.append
        graph.transaction, graph.apply = watched, apply  # type: ignore[method-assign]
        _project(ingestor, graph)
        before_sent, before_deltas = len(sent), len(deltas)
        accept(ingestor, events, 500)
        ours, cpu = _timed(lambda: _project(ingestor, graph))
        counts = graph.counts()
    finally:
        ingestor.stop()
        graph.close()
        ledger.close()
    bare = given = given_cpu = float("inf")
    for number, what in enumerate(TURNS):  # the least of each: the server's compiler makes every turn faster than the one before
        graph = _emptied(place, job.folder / f"turn-{number}.db")
        try:
            if what == "bare":
                _send(graph, sent[:before_sent])
                bare = min(bare, _timed(partial(_send, graph, sent[before_sent:]))[0])
                continue
            _give(graph, deltas[:before_deltas])
            wall, used = _timed(partial(_give, graph, deltas[before_deltas:]))
            given, given_cpu = min(given, wall), min(given_cpu, used)
            if graph.counts() != counts:
                raise AssertionError(f"the same deltas made another graph: {graph.counts()}, not {counts}")
        finally:
            graph.close()
    made = f"{len(events):,} events, {counts['nodes']:,} nodes, {counts['edges']:,} edges in all"
    note = f"{made}; {len(events) / cpu:,.0f} per cpu second of ours"
    yield Line(
        name=name, value=len(events) / ours, unit="/s", baseline="the same statements bare", baseline_value=len(events) / bare,
        limit=FULL_LIMIT, ratio_limit=BARE_RATIO, note=note,
    )  # fmt: skip
    yield Line(
        name="neo4j: the adapter alone, given ready deltas", value=len(events) / given, unit="/s", baseline="the same statements bare",
        baseline_value=len(events) / bare, ratio_limit=BARE_RATIO, note=f"{len(events) / given_cpu:,.0f} per cpu second of ours",
    )  # fmt: skip


def _closure(place: Place, job: Job) -> Iterator[Line]:
    layers = Layers(job.sizes.neo4j_nodes)
    start = layers.starts((CLOSURE,))[0]
    graph = _emptied(place, job.folder / "neo4j-million.db")
    bare = bare_table(job.folder / "neo4j-bare.db", layers)
    try:
        took, _ = _timed(lambda: fill(graph, layers, 1))
        edges = 2 * (layers.nodes - layers.width)
        note = f"{layers.nodes:,} nodes, {edges:,} edges in {took:.0f} s"
        yield Line(
            name="neo4j: nodes are put in", value=edges / took, unit="/s", baseline="nodes", baseline_value=layers.nodes / took, note=note
        )
        base = 1e3 * seconds(lambda: bare.execute(CTE, (start.number,)).fetchall(), job.sizes.times)
        keys, cut = graph.reach([start.key], Direction.DOWN, as_of=AS_OF)
        size = f"{start.reached:,} nodes"
        if len(keys) != start.reached or cut:
            failed = f"{len(keys)} keys were reached, cut: {cut}"
            yield Line(name=f"neo4j: closure of {size}", value=0, unit="ms", baseline="", baseline_value=0, failed=failed)
            return
        work: dict[str, Callable[[], object]] = {
            "keys as of a day": lambda: graph.reach([start.key], Direction.DOWN, as_of=AS_OF),
            "nodes and edges as JSON": lambda: answer_json(graph, start.key),
        }
        for what, asked in work.items():
            asked()
            ours = 1e3 * seconds(asked, job.sizes.times)
            yield Line(
                name=f"neo4j: {what}, {size}", value=ours, unit="ms", baseline="bare CTE on SQLite", baseline_value=base,
                limit=CLOSURE_LIMIT,
            )  # fmt: skip
    finally:
        bare.close()
        graph.close()


def _emptied(place: Place, fold: Path) -> Neo4jGraph:
    graph = Neo4jGraph(place, fold, ahead=AHEAD)
    graph.clear(force=True)
    return graph


def _left_to_others(place: Place, fold: Path) -> None:
    """As if no home had ever used it: a graph that is somebody's, if only an empty one, is refused by every other home."""
    graph = _emptied(place, fold)
    try:
        graph.server.auto("MATCH (n) DETACH DELETE n")
    finally:
        graph.close()


def _send(graph: Neo4jGraph, sent: list[list[tuple[str, dict[str, Any]]]]) -> None:
    for statements in sent:
        graph.server.write(statements, lambda _rows: None)


def _give(graph: Neo4jGraph, deltas: list[list[tuple[GraphDelta, int]]]) -> None:
    for batch in deltas:
        with graph.transaction():
            for delta, position in batch:
                graph.apply(delta, position)
    graph.settle()


def _project(ingestor: Ingestor, graph: Neo4jGraph) -> None:
    while ingestor.project():
        pass
    graph.settle()


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    begin, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin, time.process_time() - cpu
