"""One suite holds every graph store to the plain reference."""

from __future__ import annotations

import dataclasses
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import digest, ds, model, nanos, project, recorded, run

from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.errors import StoreUnavailable
from lineage.graph.keys import version_key
from lineage.model import Direction, Edge, GraphDelta, Node
from lineage.ports import FoldState
from lineage.trace import MemoryGraph, trace

LAKE = "s3://lake"
CHAIN = [run(f"r{i}", "COMPLETE", i, [ds(f"d{i - 1}", "1"), ds("side", "1")], [ds(f"d{i}", "1")]) for i in range(1, 8)]


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    graph = MemoryGraph() if request.param == "memory" else SqliteGraph(tmp_path / "graph.db")
    yield graph
    graph.close()


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


@pytest.mark.parametrize("depth", [None, 0, 1, 3])
@pytest.mark.parametrize("limit", [100_000, 1, 4])
@pytest.mark.parametrize("direction", list(Direction))
def test_closures_are_those_of_the_reference(store, depth, limit, direction):
    reference = MemoryGraph()
    project(reference, CHAIN)
    project(store, CHAIN)
    for start in (version_key(LAKE, "d3", "1"), version_key(LAKE, "side", "1"), "nothing:here"):
        for as_of in (None, nanos(4)):
            options = {"depth": depth, "max_nodes": limit, "as_of": as_of}
            assert store.closure([start], direction, **options) == reference.closure([start], direction, **options)


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
        "UPDATE nodes SET props = replace(props, 'd3', 'd4') WHERE key = (SELECT min(key) FROM nodes WHERE props LIKE '%d3%')",
        "UPDATE nodes SET label = 'Run' WHERE key = (SELECT min(key) FROM nodes WHERE label = 'Job')",
        "DELETE FROM nodes WHERE key = (SELECT min(key) FROM nodes)",
        "DELETE FROM edges WHERE id = (SELECT max(id) FROM edges)",
        "UPDATE edges SET walk = 1 - walk WHERE id = 1",
        "UPDATE edges SET valid_from = valid_from + 1 WHERE id = 1",
        "UPDATE edges SET valid_to = 5 WHERE id = 1",
        "UPDATE edges SET witness = 'x' WHERE id = 1",
        "UPDATE edges SET target = source WHERE id = 1",
        "UPDATE edges SET props = '{}' WHERE type = 'PRODUCED'",
        "INSERT INTO nodes VALUES ('n:new', 'Run', '{}', 0)",
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


def test_apply_outside_a_transaction_is_an_error(tmp_path):
    graph = SqliteGraph(tmp_path / "graph.db")
    with pytest.raises(RuntimeError, match="transaction"):
        graph.apply(GraphDelta(), 1)
    graph.close()
