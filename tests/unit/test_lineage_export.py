"""Exports say what the graph says: every flow is drawn, PROV is valid, and pictures are well-formed whatever the names."""

from __future__ import annotations

import json
import re
import sys
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import ds, model, nanos, project, run

from lineage.export import Invalidated, dot, picture, prov, svg
from lineage.export.layout import layout
from lineage.graph.keys import dataset_key, run_key, version_key
from lineage.model import Direction, Edge, Node
from lineage.trace import MemoryGraph, trace

LAKE = "s3://lake"
CODE = {"sourceCodeLocation": {"type": "git", "url": "https://example.org/repo", "version": "3f2a9c1b" * 5}}
PARAMS = {"executionParameters": {"parameters": [{"key": "rate", "value": 0.1}]}}
ROWS = {"govern_rowSet": {"digest": "rs1:" + "a" * 64, "count": 686, "role": "train"}}


def version(name: str, label: str | None, namespace: str = LAKE) -> str:
    return version_key(namespace, name, label)


@pytest.fixture
def graph() -> MemoryGraph:
    made = MemoryGraph()
    project(
        made,
        [
            run("p", "COMPLETE", 1, [ds("raw", "1"), ds("side", "1")], [ds("x", "1", columns={"c": ["raw"]}), ds("y", "1", columns={"c": ["side"]})]),
            run("t", "COMPLETE", 3, [ds("x", "1", io=ROWS)], [model("m", "1")], "train", facets=PARAMS, job_facets=CODE),
            run("f", "FAIL", 4, [ds("x", "1")], [model("m", "2")], "train"),
            run("s", "START", 5, [model("m", "1")], [], "serve", job_facets={"jobType": {"processingType": "SERVICE"}}),
        ],
    )  # fmt: skip
    return made


# ── the picture ─────────────────────────────────────────────────────────────────────────────────
def test_every_flow_that_was_walked_is_a_line(graph):
    answer = trace(graph, [version("raw", "1")], Direction.DOWN)
    shown = picture(answer.graph.nodes, answer.graph.edges, asked=answer.start)
    served = run_key("s")  # the run of a deployment is drawn as the deployment
    walked = {(edge.source, edge.target) for edge in answer.graph.edges if edge.walk and edge.target != served}
    drawn = {(line.source, line.target) for line in shown.lines}
    through = {(source, target) for source, run_ in drawn for start, target in drawn if start == run_}
    assert walked <= drawn | through
    assert [box.title for box in shown.boxes if box.asked] == ["raw"]
    planned = next(line for line in shown.lines if line.target == version("m", "2", "mlflow://host"))
    assert planned.manner == "dotted"
    assert "planned, not written" in planned.about


def test_a_run_whose_outputs_have_their_own_sources_is_drawn_faint(graph):
    answer = trace(graph, [version("m", "1", "mlflow://host")], Direction.UP)
    shown = picture(answer.graph.nodes, answer.graph.edges, asked=answer.start)
    assert not any(line.faint for line in shown.lines), "of this answer alone, all that the run read went into all that it made"
    both = trace(graph, [version("raw", "1"), version("side", "1")], Direction.DOWN)
    shown = picture(both.graph.nodes, both.graph.edges)
    p = run_key("p")
    assert {(line.source, line.target) for line in shown.lines if line.faint} == {
        (version("raw", "1"), p),
        (version("side", "1"), p),
        (p, version("x", "1")),
        (p, version("y", "1")),
    }
    solid = {(line.source, line.target) for line in shown.lines if not line.faint}
    assert (version("raw", "1"), version("x", "1")) in solid
    assert (version("raw", "1"), version("y", "1")) not in solid


def test_code_and_parameters_stand_in_the_box_of_their_run(graph):
    answer = trace(graph, [version("m", "1", "mlflow://host")], Direction.UP)
    box = next(box for box in picture(answer.graph.nodes, answer.graph.edges).boxes if box.key == run_key("t"))
    assert box.title == "train"
    assert box.lines == ("COMPLETE · 2026-01-01", "code 3f2a9c1b3f2a…", "1 parameter")
    line = next(line for line in picture(answer.graph.nodes, answer.graph.edges).lines if line.target == run_key("t"))
    assert line.note == "train 686 rows"


def test_the_dataset_that_was_asked_about_is_drawn_as_its_versions(graph):
    answer = trace(graph, [dataset_key(LAKE, "x")], Direction.DOWN)
    shown = picture(answer.graph.nodes, answer.graph.edges, asked=answer.start)
    assert [box.key for box in shown.boxes if box.asked] == [version("x", "1")]


def test_a_large_graph_is_drawn_one_level_up_and_says_what_it_leaves_out():
    graph = MemoryGraph()
    events = [run(f"r{i}", "COMPLETE", i, [ds("hub", "1")], [ds(f"d{i % 7}", str(i))], f"job{i % 7}") for i in range(1, 90)]
    project(graph, events, batch=True)
    answer = trace(graph, [version("hub", "1")], Direction.DOWN)
    whole = picture(answer.graph.nodes, answer.graph.edges, asked=answer.start, most=1000)
    assert len(whole.boxes) == 1 + 89 * 2
    grouped = picture(answer.graph.nodes, answer.graph.edges, asked=answer.start, most=50)
    assert grouped.grouped
    assert len(grouped.boxes) == 1 + 7 + 7
    assert sum(box.count for box in grouped.boxes) == len(whole.boxes)
    assert sum(line.count for line in grouped.lines) == len(whole.lines)
    few = picture(answer.graph.nodes, answer.graph.edges, asked=answer.start, most=50, drawn=6)
    assert (len(few.boxes), few.left_out) == (6, 9)
    assert any(box.asked for box in few.boxes), "what was asked about is nearest to itself"
    assert "9 further boxes are not drawn" in svg(few, title="hub")


# ── where it lies ───────────────────────────────────────────────────────────────────────────────
def test_boxes_do_not_overlap_and_lines_run_to_the_right():
    edges = [(0, 3), (1, 3), (2, 4), (3, 5), (4, 5), (0, 5), (5, 6), (6, 3), (2, 6)]
    heights = [40.0, 70.0, 40.0, 55.0, 40.0, 90.0, 40.0]
    lain = layout(heights, edges, width=100, gutter=50, gap=10)
    for a, b in combinations(range(len(heights)), 2):
        if lain.x[a] == lain.x[b]:
            upper, lower = sorted((a, b), key=lambda spot: lain.y[spot])
            assert lain.y[upper] + heights[upper] + 10 <= lain.y[lower] + 1e-6
    for (a, b), way in zip(edges, lain.ways, strict=True):
        if (a, b) != (6, 3):  # closes a cycle
            assert way[0] == (lain.x[a] + 100, pytest.approx(lain.y[a] + heights[a] / 2))
            assert way[-1] == (lain.x[b], pytest.approx(lain.y[b] + heights[b] / 2))
            assert all(one[0] <= other[0] for one, other in pairwise(way))
    assert min(lain.y) == pytest.approx(0)
    assert layout([], [], width=1, gutter=1, gap=1).height == 0


# ── formats ─────────────────────────────────────────────────────────────────────────────────────
NASTY = "a\"<&>'\\\n\x00\x0b\ud800é𝛼" + "w" * 300


def nasty() -> tuple[list[Node], list[Edge]]:
    nodes = [
        Node(key="version:1", label="DatasetVersion", props={"name": NASTY, "namespace": NASTY, "version": NASTY}),
        Node(key="run:1", label="Run", props={"run_id": NASTY, "job": {"namespace": NASTY, "name": NASTY}, "start": 2**62}),
    ]
    props = {"basis": NASTY, "role": NASTY, "row_set": {"digest": NASTY, "count": 3}}
    return nodes, [Edge(key="e:1", type="INPUT_TO", source="version:1", target="run:1", props=props, walk=True, witness="w", valid_from=0)]


def test_svg_is_one_well_formed_file_without_script_style_or_link_whatever_the_names(graph):
    answer = trace(graph, [version("raw", "1")], Direction.DOWN)
    for nodes, edges in (nasty(), (answer.graph.nodes, answer.graph.edges), ([], [])):
        text = svg(picture(nodes, edges), title=NASTY, subtitle="s", verdict="v", complete=False, reasons=[NASTY] * 9)
        root = ET.fromstring(text)
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags <= {"svg", "g", "title", "rect", "path", "text", "circle", "ellipse"}
        assert not re.search(r'(?:\bon\w+|href|style|class)="', text)
        assert "and 3 more" in text


def test_svg_shows_every_box_and_the_verdict(graph):
    answer = trace(graph, [version("m", "1", "mlflow://host")], Direction.UP)
    text = svg(picture(answer.graph.nodes, answer.graph.edges), title="m", verdict="complete", complete=True)
    words = {element.text for element in ET.fromstring(text).iter() if element.tag.endswith("}text")}
    assert {"raw", "x", "train", "m", "complete", "COMPLETE · 2026-01-01", "train 686 rows"} <= words


def test_dot_names_every_node_and_escapes_every_name(graph):
    answer = trace(graph, [version("raw", "1")], Direction.DOWN)
    text = dot(answer.graph.nodes, answer.graph.edges, asked=answer.start, title="t")
    shown = picture(answer.graph.nodes, answer.graph.edges)
    assert len(re.findall(r"^  n\d+ \[", text, re.MULTILINE)) == len(shown.boxes)
    assert len(re.findall(r"^  n\d+ -> n\d+ \[", text, re.MULTILINE)) == len(shown.lines)
    lines = dot(*nasty(), title=NASTY).split("\n")
    for line in lines:
        outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", line)
        assert '"' not in outside, line


# ── PROV ────────────────────────────────────────────────────────────────────────────────────────
def read(document: dict):
    library = pytest.importorskip("prov.model", reason="make setup installs prov")
    return library.ProvDocument.deserialize(content=json.dumps(document), format="json")


def test_prov_is_read_by_the_prov_package_and_says_what_the_graph_says(graph):
    answer = trace(graph, [version("raw", "1")], Direction.DOWN)
    document = prov(answer.graph.nodes, answer.graph.edges, invalidated={version("x", "1"): Invalidated(by="er-1", at=nanos(9))})
    again = json.loads(read(document).serialize(format="json"))
    assert again.keys() == document.keys()
    for part in document.keys() - {"prefix"}:
        assert len(again[part]) == len(document[part]), part

    def key(name: str) -> str:
        return f"key:{name.replace(':', '-')}"

    used = {(one["prov:activity"], one["prov:entity"]) for one in document["used"].values()}
    made = {(one["prov:entity"], one["prov:activity"]) for one in document["wasGeneratedBy"].values()}
    derived = {(one["prov:generatedEntity"], one["prov:usedEntity"]) for one in document["wasDerivedFrom"].values()}
    assert (key(run_key("t")), key(version("x", "1"))) in used
    assert (key(version("m", "1", "mlflow://host")), key(run_key("t"))) in made
    assert derived == {(key(version("x", "1")), key(version("raw", "1")))}
    assert key(version("m", "2", "mlflow://host")) not in {entity for entity, _ in made}, "planned is not generated"
    [gone] = document["wasInvalidatedBy"].values()
    assert gone == {"prov:entity": key(version("x", "1")), "prov:activity": "key:erasure-er-1", "prov:time": "2026-01-01T00:09:00Z"}
    roles = {one.get("prov:role") for one in document["used"].values()}
    assert {"train", "parameters"} <= roles
    plans = {one.get("prov:plan") for one in document["wasAssociatedWith"].values()}
    assert any(document["entity"][plan]["prov:type"][-1]["$"] == "prov:Plan" for plan in plans if plan)
    assert document["activity"][key(run_key("t"))]["prov:startTime"] == "2026-01-01T00:03:00Z"


def test_prov_of_any_name_is_still_prov():
    nodes, edges = nasty()
    clean = NASTY.replace("\ud800", "?")
    document = json.loads(json.dumps(prov(nodes, edges)).replace("\\ud800", "?"))
    assert clean in json.dumps(document, ensure_ascii=False).replace("\\n", "\n") or document["entity"]
    assert len(json.loads(read(document).serialize(format="json"))["used"]) == 1
    assert prov([], []).keys() == {"prefix"}
