"""Events of any content in any order: every owner is derived again whenever something it reads has changed.

The scenes of the other order tests are written by hand; here runs begin after they ended, read what they wrote, are sent under two
jobs, and datasets get other names, become views and are renamed, as the generator likes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import dataset_event, ds, job_event, project, run

from lineage.graph import Fold
from lineage.graph.claims import Changes
from lineage.model import GraphDelta, RunEvent
from lineage.openlineage import parse_event
from lineage.trace import MemoryGraph

LAKE = "s3://lake"
TABLES = st.sampled_from(["a", "b", "c", "d"])
JOBS = st.sampled_from(["j1", "j2"])
RUNS = st.sampled_from(["r1", "r2", "r3"])
TIMES = st.integers(0, 6)
INPUTS = st.lists(st.builds(ds, TABLES, st.sampled_from([None, None, None, "1", "2"])), max_size=2, unique_by=lambda one: one["name"])


def handed(sources: list[str], jobs: list[str]) -> dict[str, Any]:
    """A ``lineage`` facet: from these datasets, and from these jobs' runs."""
    datasets = [{"namespace": LAKE, "name": name, "type": "DATASET"} for name in sources]
    return {"inputs": [*datasets, *({"namespace": "jobs", "name": name, "type": "JOB"} for name in jobs)]}


FLOWS = st.builds(handed, st.lists(TABLES, max_size=2, unique=True), st.lists(JOBS, max_size=1))
OUTPUTS = st.lists(
    st.one_of(
        st.builds(ds, TABLES),
        st.builds(ds, TABLES, st.sampled_from(["1", "2"])),
        st.builds(lambda name, sources: ds(name, columns={"x": sources}), TABLES, st.lists(TABLES, min_size=1, max_size=2, unique=True)),
        st.builds(lambda name, flow: ds(name, lineage=flow), TABLES, FLOWS),
    ),
    max_size=2,
    unique_by=lambda one: one["name"],
)
TYPES = st.sampled_from(["START", "START", "RUNNING", "COMPLETE", "COMPLETE", "FAIL", "ABORT", "OTHER"])


def renamed(name: str, before: str) -> dict[str, Any]:
    """A dataset that had another name."""
    change = {"lifecycleStateChange": "RENAME", "previousIdentifier": {"namespace": LAKE, "name": before}}
    return ds(name, lifecycleStateChange=change)


EVENTS = st.one_of(
    st.builds(lambda run_id, kind, at, reads, writes, job: run(run_id, kind, at, reads, writes, job=job), RUNS, TYPES, TIMES, INPUTS, OUTPUTS, JOBS),
    st.builds(lambda run_id, kind, at, reads, writes, job: run(run_id, kind, at, reads, writes, job=job), RUNS, TYPES, TIMES, INPUTS, OUTPUTS, JOBS),
    st.builds(lambda at, name, others: dataset_event(at, ds(name, links=[(LAKE, one, "TABLE") for one in others])), TIMES, TABLES, st.lists(TABLES, max_size=1)),
    st.builds(lambda at, name, flow: dataset_event(at, ds(name, lineage=flow)), TIMES, TABLES, FLOWS),
    st.builds(lambda at, name, version: dataset_event(at, ds(name, version)), TIMES, TABLES, st.sampled_from(["1", "2"])),
    st.builds(lambda at, name, before: dataset_event(at, renamed(name, before)), TIMES, TABLES, TABLES),
    st.builds(job_event, TIMES, JOBS, INPUTS, OUTPUTS),
)  # fmt: skip


def stale(graph: MemoryGraph) -> list[str]:
    """The owners whose claims are others when they are derived anew."""
    found = []
    with graph.transaction() as state:
        fold = Fold(state)
        for owner in [key for prefix in ("run/", "job/", "ds/") for key, _ in state.scan(prefix)]:
            changes = Changes(state, 0)
            if changes.replace(fold._claims(owner)) or changes.delta() != GraphDelta():
                found.append(owner)
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_owner_is_stale_after_any_event_and_no_order_gives_another_graph(data: st.DataObject) -> None:
    events: list[RunEvent] = [parse_event(raw) for raw in data.draw(st.lists(EVENTS, min_size=2, max_size=8))]
    graph = MemoryGraph()
    expected = project(graph, events)
    assert stale(graph) == []
    other = MemoryGraph()
    order = data.draw(st.permutations(range(len(events))))
    assert project(other, [events[place] for place in order]) == expected
    assert stale(other) == []


LATE = {
    "a version from before one's own, which was there before one began again": [
        run("r1", "COMPLETE", 1, [ds("a")], [ds("a")]),
        run("r1", "START", 2, [], []),
        run("r0", "COMPLETE", 0, [], [ds("a")]),
    ],
    "another name of the source of a dataset that goes by another name itself": [
        run("r1", "START", 0, [], [ds("d", columns={"x": ["a"]})]),
        dataset_event(0, ds("d", links=[(LAKE, "c", "TABLE")])),
        dataset_event(0, ds("a", links=[(LAKE, "b", "TABLE")])),
    ],
    "a run of a job from before one that took over from the job's run before it, when that began again": [
        run("r1", "START", 2, [], [], job="j2"),
        run("r1", "FAIL", 3, [], [ds("b", lineage=handed([], ["j1"]))], job="j2"),
        run("r1", "START", 5, [], [], job="j1"),
        run("r1", "COMPLETE", 6, [], [], job="j1"),
        run("r0", "COMPLETE", 1, [], [ds("a")], job="j1"),
    ],
}


@pytest.mark.parametrize("said", LATE.values(), ids=LATE)
def test_what_comes_late_reaches_who_read_it(said: list[bytes]) -> None:
    late, early = MemoryGraph(), MemoryGraph()
    assert project(late, said) == project(early, said[::-1])
    assert stale(late) == [] == stale(early)
