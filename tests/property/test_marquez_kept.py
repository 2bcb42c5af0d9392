"""What the process keeps of the lineage graph never shows: every answer is the one that a process asked for the first time gives."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.marquez import Marquez
from lineage.marquez.kept import Kept
from lineage.model import Direction, LedgerEntry
from lineage.projection import Projector
from lineage.trace.memory import MemoryGraph
from tests.fakes.marquez_reads import FixedClock, Log

TABLES = ["hub", "left", "right", "model", "other"]


def dataset(name: str, **facets: Any) -> dict[str, Any]:
    return {"namespace": "s3://lake", "name": name, "facets": facets}


tables = st.lists(st.sampled_from(TABLES), max_size=3, unique=True)
runs = st.fixed_dictionaries(
    {
        "run": st.sampled_from([f"r{number}" for number in range(5)]),
        "job": st.sampled_from([f"j{number}" for number in range(4)]),
        "type": st.sampled_from(["START", "COMPLETE", "FAIL", "OTHER"]),
        "inputs": tables,
        "outputs": tables,
        "at": st.integers(0, 50),
        "symlink": st.sampled_from([None, None, None, *TABLES]),
        "kind": st.sampled_from(["run", "run", "run", "job"]),
    }
)
asks = st.fixed_dictionaries(
    {
        "node": st.sampled_from([f"dataset:s3://lake:{name}" for name in TABLES] + [f"job:etl:j{number}" for number in range(4)]),
        "depth": st.sampled_from([0, 1, 2, 20]),
        "direction": st.sampled_from([None, Direction.UP, Direction.DOWN]),
        "max_nodes": st.sampled_from([3, 20_000]),
    }
)


def event(said: dict[str, Any]) -> bytes:
    outputs = [dataset(name) for name in said["outputs"]]
    if said["symlink"] is not None and outputs:
        names = {"identifiers": [{"namespace": "s3://lake", "name": said["symlink"], "type": "TABLE"}]}
        outputs[0]["facets"]["symlinks"] = names
    body: dict[str, Any] = {
        "eventTime": f"2026-01-01T00:00:{said['at']:02d}Z",
        "producer": "p",
        "job": {"namespace": "etl", "name": said["job"]},
        "inputs": [dataset(name) for name in said["inputs"]],
        "outputs": outputs,
    }
    if said["kind"] == "run":
        body |= {"eventType": said["type"], "run": {"runId": said["run"]}}
    return json.dumps(body).encode()


def asked(views: Marquez, ask: dict[str, Any]) -> Any:
    try:
        return json.loads(views.lineage(ask["node"], **{name: value for name, value in ask.items() if name != "node"}))
    except Exception as error:  # the same error is the same answer
        return f"{type(error).__name__}: {error}"


@given(st.lists(st.tuples(st.lists(runs, min_size=1, max_size=3), st.lists(asks, max_size=3)), min_size=1, max_size=8))
@settings(max_examples=25, deadline=None)
def test_an_answer_is_the_one_that_a_new_process_gives(turns: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]]) -> None:
    graph, log = MemoryGraph(), Log()
    projector = Projector(log, graph, FixedClock())  # type: ignore[arg-type]
    views = Marquez(graph, log, FixedClock(), projector.watch)  # type: ignore[arg-type]
    earlier: list[dict[str, Any]] = []
    for batch, questions in turns:
        for said in batch:
            log.add(event(said))
        while projector.project():
            pass
        for ask in [*earlier, *questions]:
            fresh = Marquez(graph, log, FixedClock(), lambda watcher: None)  # type: ignore[arg-type]
            assert asked(views, ask) == asked(fresh, ask), ask
        earlier = (earlier + questions)[-6:]


def test_a_run_that_read_a_dataset_under_two_names_is_shown_anew_when_they_become_one() -> None:
    """The run loses an edge and gains none, and no event speaks of it."""
    graph, log = MemoryGraph(), Log()
    projector = Projector(log, graph, FixedClock())  # type: ignore[arg-type]
    views = Marquez(graph, log, FixedClock(), projector.watch)  # type: ignore[arg-type]
    said = {"run": "r1", "job": "j1", "type": "START", "inputs": ["hub", "left"], "outputs": [], "at": 0, "symlink": None, "kind": "run"}
    log.add(event(said))
    projector.project()
    ask = {"node": "job:etl:j1", "depth": 1, "direction": None, "max_nodes": 100}
    read = "inputDatasetVersions"
    assert len(_latest_run(asked(views, ask))[read]) == 2
    log.add(event(said | {"run": "r0", "job": "j0", "inputs": [], "outputs": ["hub"], "symlink": "left"}))
    projector.project()
    assert [one["datasetVersionId"]["name"] for one in _latest_run(asked(views, ask))[read]] == ["left"]


def _latest_run(answer: dict[str, Any]) -> dict[str, Any]:
    return next(node["data"]["latestRun"] for node in answer["graph"] if node["id"] == "job:etl:j1")


def test_a_second_writer_is_seen() -> None:
    """Another process folds into the same graph and tells this one nothing: the position says it."""
    graph, log = MemoryGraph(), Log()
    ours, theirs = (Projector(log, graph, FixedClock()) for _ in range(2))  # type: ignore[arg-type]
    views = Marquez(graph, log, FixedClock(), ours.watch)  # type: ignore[arg-type]
    said = {"run": "r1", "job": "j1", "type": "COMPLETE", "inputs": ["hub"], "outputs": ["model"], "at": 1, "symlink": None, "kind": "run"}
    log.add(event(said))
    ours.project()
    ask = {"node": "dataset:s3://lake:hub", "depth": 20, "direction": None, "max_nodes": 100}
    assert len(asked(views, ask)["graph"]) == 3
    log.add(event(said | {"run": "r2", "job": "j2", "at": 2}))
    theirs.project()
    assert len(asked(views, ask)["graph"]) == 4
    log.add(event(said | {"run": "r3", "job": "j3", "at": 3}))
    ours.project()
    assert len(asked(views, ask)["graph"]) == 5


def test_a_rebuilt_graph_is_asked_anew() -> None:
    graph, log = MemoryGraph(), Log()
    projector = Projector(log, graph, FixedClock())  # type: ignore[arg-type]
    views = Marquez(graph, log, FixedClock(), projector.watch)  # type: ignore[arg-type]
    said = {"run": "r1", "job": "j1", "type": "COMPLETE", "inputs": ["hub"], "outputs": ["model"], "at": 1, "symlink": None, "kind": "run"}
    log.add(event(said))
    projector.project()
    ask = {"node": "job:etl:j1", "depth": 1, "direction": None, "max_nodes": 100}
    before = asked(views, ask)
    log.entries_kept[0] = _gone(log.entries_kept[0])
    projector.rebuild()
    assert before["graph"]
    assert asked(views, ask) == "NotFound: Job 'j1' not found."


def _gone(entry: LedgerEntry) -> LedgerEntry:
    import dataclasses

    return dataclasses.replace(entry, payload=None)


def test_what_is_kept_is_bounded() -> None:
    from lineage.marquez.fragments import Fragment, Fragments
    from lineage.marquez.links import Ends, Links

    fragments = Fragments(limit=10_000)
    for number in range(100):
        key = f"job:{number}"
        one = Fragment(ident=key, quoted=b"", named=b"", head=b"x" * 500, tail=b"", shows=frozenset({key}), last=0)
        fragments.keep([(key, one)], fragments.begin())
        fragments.keep_whole([(key, one, b"x" * 500)], fragments.begin())
        assert fragments.size <= 10_000 + 2000
    assert 0 < len(fragments) < 10
    links = Links(limit=50)
    for number in range(100):
        links._keep({f"job:{number}": Ends({"dataset:a": None}, {"dataset:b": None})}, links._turn)
    assert 0 < len(links) <= 17


def test_nothing_made_before_a_change_is_kept_after_it() -> None:
    from lineage.marquez.fragments import Fragment

    kept = Kept()
    one = Fragment(ident="a", quoted=b"", named=b"", head=b"", tail=b"", shows=frozenset({"job:a"}), last=0)
    turn = kept.begin(5)
    kept.changing({"job:a"}, (), cut=False, first=5, position=6)
    kept.fragments.keep([("job:a", one)], turn)
    assert not kept.fragments.get(["job:a"])
    kept.changed()
    kept.fragments.keep([("job:a", one)], turn)
    assert not kept.fragments.get(["job:a"])
    kept.fragments.keep([("job:a", one)], kept.begin(6))
    assert kept.fragments.get(["job:a"])
    kept.begin(9)  # a position that nobody told
    assert not kept.fragments.get(["job:a"])
