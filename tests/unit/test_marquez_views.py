"""Marquez's reads where events are unusual: names, depths, what is only named, what was deleted."""

from __future__ import annotations

import doctest
import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from lineage.errors import BadInput, NotFound
from lineage.marquez import Marquez, names
from lineage.marquez.stats import intervals
from lineage.model import Direction
from tests.fakes.marquez_reads import MarquezReads


def dataset(name: str, namespace: str = "s3://lake", **facets: Any) -> dict[str, Any]:
    return {"namespace": namespace, "name": name, "facets": facets}


def event(
    job: str | None, run: str | None, inputs: list[Any], outputs: list[Any], second: int = 0, kind: str = "COMPLETE", **more: Any
) -> dict[str, Any]:
    body: dict[str, Any] = {"eventTime": f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}Z", "producer": "p", **more}
    if run is not None:
        body |= {"run": {"runId": run, "facets": more.pop("run_facets", {})}, "eventType": kind}
    if job is not None:
        body["job"] = {"namespace": "etl", "name": job, "facets": more.pop("job_facets", {})}
    return body | {"inputs": inputs, "outputs": outputs}


def views(*events: dict[str, Any]) -> Marquez:
    return MarquezReads(list(events))()


def idents(body: bytes) -> list[str]:
    return [node["id"] for node in json.loads(body)["graph"]]


CHAIN = [event(f"j{i}", f"r{i}", [dataset(f"d{i}")], [dataset(f"d{i + 1}")], i) for i in range(6)]


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(names)
    assert result.attempted > 0
    assert result.failed == 0


# ── the walk ────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("node", "depth", "jobs"),
    [
        ("job:etl:j2", 0, [2]),
        ("job:etl:j2", 1, [1, 2, 3]),
        ("job:etl:j2", 2, [0, 1, 2, 3, 4]),
        ("dataset:s3://lake:d3", 0, [2]),  # the job that wrote it, as Marquez begins
        ("dataset:s3://lake:d3", 1, [1, 2, 3]),
        ("dataset:s3://lake:d0", 0, [0]),  # nobody wrote it: a job that read it
        ("dataset:s3://lake:d3", -7, [2]),
        ("dataset:s3://lake:d3", 2**31 - 1, [0, 1, 2, 3, 4, 5]),
        ("run:r2", 1, [1, 2, 3]),
    ],
)
def test_depth_counts_jobs_as_marquez_does(node: str, depth: int, jobs: list[int]) -> None:
    found = idents(views(*CHAIN).lineage(node, depth=depth))
    assert [one for one in found if one.startswith("job:")] == [f"job:etl:j{number}" for number in jobs]
    touched = sorted({f"dataset:s3://lake:d{number}" for job in jobs for number in (job, job + 1)})
    assert [one for one in found if one.startswith("dataset:")] == touched


def test_among_several_writers_the_walk_begins_at_the_last() -> None:
    writers = [event(f"w{i}", f"r{i}", [dataset(f"in{i}")], [dataset("table")], i) for i in range(3)]
    found = idents(views(*writers).lineage("dataset:s3://lake:table", depth=0))
    assert found == ["dataset:s3://lake:in2", "dataset:s3://lake:table", "job:etl:w2"]


@pytest.mark.parametrize(
    ("node", "direction", "depth", "found"),
    [
        ("dataset:s3://lake:d2", Direction.UP, 20, ["d0", "d1", "d2", "j0", "j1"]),
        ("dataset:s3://lake:d2", Direction.UP, 1, ["d1", "d2", "j1"]),
        ("dataset:s3://lake:d2", Direction.UP, 0, ["d2"]),
        ("dataset:s3://lake:d5", Direction.DOWN, 20, ["d5", "d6", "j5"]),
        ("job:etl:j1", Direction.DOWN, 0, ["d2", "j1"]),
        ("job:etl:j1", Direction.DOWN, 1, ["d2", "d3", "j1", "j2"]),
    ],
)
def test_a_direction_walks_only_where_data_flows(node: str, direction: Direction, depth: int, found: list[str]) -> None:
    """Siblings are Marquez's lineage, and never ours: j9 reads d2 too, and is not upstream of it."""
    sibling = event("j9", "r9", [dataset("d0"), dataset("aside")], [dataset("d9")], 9)
    answer = views(*CHAIN, sibling).lineage(node, depth=depth, direction=direction)
    assert [one.rsplit(":", 1)[1] for one in idents(answer)] == found
    both = idents(views(*CHAIN, sibling).lineage(node))
    assert "job:etl:j9" in both


def test_edges_and_inputs_say_the_same_and_name_only_what_is_shown() -> None:
    graph = json.loads(views(*CHAIN).lineage("job:etl:j2", depth=1))["graph"]
    shown = {node["id"] for node in graph}
    flows = {(edge["origin"], edge["destination"]) for node in graph for edge in node["outEdges"]}
    assert flows == {(edge["origin"], edge["destination"]) for node in graph for edge in node["inEdges"]}
    assert {end for flow in flows for end in flow} == shown
    for node in graph:
        if node["type"] == "JOB":
            assert {f"dataset:{one['namespace']}:{one['name']}" for one in node["data"]["inputs"]} == {
                origin for origin, target in flows if target == node["id"]
            }


def test_a_limit_cuts_and_says_so() -> None:
    answer = json.loads(views(*CHAIN).lineage("job:etl:j2", max_nodes=4))
    assert len(answer["graph"]) == 4
    assert answer["truncated"] is True
    assert "truncated" not in json.loads(views(*CHAIN).lineage("job:etl:j2", max_nodes=13))


def test_a_job_keeps_what_all_its_runs_read() -> None:
    again = views(event("j", "r1", [dataset("a")], [dataset("x")], 1), event("j", "r2", [dataset("b")], [dataset("x")], 2))
    assert idents(again.lineage("job:etl:j", depth=0)) == ["dataset:s3://lake:a", "dataset:s3://lake:b", "dataset:s3://lake:x", "job:etl:j"]
    assert [one["name"] for one in again.job("etl", "j")["inputs"]] == ["b"]  # Marquez's /jobs: the latest run's


def test_a_failed_run_wrote_nothing() -> None:
    found = idents(views(event("j", "r", [dataset("a")], [dataset("x")], 1, kind="FAIL")).lineage("job:etl:j"))
    assert found == ["dataset:s3://lake:a", "job:etl:j"]


# ── node ids ────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "node",
    [
        "nonsense", "", ":", "dataset", "dataset:", "dataset::", "dataset:a", "dataset::a", "job:etl", "job:etl:", "run:", "model:a:b",
        "dataset:s3://lake:nope", "job:etl:nope", "run:nope", "datasetField:s3://lake:d0:x", "dataset:" + ":" * 500, "dataset:a:\ud800",
    ],
)  # fmt: skip
def test_a_node_id_that_means_nothing_is_not_found(node: str) -> None:
    with pytest.raises(NotFound):
        views(*CHAIN).lineage(node)


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        ("s3://lake", "a:b:c"),
        ("postgres://db:5433", "shop.public.orders"),
        ("kafka://k1:9093", "topic:7"),
        ("file", "/data/x#y"),
        ("s3://lake", "päth/ünï/日本/🙂"),
        ("bigquery", "a.b.c"),
        ("with space", "and: colon"),
        ("urn:x:y", "z"),
    ],
)
def test_names_with_colons_and_all_of_unicode_are_found(namespace: str, name: str) -> None:
    reads = views(event("j", "r", [dataset(name, namespace)], [dataset("out")]))
    node = f"dataset:{namespace}:{name}"
    assert node in idents(reads.lineage(node))
    assert reads.dataset(namespace, name)["name"] == name
    assert reads.namespace(namespace)["name"] == namespace


def test_other_names_of_a_dataset_mean_the_one_it_goes_by() -> None:
    symlinks = {"symlinks": {"identifiers": [{"namespace": "hive://meta", "name": "db.orders", "type": "TABLE"}]}}
    reads = views(event("j", "r", [], [dataset("warehouse/orders", **symlinks)], 1), event("k", "s", [dataset("warehouse/orders")], [], 2))
    for namespace, name in (("s3://lake", "warehouse/orders"), ("hive://meta", "db.orders"), ("s3a://LAKE/", "/warehouse/orders/")):
        assert reads.dataset(namespace, name)["id"] == {"namespace": "hive://meta", "name": "db.orders"}
        found = idents(reads.lineage(f"dataset:{namespace}:{name}"))
        assert found == ["dataset:hive://meta:db.orders", "job:etl:j", "job:etl:k"]
        assert len(reads.versions(namespace, name, limit=10, offset=0)["versions"]) == 1


# ── things ──────────────────────────────────────────────────────────────────────────────────────
def test_a_dataset_that_was_only_read_has_the_version_that_was_stated() -> None:
    reads = views(event("j", "r", [dataset("raw", version={"datasetVersion": "v3"})], []))
    found = reads.dataset("s3://lake", "raw")
    assert found["facets"]["version"] == {"datasetVersion": "v3"}
    assert found["currentVersion"] == reads.versions("s3://lake", "raw", limit=9, offset=0)["versions"][0]["version"]
    assert reads.version("s3://lake", "raw", "v3")["createdByRun"] is None


def test_a_dataset_that_is_only_named_as_a_source_is_there() -> None:
    columns = {"fields": {"x": {"inputFields": [{"namespace": "s3://lake", "name": "seed", "field": "y"}]}}}
    reads = views(event("j", "r", [], [dataset("out", columnLineage=columns)], 1))
    assert reads.dataset("s3://lake", "seed")["createdAt"] is not None
    assert idents(reads.lineage("dataset:s3://lake:seed")) == ["dataset:s3://lake:out", "dataset:s3://lake:seed", "job:etl:j"]
    graph = reads.column_lineage("datasetField:s3://lake:seed:y", downstream=True)["graph"]
    assert [node["id"] for node in graph] == ["datasetField:s3://lake:out:x", "datasetField:s3://lake:seed:y"]
    assert reads.column_lineage("datasetField:s3://lake:seed:y")["graph"] == []


def test_siblings_of_a_column_are_not_its_lineage() -> None:
    def made(name: str) -> dict[str, Any]:
        return {"columnLineage": {"fields": {name: {"inputFields": [{"namespace": "s3://lake", "name": "a", "field": "k"}]}}}}

    up = {"columnLineage": {"fields": {"k": {"inputFields": [{"namespace": "s3://lake", "name": "base", "field": "b"}]}}}}
    reads = views(
        event("i", "r0", [dataset("base")], [dataset("a", **up)], 0),
        event("j", "r1", [dataset("a")], [dataset("x", **made("kx"))], 1),
        event("k", "r2", [dataset("a")], [dataset("y", **made("ky"))], 2),
    )
    found = [node["id"] for node in reads.column_lineage("datasetField:s3://lake:x:kx", downstream=True)["graph"]]
    assert found == ["datasetField:s3://lake:a:k", "datasetField:s3://lake:base:b", "datasetField:s3://lake:x:kx"]
    near = reads.column_lineage("datasetField:s3://lake:x:kx", depth=1)["graph"]
    assert [node["id"] for node in near] == ["datasetField:s3://lake:a:k", "datasetField:s3://lake:x:kx"]
    with pytest.raises(BadInput):
        reads.column_lineage("dataset:s3://lake:x#v1", downstream=True)


def test_a_deleted_facet_is_not_shown() -> None:
    said = {"documentation": {"description": "of old"}, "schema": {"fields": [{"name": "a", "type": "INT"}]}}
    gone = {"documentation": {"_deleted": True}, "schema": {"_deleted": True}}
    reads = views(
        {"eventTime": "2026-01-01T00:00:00Z", "producer": "p", "dataset": dataset("t", **said)},
        {"eventTime": "2026-01-01T00:00:01Z", "producer": "p", "dataset": dataset("t", **gone)},
    )
    found = reads.dataset("s3://lake", "t")
    assert (found["description"], found["fields"], found["facets"]) == (None, [], {})
    assert idents(reads.lineage("dataset:s3://lake:t")) == ["dataset:s3://lake:t"]


def test_a_job_that_only_declares_is_shown_without_a_run() -> None:
    reads = views(event("j", None, [dataset("a")], [dataset("b")]))
    job = reads.job("etl", "j")
    assert (job["latestRun"], job["latestRuns"], job["currentVersion"]) == (None, None, None)
    assert reads.runs("etl", "j", limit=9, offset=0) == {"runs": [], "totalCount": 0}
    assert reads.job_versions("etl", "j", limit=9, offset=0) == {"versions": []}
    assert idents(reads.lineage("job:etl:j")) == ["dataset:s3://lake:a", "dataset:s3://lake:b", "job:etl:j"]


def test_a_job_that_only_a_lineage_facet_names_is_shown_by_its_name() -> None:
    said = {"lineage": {"fields": {"x": {"inputs": [{"type": "JOB", "namespace": "etl", "name": "made-it"}]}}}}
    reads = views({"eventTime": "2026-01-01T00:00:00Z", "producer": "p", "dataset": dataset("t", **said)})
    found = json.loads(reads.lineage("job:etl:made-it"))["graph"]
    assert [(node["id"], node["data"]["latestRun"]) for node in found] == [("job:etl:made-it", None)]
    assert reads.job("etl", "made-it")["createdAt"] is not None
    assert reads.job_versions("etl", "made-it", limit=9, offset=0) == {"versions": []}
    assert reads.runs("etl", "made-it", limit=9, offset=0)["totalCount"] == 0


def test_a_job_is_named_as_it_was_sent_and_says_its_parent() -> None:
    parent = {"parent": {"run": {"runId": "p1"}, "job": {"namespace": "etl", "name": "dag"}}}
    reads = views({**event("dag.task", "r1", [], [dataset("x")], 1), "run": {"runId": "r1", "facets": parent}})
    job = reads.job("etl", "dag.task")
    assert (job["name"], job["simpleName"], job["parentJobName"]) == ("dag.task", "task", "dag")
    assert job["latestRun"]["args"] == {"run_id": "p1", "name": "dag", "namespace": "etl"}


def test_states_attempts_and_order_of_runs() -> None:
    reads = views(
        event("j", "old", [], [], 1, kind="START"),
        event("j", "old", [], [], 2, kind="FAIL"),
        event("j", "old", [], [], 10, kind="START"),
        event("j", "old", [], [], 14, kind="COMPLETE"),
        event("j", "new", [], [], 20, kind="START"),
        event("k", "odd", [], [], 3, kind="OTHER"),
        event("l", "bad", [], [], 3, kind="ABORT"),
    )
    runs = reads.runs("etl", "j", limit=9, offset=0)
    assert [(run["id"], run["state"]) for run in runs["runs"]] == [("new", "RUNNING"), ("old", "COMPLETED")]
    assert runs["runs"][1]["startedAt"] == "2026-01-01T00:00:10Z"
    assert runs["runs"][1]["durationMs"] == 4000
    assert [run["id"] for run in reads.runs("etl", "j", limit=1, offset=1)["runs"]] == ["old"]
    states = {job["name"]: job["latestRun"]["state"] for job in reads.jobs("etl", limit=9, offset=0)["jobs"]}
    assert states == {"j": "RUNNING", "k": "NEW", "l": "ABORTED"}
    assert [job["name"] for job in reads.jobs(None, states=("ABORTED", "NEW"), limit=1, offset=1)["jobs"]] == ["l"]
    with pytest.raises(BadInput):
        reads.jobs("etl", states=("DONE",), limit=9, offset=0)


def test_the_versions_of_a_job_are_what_it_read_wrote_and_ran() -> None:
    def ran(run: str, second: int, inputs: list[str], url: str) -> dict[str, Any]:
        made = event("j", run, [dataset(name) for name in inputs], [dataset("out")], second)
        made["job"]["facets"] = {"sourceCodeLocation": {"type": "git", "url": url}}
        return made

    reads = views(
        ran("r1", 1, ["a"], "git:1"), ran("r2", 2, ["a"], "git:1"), ran("r3", 3, ["a", "b"], "git:1"), ran("r4", 4, ["a"], "git:2")
    )
    versions = reads.job_versions("etl", "j", limit=9, offset=0)["versions"]
    assert [(one["latestRun"]["id"], one["location"], len(one["inputs"])) for one in versions] == [
        ("r4", "git:2", 1),
        ("r3", "git:1", 2),
        ("r2", "git:1", 1),
    ]
    assert versions[2]["createdAt"] == "2026-01-01T00:00:01Z"
    assert reads.job_version("etl", "j", versions[1]["version"]) == versions[1]
    assert reads.job("etl", "j")["currentVersion"] == versions[0]["version"]


def test_models_and_datasets_are_paged_together() -> None:
    kind = {"datasetType": {"datasetType": "MODEL"}}
    things = [dataset(f"n{number:02d}", **(kind if number % 3 == 0 else {})) for number in range(20)]
    reads = views(event("j", "r", [], things))
    whole = [one["name"] for one in reads.datasets("s3://lake", limit=100, offset=0)["datasets"]]
    assert whole == sorted(whole)
    for limit in (1, 3, 7):
        pages = [reads.datasets("s3://lake", limit=limit, offset=offset) for offset in range(0, 20, limit)]
        assert [one["name"] for page in pages for one in page["datasets"]] == whole
        assert {page["totalCount"] for page in pages} == {20}
    assert reads.datasets("s3://lake", limit=0, offset=0) == {"totalCount": 20, "datasets": []}


def test_sources_and_tags_are_listed_once() -> None:
    def source(name: str, uri: str) -> dict[str, Any]:
        return {"dataSource": {"name": name, "uri": uri}, "tags": {"tags": [{"key": "pii"}, {"key": "gold", "field": "x"}]}}

    reads = views(
        event("j", "r", [dataset("a", **source("shop/main", "postgres://me:secret@db:5432/shop"))], [dataset("b")], 5),
        event("j", "s", [dataset("c", **source("shop/main", "postgres://db:5432/shop"))], [dataset("d", **source("äö%", "s3://x"))], 3),
    )
    assert [(one["name"], one["type"]) for one in reads.sources(limit=9, offset=0)["sources"]] == [
        ("default", "UNKNOWN"),
        ("shop/main", "POSTGRES"),
        ("äö%", "S3"),
    ]
    assert "secret" not in json.dumps(reads.sources(limit=9, offset=0))
    assert reads.source("shop/main")["createdAt"] == "2026-01-01T00:00:03Z"
    assert [one["name"] for one in reads.tags(limit=9, offset=0)["tags"]] == ["gold", "pii"]
    assert reads.dataset("s3://lake", "a")["tags"] == ["pii"]
    assert reads.dataset("s3://lake", "a")["sourceName"] == "shop/main"


def test_search_finds_parts_of_names_in_either_case() -> None:
    reads = views(event("TrainChurn", "r", [dataset("churn/features")], [dataset("models/churn")], 5), event("other", "s", [], [], 9))
    assert [one["nodeId"] for one in reads.search("CHURN")["results"]] == [
        "job:etl:TrainChurn",
        "dataset:s3://lake:churn/features",
        "dataset:s3://lake:models/churn",
    ]
    assert reads.search("churn", limit=1)["totalCount"] == 3
    assert [one["name"] for one in reads.search("r", kind="JOB", newest=True)["results"]] == ["other", "TrainChurn"]
    assert reads.search("churn", namespace="etl")["totalCount"] == 1
    assert reads.search("churn", before=0)["results"] == []
    assert reads.search("nothing like it")["totalCount"] == 0


def test_run_lineage_goes_both_ways_as_far_as_asked() -> None:
    reads = views(*CHAIN)
    for direction, order in ((Direction.UP, ["r3", "r2", "r1", "r0"]), (Direction.DOWN, ["r3", "r4", "r5"])):
        for depth in (-1, 0, 1, 2, 20):
            found = reads.run_lineage("r3", depth=depth, direction=direction)["runs"]
            assert [one["run"]["id"] for one in found] == order[: max(depth, 0) + 1]
    down = reads.run_lineage("r3", direction=Direction.DOWN)["runs"]
    assert down[0]["outputs"][0]["readByRunIds"] == ["r4"]
    with pytest.raises(NotFound, match="Run 'nope' not found"):
        reads.run_lineage("nope")


def test_events_are_paged_by_the_time_at_which_they_took_place() -> None:
    reads = views(*CHAIN, event("j", None, [], [], 3))
    everything = {"before": 2**62, "after": 0}
    page = json.loads(reads.events(**everything, limit=2, offset=1, newest=True).body)
    assert page["events"] == [CHAIN[4], CHAIN[3]]
    low = 1_767_225_602_000_000_000  # 00:00:02
    page = json.loads(reads.events(before=low + 2_000_000_000, after=low, limit=9, offset=0, newest=False).body)
    assert page["events"][:2] == [CHAIN[2], CHAIN[3]]
    assert page["totalCount"] == 3
    reads._ledger.raws[3] = None  # retired
    page = reads.events(**everything, limit=2, offset=1, newest=True)
    assert (json.loads(page.body)["events"], page.destroyed) == ([CHAIN[4]], 1)
    assert json.loads(reads.events(**everything, limit=2, offset=3, newest=True).body)["events"] == [CHAIN[2], CHAIN[1]]
    assert json.loads(reads.events(before=0, after=9, limit=9, offset=0, newest=False).body) == {"totalCount": 0, "events": []}


def test_a_week_has_the_days_of_its_zone() -> None:
    now = 1_774_746_000_000_000_000  # 2026-03-29T01:00:00Z, when summer time begins in Berlin
    days = intervals(now, "WEEK", ZoneInfo("Europe/Berlin"))
    assert [(end - begin) // 3_600_000_000_000 for begin, end, _, _ in days] == [24] * 6 + [23]
    assert names.instant(days[-1][2]) == "2026-03-29T00:00:00Z"
    hours = intervals(now, "DAY", ZoneInfo("UTC"))
    assert (len(hours), hours[-1][0] <= now < hours[-1][1]) == (24, True)


def test_a_facet_that_json_libraries_cannot_write_is_written() -> None:
    reads = views(event("j", "r", [], [dataset("x", odd={"big": 2**80, "half": "\ud800"})]))
    assert reads.dataset("s3://lake", "x")["facets"]["odd"]["big"] == 2**80
    assert b"dataset:s3://lake:x" in reads.lineage("job:etl:j")
