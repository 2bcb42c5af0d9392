"""What the OpenLineage specification says, rule by rule, and beside each the case in which it must not hold."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import dataset_event, digest, ds, job_event, model, nanos, project, run

from lineage.graph.context import DEEPEST
from lineage.graph.keys import dataset_key, deployment_key, field_key, job_key, run_key, version_key
from lineage.model import Direction
from lineage.trace import MemoryGraph, find_dataset, trace

LAKE = "s3://lake"


def graph_of(*events: bytes) -> MemoryGraph:
    graph = MemoryGraph()
    project(graph, list(events))
    return graph


def any_order(*events: bytes) -> MemoryGraph:
    """The graph of the events, after it was seen to be the same in every order of them; in every fifth, of more than four."""
    graphs = [graph_of(*order) for order in itertools.islice(itertools.permutations(events), 0, None, 5 if len(events) > 4 else 1)]
    assert len({digest(graph) for graph in graphs}) == 1
    return graphs[0]


def edges(graph: MemoryGraph, kind: str) -> list:
    return [edge for edge in graph.edges() if edge.type == kind]


def pairs(graph: MemoryGraph, kind: str) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in edges(graph, kind)}


def version(name: str, which: str | None, namespace: str = LAKE) -> str:
    return version_key(namespace, name, which)


def reached(graph: MemoryGraph, start: str, direction: Direction = Direction.DOWN, **options) -> set[str]:
    return set(graph.reach([start], direction, **options)[0])


def dataset(name: str, namespace: str = LAKE, **more) -> dict:
    return {"namespace": namespace, "name": name, "type": "DATASET", **more}


def job(name: str | None = None, **more) -> dict:
    return {"type": "JOB", **({"namespace": "jobs", "name": name} if name else {}), **more}


def entries(*listed: dict) -> dict:
    return {"lineage": {"entries": list(listed)}}


# ── explicit lineage ────────────────────────────────────────────────────────────────────────────
def test_entries_of_a_run_s_events_add_up_and_nothing_is_inferred_beside_them():
    graph = any_order(
        run("r", "START", 1, [ds("a", "1"), ds("b", "1")], [ds("x", "1")], job_facets=entries(dataset("x", inputs=[dataset("a")]))),
        run("r", "RUNNING", 2, [], [ds("loose", "1", columns={"c": ["a"]})], job_facets=entries(dataset("x", inputs=[dataset("b")]))),
        run("r", "COMPLETE", 3),
    )
    assert pairs(graph, "DERIVED") == {(version("a", "1"), version("x", "1")), (version("b", "1"), version("x", "1"))}
    loose = next(edge for edge in edges(graph, "PRODUCED") if edge.target == version("loose", "1"))
    assert (loose.walk, loose.props["basis"], loose.props["dangling"]) == (False, "explicit", True)
    without = graph_of(run("r", "COMPLETE", 1, [ds("a", "1"), ds("b", "1")], [ds("loose", "1", columns={"c": ["a"]})]))
    assert pairs(without, "DERIVED") == {(version("a", "1"), version("loose", "1"))}


def test_a_job_event_replaces_what_the_job_declared_and_is_never_walked():
    graph = any_order(
        job_event(1, "j", [ds("a")], [ds("x")], facets=entries(dataset("x", inputs=[dataset("a")]))),
        job_event(2, "j", [ds("b")], [ds("x")], facets=entries(dataset("x", inputs=[dataset("b")]))),
    )
    assert pairs(graph, "DECLARED_FLOW") == {(dataset_key(LAKE, "b"), dataset_key(LAKE, "x"))}
    assert pairs(graph, "DECLARED_INPUT") == {(dataset_key(LAKE, "b"), job_key("jobs", "j"))}
    assert not any(edge.walk for edge in graph.edges())


def test_inputs_that_are_empty_state_no_upstream_and_inputs_that_are_absent_do_not():
    stated = graph_of(run("r", "COMPLETE", 1, [ds("a", "1")], [ds("x", "1")], job_facets=entries(dataset("x", inputs=[]))))
    assert reached(stated, version("x", "1"), Direction.UP) == {version("x", "1")}
    (made,) = edges(stated, "PRODUCED")
    assert "dangling" not in made.props
    column = dataset("x", fields={"c": {"inputs": [dataset("a", field="f")]}})
    absent = graph_of(run("r", "COMPLETE", 1, [ds("a", "1"), ds("b", "1")], [ds("x", "1")], job_facets=entries(column)))
    assert pairs(absent, "DERIVED") == {(version("a", "1"), version("x", "1"))}


def test_a_generator_names_its_own_job_for_a_column_and_that_is_no_upstream():
    how = [{"type": "DIRECT", "subtype": "AGGREGATION", "description": "sum()"}]
    facet = entries(dataset("x", inputs=[], fields={"total": {"inputs": [job(transformations=how)]}}))
    graph = graph_of(run("r", "COMPLETE", 1, [ds("a", "1")], [ds("x", "1")], job_facets=facet))
    (feeds,) = edges(graph, "FEEDS")
    assert (feeds.source, feeds.target) == (job_key("jobs", "job-of-r"), field_key(LAKE, "x", "total"))
    assert feeds.props == {"basis": "explicit", "type": "DIRECT", "subtype": "AGGREGATION", "description": "sum()"}
    assert edges(graph, "DERIVED") == []
    whole = graph_of(run("r", "COMPLETE", 1, [ds("a", "1")], [ds("x", "1")], job_facets=entries(dataset("x", inputs=[job()]))))
    assert pairs(whole, "DERIVED") == {(version("a", "1"), version("x", "1"))}, "of the whole it stands for all that the job read"


def test_a_job_hands_over_to_a_job_bound_to_the_runs_that_are_named():
    facet = entries(job("job-of-b", runId="b", inputs=[job("job-of-a", runId="a")]))
    graph = any_order(
        run("a", "COMPLETE", 1, [ds("in", "1")]),
        run("b", "START", 2, job_facets=facet),
        run("b", "COMPLETE", 3, [], [ds("out", "1")]),
    )
    assert {edge.props["run_basis"] for edge in edges(graph, "DERIVED")} == {"stated"}
    assert pairs(graph, "DERIVED") == {(run_key("a"), run_key("b")), (run_key("a"), version("out", "1"))}
    assert pairs(graph, "HANDS_TO") == {(job_key("jobs", "job-of-a"), job_key("jobs", "job-of-b"))}
    assert {version("in", "1"), run_key("a")} < reached(graph, version("out", "1"), Direction.UP)
    another = graph_of(run("a", "COMPLETE", 1, [ds("in", "1")]), run("b", "COMPLETE", 3, [], [ds("out", "1")]))
    assert version("in", "1") not in reached(another, version("out", "1"), Direction.UP)


def test_a_job_that_hands_over_without_a_run_is_its_latest_run_by_then_also_when_that_is_told_late():
    facet = entries(job("job-of-b", inputs=[job("up")]))
    events = [
        run("u1", "START", 1, [ds("one", "1")], job="up"),
        run("u2", "START", 4, [ds("two", "1")], job="up"),
        run("u3", "START", 9, [ds("three", "1")], job="up"),
        run("b", "COMPLETE", 6, [], [ds("out", "1")], job_facets=facet),
    ]
    graph = any_order(*events)
    assert {(edge.source, edge.props["run_basis"]) for edge in edges(graph, "DERIVED")} == {(run_key("u2"), "inferred")}
    assert {version("two", "1")} == {key for key in reached(graph, run_key("b"), Direction.UP) if key.startswith("version:")}
    alone = graph_of(events[3])
    assert {(edge.source, edge.props["run_basis"]) for edge in edges(alone, "DERIVED")} == {(job_key("jobs", "up"), "unknown")}


def test_a_dataset_may_come_from_a_job_and_a_job_may_read_a_dataset_that_the_event_s_own_did_not():
    facet = entries(
        dataset("x", inputs=[dataset("a"), job("enrich", runId="e")]), job("elsewhere", runId="w", inputs=[dataset("a", field="id")])
    )
    graph = graph_of(run("r", "COMPLETE", 2, [ds("a", "1")], [ds("x", "1")], job_facets=facet), run("w", "COMPLETE", 3, [], [ds("y", "1")]))
    assert pairs(graph, "DERIVED") == {(version("a", "1"), version("x", "1")), (run_key("e"), version("x", "1"))}
    assert version("y", "1") in reached(graph, version("a", None)), "the other run read the version that was there, here unknown"
    nameless = entries(job("elsewhere", inputs=[dataset("a")]))
    graph = graph_of(run("r", "COMPLETE", 2, [ds("a", "1")], job_facets=nameless))
    read = next(edge for edge in edges(graph, "INPUT_TO") if edge.target == job_key("jobs", "elsewhere"))
    assert read.props["run_basis"] == "unknown"


def test_the_own_job_as_a_target_adds_what_it_reads():
    graph = graph_of(
        run("r", "COMPLETE", 1, [], [], job_facets=entries(job(inputs=[dataset("t", transformations=[{"type": "INDIRECT"}])])))
    )
    assert pairs(graph, "INPUT_TO") == {(version("t", None), run_key("r"))}


# ── views ───────────────────────────────────────────────────────────────────────────────────────
def test_who_reads_a_view_reads_what_it_is_made_of_as_it_was_then():
    graph = any_order(
        run("p1", "COMPLETE", 2, [], [ds("base", "v2")]),
        run("p2", "COMPLETE", 8, [], [ds("base", "v8")]),
        dataset_event(1, ds("view", lineage={"inputs": [dataset("base")]})),
        run("t", "COMPLETE", 5, [ds("view")], [model("m", "t")]),
    )
    trained = version_key("mlflow://host", "m", "t")
    assert trained in reached(graph, version("base", "v2"))
    assert trained not in reached(graph, version("base", "v8"))
    read = next(edge for edge in edges(graph, "INPUT_TO") if edge.source == version("base", "v2"))
    assert (read.props["basis"], read.props["through"]) == ("explicit", f"{LAKE} view")


def test_a_later_dataset_event_replaces_what_a_view_is_made_of_and_views_of_views_end():
    graph = any_order(
        dataset_event(1, ds("view", lineage={"inputs": [dataset("old")]})),
        dataset_event(2, ds("view", lineage={"inputs": [dataset("base")]})),
        dataset_event(3, ds("base", lineage={"inputs": [dataset("view"), dataset("root")]})),
        run("t", "COMPLETE", 5, [ds("view")]),
    )
    assert {edge.source for edge in edges(graph, "INPUT_TO")} == {version(name, None) for name in ("view", "base", "root")}


def test_a_lattice_of_views_is_followed_in_a_moment():
    """Thirty layers of two views, each made of both below: a thousand million ways, sixty datasets."""
    layers = [
        dataset_event(1, ds(f"{side}{depth}", lineage={"inputs": [dataset(f"a{depth + 1}"), dataset(f"b{depth + 1}")]}))
        for depth in range(30)
        for side in "ab"
    ]
    graph = graph_of(*layers, run("p", "COMPLETE", 2, [], [ds("a30", "v")]), run("t", "COMPLETE", 5, [ds("a0")]))
    read = {edge.source for edge in edges(graph, "INPUT_TO")}
    assert len(read) == 61, "each once"
    assert version("a30", "v") in read


def test_four_hundred_views_on_top_of_one_another_harm_nobody():
    layers = [dataset_event(1, ds(f"v{depth}", lineage={"inputs": [dataset(f"v{depth + 1}")]})) for depth in range(400)]
    graph = MemoryGraph()
    project(graph, [run("t", "COMPLETE", 5, [ds("v0")]), *layers, run("p", "COMPLETE", 2, [], [ds("v400", "v")])], batch=True)
    assert len(edges(graph, "INPUT_TO")) == DEEPEST + 1


def test_a_dataset_with_a_version_of_its_own_is_read_itself():
    graph = graph_of(
        dataset_event(1, ds("table", lineage={"inputs": [dataset("base")]})),
        run("p", "COMPLETE", 2, [], [ds("table", "v")]),
        run("t", "COMPLETE", 5, [ds("table")]),
    )
    assert pairs(graph, "INPUT_TO") == {(version("table", "v"), run_key("t"))}


# ── columns ─────────────────────────────────────────────────────────────────────────────────────
def columns(**fields) -> dict:
    return {"columnLineage": {"fields": {name: {"inputFields": sources} for name, sources in fields.items()}}}


def test_columns_feed_columns_with_what_was_done_to_them():
    masked = {**dataset("a", field="mail"), "transformations": [{"type": "DIRECT", "subtype": "TRANSFORMATION", "masking": True}]}
    filtered = {**dataset("a", field="age"), "transformations": [{"type": "INDIRECT", "subtype": "FILTER"}]}
    facet = columns(hash=[masked])
    facet["columnLineage"]["dataset"] = [filtered]
    graph = graph_of(run("r", "COMPLETE", 1, [ds("a", "1")], [ds("x", "1", **facet)]))
    found = {(edge.source, edge.target): edge for edge in edges(graph, "FEEDS")}
    direct = found[field_key(LAKE, "a", "mail"), field_key(LAKE, "x", "hash")]
    assert direct.props == {"basis": "column", "type": "DIRECT", "subtype": "TRANSFORMATION", "masking": True}
    indirect = found[field_key(LAKE, "a", "age"), dataset_key(LAKE, "x")]
    assert indirect.props == {"basis": "column", "type": "INDIRECT", "subtype": "FILTER"}
    assert (dataset_key(LAKE, "a"), field_key(LAKE, "a", "mail")) in pairs(graph, "HAS_FIELD")
    assert not any(edge.walk for edge in found.values())
    assert graph.find("Field", {"name": "age"})[0].props == {"namespace": LAKE, "dataset": "a", "name": "age"}


def test_column_lineage_holds_until_the_job_states_another():
    graph = any_order(
        run("r1", "COMPLETE", 1, [], [ds("x", **columns(c=[dataset("a", field="f")], d=[dataset("a", field="g")]))], job="j"),
        run("r2", "COMPLETE", 2, [], [ds("x", **columns(c=[dataset("a", field="f")], d=[dataset("a", field="g")]))], job="j"),
        run("r3", "COMPLETE", 5, [], [ds("x", **columns(c=[dataset("b", field="f")], d=[dataset("a", field="g")]))], job="j"),
    )
    spans = {(edge.source, edge.target): (edge.valid_from, edge.valid_to) for edge in edges(graph, "FEEDS")}
    c, d = field_key(LAKE, "x", "c"), field_key(LAKE, "x", "d")
    assert spans == {
        (field_key(LAKE, "a", "f"), c): (nanos(1), nanos(5)),
        (field_key(LAKE, "b", "f"), c): (nanos(5), None),
        (field_key(LAKE, "a", "g"), d): (nanos(1), None),
    }
    two_jobs = graph_of(
        run("r1", "COMPLETE", 1, [], [ds("x", **columns(c=[dataset("a", field="f")]))], job="j"),
        run("r2", "COMPLETE", 5, [], [ds("x", **columns(c=[dataset("b", field="f")]))], job="k"),
    )
    assert [edge.valid_to for edge in edges(two_jobs, "FEEDS")] == [None, None]


def test_what_an_input_s_columns_come_from_is_not_this_job_s_doing():
    graph = graph_of(run("r", "COMPLETE", 1, [ds("a", "1", **columns(c=[dataset("far", field="f")]))], [ds("x", "1")]))
    assert edges(graph, "FEEDS") == []
    old = {"columnLineage": {"fields": {"c": {"inputFields": [dataset("a", field="f")], "transformationType": "MASKED"}}}}
    graph = graph_of(run("r", "COMPLETE", 1, [], [ds("x", "1", **old)]))
    assert edges(graph, "FEEDS")[0].props == {"basis": "column", "type": "DIRECT", "subtype": "MASKED", "masking": True}


# ── names ───────────────────────────────────────────────────────────────────────────────────────
def test_a_symlink_that_is_no_longer_stated_is_taken_back():
    there = [("hive://h", "db.t", "TABLE")]
    read = run("c", "COMPLETE", 3, [ds("db.t", namespace="hive://h")], [ds("x", "1")])
    made = run("p", "COMPLETE", 1, [ds("raw", "1")], [ds("path/t", "v1")])
    linked, unlinked, silent = (
        dataset_event(5, ds("path/t", links=there)),
        dataset_event(6, ds("path/t", links=[])),
        dataset_event(7, ds("path/t")),
    )
    assert version("x", "1") in reached(any_order(made, read, linked, silent), version("raw", "1"))
    graph = any_order(made, read, linked, unlinked)
    assert version("x", "1") not in reached(graph, version("raw", "1"))
    assert graph.node(dataset_key(LAKE, "path/t")) is not None
    assert edges(graph, "ALIAS_OF") == []
    earlier = graph_of(made, read, dataset_event(4, ds("path/t", links=[])), linked)
    assert version("x", "1") in reached(earlier, version("raw", "1")), "what was said before is replaced, not what comes after"
    other_side = dataset_event(2, ds("db.t", namespace="hive://h", links=[(LAKE, "path/t", "LOCATION")]))
    assert version("x", "1") in reached(any_order(made, read, unlinked, other_side), version("raw", "1")), "one side's statement is enough"


def test_a_deleted_symlinks_facet_takes_the_names_back_too():
    graph = any_order(
        dataset_event(1, ds("path/t", links=[("hive://h", "db.t", "TABLE")])), dataset_event(2, ds("path/t", symlinks={"_deleted": True}))
    )
    assert find_dataset(graph, "hive://h", "db.t") is None


def rename(name: str, before: str, minute: int) -> bytes:
    change = {"lifecycleStateChange": "RENAME", "previousIdentifier": {"namespace": LAKE, "name": before}}
    return dataset_event(minute, ds(name, lifecycleStateChange=change))


def test_a_renamed_dataset_is_read_on_under_its_new_name():
    made, late = run("p", "COMPLETE", 1, [ds("raw", "1")], [ds("old", "v1")]), run("q", "COMPLETE", 7, [], [ds("old", "v7")])
    read = run("t", "COMPLETE", 9, [ds("new")], [ds("x", "1")])
    graph = any_order(made, late, rename("new", "old", 5), read)
    assert version("x", "1") in reached(graph, version("raw", "1"))
    assert version("x", "1") not in reached(graph, version("old", "v7")), "written to the old name after the renaming: another dataset"
    (edge,) = edges(graph, "RENAMED_FROM")
    assert (edge.source, edge.target, edge.valid_from) == (dataset_key(LAKE, "new"), dataset_key(LAKE, "old"), nanos(5))
    too_early = graph_of(made, rename("new", "old", 12), read)
    assert version("x", "1") not in reached(too_early, version("raw", "1"))
    rewritten = graph_of(made, rename("new", "old", 5), run("w", "COMPLETE", 6, [], [ds("new", "n")]), read)
    assert pairs(rewritten, "INPUT_TO") >= {(version("new", "n"), run_key("t"))}


def test_renames_in_a_circle_and_into_oneself_end():
    graph = any_order(rename("a", "b", 1), rename("b", "a", 2), rename("c", "c", 3), run("t", "COMPLETE", 9, [ds("a"), ds("c")]))
    assert pairs(graph, "INPUT_TO") == {(version("a", None), run_key("t")), (version("c", None), run_key("t"))}
    back = any_order(
        run("p", "COMPLETE", 1, [], [ds("a", "v1")]), rename("b", "a", 2), rename("a", "b", 3), run("t", "COMPLETE", 9, [ds("a")])
    )
    assert pairs(back, "INPUT_TO") == {(version("a", "v1"), run_key("t"))}


def test_the_name_as_it_was_sent_is_kept_where_it_is_another():
    graph = graph_of(run("r", "COMPLETE", 1, [ds("/t/", "1", "S3A://Lake/"), ds("plain", "1")]))
    assert graph.node(dataset_key("s3://lake", "t")).props["raw_names"] == ["S3A://Lake/ /t/"]
    assert "raw_names" not in graph.node(dataset_key(LAKE, "plain")).props


def test_dropped_and_truncated_are_said_of_version_and_dataset():
    graph = graph_of(run("r", "COMPLETE", 1, [], [ds("t", "2", lifecycleStateChange={"lifecycleStateChange": "TRUNCATE"})]))
    assert graph.node(version("t", "2")).props["lifecycle"] == graph.node(dataset_key(LAKE, "t")).props["lifecycle"] == "TRUNCATE"


# ── runs ────────────────────────────────────────────────────────────────────────────────────────
def test_deleted_counts_for_jobs_and_datasets_and_not_for_runs():
    gone = {"_deleted": True, "x": 1}
    output = {**ds("t", "1", my=gone), "outputFacets": {"my": gone}}
    graph = graph_of(run("r", "COMPLETE", 1, [], [output], facets={"my": gone}, job_facets={"my": gone}))
    assert graph.facets(run_key("r")) == {"my": gone}
    assert graph.facets(job_key("jobs", "job-of-r")) == {}
    assert graph.facets(dataset_key(LAKE, "t")) == {}


SNAPSHOT = {"jobType": {"processingType": "STREAMING", "emissionPattern": {"eventContentMode": "COMPLETE_SNAPSHOT"}}}


def test_a_snapshot_ends_what_it_no_longer_names_and_an_accumulating_event_does_not():
    graph = any_order(
        run("s", "START", 1, [ds("a", "1"), ds("b", "1")], [ds("x", "1")], job_facets=SNAPSHOT),
        run("s", "RUNNING", 5, [ds("b", "1")], [ds("y", "1")], job_facets=SNAPSHOT),
    )
    assert version("y", "1") in reached(graph, version("b", "1"), as_of=nanos(6))
    assert run_key("s") in reached(graph, version("a", "1"), as_of=nanos(1))
    assert run_key("s") not in reached(graph, version("a", "1"), as_of=nanos(6))
    assert pairs(graph, "READ_BY") == {(dataset_key(LAKE, "b"), job_key("jobs", "job-of-s"))}
    assert pairs(graph, "WRITES") == {(job_key("jobs", "job-of-s"), dataset_key(LAKE, "y"))}
    accumulating = graph_of(run("s", "START", 1, [ds("a", "1")]), run("s", "RUNNING", 5, [ds("b", "1")]))
    assert all(edge.valid_to is None for edge in edges(accumulating, "INPUT_TO"))
    assert len(edges(accumulating, "READ_BY")) == 2


def test_a_stream_shows_its_lineage_while_it_runs():
    streaming = {"jobType": {"processingType": "STREAMING"}}
    graph = graph_of(run("s", "RUNNING", 1, [ds("topic", "1")], [ds("x", "1")], job_facets=streaming))
    assert version("x", "1") in reached(graph, version("topic", "1"))
    assert edges(graph, "PRODUCED")[0].props["status"] == "running"
    assert graph.node(run_key("s")).props["terminal"] is False


def test_a_service_is_a_deployment_on_any_event():
    service = {"jobType": {"processingType": "SERVICE"}}
    for kind in ("START", "RUNNING", "OTHER"):
        graph = graph_of(run("s", kind, 1, [model("m", "1")], job_facets=service))
        assert graph.node(deployment_key("s")).props["live"] is True
    batch = graph_of(run("s", "RUNNING", 1, [model("m", "1")]))
    assert batch.node(deployment_key("s")) is None


def test_tests_are_evaluations_of_the_model_or_of_the_datasets_where_there_is_none():
    facets = {
        "test": {"tests": [{"name": "auc", "status": "PASS", "severity": "error", "expected": "0.8", "actual": 0.91}, {"status": "x"}]}
    }
    graph = graph_of(run("a", "COMPLETE", 1, [model("m", "1"), ds("d", "1")], facets=facets))
    (test,) = graph.find("Test")
    assert test.props == {"name": "auc", "status": "pass", "severity": "error", "expected": "0.8", "actual": "0.91", "run": "a"}
    assert pairs(graph, "AUDITED_BY") == {(version_key("mlflow://host", "m", "1"), test.key)}
    assert pairs(graph, "EVIDENCED_BY") == {(test.key, run_key("a"))}
    graph = graph_of(run("a", "COMPLETE", 1, [ds("d", "1")], facets=facets))
    assert {source for source, _ in pairs(graph, "AUDITED_BY")} == {version("d", "1")}


def test_assertions_speak_of_the_version_that_was_read():
    said = {"dataQualityAssertions": {"assertions": [{"assertion": "not_null", "column": "id", "success": False}] * 2}}
    for where in (ds("d", "1", io=said), ds("d", "1", **said)):
        graph = graph_of(run("a", "COMPLETE", 1, [where, ds("e", "1")]))
        assert [(one.props["name"], one.props["status"]) for one in sorted(graph.find("Test"), key=lambda one: one.props["name"])] == [
            ("not_null id", "fail"),
            ("not_null id (2)", "fail"),
        ]
        assert {source for source, _ in pairs(graph, "AUDITED_BY")} == {version("d", "1")}


def test_a_result_that_changes_is_the_node_that_changes():
    events = [
        run("a", kind, minute, [ds("d", "1")], facets={"test": {"tests": [{"name": "t", "status": status}]}})
        for kind, minute, status in (("RUNNING", 1, "fail"), ("COMPLETE", 2, "pass"))
    ]
    (test,) = any_order(*events).find("Test")
    assert test.props["status"] == "pass"


def test_subsets_and_iceberg_scans_say_which_rows_and_which_version():
    condition = {"type": "compare", "left": {"field": "age", "type": "field"}, "comparison": "GREATER_THAN"}
    scan = {"snapshotId": 3055729675574597004, "filterDescription": "age > 3"}
    graph = graph_of(
        run("r", "COMPLETE", 1, [ds("a", "1", io={"subset": {"inputCondition": condition}}), ds("ice", io={"icebergScanReport": scan})])
    )
    found = {edge.source: edge.props for edge in edges(graph, "INPUT_TO")}
    assert found[version("a", "1")]["subset"] == '{"comparison":"GREATER_THAN","left":{"field":"age","type":"field"},"type":"compare"}'
    ice = found[version("ice", "3055729675574597004")]
    assert (ice["version_basis"], ice["snapshot_id"], ice["subset"]) == ("stated", "3055729675574597004", '"age > 3"')
    part = {"type": "partition", "partitions": [{"identifier": "day=1"}]}
    made = {**ds("x"), "outputFacets": {"subset": {"outputCondition": part}, "icebergCommitReport": {"snapshotId": 8}}}
    graph = graph_of(run("w", "COMPLETE", 1, [ds("a", "1", io={"dataQualityMetrics": {"rowCount": 5}})], [made]))
    assert graph.node(version("x", "8")).props["subset"] == '{"partitions":[{"identifier":"day=1"}],"type":"partition"}'
    assert edges(graph, "INPUT_TO")[0].props["row_count"] == 5
    stated = graph_of(run("r", "COMPLETE", 1, [ds("ice", "v7", io={"icebergScanReport": scan})]))
    assert edges(stated, "INPUT_TO")[0].source == version("ice", "v7"), "a version facet speaks first"


def test_parents_and_roots_contain_and_what_they_forward_is_not_theirs():
    forwarded = {"processing_engine": {"name": "Airflow"}}
    above = {"run": {"runId": "up", "facets": forwarded}, "job": {"namespace": "jobs", "name": "dag"}}
    for key in ("parent", "parentRun"):
        facet = {key: {**above, "root": {"run": {"runId": "top"}, "job": {"namespace": "jobs", "name": "all"}}}}
        graph = any_order(run("r", "COMPLETE", 1, facets=facet), run("top", "START", 0))
        assert pairs(graph, "CHILD_OF") == {(run_key("r"), run_key("up"))}
        assert pairs(graph, "ROOT") == {(run_key("r"), run_key("top"))}
        assert graph.node(run_key("up")).props == {"run_id": "up"}, "a placeholder without the child's state or what it forwards"
        assert graph.node(run_key("top")).props["state"] == "START"
    own = {"parent": {"run": {"runId": "r"}, "job": {"namespace": "jobs", "name": "x"}}}
    assert edges(graph_of(run("r", "COMPLETE", 1, facets=own)), "CHILD_OF") == []


def test_an_attempt_that_completes_after_one_that_failed_reads_what_was_there_when_it_began():
    graph = any_order(
        run("p1", "COMPLETE", 1, [], [ds("d", "v1")]),
        run("r", "START", 2, [ds("d")]),
        run("r", "FAIL", 3, [], [ds("x", "1")]),
        run("p2", "COMPLETE", 5, [], [ds("d", "v5")]),
        run("r", "COMPLETE", 8),
    )
    assert pairs(graph, "INPUT_TO") == {(version("d", "v1"), run_key("r"))}, "without a second START it is one attempt"
    graph = graph_of(
        run("p1", "COMPLETE", 1, [], [ds("d", "v1")]),
        run("r", "START", 2, [ds("d")]),
        run("r", "FAIL", 3, [], [ds("x", "1")]),
        run("p2", "COMPLETE", 5, [], [ds("d", "v5")]),
        run("r", "START", 7),
        run("r", "COMPLETE", 8),
    )
    assert pairs(graph, "INPUT_TO") == {(version("d", "v5"), run_key("r"))}
    assert (graph.node(run_key("r")).props["attempts"], edges(graph, "PLANNED")) == (2, [])


def test_two_events_that_disagree_at_one_time_are_decided_the_same_way_in_every_order():
    graph = any_order(
        run("r", "COMPLETE", 5, facets={"my": {"x": 1}}, job="one"),
        run("r", "FAIL", 5, facets={"my": {"x": 2}}, job="two"),
        run("r", "ABORT", 5, facets={"my": {"x": 3}}, job="three"),
    )
    props = graph.node(run_key("r")).props
    assert (props["state"], props["outputs"]) == ("FAIL", "planned")
    assert len(edges(graph, "INSTANCE_OF")) == 1


@pytest.mark.parametrize(
    "facet", [3, {}, {"entries": 3}, {"entries": [3, {"type": "DATASET"}, {"type": "JOB", "namespace": "n"}]}, {"inputs": {}}]
)
def test_lineage_facets_of_the_wrong_shape_state_nothing_of_a_dataset(facet):
    graph = graph_of(run("r", "COMPLETE", 1, [ds("a", "1")], [ds("x", "1", lineage=facet)]))
    assert {edge.props["basis"] for edge in edges(graph, "PRODUCED")} == {"cartesian"}
    graph_of(
        run("r", "COMPLETE", 1, [ds("a", "1")], [ds("x", "1")], job_facets={"lineage": facet}), job_event(1, "j", facets={"lineage": facet})
    )


# ── what an answer says of it ───────────────────────────────────────────────────────────────────
def gaps(graph: MemoryGraph, start: str) -> dict[str, int]:
    return {gap.kind: gap.count for gap in trace(graph, [start], Direction.UP).completeness.gaps}


def test_an_output_that_explicit_lineage_does_not_describe_is_a_gap_and_one_without_source_is_not():
    facet = entries(dataset("x", inputs=[]))
    graph = graph_of(run("r", "COMPLETE", 1, [], [ds("x", "1"), ds("loose", "1")], job_facets=facet))
    assert gaps(graph, version("loose", "1")) == {"undescribed_outputs": 1}
    assert gaps(graph, version("x", "1")) == {}
    shown = {node.key for node in trace(graph, [version("x", "1")], Direction.UP).graph.nodes}
    assert run_key("r") in shown, "who wrote it is shown"


def test_a_handing_over_by_a_run_that_nobody_named_is_a_gap():
    facet = entries(job("job-of-b", inputs=[job("up")]))
    last = run("b", "COMPLETE", 6, [], [ds("out", "1")], job_facets=facet)
    assert gaps(graph_of(run("u", "COMPLETE", 1, job="up"), last), version("out", "1")) == {"runs_inferred": 1}
    assert gaps(graph_of(last), version("out", "1")) == {"runs_inferred": 1}
    named = entries(job("job-of-b", inputs=[job("up", runId="u")]))
    ended = run("b", "COMPLETE", 6, [], [ds("out", "1")], job_facets=named)
    assert gaps(graph_of(run("u", "COMPLETE", 1, job="up"), ended), version("out", "1")) == {}


def test_a_view_needs_no_version_where_what_it_is_made_of_is_known():
    read = run("t", "COMPLETE", 5, [ds("view", io=ROWS)], [ds("x", "1")])
    made = [run("p", "COMPLETE", 2, [], [ds("base", "v2")]), dataset_event(1, ds("view", lineage={"inputs": [dataset("base")]}))]
    assert "datasets_without_version" in gaps(graph_of(read), version("x", "1"))
    assert "datasets_without_version" not in gaps(graph_of(*made, read), version("x", "1"))


ROWS = {"govern_rowSet": {"digest": "rs1:aa", "count": 3}}
