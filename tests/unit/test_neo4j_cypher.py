"""What is said to Neo4j, without one: nearly every batch says only what was planned at the first contact, and names are only names."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version

import pytest

from lineage.adapters.neo4j_graph_batch import Batch
from lineage.adapters.neo4j_graph_cypher import TYPES, USUAL, statements, warming
from lineage.adapters.neo4j_graph_props import edge_row, node_row
from lineage.model import Edge, GraphDelta, Node


def edge(kind: str, props=None) -> Edge:
    return Edge(
        key=f"{kind.lower()}:1", type=kind, source="a", target="b", props=props or {}, walk=True, witness="w", valid_from=0, recorded_at=1
    )


def texts(*edges: Edge, label: str = "Run") -> list[str]:
    batch = Batch()
    batch.add(GraphDelta(nodes=(Node(key="a", label=label, props={}),), edges=edges, recorded_at=1), 1)
    return [text for piece in batch.pieces() for text, _ in statements(piece, TYPES)]


def test_a_usual_batch_says_just_what_the_server_has_planned():
    assert set(USUAL) < set(TYPES)
    assert set(texts(*map(edge, USUAL))) == set(warming())
    assert set(texts(edge("DEPLOYED_AS"))) - set(warming()), "a rare type is planned with its first row"


@pytest.mark.parametrize("name", ["Run) DETACH DELETE (n", "", "1st", "Lineage", "Gone", "RETIRED", "GovernGraph"])
def test_a_type_that_is_no_name_of_its_own_is_refused(name):
    with pytest.raises(ValueError, match="cannot be a label or a type"):
        texts(edge(name))


def test_a_property_is_judged_by_its_name_each_time():
    given = {"fine": "x", "no identifier": "x", "walk": "x", "more": "x"}
    for _ in range(2):  # what is remembered of a name is not whose row it was in
        assert {*node_row(Node(key="a", label="Run", props=given))} == {"key", "fine", "walk", "more"}
        assert edge_row(edge("OF", given))["walk"] is True


def test_the_driver_packs_rows_outside_of_python():
    assert importlib.util.find_spec("neo4j._rust") is not None, "without neo4j-rust-ext each event takes the driver 2 ms more"
    assert version("neo4j-rust-ext").startswith(version("neo4j") + "."), "the two are made for each other, version by version"
