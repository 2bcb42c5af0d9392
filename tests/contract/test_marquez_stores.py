"""Marquez's reads give the same answers over every graph store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from lineage.marquez import Marquez
from lineage.model import Direction
from lineage.ports import GraphStore
from lineage.projection import Projector
from lineage.trace.memory import MemoryGraph
from tests.fakes.marquez_reads import FixedClock, Log
from tests.support.graph_stores import STORES
from tests.support.marquez import EVENTS

LAKE = "s3://ml-bucket"
RUN = "0192aaaa-0000-7000-8000-000000000002"
PAGE = {"limit": 2, "offset": 1}
MODEL = {"datasetType": {"datasetType": "MODEL"}, "symlinks": {"identifiers": [{"namespace": "reg", "name": "churn", "type": "TABLE"}]}}
LATER: list[dict[str, Any]] = [
    {
        "eventType": "COMPLETE",
        "eventTime": f"2026-11-21T01:2{number}:00Z",
        "producer": "p",
        "run": {"runId": f"run-{number}"},
        "job": {"namespace": "ml-pipelines", "name": f"train.{number % 2}"},
        "inputs": [{"namespace": LAKE, "name": "features/users"}],
        "outputs": [{"namespace": LAKE, "name": f"model:{number}/ü", "facets": MODEL if number == 3 else {}}],
    }
    for number in range(4)
]


@pytest.fixture(params=["sqlite", pytest.param("neo4j", marks=pytest.mark.slow)])  # cold, a Neo4j takes seconds for these questions
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GraphStore]:
    if request.param == "neo4j":
        yield request.getfixturevalue("open_neo4j")()
        return
    graph = STORES[request.param](tmp_path)
    yield graph
    graph.close()


def answers(views: Marquez) -> dict[str, Any]:
    """Every question that the views put to a store, as few times as it takes: a cold Neo4j is slow."""
    return {
        "datasets": views.datasets(LAKE, **PAGE),
        "by another name": views.dataset(LAKE, "model:3/ü"),
        "versions": views.versions(LAKE, "features/users", limit=9, offset=0),
        "jobs": views.jobs(None, **PAGE),
        "job": views.job("ml-pipelines", "train.1"),
        "search": views.search("U", newest=True),
        "up": views.run_lineage(RUN, direction=Direction.UP),
        "columns": views.column_lineage(f"dataset:{LAKE}:features/users", downstream=True),
        "events": json.loads(views.events(before=2**62, after=0, limit=3, offset=1, newest=True).body),
        "statistics": views.stats("jobs", "DAY", ZoneInfo("UTC")),
        "all around": json.loads(views.lineage(f"dataset:{LAKE}:model:3/ü")),
        "near": json.loads(views.lineage(f"dataset:{LAKE}:features/users", depth=0)),
        "whole up": json.loads(views.lineage("job:ml-pipelines:train.1", direction=Direction.UP)),
    }


def told(graph: GraphStore) -> list[dict[str, Any]]:
    """The answers after the first events, and after the later ones, asked of the same views."""
    log = Log()
    projector = Projector(log, graph, FixedClock())  # type: ignore[arg-type]
    views = Marquez(graph, log, FixedClock(), projector.watch)  # type: ignore[arg-type]
    found = []
    for events in (EVENTS[:2], [EVENTS[2], *LATER]):
        for event in events:
            log.add(json.dumps(event).encode())
        while projector.project():
            pass
        lineage = json.loads(views.lineage(f"dataset:{LAKE}:features/users"))
        found.append(lineage if len(events) == 2 else answers(views))
    return found


def test_the_answers_are_those_of_the_reference(store: GraphStore) -> None:
    assert told(store) == told(MemoryGraph())
