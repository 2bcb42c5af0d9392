"""The Neo4j graph beyond the common contract: what is written is what is read, nothing is doubled, and each trouble says what it is."""

from __future__ import annotations

import random
import shutil

import pytest

from lineage.adapters.neo4j_graph import Neo4jGraph, Place
from lineage.adapters.neo4j_graph_batch import Batch
from lineage.adapters.neo4j_graph_courier import Courier
from lineage.adapters.neo4j_graph_props import edge_of, edge_row, node_of, node_row
from lineage.errors import BadInput, Conflict, StoreUnavailable
from lineage.graph.keys import version_key
from lineage.model import Direction, Edge, GraphDelta, Node
from lineage.trace import MemoryGraph
from tests.lineage_events import digest, ds, model, project, recorded, run

pytestmark = pytest.mark.integration

LAKE = "s3://lake"
CHAIN = [run(f"r{i}", "COMPLETE", i, [ds(f"d{i - 1}", "1"), ds("side", "1")], [ds(f"d{i}", "1")]) for i in range(1, 5)]
ODD = {
    "text": "é 🌍 \x00",
    "half": "\ud800",
    "long": "x" * 5000,
    "name": "n" * 1500,
    "big": 2**70,
    "low": -(2**63),
    "float": 1.5,
    "tiny": 5e-324,
    "yes": True,
    "none": None,
    "texts": ["a", "b"],
    "no_texts": [],
    "mixed": [1, "a", None],
    "numbers": [1, 2],
    "map": {"a": {"b": [1]}},
    "key": "ours",
    "more": "ours too",
    "recorded_at": "and this",
    "no identifier": 1,
    "": 2,
}


def test_properties_are_read_as_they_were_written(open_neo4j):
    graph = open_neo4j()
    things = (Node(key="n:a", label="Thing", props=ODD), Node(key="n:b", label="Thing", props={}))
    edge = Edge(key="like:1", type="LIKE", source="n:a", target="n:b", props=ODD, walk=True, witness="w", valid_from=-5, recorded_at=7)
    with graph.transaction():
        graph.apply(GraphDelta(nodes=things, edges=(edge,), recorded_at=7), 1)
    assert [one.props for one in graph.nodes()] == [ODD, {}]
    assert list(graph.edges()) == [edge]
    assert graph.find("Thing", {"name": "n" * 1500})[0].key == "n:a"
    assert graph.page("Thing", text="NNN")[1] == 1
    for row, back in ((node_row(things[0]), lambda row: node_of(["Lineage", "Thing"], row).props),
                      (edge_row(edge), lambda row: edge_of("LIKE", "n:a", "n:b", row).props)):  # fmt: skip
        assert back(dict(row)) == ODD
        assert back(row | {"texts": ["a"]}) != ODD, "a property that another hand changed is read as changed"
        assert back(row | {"text": None, "name": "other"}) != ODD


TAMPERED = [
    "MATCH (n:DatasetVersion {name: 'd3'}) SET n.name = 'd4'",
    "MATCH (n:Run) WITH n LIMIT 1 SET n.extra = 1",
    "MATCH (n:Run) WITH n LIMIT 1 REMOVE n.state",
    "MATCH (n:Run) WITH n LIMIT 1 REMOVE n.more",
    "MATCH (n:Job) WITH n LIMIT 1 SET n:Run",
    "MATCH (n:Job) WITH n LIMIT 1 REMOVE n:Job",
    "MATCH (n:Job) WITH n LIMIT 1 SET n.key = 'other'",
    "MATCH (n:Job) WITH n LIMIT 1 DETACH DELETE n",
    "CREATE (:Run {key: 'run:new'})",
    "CREATE (:Stranger)",
    "MATCH (n:Job) WITH n LIMIT 1 SET n:Gone",
    "MATCH ()-[r:INPUT_TO]->() WITH r LIMIT 1 SET r.walk = false",
    "MATCH ()-[r:INPUT_TO]->() WITH r LIMIT 1 SET r.valid_from = r.valid_from + 1",
    "MATCH ()-[r:INPUT_TO]->() WITH r LIMIT 1 SET r.valid_to = 5",
    "MATCH ()-[r:INPUT_TO]->() WITH r LIMIT 1 SET r.witness = 'x'",
    "MATCH ()-[r:INPUT_TO]->() WITH r LIMIT 1 SET r.basis = 'x'",
    "MATCH ()-[r:INPUT_TO]->() WITH r LIMIT 1 REMOVE r.key",
    "MATCH ()-[r:PRODUCED]->() WITH r LIMIT 1 DELETE r",
    "MATCH (a:Run), (b:Job) WITH a, b LIMIT 1 CREATE (a)-[:INPUT_TO]->(b)",
    "MATCH (a)-[r:INPUT_TO]->(b) WITH a, b, r, properties(r) AS p LIMIT 1 DELETE r CREATE (b)-[n:INPUT_TO]->(a) SET n = p",
]


def test_a_change_by_raw_cypher_changes_the_digest(open_neo4j):
    graph = open_neo4j()
    before = project(graph, CHAIN, batch=True)
    assert digest(graph) == before == project(MemoryGraph(), CHAIN)
    driver = graph.server._open()
    for text in TAMPERED:
        with driver.session() as session, session.begin_transaction() as tx:
            counters = tx.run(text).consume().counters
            assert counters.contains_updates, text
            seen = _digest_inside(tx)
            tx.rollback()
        assert seen != before, text
    assert digest(graph) == before


def _digest_inside(tx) -> str:
    from lineage.adapters.neo4j_graph_read import edges, nodes
    from lineage.graph import graph_digest

    return graph_digest(nodes(tx), edges(tx))


class Crash(BaseException):
    """Ends the process as far as the store is concerned."""


@pytest.mark.parametrize(
    ("ahead", "told"), [pytest.param(0, 14, marks=pytest.mark.slow), pytest.param(1, 14, marks=pytest.mark.slow), (1, 3)]
)
def test_crashes_at_every_border_and_any_order_give_one_digest(open_neo4j, monkeypatch, ahead, told):
    """An end between the file's commit and the server's, and between the server's and the file's next one; with shuffles and duplicates."""
    chance = random.Random(7 + ahead)
    events = [*recorded()[:told], *CHAIN, run("t", "COMPLETE", 20, [ds("d4")], [model("m", "t")])]
    expected = project(MemoryGraph(), events)
    shuffled = [*events, *chance.sample(events, 6)]
    chance.shuffle(shuffled)
    deliver = Courier.deliver
    graph = open_neo4j(ahead=ahead)
    last = 0
    while graph.position() < len(shuffled):
        graph.settle()
        position = last = graph.position()
        some = shuffled[position : position + chance.randint(1, 4)]
        border = chance.choice(["none", "before the server", "after the server"])

        def crashing(courier, border=border):
            if border == "after the server":
                deliver(courier)
            if border != "none":
                raise Crash
            deliver(courier)

        monkeypatch.setattr(Courier, "deliver", crashing)
        try:
            with graph.transaction() as state:
                from lineage.graph import Fold
                from lineage.openlineage import parse_event

                fold = Fold(state)
                for event in some:
                    position += 1
                    graph.apply(fold.fold(parse_event(event), recorded_at=position * 10**9), position)
        except Crash:
            pass
        graph._courier.settle_thread()
        monkeypatch.setattr(Courier, "deliver", deliver)
        if border != "none":  # a new process finds file and server as they are
            graph.close()
            graph = open_neo4j(ahead=ahead)
            assert graph.position() <= position
            graph.settle()
        graph.settle()
        assert graph.position() == position > last, "what was committed is delivered"
    assert digest(graph) == expected


def test_two_projectors_on_one_file_or_on_a_copy_of_it(open_neo4j, tmp_path):
    first = open_neo4j("one.db")
    before = project(first, CHAIN[:2])
    with pytest.raises(StoreUnavailable, match="owned by process"):
        open_neo4j("one.db")
    first.close()
    shutil.copy(tmp_path / "one.db", tmp_path / "two.db")
    first, second = open_neo4j("one.db"), open_neo4j("two.db")
    second.settle()
    assert (second.position(), digest(second)) == (2, before)
    after = project(first, CHAIN[2:])
    with pytest.raises(StoreUnavailable, match="another projector wrote") as refusal:
        project(second, CHAIN[2:])
    assert "rebuild" in (refusal.value.hint or "")
    assert second.position() == 2
    assert digest(first) == after == project(MemoryGraph(), CHAIN)


def test_the_halves_of_two_graphs_are_refused_and_nothing_of_another_is_deleted(open_neo4j):
    mine = open_neo4j("one.db", owner="one")
    before = project(mine, CHAIN)
    other = open_neo4j("two.db", owner="two")
    for ask in (other.counts, other.settle, lambda: project(other, CHAIN)):
        with pytest.raises(StoreUnavailable, match="that of one"):
            ask()
    with pytest.raises(Conflict, match="that of one"):
        other.clear()
    with pytest.raises(Conflict, match=r"holds \d+ nodes"):
        other.begin()
    lost = open_neo4j("three.db", owner="one")  # the same home, whose file was lost
    with pytest.raises(StoreUnavailable, match="an earlier one of this home"):
        lost.settle()
    assert digest(mine) == before
    lost.clear()
    assert project(lost, CHAIN) == before
    with pytest.raises(StoreUnavailable, match="no longer the one of this home"):
        project(mine, CHAIN[:1])


def test_a_database_with_other_things_or_a_newer_graph_is_refused(open_neo4j):
    graph = open_neo4j()
    graph.server.auto("MATCH (m:GovernGraph) SET m.version = 99")
    newer = open_neo4j("two.db")
    with pytest.raises(StoreUnavailable, match="version 99"):
        newer.counts()
    graph.server.auto("MATCH (m:GovernGraph) DELETE m")
    graph.server.auto("CREATE (:Customer {name: 'somebody'})")
    stranger = open_neo4j("three.db")
    with pytest.raises(StoreUnavailable, match="1 nodes that are not Govern's"):
        stranger.settle()
    with pytest.raises(Conflict, match="not Govern's"):
        stranger.clear()
    assert graph.server.auto("MATCH (n:Customer) RETURN count(n) AS n") == [{"n": 1}]
    stranger.clear(force=True)
    assert graph.server.auto("MATCH (n:Customer) RETURN count(n) AS n") == [{"n": 0}]


def test_a_wrong_password_is_said_once_and_not_tried_again_and_again(open_neo4j, neo4j_place):
    wrong = Place(uri=neo4j_place.uri, password="not the password")
    open_neo4j("right.db")
    graph = open_neo4j("wrong.db", place=wrong)
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match="refuses the user 'neo4j'") as refusal:
            graph.settle()
        assert "GOVERN_GRAPH_PASSWORD" in (refusal.value.hint or "")
        assert "not the password" not in refusal.value.message
    assert graph.position() == 0


def test_a_server_that_is_away_is_said_and_the_file_still_answers(tmp_path):
    graph = Neo4jGraph(Place(uri="bolt://127.0.0.1:1", password="x", retry_seconds=0.1), tmp_path / "fold.db")
    for ask in (graph.settle, graph.counts, lambda: project(graph, CHAIN)):
        with pytest.raises(StoreUnavailable, match="does not answer") as refusal:
            ask()
        assert "catches up" in (refusal.value.hint or "")
    assert graph.position() == 0
    assert graph.state().get("run/r1") is None, "nothing is folded that nobody could deliver"
    graph.close()


@pytest.mark.parametrize("uri", ["http://host", "neo4j://", "bolt://u:p@host", "neo4j://host/db", "neo4j://host:x", "", "neo4j+tls://host"])
def test_a_bad_address_names_the_setting(uri):
    with pytest.raises(BadInput) as refusal:
        Place(uri=uri)
    assert "GOVERN_GRAPH" in (refusal.value.hint or "")


@pytest.mark.parametrize(
    "cuts",
    [[1, 8], [3, 5, 8], *(pytest.param(cuts, marks=pytest.mark.slow) for cuts in ([8], [2, 3, 8], [4, 8], [1, 2, 3, 4, 5, 6, 7, 8]))],
    ids=str,
)
def test_an_edge_that_changes_in_one_batch_has_the_past_it_has_in_many(open_neo4j, cuts):
    """The same changes, cut into batches anywhere, answer every known_at alike."""

    def edge(at: int, value: int) -> Edge:
        return Edge(
            key="like:1", type="LIKE", source="n:a", target="n:b", props={"v": value}, walk=True, witness="w", valid_from=0, recorded_at=at
        )

    ends = (Node(key="n:a", label="Thing", props={}), Node(key="n:b", label="Thing", props={}))
    deltas = [
        GraphDelta(nodes=ends, edges=(edge(10, 1),), recorded_at=10),
        GraphDelta(edges=(edge(20, 1),), recorded_at=20),
        GraphDelta(edges=(edge(30, 2),), recorded_at=30),
        GraphDelta(edges=(edge(30, 3),), recorded_at=30),
        GraphDelta(removed_edges=("like:1",), recorded_at=40),
        GraphDelta(edges=(edge(50, 3),), recorded_at=50),
        GraphDelta(edges=(edge(60, 1),), recorded_at=60),
        GraphDelta(removed_edges=("like:1",), removed_nodes=("n:b",), recorded_at=70),
    ]

    def past(graph) -> list:
        return [
            [(e.props["v"], e.recorded_at) for e in graph.closure(["n:a"], Direction.DOWN, known_at=at).edges] for at in range(5, 80, 5)
        ]

    graph, reference = open_neo4j(), MemoryGraph()
    for position, delta in enumerate(deltas, 1):
        with reference.transaction():
            reference.apply(delta, position)
    begin = 0
    for end in cuts:
        with graph.transaction():
            for position in range(begin, end):
                graph.apply(deltas[position], position + 1)
        begin = end
    assert past(graph) == past(reference)
    assert list(graph.edges()) == list(reference.edges())
    assert graph.counts() == reference.counts()


def test_a_batch_of_many_rows_goes_in_pieces_and_moves_the_position_with_the_last(monkeypatch, open_neo4j):
    monkeypatch.setattr("lineage.adapters.neo4j_graph_batch._ROWS", 7)
    graph = open_neo4j()
    wide = run("wide", "COMPLETE", 1, [ds(f"in{i}", "1") for i in range(20)], [ds("out", "1")])
    sent = []
    graph.server.on_write = sent.append
    assert project(graph, [wide]) == project(MemoryGraph(), [wide])
    assert len(sent) > 5
    assert [statements[0][1]["position"] for statements in sent] == [0] * (len(sent) - 1) + [1]
    assert graph.reach([version_key(LAKE, "out", "1")], Direction.UP)[0]


def test_an_empty_batch_is_one_piece():
    batch = Batch()
    batch.add(GraphDelta(), 3)
    assert list(batch.pieces()) == [{}]
