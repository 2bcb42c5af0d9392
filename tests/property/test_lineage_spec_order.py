"""Any order, repetition and batching of events gives one graph: a scene with every kind of statement of the specification."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import dataset_event, digest, ds, job_event, model, nanos, project, run

from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.graph import Fold
from lineage.graph.claims import Changes
from lineage.model import GraphDelta
from lineage.openlineage import parse_event
from lineage.trace import MemoryGraph

LAKE = {"namespace": "s3://lake"}
RENAME = {"lifecycleStateChange": "RENAME", "previousIdentifier": {**LAKE, "name": "b"}}
ENTRIES = [
    {
        **LAKE,
        "name": "z",
        "type": "DATASET",
        "inputs": [{**LAKE, "name": "view", "type": "DATASET"}, {"namespace": "jobs", "name": "job-of-p1", "type": "JOB"}],
    },
    {"namespace": "jobs", "name": "elsewhere", "type": "JOB", "runId": "e1", "inputs": [{**LAKE, "name": "raw", "type": "DATASET"}]},
    {"type": "JOB", "inputs": [{"namespace": "jobs", "name": "job-of-p3", "type": "JOB", "runId": "p3"}]},
]
SNAPSHOT = {"jobType": {"processingType": "STREAMING", "emissionPattern": {"eventContentMode": "COMPLETE_SNAPSHOT"}}}
ASSERTIONS = {"dataQualityAssertions": {"assertions": [{"assertion": "unique", "column": "id", "success": False}]}}
SCENE = [
    run("p1", "START", 1, [ds("raw")], [ds("b")]),
    run("p1", "COMPLETE", 2, [ds("raw")], [ds("b")]),
    run("p2", "COMPLETE", 5, [ds("raw", "7")], [ds("b", "v2")]),
    run("p3", "FAIL", 6, [ds("raw")], [ds("b", "v3")]),
    run("p3", "START", 7),
    run("p3", "COMPLETE", 8, [], [ds("b", "v3")]),
    run("t2", "START", 6, [ds("db.b", namespace="hive://h")]),
    run("t2", "COMPLETE", 10, [ds("db.b", "v2", namespace="hive://h")], [model("m", "t2")]),
    dataset_event(20, ds("b", links=[("hive://h", "db.b", "TABLE")])),
    dataset_event(23, ds("b", links=[])),
    dataset_event(7, ds("view", lineage={"inputs": [{**LAKE, "name": "b", "type": "DATASET"}]})),
    dataset_event(24, ds("view", lineage={"inputs": [{**LAKE, "name": "raw", "type": "DATASET"}]})),
    run("v1", "START", 9, [ds("view"), ds("new/")]),
    run("v1", "COMPLETE", 10, [], [ds("v", "1")], facets={"test": {"tests": [{"name": "rows", "status": "PASS"}]}}),
    dataset_event(8, ds("new", lifecycleStateChange=RENAME)),
    dataset_event(25, ds("b", lifecycleStateChange={**RENAME, "previousIdentifier": {**LAKE, "name": "new"}})),
    run("x1", "COMPLETE", 14, [ds("view")], [ds("z"), ds("loose")], job_facets={"lineage": {"entries": ENTRIES}}),
    run("f1", "START", 15, [ds("k1"), ds("k2", "3")], [ds("o1"), ds("o2")], job_facets=SNAPSHOT),
    run("f1", "RUNNING", 16, [ds("k2", "4")], [ds("o2")], job_facets=SNAPSHOT),
    job_event(17, "declared", [ds("raw")], [ds("y3")], facets={"lineage": {"entries": ENTRIES}}),
    job_event(18, "declared", [ds("raw")], [ds("y4", lineage={"inputs": []})]),
    run("c1", "COMPLETE", 12, [ds("x1"), ds("x2")], [ds("y1", columns={"c": ["x1"]}), ds("y2", columns={"c": ["x2", "b"]})]),
    run("c2", "COMPLETE", 19, [ds("x1")], [ds("y1", columns={"d": ["x1"]})], job="job-of-c1"),
    run("p1", "START", 20, [ds("raw")]),
    run("p1", "COMPLETE", 21, [], [ds("b")]),
    run("q1", "COMPLETE", 26, [ds("z", io=ASSERTIONS)]),
    run("p0", "START", 3, [ds("raw")], job="job-of-p1"),
]
EVENTS = [parse_event(raw) for raw in SCENE]
REPLACED = [event for event in EVENTS if event.kind != "run" and event.event_time in {nanos(7), nanos(17), nanos(20)}]
"""Statements that a later one takes back whole."""
ORDERS = st.lists(st.sampled_from(EVENTS), max_size=6).flatmap(lambda more: st.permutations([*EVENTS, *more]))
BATCHES = st.lists(st.integers(1, 12), min_size=40, max_size=40)


def reference(events) -> str:
    return project(MemoryGraph(), events)


def in_batches(store, order, sizes) -> str:
    at = 0
    for size in sizes:
        project(store, order[at : at + size], batch=True)
        at += size
    return digest(store)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ORDERS, BATCHES)
def test_any_order_repetition_and_batching_gives_one_digest(order, sizes):
    assert in_batches(MemoryGraph(), order, sizes) == EXPECTED


def test_sqlite_holds_the_same_graph(tmp_path):
    count = iter(range(1000))

    @settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(ORDERS, BATCHES)
    def check(order, sizes):
        graph = SqliteGraph(tmp_path / f"g{next(count)}.db")
        try:
            assert in_batches(graph, order, sizes) == EXPECTED
        finally:
            graph.close()

    check()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ORDERS, st.integers(0, len(EVENTS)))
def test_after_every_prefix_no_owner_is_stale(order, cut):
    """What the fold derived step by step is what deriving every owner anew from the facts would give."""
    graph = MemoryGraph()
    project(graph, order[:cut])
    with graph.transaction() as state:
        fold = Fold(state)
        for owner in [key for prefix in ("run/", "job/", "ds/") for key, _ in state.scan(prefix)]:
            changes = Changes(state, 0)
            assert (owner, changes.replace(fold._claims(owner))) == (owner, False)
            assert changes.delta() == GraphDelta()


def test_leaving_any_event_out_is_seen():
    """The scene is not vacuous: each event that is not taken back adds something to the graph."""
    for index, event in enumerate(EVENTS):
        if event not in REPLACED:
            assert reference(EVENTS[:index] + EVENTS[index + 1 :]) != EXPECTED, index


EXPECTED = reference(EVENTS)
