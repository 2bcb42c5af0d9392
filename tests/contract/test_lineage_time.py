"""Two times, one contract: a late event changes what was so (as of), never what was known (known at); held by every store."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import ds, model, nanos, project, run

from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.errors import BadInput
from lineage.graph.keys import dataset_key, edge_key, run_key, version_key
from lineage.model import Direction, Edge, GraphDelta, Node
from lineage.trace import deployed, find_nodes, runs_of_job, trace, trace_column
from lineage.trace.completeness import KINDS
from tests.support.graph_stores import store

__all__ = ["store"]

LAKE, HUB = "s3://lake", "mlflow://host"
SERVICE = {"jobType": {"processingType": "SERVICE"}}
SECOND = 10**9
"""``project`` records one event a second, beginning with second 1."""


def version(name: str, label: str | None, namespace: str = LAKE) -> str:
    return version_key(namespace, name, label)


def serve(ident: str, kind: str, minute: int, label: str, environment: str = "production") -> bytes:
    return run(ident, kind, minute, [model("fraud", label)], [], f"fraud.{environment}", job_facets=SERVICE)


def live(store, **times) -> list[tuple[str, int, int | None]]:
    return sorted((str(one.version.props["version"]), one.active_from, one.active_to) for one in deployed(store, **times))


# ── deployments ─────────────────────────────────────────────────────────────────────────────────
def test_what_was_in_production_on_a_day_as_it_was_known_on_another(store):
    project(store, [serve("s1", "START", 10, "1")])
    assert live(store, as_of=nanos(25)) == [("1", nanos(10), None)]
    project(store, [serve("s1", "COMPLETE", 20, "1"), serve("s2", "START", 20, "2")])
    assert live(store, as_of=nanos(25)) == [("2", nanos(20), None)]
    assert live(store, as_of=nanos(15)) == [("1", nanos(10), nanos(20))]
    assert live(store, as_of=nanos(25), known_at=1 * SECOND) == [("1", nanos(10), None)], "its end was not known yet"
    assert live(store, as_of=nanos(25), known_at=2 * SECOND) == [], "its end was known, its successor not"
    assert live(store, as_of=nanos(9)) == []
    assert live(store) == [("1", nanos(10), nanos(20)), ("2", nanos(20), None)]
    key = version("fraud", "2", HUB)
    assert [one.version.key for one in deployed(store, versions=[key])] == [key]


def test_a_late_start_moves_the_begin_of_a_deployment_back_and_leaves_what_was_known(store):
    project(store, [serve("s1", "START", 10, "1"), serve("s1", "START", 5, "1")])
    assert live(store, as_of=nanos(7)) == [("1", nanos(5), None)]
    assert live(store, as_of=nanos(7), known_at=1 * SECOND) == []
    assert live(store, as_of=nanos(12), known_at=1 * SECOND) == [("1", nanos(10), None)]


# ── traces ──────────────────────────────────────────────────────────────────────────────────────
def names(answer, label: str) -> set[tuple[str, str | None]]:
    return {(node.props["name"], node.props.get("version")) for node in answer.graph.nodes if node.label == label}


def test_a_late_producer_changes_the_trace_as_of_and_not_the_trace_as_known_at(store):
    project(
        store,
        [
            run("p1", "COMPLETE", 5, [ds("raw", "1")], [ds("d", "v1")]),
            run("r", "COMPLETE", 10, [ds("d")], [model("m", "1")]),
            run("p2", "COMPLETE", 8, [ds("raw", "2")], [ds("d", "v2")]),
        ],
    )
    start = [version("m", "1", HUB)]
    now = trace(store, start, Direction.UP)
    assert names(now, "DatasetVersion") == {("d", "v2"), ("raw", "2")}
    for known in (2 * SECOND, 3 * SECOND - 1):
        then = trace(store, start, Direction.UP, known_at=known)
        assert names(then, "DatasetVersion") == {("d", "v1"), ("raw", "1")}
        assert then.known_at == known
    assert names(trace(store, start, Direction.UP, known_at=3 * SECOND), "DatasetVersion") == {("d", "v2"), ("raw", "2")}
    assert names(trace(store, start, Direction.UP, as_of=nanos(9)), "DatasetVersion") == set()
    assert names(trace(store, start, Direction.UP, as_of=nanos(10)), "DatasetVersion") == {("d", "v2"), ("raw", "2")}


def test_what_stands_beside_the_walk_is_as_of_and_as_known_at_too(store):
    params = {"executionParameters": {"parameters": [{"key": "rate", "value": 1}]}}
    project(
        store,
        [
            run("t", "START", 1, [ds("x", "1")], [model("m", "1")]),
            run("t", "COMPLETE", 9, [], [], facets=params, job="job-of-t"),
        ],
    )
    start = [version("x", "1")]

    def beside(**times) -> set[str]:
        return {edge.type for edge in trace(store, start, Direction.DOWN, **times).graph.edges if not edge.walk}

    assert "WITH_PARAMS" in beside()
    assert "WITH_PARAMS" not in beside(known_at=1 * SECOND)
    assert "INSTANCE_OF" in beside(known_at=1 * SECOND)
    assert beside(as_of=nanos(0)) == {"HAS_VERSION"}, "nothing had run yet"


def test_a_dataset_stands_for_the_versions_that_were_there(store):
    events = [run(f"p{i}", "COMPLETE", i * 10, [ds("raw", "1")], [ds("d", f"v{i}")]) for i in (1, 2, 3)]
    project(store, [events[0], events[2], events[1]])
    start = [dataset_key(LAKE, "d")]

    def versions(**times) -> set[str | None]:
        return {label for name, label in names(trace(store, start, Direction.UP, **times), "DatasetVersion") if name == "d"}

    assert versions() == {"v1", "v2", "v3"}
    assert versions(as_of=nanos(25)) == {"v1", "v2"}
    assert versions(known_at=2 * SECOND) == {"v1", "v3"}
    assert versions(as_of=nanos(25), known_at=2 * SECOND) == {"v1"}


def test_a_column_is_traced_as_of_and_as_known_at(store):
    def made(ident: str, minute: int, source: str, target: str) -> bytes:
        return run(ident, "COMPLETE", minute, [ds(source, "1")], [ds(target, ident, columns={"c": [source]})], job=f"makes-{target}")

    project(store, [made("a", 1, "raw", "mid"), made("b", 2, "mid", "out")])

    def fed(column: str = "c", name: str = "out", **times) -> set[str]:
        found = trace_column(store, LAKE, name, column, times.pop("direction", Direction.UP), **times)
        return {f"{node.props['dataset']}.{node.props['name']}" for node in found.graph.nodes if node.label == "Field"}

    assert fed() == {"out.c", "mid.f"}, "mid.c and mid.f are other columns"
    assert fed(name="raw", column="f", direction=Direction.DOWN) == {"raw.f", "mid.c"}
    assert fed(as_of=nanos(1)) == {"out.c"}
    assert fed(known_at=1 * SECOND) == set()
    cut = trace_column(store, LAKE, "out", "c", Direction.UP, max_nodes=1)
    assert cut.graph.truncated
    short = trace_column(store, LAKE, "out", "c", Direction.UP, depth=0)
    assert [gap.kind for gap in short.completeness.gaps] == ["truncated_by_depth"]
    ended = trace_column(store, LAKE, "out", "c", Direction.UP).completeness
    assert [gap.kind for gap in ended.gaps] == ["columns_without_lineage"], "mid is written by a job that says nothing of mid.f"
    unknown = trace_column(store, LAKE, "out", "nobody", Direction.UP)
    assert (unknown.graph.nodes, unknown.completeness.complete) == ((), False)


# ── runs, names, limits ─────────────────────────────────────────────────────────────────────────
def test_the_runs_of_a_job_come_latest_first_and_as_of_a_time(store):
    project(store, [run(f"r{i}", "COMPLETE", i, [], [], "job") for i in (3, 1, 4, 2)])
    assert runs_of_job(store, "jobs", "job", limit=3) == (["r4", "r3", "r2"], 1)
    assert runs_of_job(store, "jobs", "job", as_of=nanos(2)) == (["r2", "r1"], 0)
    assert runs_of_job(store, "jobs", "nobody") == ([], 0)


def test_names_are_found_in_pages_that_new_ones_never_shift(store):
    project(store, [run("r", "COMPLETE", 1, [ds(f"orders_{i:02}", "1") for i in range(0, 20, 2)], [model("orders", "1")], "load_orders")])
    everything, following, total = find_nodes(store, "ORDERS")
    assert following is None
    assert total == 12
    assert [node.label for node in everything] == ["Model", *["Dataset"] * 10, "Job"]
    seen, cursor, step = [], None, 0
    while True:
        page, cursor, _ = find_nodes(store, "orders", limit=3, cursor=cursor)
        seen += [node.props["name"] for node in page]
        if cursor is None:
            break
        if step == 0:  # one before the place where the reader stands, one after it
            project(store, [run("late", "COMPLETE", 2, [ds("orders_00a", "1"), ds("orders_17", "1")], [], "other")])
        step += 1
    assert seen == ["orders", *[f"orders_{i:02}" for i in (0, 2, 4, 6, 8, 10, 12, 14, 16)], "orders_17", "orders_18", "load_orders"]
    assert len(find_nodes(store, labels=("Job",))[0]) == 2
    assert find_nodes(store, "orders", namespace="nowhere")[0] == []
    for bad in ("!", "bm9uZQ", "WyJYIiwwLG51bGxd", "WyJKb2IiLC0xLG51bGxd", "WyJKb2IiLHRydWUsbnVsbF0"):
        with pytest.raises(BadInput, match="cursor"):
            find_nodes(store, "orders", cursor=bad)


def test_a_hub_is_cut_at_the_limit_and_says_so(store):
    readers = [run(f"r{i}", "COMPLETE", 2, [ds("hub", "1")], [ds(f"d{i}", "1")], "job") for i in range(60)]
    project(store, readers, batch=True)
    answer = trace(store, [dataset_key(LAKE, "hub")], Direction.DOWN, max_nodes=20)
    assert answer.graph.truncated
    reached = {end for edge in answer.graph.edges if edge.walk for end in (edge.source, edge.target)}
    assert len(reached) <= 20
    [gap] = [gap for gap in answer.completeness.gaps if gap.kind == "truncated_by_limit"]
    assert dict(gap.examples[0]) == {"reason": "the walk was cut at 20 nodes", "limit": 20}


@pytest.mark.slow
def test_a_hub_of_a_hundred_thousand_readers_is_answered_within_a_bound_of_memory(tmp_path):
    """Only what is answered is read: the peak grows with the answer, not with the hub."""
    graph = SqliteGraph(tmp_path / "graph.db")
    hub = version("hub", "1")
    first = [
        Node(key=dataset_key(LAKE, "hub"), label="Dataset", props={"namespace": LAKE, "name": "hub"}),
        Node(key=hub, label="DatasetVersion", props={"namespace": LAKE, "name": "hub", "version": "1"}),
    ]
    told = {"props": {"basis": "declared", "version_basis": "stated"}, "witness": "w", "valid_from": 1, "recorded_at": 1}
    has = Edge(key=edge_key("HAS_VERSION", first[0].key, hub), type="HAS_VERSION", source=first[0].key, target=hub, walk=False, **told)
    for start in range(0, 100_000, 10_000):
        keys = [run_key(f"r{i}") for i in range(start, start + 10_000)]
        nodes = [Node(key=key, label="Run", props={"run_id": key, "state": "COMPLETE", "terminal": True, "end": 1}) for key in keys]
        edges = [Edge(key=edge_key("INPUT_TO", hub, key), type="INPUT_TO", source=hub, target=key, walk=True, **told) for key in keys]
        with graph.transaction():
            graph.apply(GraphDelta(nodes=(*first, *nodes), edges=(has, *edges), recorded_at=1), start + 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = trace(graph, [dataset_key(LAKE, "hub")], Direction.DOWN, max_nodes=1000)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    graph.close()
    assert answer.graph.truncated
    assert len(answer.graph.nodes) <= 1000
    assert grown < 200, f"{grown:.0f} MiB for a thousand nodes"


# ── completeness ────────────────────────────────────────────────────────────────────────────────
def test_every_kind_of_gap_is_counted_and_named(store):
    service = run("live", "START", 3, [model("m", "1")], [], "serve", job_facets=SERVICE)
    project(
        store,
        [
            run("p", "COMPLETE", 2, [], [ds("d", "1")]),
            run("t", "START", 3, [ds("d"), ds("never")], [ds("x", "1"), ds("y", "1")], facets={"extractionError": {"errors": []}}),
            *[run(f"f{i}", "FAIL", 4, [ds("x", "1")], [ds(f"z{i}", "1")]) for i in range(7)],
            run("m", "COMPLETE", 2, [], [model("m", "1")]),
            service,
        ],
    )
    found = {gap.kind: gap for gap in trace(store, [version("d", "1")], Direction.DOWN, lag=2).completeness.gaps}
    assert {kind: gap.count for kind, gap in found.items()} == {
        "lag": 2,
        "runs_without_terminal_event": 1,
        "failed_runs": 7,
        "planned_outputs": 7,
        "extraction_errors": 1,
        "versions_inferred": 1,
        "inputs_without_row_set": 8,
        "ambiguous_outputs": 1,
    }
    assert list(found) == [kind for kind in KINDS if kind in found], "in the order of the kinds"
    assert len(found["failed_runs"].examples) == 5
    assert found["runs_without_terminal_event"].examples[0]["run_id"] == "t"
    up = trace(store, [version("x", "1")], Direction.UP).completeness
    assert {"datasets_without_version"} <= {gap.kind for gap in up.gaps}
    assert dict(next(gap for gap in up.gaps if gap.kind == "datasets_without_version").examples[0]) == {
        "reason": "run t read s3://lake never at an unknown version",
        "run_id": "t",
        "namespace": LAKE,
        "name": "never",
        "version": None,
    }
    down = trace(store, [version("m", "1", HUB)], Direction.DOWN).completeness
    assert down.complete, "a service that lives is not a run without an end"
    assert any(
        "and 2 more: runs that failed" in reason for reason in trace(store, [version("d", "1")], Direction.DOWN).completeness.reasons
    )


def test_a_run_that_failed_later_was_no_failure_as_of_before(store):
    project(store, [run("f", "START", 1, [ds("x", "1")], [ds("y", "1")]), run("f", "FAIL", 9, [], [], "job-of-f")])
    start = [version("x", "1")]
    assert "failed_runs" in {gap.kind for gap in trace(store, start, Direction.DOWN).completeness.gaps}
    assert "failed_runs" not in {gap.kind for gap in trace(store, start, Direction.DOWN, as_of=nanos(5)).completeness.gaps}
    assert run_key("f") in {node.key for node in trace(store, start, Direction.DOWN, as_of=nanos(5)).graph.nodes}
