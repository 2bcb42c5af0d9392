"""The rules of the graph, one by one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import dataset_event, ds, job_event, model, nanos, project, run

from lineage.graph.keys import dataset_key, deployment_key, job_key, params_key, row_set_key, run_key, version_key
from lineage.model import Direction
from lineage.trace import MemoryGraph, find_dataset, trace

LAKE = "s3://lake"


def graph_of(*events: bytes) -> MemoryGraph:
    graph = MemoryGraph()
    project(graph, list(events))
    return graph


def edges(graph, kind: str) -> list:
    return [edge for edge in graph.edges() if edge.type == kind]


def version(name: str, which: str | None, namespace: str = LAKE) -> str:
    return version_key(namespace, name, which)


def reached(graph, start: str, direction: Direction = Direction.DOWN, **options) -> set[str]:
    return {node.key for node in graph.closure([start], direction, **options).nodes}


def test_column_lineage_a_to_x_and_b_to_y_does_not_lead_from_a_to_y():
    outputs = [ds("x", "1", columns={"c": ["a"]}), ds("y", "1", columns={"c": ["b"]})]
    graph = graph_of(run("r", "COMPLETE", 1, [ds("a", "1"), ds("b", "1")], outputs))
    down = reached(graph, version("a", "1"))
    assert version("x", "1") in down
    assert version("y", "1") not in down
    assert reached(graph, version("y", "1"), Direction.UP) == {version("y", "1"), version("b", "1")}


def test_without_column_lineage_every_input_leads_to_every_output():
    graph = graph_of(run("r", "COMPLETE", 1, [ds("a", "1"), ds("b", "1")], [ds("x", "1"), ds("y", "1")]))
    assert {version("x", "1"), version("y", "1"), run_key("r")} <= reached(graph, version("a", "1"))
    assert {edge.props["basis"] for edge in edges(graph, "PRODUCED")} == {"cartesian"}


def test_explicit_lineage_wins_over_column_lineage_and_an_empty_one_states_no_source():
    explicit = {"inputs": [{"namespace": LAKE, "name": "b", "type": "DATASET"}]}
    outputs = [ds("x", "1", columns={"c": ["a"]}, lineage=explicit), ds("made", "1", lineage={"inputs": []})]
    graph = graph_of(run("r", "COMPLETE", 1, [ds("a", "1"), ds("b", "1")], outputs))
    assert {(edge.source, edge.target, edge.props["basis"]) for edge in edges(graph, "DERIVED")} == {
        (version("b", "1"), version("x", "1"), "explicit")
    }
    assert reached(graph, version("made", "1"), Direction.UP) == {version("made", "1")}


def test_sources_named_only_by_column_lineage_are_inputs_too():
    graph = graph_of(run("r", "COMPLETE", 1, [], [ds("x", "1", columns={"c": ["seed"]})]))
    assert reached(graph, version("x", "1"), Direction.UP) == {version("x", "1"), version("seed", None)}
    assert [edge.props["basis"] for edge in edges(graph, "INPUT_TO")] == ["column"]


def test_an_input_is_the_version_it_states_else_the_latest_before_the_start_else_unknown():
    made = [run(f"p{minute}", "COMPLETE", minute, [], [ds("d", f"v{minute}")]) for minute in (2, 4, 8)]
    readers = [
        run("stated", "START", 5, [ds("d", "v8")]),
        run("inferred", "START", 5, [ds("d")]),
        run("unknown", "START", 1, [ds("d")]),
    ]
    graph = graph_of(*made, *readers)
    found = {edge.target: (edge.source, edge.props["version_basis"]) for edge in edges(graph, "INPUT_TO")}
    assert found == {
        run_key("stated"): (version("d", "v8"), "stated"),
        run_key("inferred"): (version("d", "v4"), "inferred"),
        run_key("unknown"): (version("d", None), "unknown"),
    }


def test_a_late_producer_binds_its_reader_anew_and_the_unknown_version_is_withdrawn():
    graph = graph_of(run("t", "START", 5, [ds("d")]), run("t", "COMPLETE", 6, [], [model("m", "t")]))
    assert graph.node(version("d", None)) is not None
    project(graph, [run("p", "COMPLETE", 3, [ds("raw", "1")], [ds("d", "v3")])])
    assert graph.node(version("d", None)) is None
    assert version_key("mlflow://host", "m", "t") in reached(graph, version("raw", "1"))
    project(graph, [run("q", "COMPLETE", 4, [], [ds("d", "v4")])])
    assert version_key("mlflow://host", "m", "t") not in reached(graph, version("raw", "1"))
    assert version_key("mlflow://host", "m", "t") in reached(graph, version("d", "v4"))
    project(graph, [run("later", "COMPLETE", 9, [], [ds("d", "v9")])])
    assert version_key("mlflow://host", "m", "t") not in reached(graph, version("d", "v9"))


def test_a_run_does_not_read_its_own_output():
    graph = graph_of(run("r", "COMPLETE", 5, [ds("d")], [ds("d")]))
    assert [edge.props["version_basis"] for edge in edges(graph, "INPUT_TO")] == ["unknown"]


def test_what_a_failed_run_would_have_written_is_planned_and_not_walked():
    graph = graph_of(run("r", "START", 1, [ds("a", "1")], [ds("x", "1")]), run("r", "FAIL", 2))
    assert reached(graph, version("a", "1")) == {version("a", "1"), run_key("r")}
    assert [edge.type for edge in graph.edges() if edge.target == version("x", "1") and edge.source == run_key("r")] == ["PLANNED"]
    assert graph.node(run_key("r")).props["state"] == "FAIL"
    project(graph, [run("r", "START", 3), run("r", "COMPLETE", 4)])
    assert version("x", "1") in reached(graph, version("a", "1"))
    assert edges(graph, "PLANNED") == []
    assert graph.node(run_key("r")).props["attempts"] == 2


def test_at_equal_times_fail_wins_and_a_late_start_moves_only_the_start():
    graph = graph_of(run("r", "COMPLETE", 5), run("r", "FAIL", 5), run("r", "START", 1))
    props = graph.node(run_key("r")).props
    assert (props["state"], props["start"], props["end"]) == ("FAIL", nanos(1), nanos(5))


def test_a_late_symlink_merges_two_datasets():
    graph = graph_of(
        run("p", "COMPLETE", 1, [ds("raw", "1")], [ds("path/t", "v1")]),
        run("c", "COMPLETE", 3, [ds("db.t", namespace="hive://h")], [ds("x", "1")]),
    )
    assert version("x", "1") not in reached(graph, version("raw", "1"))
    project(graph, [dataset_event(9, ds("path/t", links=[("hive://h", "db.t", "TABLE")]))])
    assert version("x", "1") in reached(graph, version("raw", "1"))
    assert graph.node(dataset_key(LAKE, "path/t")) is None
    node = find_dataset(graph, LAKE, "path/t")
    assert node.key == dataset_key("hive://h", "db.t")
    assert node.props["names"] == [["hive://h", "db.t"], [LAKE, "path/t"]]
    assert find_dataset(graph, LAKE, "nothing") is None


def test_our_own_name_is_the_one_a_dataset_goes_by():
    graph = graph_of(dataset_event(1, ds("credit.train", "1", "govern://home", links=[("file", "/x/credit.lance", "LOCATION")])))
    assert find_dataset(graph, "file", "/x/credit.lance").key == dataset_key("govern://home", "credit.train")


def test_a_model_is_known_by_its_type_even_when_told_late():
    graph = graph_of(run("t", "COMPLETE", 1, [], [ds("m", "t", "mlflow://host")]), run("s", "START", 2, [ds("m", "t", "mlflow://host")]))
    assert graph.node(version_key("mlflow://host", "m", "t")).label == "DatasetVersion"
    project(graph, [job_event(3, "job-of-s", facets={"jobType": {"processingType": "SERVICE"}}), dataset_event(4, model("m"))])
    assert graph.node(version_key("mlflow://host", "m", "t")).label == "ModelVersion"
    assert graph.node(dataset_key("mlflow://host", "m")).label == "Model"
    assert deployment_key("s") in reached(graph, version_key("mlflow://host", "m", "t"))


def test_a_service_run_of_a_model_is_a_deployment_while_it_lives():
    service = {"jobType": {"processingType": "SERVICE"}}
    start = run("s", "START", 10, [model("m", "t")], job="serve/production", job_facets=service)
    graph = graph_of(run("t", "COMPLETE", 5, [ds("d", "1")], [model("m", "t")]), start)
    node = graph.node(deployment_key("s"))
    assert (node.label, node.props["name"], node.props["live"]) == ("Deployment", "serve/production", True)
    project(graph, [run("s", "COMPLETE", 20, job="serve/production", job_facets=service)])
    assert graph.node(deployment_key("s")).props["active_to"] == nanos(20)
    for minute, live in ((9, False), (15, True), (20, False)):
        assert (deployment_key("s") in reached(graph, version("d", "1"), as_of=nanos(minute))) is live


def test_parents_contain_and_data_does_not_flow_through_them():
    parent = {"parent": {"run": {"runId": "up"}, "job": {"namespace": "jobs", "name": "dag"}}}
    graph = graph_of(
        run("a", "COMPLETE", 1, [ds("in", "1")], [ds("x", "1")], facets=parent),
        run("b", "COMPLETE", 2, [ds("in2", "1")], [ds("y", "1")], facets=parent),
    )
    assert [edge.walk for edge in edges(graph, "CHILD_OF")] == [False, False]
    assert version("y", "1") not in reached(graph, version("in", "1"))
    assert graph.node(run_key("up")).props == {"run_id": "up"}


def test_code_parameters_environment_and_rows_are_nodes_beside_the_run():
    facets = {
        "executionParameters": {"parameters": [{"key": "lr", "value": 0.1}, {"key": "epochs", "value": "3"}, {"name": "no key"}]},
        "govern_environment": {"_producer": "p", "digest": "sha256:ee", "threads": 2},
        "test": {"tests": [{"name": "auc", "status": "pass"}]},
    }
    code = {"sourceCodeLocation": {"_producer": "p", "type": "git", "url": "https://x", "version": "abc"}}
    rows = {"govern_rowSet": {"digest": "rs1:aa", "count": 700, "role": "train", "uri": "/row-sets/aa"}}
    graph = graph_of(run("t", "COMPLETE", 1, [ds("d", "1", io=rows)], [model("m", "t")], facets=facets, job_facets=code))
    by_label = {node.label: node for node in graph.nodes()}
    assert by_label["ParamSet"].props["params"] == {"lr": 0.1, "epochs": "3"}
    assert by_label["ParamSet"].key == params_key(by_label["ParamSet"].props["digest"])
    assert by_label["Environment"].props["digest"] == "sha256:ee"
    assert by_label["CodeRevision"].props["version"] == "abc"
    assert by_label["RowSet"].key == row_set_key("rs1:aa", 700)
    assert graph.facets(run_key("t"))["test"] == facets["test"]
    (read,) = edges(graph, "INPUT_TO")
    assert read.props["row_set"]["count"] == 700
    assert read.props["role"] == "train"


def test_a_row_set_sent_as_a_dataset_facet_is_read_too():
    rows = {"digest": "rs1:bb", "count": 5, "role": "test"}
    graph = graph_of(run("t", "COMPLETE", 1, [ds("d", "1", govern_rowSet=rows)], [model("m", "t")]))
    (read,) = edges(graph, "INPUT_TO")
    assert (read.props["row_set"], read.props["role"]) == (rows, "test")
    assert "govern_rowSet" not in graph.facets(dataset_key(LAKE, "d"))


def test_one_version_read_as_two_row_sets_has_both():
    def rows(digest, role):
        return {"digest": digest, "count": 5, "role": role}

    inputs = [ds("d", "1", govern_rowSet=rows("rs1:bb", "train")), ds("d", "1", govern_rowSet=rows("rs1:aa", "test"))]
    for order in (inputs, inputs[::-1]):
        graph = graph_of(run("t", "COMPLETE", 1, order, [model("m", "t")]))
        (read,) = edges(graph, "INPUT_TO")
        assert [one["digest"] for one in read.props["row_sets"]] == ["rs1:aa", "rs1:bb"]
        assert read.props["role"] == "test+train"
        shown = trace(graph, [version_key("mlflow://host", "m", "t")], Direction.UP).graph.nodes
        assert sum(node.label == "RowSet" for node in shown) == 2


def test_unknown_facets_are_kept_and_a_large_body_is_kept_apart_once():
    big = {"plan": "x" * 300_000}
    facets = {"my.facet": {"a": [1, {"b": None}]}, "spark.logicalPlan": big}
    graph = graph_of(*(run(run_id, "COMPLETE", 1, facets=facets) for run_id in ("r", "q")))
    assert graph.facets(run_key("r")) == graph.facets(run_key("q")) == facets
    state = graph.state()
    assert len(list(state.scan("blob/"))) == 1
    assert all(len(raw) < 2_000 for key, raw in state.scan("run/"))
    assert graph_of(run("r", "COMPLETE", 1, facets={"small": {"plan": "x" * 200_000}})).state().between("blob/", "blob0") == []


def test_a_facet_that_looks_like_a_reference_is_only_a_facet():
    facets = {"odd": {"_spilled": {"sha256": "f" * 64, "bytes": 1}}, "odder": {"_spilled": {"sha256": 3}}}
    assert graph_of(run("r", "COMPLETE", 1, facets=facets)).facets(run_key("r")) == facets


def test_facets_are_last_writer_wins_by_event_time_and_deleted_ones_are_not_shown():
    late = job_event(9, "j", facets={"ownership": {"_deleted": True}, "documentation": {"description": "new"}})
    early = job_event(1, "j", facets={"ownership": {"owners": []}, "documentation": {"description": "old"}})
    for order in ((late, early), (early, late)):
        graph = graph_of(*order)
        assert graph.facets(job_key("jobs", "j")) == {"documentation": {"description": "new"}}
        assert graph.node(job_key("jobs", "j")).props["description"] == "new"
        assert "owners" not in graph.node(job_key("jobs", "j")).props


FACETS = {
    "documentation": {"description": "orders of the shop"},
    "ownership": {"owners": [{"name": "team:a", "type": "STEWARD"}, {"name": "b"}, {"type": "nameless"}]},
    "tags": {"tags": [{"key": "pii", "value": "true", "field": "mail"}, {"key": "gold"}, {"value": "keyless"}]},
}


def test_facets_leave_the_graph_and_what_a_query_needs_is_a_flat_property():
    dataset = {
        **FACETS,
        "dataSource": {"uri": "jdbc:postgresql://me:secret@db:5432/shop?password=x"},
        "datasetType": {"datasetType": "table"},
        "lifecycleStateChange": {"lifecycleStateChange": "CREATE"},
        "schema": {"fields": [{"name": "id", "type": "int"}, {"name": "who", "type": "struct", "fields": [{"name": "mail"}]}]},
    }
    output = {**ds("x", "1", **dataset), "outputFacets": {"outputStatistics": {"rowCount": 7, "size": 700}}}
    said = {
        "nominalTime": {"nominalStartTime": "2026-01-01T00:05:00Z"},
        "errorMessage": {"message": "disk full"},
        "processing_engine": {"name": "Spark", "version": "3.5"},
        "tags": {"tags": [{"key": "team", "value": 1}]},
    }
    job_facets = {**FACETS, "sql": {"query": "select 1"}, "jobType": {"processingType": "BATCH", "integration": "dbt", "jobType": "MODEL"}}
    graph = graph_of(run("r", "COMPLETE", 9, [ds("a", "1")], [output], facets=said, job_facets=job_facets))
    shared = {"description": "orders of the shop", "owners": ["b", "team:a (STEWARD)"], "tags": ["gold", "mail: pii=true"]}
    shown = graph.node(dataset_key(LAKE, "x")).props
    assert shown.items() >= {**shared, "source_uri": "jdbc:postgresql://db:5432/shop", "dataset_type": "TABLE"}.items()
    shown = graph.node(job_key("jobs", "job-of-r")).props
    assert shown.items() >= {**shared, "processing": "BATCH", "integration": "DBT", "job_type": "MODEL"}.items()
    assert shown["sql_digest"].startswith("sha256:")
    shown = graph.node(run_key("r")).props
    assert shown.items() >= {"nominal_start": nanos(5), "error": "disk full", "engine": "Spark", "engine_version": "3.5"}.items()
    assert (shown["tags"], shown["terminal"]) == (["team=1"], True)
    shown = graph.node(version("x", "1")).props
    assert shown.items() >= {"row_count": 7, "size": 700, "columns": ["id:int", "who:struct", "who.mail"], "lifecycle": "CREATE"}.items()
    assert all("facets" not in one.props for one in [*graph.nodes(), *graph.edges()])


def test_facets_of_the_wrong_shape_say_nothing_and_stay_kept():
    odd = {name: [1] for name in (*FACETS, "dataSource", "datasetType", "schema", "lifecycleStateChange")}
    worse = {"ownership": {"owners": {"name": "x"}}, "tags": {"tags": [3]}, "schema": {"fields": [{"name": 1}]}, "dataSource": {"uri": 3}}
    for facets in (odd, worse):
        graph = graph_of(run("r", "COMPLETE", 9, [], [ds("x", "1", **facets)]))
        assert set(graph.node(dataset_key(LAKE, "x")).props) == {"namespace", "name", "names", "facets_digest"}
        assert set(graph.node(version("x", "1")).props) == {"namespace", "name", "version", "created", "status", "run", "facets_digest"}
        assert graph.facets(dataset_key(LAKE, "x")).items() >= facets.items()


def test_the_facets_digest_changes_with_the_facets_and_only_with_them():
    def digests(minute, plan):
        graph = graph_of(run("r", "COMPLETE", minute, facets={"plan": plan}))
        return graph.node(run_key("r")).props["facets_digest"]

    assert digests(1, {"a": 1, "b": 2}) == digests(5, {"b": 2, "a": 1}) != digests(1, {"a": 1, "b": 3})


def test_a_job_reads_and_writes_datasets_beside_what_its_runs_did_to_versions():
    graph = graph_of(run("r", "START", 1, [ds("a", "1")], [ds("x", "1")]), run("q", "COMPLETE", 2, [ds("a", "2")], job="job-of-r"))
    job = job_key("jobs", "job-of-r")
    assert [(edge.source, edge.target, edge.walk) for edge in edges(graph, "READ_BY")] == [(dataset_key(LAKE, "a"), job, False)]
    assert [(edge.source, edge.target) for edge in edges(graph, "WRITES")] == [(job, dataset_key(LAKE, "x"))]
    project(graph, [run("r", "FAIL", 3)])
    assert edges(graph, "WRITES") == []


@pytest.mark.parametrize("value", [10**400, "\ud800", 2**60])
def test_odd_parameters_are_kept_and_never_poison(value):
    params = {"executionParameters": {"parameters": [{"key": "seed", "value": value}]}}
    graph = graph_of(run("r", "COMPLETE", 1, facets=params))
    assert graph.find("ParamSet")[0].props["params"]["seed"] == value


# ── trace ───────────────────────────────────────────────────────────────────────────────────────
def test_a_complete_answer_says_so_and_shows_what_stands_beside_the_flow():
    home = "govern://home"
    code = {"sourceCodeLocation": {"type": "snapshot", "url": "snapshot:ab"}}
    graph = graph_of(
        run("p", "START", 1, [ds("raw", "1", home)]),
        run("p", "COMPLETE", 2, [ds("raw", "1", home)], [ds("train", "1", home, columns={"c": ["raw"]})], job_facets=code),
        run("t", "START", 3, [ds("train", "1", home, io={"govern_rowSet": {"digest": "rs1:a", "count": 2}})]),
        run("t", "COMPLETE", 4, [], [model("m", "t")]),
    )
    answer = trace(graph, [dataset_key("mlflow://host", "m")], Direction.UP)
    labels = {node.label for node in answer.graph.nodes}
    assert {"ModelVersion", "Run", "DatasetVersion", "CodeRevision", "JobVersion", "RowSet", "Dataset", "Model"} <= labels
    assert answer.completeness.complete, answer.completeness.reasons
    assert answer.completeness.hops_by_basis == {"cartesian": 1, "column": 1, "declared": 1}
    assert trace(graph, [version("raw", "1", home)], Direction.DOWN, lag=3).completeness.complete is False


def test_every_reason_for_doubt_is_a_sentence():
    graph = graph_of(
        run("p", "COMPLETE", 2, [], [ds("d", "1")]),
        run("t", "START", 3, [ds("d"), ds("never")], [ds("x", "1"), ds("y", "1")], facets={"extractionError": {"errors": []}}),
        run("f", "FAIL", 4, [ds("x", "1")], [ds("z", "1")]),
    )
    reasons = " | ".join(trace(graph, [version("d", "1")], Direction.DOWN, lag=2).completeness.reasons)
    for part in (
        "2 acknowledged ledger entries were not yet projected",
        "the version of s3://lake d@1 that run t read is inferred from time",
        "run t has not ended",
        "run t does not say which of its 2 inputs went into which of its 2 outputs",
        "which rows of s3://lake d@1 run t read is unknown",
        "run f failed: s3://lake z@1 was planned and not written",
        "run t says that its lineage could not be extracted completely",
    ):
        assert part in reasons
    up = trace(graph, [version("x", "1")], Direction.UP)
    assert "run t read s3://lake never at an unknown version" in up.completeness.reasons
    short = trace(graph, [version("d", "1")], Direction.DOWN, depth=1)
    assert "the walk was limited to 1 hops, and more was there" in short.completeness.reasons
    whole = trace(graph, [version("d", "1")], Direction.DOWN, depth=9)
    assert not any("hops" in reason for reason in whole.completeness.reasons), "a limit that cut nothing is no gap"
    cut = trace(graph, [version("d", "1")], Direction.DOWN, max_nodes=2)
    assert cut.graph.truncated
    assert "the walk was cut at 2 nodes" in cut.completeness.reasons


def test_readers_of_an_unknown_version_are_mentioned_downstream():
    graph = graph_of(run("t", "START", 1, [ds("d")]), run("p", "COMPLETE", 5, [], [ds("d", "v5")]))
    reasons = trace(graph, [version("d", "v5")], Direction.DOWN).completeness.reasons
    assert any("1 readers of s3://lake d read an unknown version" in reason for reason in reasons)
