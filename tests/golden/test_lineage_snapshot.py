"""A snapshot that an earlier Govern wrote is still one that a graph can begin from: kept bytes, and what follows from them.

When this fails because the fold's state has another form, an old snapshot cannot be gone on from: raise ``lineage.graph.state.VERSION``
(old snapshots are then refused by name, see ADR 16), and write a new one with ``make golden``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lineage.errors import StoreUnavailable
from lineage.graph.state import VERSION
from lineage.model import Direction
from lineage.retention import restore
from lineage.retention.records import Tally, packed, records_of, unpacked
from lineage.trace import MemoryGraph
from tests.lineage_events import ds, job_event, model, project, recorded, run

FOLDER = Path(__file__).parent / "data"
FILE = FOLDER / f"lineage-snapshot-{VERSION}.jsonl.gz"

BEFORE = [
    *recorded()[::2],
    run("a", "COMPLETE", 1, [ds("d0"), ds("side", "1")], [ds("d1", "v1", columns={"x": ["d0"]})]),
    run("b", "START", 2, [ds("d1"), ds("other-name")]),
    job_event(3, "j", [ds("a"), ds("b")], [ds("c")]),
    job_event(4, "j", [ds("a")], [ds("c")]),
]
AFTER = [
    *recorded()[1::2],
    run("late", "COMPLETE", 0, [], [ds("d0", "v0")]),
    run("b", "COMPLETE", 5, [], [model("m", "1")]),
    run("link", "COMPLETE", 6, [], [ds("d1", links=[("s3://lake", "other-name", "TABLE")])]),
]


def everything(graph: MemoryGraph) -> list[object]:
    starts = [node.key for node in graph.nodes()]
    times = [second * 10**9 for second in range(0, len(BEFORE) + len(AFTER) + 2, 4)]
    walks = [graph.closure(starts, direction, known_at=when) for direction in Direction for when in times]
    return [list(graph.state().scan("")), list(graph.nodes()), list(graph.edges()), walks]


def test_a_kept_snapshot_and_later_events_give_what_all_events_give() -> None:
    if os.environ.get("GOVERN_WRITE_GOLDEN") and not FILE.exists():  # one that is there is what must still be read
        source = MemoryGraph()
        project(source, BEFORE)
        FILE.write_bytes(b"".join(packed(records_of(source), Tally())))
    begun, whole = MemoryGraph(), MemoryGraph()
    restore(begun, unpacked([FILE.read_bytes()]), len(BEFORE))
    assert project(begun, AFTER) == project(whole, [*BEFORE, *AFTER])
    assert everything(begun) == everything(whole)


def test_snapshots_of_earlier_versions_are_refused_by_name() -> None:
    for path in FOLDER.glob("lineage-snapshot-*.jsonl.gz"):
        if path != FILE:
            with pytest.raises(StoreUnavailable, match="this Govern reads"):
                list(unpacked([path.read_bytes()]))
