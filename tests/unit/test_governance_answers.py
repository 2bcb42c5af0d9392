"""Answers over a whole core: what two versions differ in, what served when, what is named so, and events out and in again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import ds, job_event, model, nanos, project, run

from governance.registry.answers_events import event_page
from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.errors import BadInput, NotFound
from lineage.graph import graph_digest
from lineage.graph.keys import version_key
from lineage.model import Direction
from lineage.trace import trace
from tests.support.core import Core, opened

SERVICE = {"jobType": {"processingType": "SERVICE"}}
HUB = "mlflow://host"


@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("credit.train", list(range(6)))
        yield core


def told(core: Core, *events: bytes) -> None:
    for event in events:
        core.ingestor.accept(event, actor="key:e")


# ── diff ────────────────────────────────────────────────────────────────────────────────────────
def test_a_diff_counts_the_rows_that_came_and_went(core: Core) -> None:
    core.train()
    core.people("credit.train", [0, 1, 2, 3, 7])  # 4 and 5 left, 7 came
    core.train(params={"rate": 0.5})
    answer = core.answers.diff("m", "1", "2")
    assert {name: answer["rows"][name] for name in ("of", "added", "removed", "kept")} == {
        "of": "train",
        "added": 1,
        "removed": 2,
        "kept": 4,
    }
    [entry] = answer["rows"]["by_dataset"]
    assert entry["basis"] == "committed"
    assert (entry["from"]["rows"], entry["to"]["rows"]) == (6, 5)
    assert entry["added_digest"] != entry["removed_digest"]
    assert answer["params"]["added"] | answer["params"]["changed"]
    assert answer["code"]["same"]
    assert [row["name"] for row in answer["datasets"]["changed"]] == ["credit.train"]
    back = core.answers.diff("m", "2", "1")
    assert (back["rows"]["added"], back["rows"]["removed"]) == (2, 1)
    assert back["rows"]["by_dataset"][0]["added_digest"] == entry["removed_digest"]
    assert core.answers.diff("m")["from"]["ref"] == "m@1", "without versions: the latest and the one before it"
    assert core.answers.diff("m", "1", "1")["rows"]["added"] == 0
    assert set(entry["from"]) == {"version", "rows", "row_set"}, "counts and digests, no row ids"
    for wrong in (("1", "9"), ("9", "1")):
        with pytest.raises(NotFound, match="has no version '9'"):
            core.answers.diff("m", *wrong)
    with pytest.raises(NotFound, match="no version before m@1"):
        core.answers.diff("m", None, "1")


def test_a_foreign_model_is_compared_from_the_graph_alone(core: Core) -> None:
    def trained(number: int, rate: float, rows: str, status: str) -> list[bytes]:
        params = {"executionParameters": {"parameters": [{"key": "rate", "value": rate}, {"key": "depth", "value": 3}]}}
        code = {"sourceCodeLocation": {"type": "git", "url": "https://example.org/x", "version": f"{number}" * 40}}
        stated = {"govern_rowSet": {"digest": f"rs1:{rows * 64}", "count": number * 100, "role": "train"}}
        tests = {"test": {"tests": [{"name": "auc", "status": status, "type": "unit"}]}}
        out = model("fraud", str(number))
        return [
            run(
                f"t{number}", "COMPLETE", number, [ds("features", f"v{number}", io=stated)], [out], "train", facets=params, job_facets=code
            ),
            run(f"e{number}", "COMPLETE", number + 10, [out], [], "evaluate", facets=tests),
        ]

    told(core, *trained(1, 0.1, "a", "fail"), *trained(2, 0.2, "b", "pass"))
    answer = core.answers.diff("fraud")
    assert (answer["from"]["ref"], answer["to"]["ref"]) == ("fraud@1", "fraud@2")
    assert answer["params"] == {"added": {}, "removed": {}, "changed": {"rate": {"from": 0.1, "to": 0.2}}, "same": 1}
    assert answer["tests"]["changed"] == {"auc": {"from": "fail", "to": "pass"}}
    assert answer["code"]["from"]["version"] == "1" * 40
    [entry] = answer["rows"]["by_dataset"]
    assert (entry["basis"], entry["added"], entry["from"]["rows"], entry["to"]["rows"]) == ("unknown", None, 100, 200)
    assert answer["completeness"]["gaps"]["rows_not_compared"]["count"] == 1
    assert answer["rows"]["added"] is None, "two row sets that nobody can open are not compared, and that is said"
    assert answer["datasets"]["changed"] == [{"namespace": "s3://lake", "name": "features", "from": ["v1"], "to": ["v2"]}]
    with pytest.raises(NotFound) as near:
        core.answers.diff("fruad")
    assert "fraud" in near.value.hint


# ── what served when ────────────────────────────────────────────────────────────────────────────
def test_deployments_of_a_day_are_ours_and_everyones(core: Core) -> None:
    core.train()
    core.train()
    first = core.release(version=1)
    second = core.release(version=2)
    told(core, run("s1", "START", 10, [model("fraud", "7")], [], "fraud.production", job_facets=SERVICE))
    now = core.answers.deployed(environment="production")["deployments"]
    assert {(one["model"], str(one["version"]), one["own"]) for one in now} == {("m", "1", True), ("m", "2", True), ("fraud", "7", False)}
    between = second["active_from"] - 1
    served = core.answers.deployed(as_of=between, model="m")["deployments"]
    assert [one["version"] for one in served] == [1]
    later = core.answers.deployed(as_of=second["active_from"], known_at=between, model="m")["deployments"]
    assert [one["version"] for one in later] == [1], "as of then, as known before: the release of 2 was not known"
    assert core.answers.deployed(as_of=first["active_from"] - 1, model="m")["deployments"] == []
    assert [one["id"] for one in core.answers.deployed(active=True, model="m")["deployments"]] == [second["id"]]
    with pytest.raises(NotFound) as near:
        core.answers.deployed(environment="prodction")
    assert "production" in near.value.hint
    # and a trace without a version is of what was in production then
    assert core.answers.trace(model="m", as_of=between)["subject"]["ref"] == "m@1"
    assert core.answers.trace(model="m", as_of=second["active_from"], known_at=between)["subject"]["ref"] == "m@1"
    assert core.answers.trace(model="m")["subject"]["ref"] == "m@2"
    assert core.answers.trace(model="m@latest", as_of=between)["subject"]["ref"] == "m@2"
    with pytest.raises(NotFound, match="was in 'staging' at that time"):
        core.answers.trace(model="m@staging", as_of=between)


def test_a_foreign_model_as_of_a_day_is_the_version_that_served(core: Core) -> None:
    told(
        core,
        run("t1", "COMPLETE", 1, [ds("x", "1")], [model("fraud", "1")]),
        run("t2", "COMPLETE", 2, [ds("x", "2")], [model("fraud", "2")]),
        run("s1", "START", 10, [model("fraud", "1")], [], "fraud.production", job_facets=SERVICE),
    )
    assert core.answers.trace(model="fraud")["subject"]["ref"] == "fraud@2"
    assert core.answers.trace(model="fraud", as_of=nanos(15))["subject"]["ref"] == "fraud@1"
    assert core.answers.trace(model="fraud", as_of=nanos(1))["subject"]["ref"] == "fraud@1"
    assert core.answers.trace(model="fraud@2", as_of=nanos(15))["subject"]["ref"] == "fraud@2"


# ── names ───────────────────────────────────────────────────────────────────────────────────────
def test_a_typo_names_the_nearest_and_the_next_command(core: Core) -> None:
    told(core, run("r", "COMPLETE", 1, [ds("orders", "1")], [ds("report", "1", columns={"total": ["orders"]})], "load.orders"))
    for query, near in (
        ({"namespace": "s3://lake", "name": "ordres"}, "orders"),
        ({"namespace": "s3://lke", "name": "orders"}, "govern trace --dataset s3://lake orders"),
        ({"job_namespace": "jobs", "job": "load.ordrs"}, "load.orders"),
        ({"namespace": "s3://lake", "name": "report", "column": "totl"}, "total"),
        ({"run": "rr"}, "govern lineage status"),
    ):
        with pytest.raises(NotFound) as missed:
            core.answers.trace(**query)
        assert near in missed.value.hint, query


def test_what_there_is_is_found_by_name_id_and_revision(core: Core) -> None:
    code = {"sourceCodeLocation": {"type": "git", "url": "https://example.org/x", "version": "3f2a9c1b" * 5}}
    told(core, run("run-of-orders", "COMPLETE", 1, [ds("orders", "1")], [], "load.orders", job_facets=code))
    assert [node["label"] for node in core.answers.find("ord")["nodes"]] == ["Dataset", "Job"]
    assert [node["label"] for node in core.answers.find("run-of-orders")["exact"]] == ["Run"]
    assert [node["label"] for node in core.answers.find("3f2a9c1b" * 5)["exact"]] == ["CodeRevision"]
    assert core.answers.find("ord", label="Job")["total"] == 1


def test_a_job_is_traced_by_its_latest_runs(core: Core) -> None:
    told(core, *[run(f"r{i}", "COMPLETE", i, [ds("x", "1")], [ds("y", str(i))], "job") for i in range(1, 103)])
    answer = core.answers.trace(job_namespace="jobs", job="job", direction="down")
    assert answer["subject"]["kind"] == "job"
    assert answer["completeness"]["gaps"]["older_runs"]["count"] == 2
    assert {item["version"] for item in answer["datasets"] if item["dataset"] == "y"} == {str(i) for i in range(3, 103)}


# ── formats, and events out ─────────────────────────────────────────────────────────────────────
def test_a_trace_comes_in_every_format_and_says_whether_it_is_complete(core: Core) -> None:
    core.train()
    core.ingestor.wait(10)
    for form, media in (
        ("svg", "image/svg+xml"),
        ("dot", "text/vnd.graphviz"),
        ("prov", "application/prov+json"),
        ("json", "application/json"),
    ):
        found, body, complete = core.answers.exported(form, model="m")
        assert (found, complete) == (media, core.answers.trace(model="m")["completeness"]["complete"])
        assert b"credit.train" in body
    ET.fromstring(core.answers.exported("svg", model="m", as_of=1)[1])
    with pytest.raises(BadInput, match="no format"):
        core.answers.exported("png", model="m")


def test_prov_tells_what_was_erased(core: Core) -> None:
    core.train()
    rows = core.located(3)["credit.train"]
    core.datasets.purge("credit.train", rows, request="er-1")
    document = json.loads(core.answers.exported("prov", model="m")[1])
    [gone] = document["wasInvalidatedBy"].values()
    assert gone["prov:activity"] == "key:erasure-er-1"
    assert document["entity"][gone["prov:entity"]]["gov:name"] == "credit.train"


def digest_of(core: Core) -> str:
    core.ingestor.wait(10)
    return graph_digest(core.graph.nodes(), core.graph.edges())


def test_events_that_are_exported_and_taken_in_again_give_the_same_graph(core: Core, tmp_path, memory_keys, ticking_clock) -> None:
    core.train()
    core.release()
    pretty = json.dumps(json.loads(run("p", "COMPLETE", 3, [ds("é", "1")], [ds("b", "1")])), indent=2).encode()
    told(core, pretty, job_event(4, "declares", [ds("b")], [ds("c")]))
    expected = digest_of(core)
    lines: list[bytes] = []
    cursor = None
    while True:
        page = core.answers.events(limit=2, cursor=cursor)
        lines += page.lines
        cursor = page.next
        if cursor is None:
            break
    assert all(b"\n" not in line for line in lines)
    with opened(tmp_path / "again", keys=memory_keys, clock=ticking_clock) as again:
        told(again, *lines)
        assert digest_of(again) == expected


def test_a_window_of_events_is_that_of_their_times(core: Core) -> None:
    told(core, *[run(f"r{i}", "COMPLETE", i, [ds("x", "1")], []) for i in (5, 1, 3)])
    core.ingestor.wait(10)

    def runs(**window) -> list[str]:
        found, cursor = [], None
        while True:
            page = core.answers.events(limit=1, cursor=cursor, **window)
            found += [json.loads(line)["run"]["runId"] for line in page.lines]
            cursor = page.next
            if cursor is None:
                return found

    assert runs(since=nanos(1), until=nanos(5)) == ["r1", "r3"]
    assert runs(since=nanos(3)) == ["r3", "r5"]
    assert runs(until=nanos(1)) == []
    with pytest.raises(BadInput, match="ends before it begins"):
        core.answers.events(since=2, until=1)
    for bad in ("!!", "YQ", "MS8yLzM"):
        with pytest.raises(BadInput, match="cursor"):
            core.answers.events(cursor=bad)


def test_the_events_of_a_trace_rebuild_that_trace(core: Core, tmp_path) -> None:
    told(
        core,
        run("p", "START", 1, [ds("raw", "1")], []),
        run("p", "COMPLETE", 2, [], [ds("x", "1")], "job-of-p"),
        run("t", "COMPLETE", 3, [ds("x", "1")], [model("m2", "1")]),
        run("other", "COMPLETE", 2, [ds("raw", "1")], [ds("z", "1")]),
        job_event(9, "job-of-t", [ds("x")], []),
    )
    before = core.answers.trace(model="m2")
    media, body, _ = core.answers.exported("openlineage", model="m2")
    assert media == "application/x-ndjson"
    events = [json.loads(line) for line in body.splitlines()]
    assert sorted(event.get("run", {}).get("runId", "job") for event in events) == ["job", "p", "p", "t"]
    graph = SqliteGraph(tmp_path / "again.db")
    project(graph, body.splitlines())
    assert graph.node(version_key(HUB, "m2", "1")) is not None
    again = trace(graph, [version_key(HUB, "m2", "1")], Direction.UP)
    assert [node.key for node in again.graph.nodes] == [node["key"] for node in before["nodes"]]
    assert [edge.key for edge in again.graph.edges] == [edge["key"] for edge in before["edges"]]
    graph.close()
    assert event_page(core.ledger, core.graph, limit=1).next is not None
