"""The graph of the recorded events, as JSON under version control: a change of any rule of the graph shows as a difference here.

``GOVERN_WRITE_GOLDEN=1`` rewrites the files.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import CORPUS, digest, project

from lineage.openlineage import parse_event
from lineage.trace import MemoryGraph

GOLDEN = Path(__file__).parent / "lineage"


def same(name: str, value: object) -> None:
    text = json.dumps(value, indent=1, sort_keys=True) + "\n"
    path = GOLDEN / name
    if os.environ.get("GOVERN_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; look at it, then write it anew with GOVERN_WRITE_GOLDEN=1"


@pytest.mark.parametrize("scenario", ["CLL", "simple_run_event", "spark_dataproc_simple_producer_test"])
def test_the_graph_of_a_recorded_scenario(scenario):
    graph = MemoryGraph()
    project(graph, [path.read_bytes() for path in sorted((CORPUS / scenario).glob("*.json"))])
    nodes = [{"key": node.key, "label": node.label, "props": dict(node.props)} for node in graph.nodes()]
    edges = [{name: value for name, value in dataclasses.asdict(edge).items() if name != "recorded_at"} for edge in graph.edges()]
    same(f"graph_{scenario}.json", {"digest": digest(graph), "nodes": nodes, "edges": edges})


def test_a_parsed_event():
    event = parse_event((CORPUS / "spark_dataproc_simple_producer_test" / "4.json").read_bytes())
    same("run_event.json", dataclasses.asdict(event))
