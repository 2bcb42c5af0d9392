"""Any order and any duplication of events gives one graph, in every store."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import dataset_event, digest, ds, job_event, model, nanos, project, recorded, run

from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.graph import Fold
from lineage.graph.claims import Changes
from lineage.model import GraphDelta
from lineage.openlineage import parse_event
from lineage.trace import MemoryGraph

LINK = [("hive://h", "db.b", "TABLE")]
SCENE = [
    run("p1", "START", 1, [ds("raw")], [ds("b")]),
    run("p1", "COMPLETE", 2, [ds("raw")], [ds("b")]),
    run("p2", "COMPLETE", 5, [ds("raw", "7")], [ds("b", "v2")]),
    run("p3", "FAIL", 6, [ds("raw")], [ds("b", "v3")]),
    run("p3", "START", 7),
    run("p3", "COMPLETE", 8, [], [ds("b", "v3")]),
    run("t1", "START", 3, [ds("b"), ds("other")]),
    run("t1", "COMPLETE", 9, [], [model("m", "t1")], facets={"executionParameters": {"parameters": [{"key": "lr", "value": 0.1}]}}),
    run("t2", "START", 6, [ds("db.b", namespace="hive://h", io={"govern_rowSet": {"digest": "rs1:aa", "count": 3}})]),
    run("t2", "COMPLETE", 10, [ds("db.b", "v2", namespace="hive://h")], [model("m", "t2")], facets={"my.facet": {"x": [1, "é"]}}),
    run("c1", "COMPLETE", 12, [ds("x1"), ds("x2")], [ds("y1", columns={"c": ["x1"]}), ds("y2", columns={"c": ["x2", "b"]})]),
    run(
        "c1",
        "RUNNING",
        11,
        [],
        [ds("y1", columns={"c": ["x2"]})],
        facets={"parent": {"run": {"runId": "up"}, "job": {"namespace": "jobs", "name": "u"}}},
    ),
    run("s1", "START", 13, [model("m")], [], job="serve"),
    job_event(1, "serve", [ds("declared")], facets={"jobType": {"processingType": "SERVICE"}}),
    dataset_event(4, ds("other", "o1", links=[("file", "/data/other", "LOCATION")])),
    dataset_event(20, ds("b", links=LINK)),
    dataset_event(21, {"namespace": "mlflow://host", "name": "m", "facets": {"documentation": {"description": "late"}}}),
    dataset_event(22, ds("y1", "d1", lineage={"inputs": [{"namespace": "s3://lake", "name": "b", "type": "DATASET"}]})),
]
EVENTS = [parse_event(raw) for raw in SCENE]
CORPUS = [parse_event(raw) for raw in recorded()]
DEMO_FILES = Path(__file__).parent.parent / "data" / "river"
DEMO = [parse_event(line) for line in (DEMO_FILES / "events.jsonl").read_bytes().splitlines()]


def orders(events):
    """A permutation of all events with some of them repeated anywhere."""
    repeats = st.lists(st.sampled_from(range(len(events))), max_size=6)
    return repeats.flatmap(lambda more: st.permutations([*range(len(events)), *more])).map(lambda order: [events[i] for i in order])


def reference(events) -> str:
    return project(MemoryGraph(), events)


@pytest.mark.parametrize("events", [EVENTS, CORPUS, DEMO, CORPUS + DEMO], ids=["scene", "recorded", "demo", "both"])
def test_any_order_and_duplication_gives_one_digest(events):
    expected = reference(events)

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(orders(events))
    def check(order):
        assert project(MemoryGraph(), order) == expected

    check()


def test_the_demo_s_events_give_the_digest_that_its_home_had():
    assert reference(DEMO) == (DEMO_FILES / "digest.txt").read_text().strip()


def test_sqlite_holds_the_same_graph_whatever_the_order_and_the_batches(tmp_path):
    expected = reference(EVENTS)
    count = iter(range(1000))

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(orders(EVENTS), st.booleans())
    def check(order, batch):
        graph = SqliteGraph(tmp_path / f"g{next(count)}.db")
        try:
            assert project(graph, order, batch=batch) == expected
        finally:
            graph.close()

    check()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(orders(EVENTS), st.integers(0, len(EVENTS)))
def test_after_every_prefix_no_owner_is_stale(order, cut):
    """What the fold derived step by step is what deriving every owner anew from the facts would give."""
    graph = MemoryGraph()
    project(graph, order[:cut])
    with graph.transaction() as state:
        fold = Fold(state)
        owners = [key for prefix in ("run/", "job/", "ds/") for key, _ in state.scan(prefix)]
        for owner in owners:
            changes = Changes(state, 0)
            assert (owner, changes.replace(fold._claims(owner))) == (owner, False)
            assert changes.delta() == GraphDelta()


def test_applying_twice_changes_nothing():
    graph = MemoryGraph()
    project(graph, EVENTS)
    with graph.transaction() as state:
        for event in EVENTS:
            delta = Fold(state).fold(event, recorded_at=nanos(99))
            assert (delta.nodes, delta.edges, delta.removed_nodes, delta.removed_edges) == ((), (), (), ())


def test_leaving_any_event_out_is_seen():
    """The scene is not vacuous: each event adds something to the graph."""
    expected = reference(EVENTS)
    for index in range(len(EVENTS)):
        assert reference(EVENTS[:index] + EVENTS[index + 1 :]) != expected, index


def test_the_digest_is_of_the_live_store():
    graph = MemoryGraph()
    before = project(graph, EVENTS)
    assert digest(graph) == before
