"""Any order and any duplication of events gives one graph, in every store."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import dataset_event, digest, ds, job_event, model, nanos, project, recorded, run

from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.graph import Fold
from lineage.graph import claims as claims_module
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


def fold_in(store, batches):
    """Fold batches of events, each in one transaction, recorded one second apart."""
    position = store.position()
    for batch in batches:
        with store.transaction() as state:
            fold = Fold(state)
            for event in batch:
                position += 1
                store.apply(fold.fold(event, recorded_at=position * 10**9), position)


def past(store, last):
    """All that was known after every third of the first ``last`` events, with the times at which it became known."""
    keys = [one.key for one in store.nodes()]
    return [store.neighbours(keys, known_at=position * 10**9) for position in range(1, last + 1, 3)]


def whole_state(store):
    return list(store.state().between("", "\U0010ffff"))


def cut(events, cuts):
    """The events in batches that begin at the places ``cuts``."""
    places = sorted({0, len(events), *(place % len(events) for place in cuts)})
    return [events[begin:end] for begin, end in itertools.pairwise(places)]


def test_batches_of_any_size_leave_the_same_graph_the_same_past_and_the_same_state(tmp_path):
    count = iter(range(1000))

    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(orders(EVENTS), st.lists(st.integers(0, 30), max_size=4))
    def check(order, cuts):
        one_by_one, batched = MemoryGraph(), SqliteGraph(tmp_path / f"b{next(count)}.db")
        try:
            fold_in(one_by_one, [[event] for event in order])
            fold_in(batched, cut(order, cuts))
            assert list(batched.nodes()) == list(one_by_one.nodes())
            assert list(batched.edges()) == list(one_by_one.edges())
            assert past(batched, len(order)) == past(one_by_one, len(order))
            assert whole_state(batched) == whole_state(one_by_one)
        finally:
            batched.close()

    check()


def test_a_transaction_that_fails_leaves_nothing_in_memory_either(tmp_path):
    count = iter(range(1000))

    @settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.permutations(EVENTS), st.integers(0, len(EVENTS) - 1), st.integers(1, 8))
    def check(order, begun, lost):
        whole, broken = MemoryGraph(), SqliteGraph(tmp_path / f"f{next(count)}.db")
        try:
            fold_in(whole, [order])
            fold_in(broken, [order[:begun]])
            with pytest.raises(ZeroDivisionError):
                fold_in(broken, [[*order[begun : begun + lost], _Poison()]])
            assert broken.position() == begun
            fold_in(broken, [order[begun:]])
            assert list(broken.nodes()) == list(whole.nodes())
            assert past(broken, len(order)) == past(whole, len(order))
            assert whole_state(broken) == whole_state(whole)
        finally:
            broken.close()

    check()


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_claims_are_counted_as_all_owners_state_them(kept, monkeypatch):
    """After every event the counters, and the witnesses of links, are those of all owners derived anew."""
    monkeypatch.setattr(claims_module, "KEPT", kept)

    @settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.permutations(EVENTS))
    def check(order):
        graph = MemoryGraph()
        for event in order:
            fold_in(graph, [[event]])
            with graph.transaction() as state:
                fold = Fold(state)
                owners = [key for prefix in ("run/", "job/", "ds/", "sym/") for key, _ in state.scan(prefix)]
                every = [fold._claims("ds/" + owner[4:] if owner.startswith("sym/") else owner) for owner in owners]
                every = list({claims.owner: claims for claims in every}.values())
                nodes = Counter(key for claims in every for key in claims.nodes)
                links = {key: sorted(c.links[key][3] for c in every if key in c.links) for one in every for key in one.links}
                assert {key[2:]: state.load(key)[0] for key, _ in state.scan("n/")} == nodes
                assert {key[2:]: witnesses(state, key[2:]) for key, _ in state.scan("l/")} == links
                assert {one.key for one in graph.nodes()} == nodes.keys()
                found = {one.key: one.witness for one in graph.edges()}
                assert {key: found[key] for key in links} == {key: stated[0] for key, stated in links.items()}

    check()


def witnesses(state, link):
    """All witnesses of a link: those in its row, and those that did not fit."""
    count, smallest = state.load(f"l/{link}")[:2]
    others = [key[len(f"w/{link}/") :] for key, _ in state.scan(f"w/{link}/")]
    assert len(smallest) == min(count, claims_module.KEPT)
    assert [*smallest, *others] == sorted([*smallest, *others])
    return [claim[:64] for claim in (*smallest, *others)]


class _Poison:
    """An event that cannot be folded."""

    @property
    def inputs(self):
        raise ZeroDivisionError


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
