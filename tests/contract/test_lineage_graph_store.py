"""One suite holds every graph store to the plain reference."""

from __future__ import annotations

import dataclasses
import itertools
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import dataset_event, digest, ds, job_event, model, nanos, project, recorded, run

from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.errors import StoreUnavailable
from lineage.graph.elements import make_edge, make_node
from lineage.graph.keys import canonical, dataset_key, ident_id, job_key, run_key, version_key
from lineage.graph.state import stamp
from lineage.model import Direction, Edge, GraphDelta, Node
from lineage.ports import FoldState
from lineage.trace import MemoryGraph, trace
from tests.support.graph_stores import store

__all__ = ["store"]

LAKE = "s3://lake"
CHAIN = [run(f"r{i}", "COMPLETE", i, [ds(f"d{i - 1}", "1"), ds("side", "1")], [ds(f"d{i}", "1")]) for i in range(1, 8)]


def node(key: str, **props) -> Node:
    return Node(key=key, label="Thing", props=props)


def edge(source: str, target: str, *, at: int, walk: bool = True, **more) -> Edge:
    named = {"type": "INPUT_TO", "props": {}, "witness": "w", "valid_from": 0, **more}
    return Edge(key=f"e:{source}{target}", source=source, target=target, walk=walk, recorded_at=at, **named)


def apply(store, position: int, **delta) -> None:
    with store.transaction():
        store.apply(GraphDelta(**delta), position)


def test_all_stores_hold_the_same_graph_of_the_recorded_events(store):
    expected = project(MemoryGraph(), recorded())
    assert project(store, recorded()) == expected
    assert store.position() == 14
    assert store.counts() == {"nodes": len(list(store.nodes())), "edges": len(list(store.edges()))}


def test_state_is_ordered_and_goes_with_the_transaction(store):
    with store.transaction() as state:
        assert isinstance(state, FoldState)
        for key in ("b/2", "a/1", "b/1", "b/é", "c", "b/10"):
            state.put(key, key.encode())
        state.delete("c")
        assert [key for key, _ in state.scan("b/")] == ["b/1", "b/10", "b/2", "b/é"]
        assert [key for key, _ in state.between("a", "b/2")] == ["a/1", "b/1", "b/10"]
        assert [key for key, _ in state.between("a", "b/2", reverse=True, limit=2)] == ["b/10", "b/1"]
        assert state.get("c") is None

    def fail() -> None:
        with store.transaction() as state:
            state.put("a/1", b"changed")
            store.apply(GraphDelta(nodes=(node("n:1"),)), 5)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.transaction() as state:
        assert state.get("a/1") == b"a/1"
    assert store.position() == 0
    assert store.node("n:1") is None


def test_closures_are_those_of_the_reference(store):
    reference = MemoryGraph()
    project(reference, CHAIN)
    project(store, CHAIN, batch=True)
    starts = (version_key(LAKE, "d3", "1"), version_key(LAKE, "side", "1"), "nothing:here")
    for start, direction, limit, depth in itertools.product(starts, Direction, (100_000, 1, 4), (None, 0, 1, 3)):
        for as_of in (None, nanos(4)):
            options = {"depth": depth, "max_nodes": limit, "as_of": as_of}
            assert store.closure([start], direction, **options) == reference.closure([start], direction, **options), (start, options)


def test_a_trace_is_the_same_in_every_store(store):
    events = [*recorded(), *CHAIN, run("t", "COMPLETE", 20, [ds("d7")], [model("m", "t")])]
    reference = MemoryGraph()
    project(reference, events)
    project(store, events)
    for direction in Direction:
        for found in reference.find("DatasetVersion") + reference.find("ModelVersion"):
            assert trace(store, [found.key], direction) == trace(reference, [found.key], direction)


def test_known_at_answers_as_was_known_then(store):
    apply(store, 1, nodes=(node("n:a"), node("n:b"), node("n:c")), edges=(edge("n:a", "n:b", at=10),))
    apply(store, 2, edges=(edge("n:b", "n:c", at=20),))
    apply(store, 3, removed_edges=("e:n:an:b",), recorded_at=30)
    apply(store, 4, edges=(edge("n:b", "n:c", at=40, walk=False),))
    apply(store, 5, removed_nodes=("n:a",), recorded_at=50)

    def reached(known_at):
        return [one.key for one in store.closure(["n:a", "n:b"], Direction.DOWN, known_at=known_at).nodes]

    assert reached(15) == ["n:a", "n:b"]
    assert reached(25) == ["n:a", "n:b", "n:c"]
    assert reached(35) == ["n:a", "n:b", "n:c"]
    assert store.closure(["n:a"], Direction.DOWN, known_at=25).nodes[-1].key == "n:c"
    assert [one.key for one in store.closure(["n:a"], Direction.DOWN, known_at=35).nodes] == ["n:a"]
    assert reached(None) == ["n:b"]


def test_an_edge_told_again_keeps_the_time_it_was_first_known(store):
    apply(store, 1, nodes=(node("n:a"), node("n:b")), edges=(edge("n:a", "n:b", at=10, witness="b"),))
    apply(store, 2, edges=(edge("n:a", "n:b", at=20, witness="a"),))
    (only,) = store.edges()
    assert (only.recorded_at, only.witness) == (10, "a")
    assert store.closure(["n:a"], Direction.DOWN, known_at=15).edges == (only,)


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_reach_is_the_keys_of_the_closure(store, every):
    """In every combination of its arguments, or in each seventh."""
    project(store, CHAIN, batch=True)
    starts = ([version_key(LAKE, "d3", "1")], [version_key(LAKE, "side", "1"), run_key("r5")], ["nothing:here"], [])
    times = ({}, {"as_of": nanos(4)}, {"known_at": 4 * 10**9}, {"as_of": nanos(2), "known_at": 3 * 10**9})
    combinations = list(itertools.product(starts, Direction, (100_000, 1, 4), (None, 1), times))
    for start, direction, limit, depth, when in combinations[::every]:
        whole = store.closure(start, direction, depth=depth, max_nodes=limit, **when)
        expected = ([one.key for one in whole.nodes], whole.truncated)
        assert store.reach(start, direction, depth=depth, max_nodes=limit, **when) == expected, (start, direction, limit, depth, when)


def test_expand_walks_any_edges_both_ways_and_between_what_it_reached(store):
    nodes = tuple(node(f"n:{name}") for name in "abcdx")
    edges = [("READS", "a", "b"), ("READS", "b", "c"), ("WRITES", "c", "a"), ("READS", "d", "c"), ("OTHER", "c", "x")]
    apply(store, 1, nodes=nodes, edges=tuple(edge(f"n:{a}", f"n:{b}", at=1, walk=False, type=kind) for kind, a, b in edges))
    reads = [("READS", "n:a", "n:b"), ("READS", "n:b", "n:c"), ("READS", "n:d", "n:c")]
    down, up, both = Direction.DOWN, Direction.UP, None
    assert store.expand(["n:a"], ["READS"], direction=down) == (["n:a", "n:b", "n:c"], reads[:2], False)
    assert store.expand(["n:c"], ["READS"], direction=up) == (["n:a", "n:b", "n:c", "n:d"], reads, False)
    assert store.expand(["n:a"], ["READS"], direction=both) == (["n:a", "n:b", "n:c", "n:d"], reads, False)
    assert store.expand(["n:a"], ["READS"], direction=down, depth=1) == (["n:a", "n:b"], reads[:1], False)
    assert store.expand(["n:a"], ["READS"], direction=both, max_nodes=2) == (["n:a", "n:b"], reads[:1], True)
    assert store.expand(["n:a"], ["READS"], direction=both, max_nodes=4)[2] is False
    assert store.expand(["n:c"], ["READS", "WRITES"], direction=down, depth=1) == (["n:a", "n:c"], [("WRITES", "n:c", "n:a")], False)
    assert store.expand(["n:a"], [], direction=both) == (["n:a"], [], False)
    assert store.expand(["n:none"], ["READS"], direction=both) == ([], [], False)
    apply(store, 2, removed_edges=("e:n:bn:c",), recorded_at=2)
    assert store.expand(["n:a"], ["READS"], direction=both) == (["n:a", "n:b"], reads[:1], False)


def test_neighbours_are_those_of_the_time_asked_for(store):
    apply(store, 1, nodes=(node("n:a"), node("n:b"), node("n:c")), edges=(edge("n:a", "n:b", at=10, valid_from=5, valid_to=8),))
    apply(store, 2, edges=(edge("n:a", "n:c", at=20, type="OF", valid_from=7),))
    apply(store, 3, removed_edges=("e:n:an:b",), removed_nodes=("n:b",), recorded_at=30)

    def beside(*keys, **when):
        found = store.neighbours(list(keys or ("n:a",)), **when)
        return [one.key[2:] for one in found.nodes], [one.target[2:] for one in found.edges]

    assert beside() == (["a", "c"], ["c"])
    assert beside(known_at=9) == (["a"], [])
    assert beside(known_at=15) == (["a", "b"], ["b"])
    assert beside(known_at=25) == (["a", "b", "c"], ["b", "c"])
    assert beside(known_at=25, as_of=6) == (["a", "b"], ["b"])
    assert beside(known_at=25, as_of=8) == (["a", "c"], ["c"])
    assert beside(as_of=6) == (["a"], [])
    assert beside("n:b") == ([], [])
    assert beside("n:b", known_at=25) == (["a", "b"], ["b"])
    assert beside(known_at=25, types=["OF"]) == (["a", "c"], ["c"])


def test_a_limit_on_neighbours_keeps_the_smallest_edges_and_says_so(store):
    project(store, CHAIN)
    side = version_key(LAKE, "side", "1")
    whole = store.neighbours([side])
    assert whole.truncated is False
    for limit in (0, 3, len(whole.edges), len(whole.edges) + 1):
        found = store.neighbours([side], limit=limit)
        assert found.edges == whole.edges[:limit]
        assert found.truncated is (limit < len(whole.edges))
        ends = {side} | {end for one in found.edges for end in (one.source, one.target)}
        assert [one.key for one in found.nodes] == sorted(ends)


def test_a_node_keeps_the_time_it_was_first_known(store):
    apply(store, 1, nodes=(node("n:a"),), recorded_at=10)
    apply(store, 2, nodes=(node("n:a", more=1), node("n:b")), recorded_at=20)
    assert [(one.key, one.recorded_at) for one in store.nodes()] == [("n:a", 10), ("n:b", 20)]
    apply(store, 3, removed_nodes=("n:a",), recorded_at=30)
    assert store.node("n:a") is None
    apply(store, 4, nodes=(node("n:a"),), recorded_at=40)
    assert store.node("n:a").recorded_at == 10


def test_nodes_of_gives_those_that_live_by_key(store):
    project(store, CHAIN)
    keys = [run_key("r2"), version_key(LAKE, "d1", "1"), run_key("r1"), "nothing:here", run_key("r2")]
    assert store.nodes_of(keys) == [store.node(key) for key in sorted({*keys} - {"nothing:here"})]
    assert store.nodes_of([]) == []
    apply(store, 99, removed_nodes=(run_key("r1"),), recorded_at=10**18)
    assert run_key("r1") not in [one.key for one in store.nodes_of(keys)]


def test_find_goes_on_after_a_key(store):
    project(store, CHAIN)
    every = store.find("Run")
    assert len(every) == 7
    found, after = [], None
    while batch := store.find("Run", limit=3, after=after):
        found += batch
        after = batch[-1].key
    assert found == every
    assert store.find("Run", {"state": "COMPLETE"}, after=every[4].key) == every[5:]
    assert store.find("Run", after=every[-1].key) == []
    assert store.find("DatasetVersion", {"name": "d3"}, after="~") == []


def test_pages_are_by_namespace_and_name_and_know_the_total(store):
    names = [
        ("s3://b", "Orders_x"),
        ("s3://a", "orders"),
        ("s3://a", "ORDERS%2"),
        ("s3://a", "ärger"),
        ("s3://a", "Ärger"),
        ("s3://c", "zebra"),
    ]
    project(store, [dataset_event(minute, ds(name, namespace=namespace)) for minute, (namespace, name) in enumerate(names)])

    def page(**how):
        found, total = store.page("Dataset", **how)
        return [(one.props["namespace"][5:], one.props["name"]) for one in found], total

    whole = sorted((namespace[5:], name) for namespace, name in names)
    assert page() == (whole, 6)
    assert page(limit=2, offset=3) == (whole[3:5], 6)
    assert page(limit=0) == ([], 6)
    assert page(offset=6) == ([], 6)
    assert page(namespace="s3://a") == (whole[:4], 4)
    assert page(namespace="s3://a", text="oRD") == ([("a", "ORDERS%2"), ("a", "orders")], 2)
    assert page(text="order", limit=1) == ([("a", "ORDERS%2")], 3)
    assert page(text="%") == ([("a", "ORDERS%2")], 1)
    assert page(text="_") == ([("b", "Orders_x")], 1)
    assert page(text="Ä") == ([("a", "Ärger")], 1)
    assert page(text="") == (whole, 6)
    assert page(text="nothing") == ([], 0)
    assert page(namespace="s3://A") == ([], 0)
    assert store.page("Model") == ([], 0)
    assert store.page("DatasetVersion", limit=1) == ([], 0)


def test_pages_hold_nodes_without_a_name_too(store):
    apply(store, 1, nodes=(node("n:b"), node("n:a"), node("n:c", name="c"), node("n:d", namespace="x")))
    found, total = store.page("Thing")
    assert ([one.key for one in found], total) == (["n:a", "n:b", "n:c", "n:d"], 4)
    assert store.page("Thing", text="c")[1] == 1
    assert store.page("Thing", namespace="x")[1] == 1


SPOKEN = [
    run("w", "COMPLETE", 3, [ds("in")], [ds("out", "1", documentation={"description": "of the run"})], facets={"nominalTime": {"a": 1}}),
    run("w", "RUNNING", 2, facets={"nominalTime": {"a": 0}, "my.own": {"x": "é"}, "parent": {"run": {"runId": "up"}}}),
    run("w2", "COMPLETE", 5, [], [ds("out", "1", dataSource={"uri": "u"})]),
    dataset_event(4, ds("out", "1", documentation={"description": "stated"}, ownership={"owners": []})),
    dataset_event(6, ds("out", ownership={"_deleted": True}, links=[("hive://h", "db.out", "TABLE")])),
    job_event(1, "job-of-w", facets={"sql": {"query": "select 1"}}),
    job_event(7, "job-of-w", facets={"sql": {"query": "select 2"}}),
]


def test_facets_are_the_bodies_that_were_sent(store):
    project(store, SPOKEN)
    hive = ("hive://h", "db.out")
    assert store.facets(run_key("w")) == {"my.own": {"x": "é"}, "nominalTime": {"a": 1}, "parent": {"run": {"runId": "up"}}}
    assert store.facets(job_key("jobs", "job-of-w")) == {"sql": {"query": "select 2"}}
    whole = store.facets(dataset_key(*hive))
    assert whole["documentation"] == {"description": "stated"}
    assert "ownership" not in whole
    version = store.facets(version_key(*hive, "1"))
    assert version["dataSource"] == {"uri": "u"}
    assert version["documentation"] == {"description": "of the run"}
    assert store.facets(dataset_key(LAKE, "in")) == {}
    assert store.facets(dataset_key(LAKE, "out")) == {}  # it goes by its other name
    assert store.facets("nothing:here") == {}


def test_facets_are_the_same_in_every_store(store):
    events = [*recorded(), *SPOKEN]
    reference = MemoryGraph()
    project(reference, events)
    project(store, events)
    spoken = {one.key: store.facets(one.key) for one in store.nodes()}
    assert {key: canonical(found) for key, found in spoken.items()} == {
        one.key: canonical(reference.facets(one.key)) for one in store.nodes()
    }
    assert sum(map(bool, spoken.values())) > 15


def test_the_state_can_be_read_outside_of_a_transaction_and_not_written(store):
    project(store, CHAIN[:2])
    state = store.state()
    assert isinstance(state, FoldState)
    assert state.get("run/r1")
    assert [key for key, _ in state.scan("run/")] == ["run/r1", "run/r2"]
    assert [key for key, _ in state.between("run/", "run0", reverse=True, limit=1)] == ["run/r2"]
    for write in (lambda: state.put("run/r1", b"x"), lambda: state.delete("run/r1")):
        with pytest.raises(RuntimeError, match="transaction"):
            write()
    before = state.get("run/r1")
    with store.transaction() as writing:
        writing.put("run/r9", b"x")
        writing.delete("run/r9")
    assert store.state().get("run/r1") == before
    project(store, CHAIN[2:3])
    assert [key for key, _ in store.state().scan("run/")] == ["run/r1", "run/r2", "run/r3"]


def test_the_state_knows_the_runs_of_a_job_by_start_and_the_namespaces(store):
    late = [run("b", "COMPLETE", 9, [ds("x", columns=None)], job="j"), run("b", "START", 4, job="j"), run("a", "START", 5, job="j")]
    project(store, [*late, dataset_event(1, ds("y", namespace="hdfs://n")), job_event(1, "other"), run("c/d", "OTHER", 1, job="j")])
    prefix = f"jt/{ident_id('jobs', 'j')}/"
    expected = [f"{prefix}{stamp(nanos(minute))}/{name}" for minute, name in ((1, "c/d"), (4, "b"), (5, "a"))]
    assert [key for key, _ in store.state().scan(prefix)] == expected
    assert [key for key, _ in store.state().scan("ns/")] == ["ns/d/hdfs://n", f"ns/d/{LAKE}", "ns/j/jobs"]


def test_find_and_neighbours(store):
    project(store, CHAIN)
    assert [one.props["name"] for one in store.find("DatasetVersion", {"name": "d3"})] == ["d3"]
    assert store.find("DatasetVersion", {"name": "d3", "version": "2"}) == []
    assert store.find("DatasetVersion", {"absent": None}) == []
    assert len(store.find("Run", limit=3)) == 3
    assert store.find("Run", {"state": "COMPLETE"}) == store.find("Run")
    beside = store.neighbours([version_key(LAKE, "d3", "1")])
    assert {one.type for one in beside.edges} == {"INPUT_TO", "PRODUCED", "HAS_VERSION"}
    assert len(beside.nodes) == 4
    assert store.neighbours([version_key(LAKE, "d3", "1")], ["INPUT_TO"]).edges[0].source == version_key(LAKE, "d3", "1")
    assert store.neighbours(["nothing:here"]).nodes == ()


def test_clear_begins_anew(store):
    first = project(store, CHAIN)
    store.clear()
    assert (store.position(), store.counts()) == (0, {"nodes": 0, "edges": 0})
    assert project(store, CHAIN) == first


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE nodes SET name = 'd4' WHERE id = (SELECT min(id) FROM nodes WHERE name = 'd3')",
        "UPDATE nodes SET namespace = NULL WHERE id = (SELECT min(id) FROM nodes WHERE name = 'd3')",
        "UPDATE nodes SET props = replace(props, 'COMPLETE', 'FAIL') WHERE id = (SELECT max(id) FROM nodes WHERE label = 'Run')",
        "UPDATE nodes SET label = 'Run' WHERE id = (SELECT min(id) FROM nodes WHERE label = 'Job')",
        "UPDATE nodes SET key = 'run:1' WHERE id = 1",
        "UPDATE nodes SET gone = 1 WHERE id = (SELECT max(id) FROM nodes)",
        "DELETE FROM edges WHERE id = (SELECT max(id) FROM edges)",
        "UPDATE edges SET walk = 1 - walk WHERE id = 1",
        "UPDATE edges SET valid_from = valid_from + 1 WHERE id = 1",
        "UPDATE edges SET valid_to = 5 WHERE id = 1",
        "UPDATE edges SET witness = 'x' WHERE id = 1",
        "UPDATE edges SET target = source WHERE id = 1",
        "UPDATE edges SET retracted_at = recorded_at + 1 WHERE id = 1",
        "UPDATE edges SET props = '{}' WHERE type = (SELECT id FROM types WHERE name = 'PRODUCED')",
        "UPDATE types SET name = 'OTHER' WHERE name = 'PRODUCED'",
        "INSERT INTO nodes(key, label, props, recorded_at) VALUES ('n:new', 'Run', '{}', 0)",
    ],
)
def test_a_change_behind_our_back_changes_the_digest(tmp_path, sql):
    graph = SqliteGraph(tmp_path / "graph.db")
    before = project(graph, CHAIN)
    assert digest(graph) == before
    with sqlite3.connect(tmp_path / "graph.db") as thief:
        assert thief.execute(sql).rowcount > 0
    thief.close()
    assert digest(graph) != before
    graph.close()


def test_recorded_times_do_not_enter_the_digest():
    graph = MemoryGraph()
    before = project(graph, CHAIN)
    graph._edges = {key: dataclasses.replace(one, recorded_at=one.recorded_at + 7) for key, one in graph._edges.items()}
    assert digest(graph) == before


def test_threads_read_while_one_writes(tmp_path):
    graph = SqliteGraph(tmp_path / "graph.db")
    project(graph, CHAIN[:1])
    faults: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                found = graph.closure([version_key(LAKE, "side", "1")], Direction.DOWN)
                assert {e.source for e in found.edges} | {e.target for e in found.edges} <= {n.key for n in found.nodes}
        except BaseException as fault:  # carried to the test's own thread
            faults.append(fault)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    project(graph, CHAIN[1:])
    done.set()
    for reader in readers:
        reader.join()
    graph.close()
    assert faults == []


def test_a_reopened_file_goes_on_where_it_was_and_a_newer_one_is_refused(tmp_path):
    path = tmp_path / "graph.db"
    graph = SqliteGraph(path)
    project(graph, CHAIN[:3])
    graph.close()
    graph = SqliteGraph(path)
    assert project(graph, CHAIN[3:]) == project(MemoryGraph(), CHAIN)
    graph.close()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE meta SET value = 99 WHERE name = 'version'")
    other.close()
    with pytest.raises(StoreUnavailable, match="schema version 99"):
        SqliteGraph(path)
    (tmp_path / "junk.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreUnavailable):
        SqliteGraph(tmp_path / "junk.db")


def test_an_older_file_is_made_anew_from_the_ledger(tmp_path, caplog):
    path = tmp_path / "graph.db"
    with sqlite3.connect(path) as old:
        old.executescript(
            "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
            "CREATE TABLE nodes (key TEXT PRIMARY KEY, label TEXT NOT NULL, props TEXT NOT NULL, gone INTEGER NOT NULL DEFAULT 0);"
            "INSERT INTO nodes VALUES ('run:1', 'Run', '{}', 0);"
            "INSERT INTO meta VALUES ('version', 1), ('position', 7);"
        )
    old.close()
    graph = SqliteGraph(path)
    assert "schema version 1" in caplog.text
    assert (graph.position(), graph.counts()) == (0, {"nodes": 0, "edges": 0})
    assert project(graph, CHAIN) == project(MemoryGraph(), CHAIN)
    graph.close()
    caplog.clear()
    graph = SqliteGraph(path)
    assert (graph.position(), caplog.text) == (len(CHAIN), "")
    graph.close()


def test_what_is_made_quickly_is_what_the_frozen_class_makes():
    fields = {"key": "e:1", "type": "OF", "source": "a", "target": "b", "props": {"x": 1}, "walk": True, "witness": "w", "valid_from": 1}
    slow = Edge(**fields, valid_to=2, recorded_at=3)
    quick = make_edge(*fields.values(), 2, 3)
    assert (quick, type(quick), repr(quick)) == (slow, Edge, repr(slow))
    assert dataclasses.replace(quick, walk=False) == dataclasses.replace(slow, walk=False) != quick
    thing = make_node("n:1", "Thing", {"x": 1}, 7)
    assert (thing, type(thing)) == (Node(key="n:1", label="Thing", props={"x": 1}, recorded_at=7), Node)
    for one in (quick, thing):
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.key = "other"


def test_an_edge_without_a_node_is_refused_and_leaves_nothing(tmp_path):
    graph = SqliteGraph(tmp_path / "graph.db")
    with pytest.raises(ValueError, match="no node"):
        apply(graph, 1, nodes=(node("n:a"),), edges=(edge("n:a", "n:b", at=1),))
    assert (graph.position(), graph.counts()) == (0, {"nodes": 0, "edges": 0})
    apply(graph, 1, nodes=(node("n:a"), node("n:b")), edges=(edge("n:a", "n:b", at=1),))
    assert graph.counts() == {"nodes": 2, "edges": 1}
    graph.close()


def test_no_edge_lives_twice(tmp_path):
    graph = SqliteGraph(tmp_path / "graph.db")
    project(graph, [*CHAIN, *recorded(), *CHAIN])
    apply(graph, 99, edges=tuple(graph.edges()), recorded_at=10**18)
    with sqlite3.connect(tmp_path / "graph.db") as other:
        twice = other.execute("SELECT count(*) FROM edges WHERE retracted_at IS NULL GROUP BY key, type HAVING count(*) > 1").fetchall()
    other.close()
    assert twice == []
    graph.close()


def test_apply_outside_a_transaction_is_an_error(tmp_path):
    graph = SqliteGraph(tmp_path / "graph.db")
    with pytest.raises(RuntimeError, match="transaction"):
        graph.apply(GraphDelta(), 1)
    graph.close()
