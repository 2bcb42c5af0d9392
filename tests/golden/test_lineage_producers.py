"""What unmodified Airflow, Spark and dbt sent (tests/data/producers): one graph in any order, and the one that a person expects."""

from __future__ import annotations

import json
import random
import sys
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import digest, project

from lineage.graph.keys import dataset_key, run_key
from lineage.model import Direction
from lineage.openlineage import parse_event
from lineage.trace import MemoryGraph, find_dataset, trace, trace_column

RECORDED = Path(__file__).parent.parent / "data" / "producers"
PRODUCERS = ("airflow", "spark", "dbt", "java")
FAILURES = ("airflow_retry", "dbt_failure")
DUCKDB = "duckdb://shop.duckdb"
TABLE = ("file:/data/shop/spark-warehouse", "default.top_customers")


def events(*names: str) -> list[bytes]:
    return [line for name in names or PRODUCERS for line in (RECORDED / name / "events.jsonl").read_bytes().splitlines()]


def graph_of(raws: list[bytes]) -> MemoryGraph:
    graph = MemoryGraph()
    project(graph, raws)
    return graph


def reached(graph, namespace, name, direction) -> set[str]:
    """Names of the datasets that a trace of a dataset reaches, itself and what was only planned apart."""
    start = find_dataset(graph, namespace, name)
    found = trace(graph, [start.key], direction).graph.nodes
    return {node.props["name"] for node in found if node.label == "DatasetVersion" and node.props.get("status") != "planned"} - {
        start.props["name"]
    }


def runs(graph) -> dict[str, list]:
    found: dict[str, list] = {}
    for node in graph.nodes():
        if node.label == "Run" and node.props.get("job"):
            found.setdefault(node.props["job"]["name"] if isinstance(node.props["job"], dict) else node.props["job"], []).append(node)
    return found


@pytest.mark.parametrize("names", [*((name,) for name in (*PRODUCERS, *FAILURES)), (*PRODUCERS, *FAILURES)], ids="+".join)
def test_any_order_and_duplication_of_what_a_producer_sent_is_one_graph(names):
    parsed = [parse_event(raw) for raw in events(*names)]
    expected = digest(graph_of(parsed))
    dice = random.Random(7)
    for _ in range(8):
        shuffled = parsed + dice.choices(parsed, k=len(parsed) // 2)
        dice.shuffle(shuffled)
        assert digest(graph_of(shuffled)) == expected
    assert digest(graph_of(parsed[:-1])) != expected, "the last event says something"


def test_a_dbt_model_comes_from_its_seeds_though_they_are_no_inputs_of_any_event():
    raws = events("dbt")
    listed = {one["name"] for raw in raws for one in json.loads(raw).get("inputs", [])}
    assert not listed & {"shop.main.orders", "shop.main.customers"}, "the seeds stand in columnLineage alone"
    graph = graph_of(raws)
    assert reached(graph, DUCKDB, "shop.main.customer_features", Direction.UP) == {
        "shop.main.spending",
        "shop.main.stg_orders",
        "shop.main.orders",
        "shop.main.customers",
    }
    assert reached(graph, DUCKDB, "shop.main.orders", Direction.DOWN) == {
        "shop.main.stg_orders",
        "shop.main.spending",
        "shop.main.customer_features",
    }


def test_a_column_leads_through_three_dbt_models_to_its_seed_and_through_spark_to_the_csv():
    graph = graph_of(events())

    def columns(namespace, name, column):
        found = trace_column(graph, namespace, name, column, Direction.UP).graph.nodes
        return {(node.props["dataset"], node.props["name"]) for node in found if node.label == "Field"}

    assert columns(DUCKDB, "shop.main.customer_features", "spent") == {
        ("shop.main.customer_features", "spent"),
        ("shop.main.spending", "spent"),
        ("shop.main.stg_orders", "amount"),
        ("shop.main.orders", "amount"),
    }
    spark = columns(*TABLE, "spent")
    assert ("/data/shop/orders.csv", "amount") in spark
    assert ("/data/shop/orders.csv", "customer") in spark, "what it was grouped by decides which rows were summed"
    assert ("/data/shop/orders.csv", "order_id") not in spark


def test_a_dbt_model_does_not_come_from_what_only_its_neighbour_reads():
    graph = graph_of(events("dbt"))
    assert reached(graph, DUCKDB, "shop.main.spending", Direction.UP) == {"shop.main.stg_orders", "shop.main.orders"}


def test_a_dbt_model_has_one_job_for_build_and_one_for_run_that_write_one_dataset():
    graph = graph_of(events("dbt", "dbt_run"))
    found = [node for node in graph.nodes() if node.label == "Job" and "customer_features" in node.props["name"]]
    unique = {node.props["name"]: graph.facets(node.key).get("dbt_node", {}).get("unique_id") for node in found}
    job = "shop.main.shop.customer_features"
    assert unique == dict.fromkeys((job, f"{job}.build.run", f"{job}.build.test"), "model.shop.customer_features"), (
        "what joins them is kept"
    )
    written = [
        edge for edge in graph.edges() if edge.type == "WRITES" and edge.target == dataset_key(DUCKDB, "shop.main.customer_features")
    ]
    assert len(written) == 2
    assert reached(graph, DUCKDB, "shop.main.orders", Direction.DOWN) == {
        "shop.main.stg_orders",
        "shop.main.spending",
        "shop.main.customer_features",
    }


def test_a_dbt_test_reads_the_model_and_writes_nothing():
    graph = graph_of(events("dbt"))
    (tested,) = runs(graph)["shop.main.shop.customer_features.build.test"]
    edges = [edge for edge in graph.edges() if tested.key in (edge.source, edge.target)]
    assert sum(edge.type == "INPUT_TO" for edge in edges) == 1
    assert not any(edge.type in {"PRODUCED", "PLANNED"} for edge in edges)


def test_the_parent_of_all_dbt_runs_contains_them_and_no_data_flows_through_it():
    graph = graph_of(events("dbt"))
    (parent,) = runs(graph)["dbt-run-shop"]
    edges = [edge for edge in graph.edges() if parent.key in (edge.source, edge.target)]
    assert sum(edge.type == "CHILD_OF" and edge.target == parent.key for edge in edges) == 4
    assert not any(edge.walk for edge in edges)


def test_a_spark_table_and_its_path_are_one_dataset():
    graph = graph_of(events("spark"))
    by_path = find_dataset(graph, "file", "/data/shop/spark-warehouse/top_customers")
    assert by_path is not None
    assert by_path.key == find_dataset(graph, *TABLE).key
    assert graph.node(dataset_key("file", "/data/shop/spark-warehouse/top_customers")) is None, "the path is no dataset beside it"
    assert reached(graph, *TABLE, Direction.UP) == {"/data/shop/spending", "/data/shop/orders.csv"}


def test_spark_jobs_that_only_look_write_nothing_and_one_that_never_ends_stays_open():
    graph = graph_of(events("spark"))
    found = runs(graph)
    (header,) = found["orders.collect_limit"]
    assert not any(edge.type == "PRODUCED" and edge.source == header.key for edge in graph.edges())
    assert {node.props["state"] for name, nodes in found.items() if "map_partitions" in name for node in nodes} == {"START"}
    assert {node.props["state"] for name, nodes in found.items() if "map_partitions" not in name for node in nodes} == {"COMPLETE"}


def test_spark_columns_lead_back_to_the_csv():
    said = {
        source["field"]
        for raw in events("spark")
        for output in json.loads(raw)["outputs"]
        for column in output["facets"].get("columnLineage", {}).get("fields", {}).values()
        for source in column["inputFields"]
        if source["name"] == "/data/shop/orders.csv"
    }
    assert said == {"customer", "amount"}
    graph = graph_of(events("spark"))
    version = next(node for node in graph.nodes() if node.label == "DatasetVersion" and node.props["name"] == "/data/shop/spending")
    assert version.props["row_count"] == 2
    assert any(edge.type == "DERIVED" and edge.target == version.key and edge.props["basis"] == "column" for edge in graph.edges())


def test_an_airflow_dag_run_that_is_only_seen_to_end_contains_its_tasks():
    graph = graph_of(events("airflow"))
    (whole,) = runs(graph)["shop"]
    assert (whole.props["state"], whole.props["attempts"]) == ("COMPLETE", 1)
    tasks = {node.key for name in ("shop.extract", "shop.enrich") for node in runs(graph)[name]}
    assert {edge.source for edge in graph.edges() if edge.type == "CHILD_OF" and edge.target == whole.key} == tasks
    assert reached(graph, "file", "/data/shop/countries.csv", Direction.UP) == {"/data/shop/orders.csv"}


def test_the_java_client_s_times_have_nanoseconds_and_its_versions_are_stated():
    raws = events("java")
    starts = {event.job.name: event.event_time for event in map(parse_event, raws) if event.event_type == "START"}
    assert set(starts) == {"plain", "gzip", "slash", "full"}
    assert any(time % 1000 for time in starts.values()), "nine decimals, none of them lost"
    graph = graph_of(raws)
    assert reached(graph, "s3://lake", "out-gzip", Direction.UP) == {"in"}
    assert {edge.props["version_basis"] for edge in graph.edges() if edge.type == "INPUT_TO"} == {"stated"}


def test_what_airflow_wrote_is_what_spark_read():
    """Two tools that know nothing of each other name one file alike, and so are one lineage."""
    graph = graph_of(events())
    assert reached(graph, "file", "/data/shop/orders.csv", Direction.DOWN) == {
        "/data/shop/countries.csv",
        "/data/shop/spending",
        "default.top_customers",
    }
    start = find_dataset(graph, *TABLE)
    upstream = trace(graph, [start.key], Direction.UP).graph
    extract = next(json.loads(raw)["run"]["runId"] for raw in events("airflow") if json.loads(raw)["job"]["name"] == "shop.extract")
    assert run_key(extract) in {node.key for node in upstream.nodes}


def test_arrival_is_not_the_order_of_what_happened():
    """Why the fold must not mind: dbt reports every START before any COMPLETE."""
    times = [json.loads(raw)["eventTime"].replace("+00:00", "Z") for raw in events("dbt")]
    assert any(later < earlier for earlier, later in pairwise(times))


# ── what fails ──────────────────────────────────────────────────────────────────────────────────
def test_an_airflow_task_that_is_run_again_for_the_same_date_is_the_same_run_in_a_second_attempt():
    raws = events("airflow_retry")
    assert [json.loads(raw)["eventType"] for raw in raws if json.loads(raw)["job"]["name"] == "shop.enrich"] == [
        "START",
        "FAIL",
        "START",
        "COMPLETE",
    ]
    graph = graph_of(raws)
    (task,), (whole,) = runs(graph)["shop.enrich"], runs(graph)["shop"]
    assert (task.props["state"], task.props["attempts"], task.props["outputs"]) == ("COMPLETE", 2, "written")
    assert "error" not in task.props, "what it once failed with is history"
    assert "errorMessage" in graph.facets(task.key)
    assert whole.props["state"] == "COMPLETE"
    assert reached(graph, "file", "/data/shop/countries.csv", Direction.UP) == {"/data/shop/orders.csv"}


def test_after_the_first_attempt_alone_the_countries_are_planned_and_not_written():
    graph = graph_of(events("airflow_retry")[:5])
    (task,) = runs(graph)["shop.enrich"]
    assert (task.props["state"], task.props["outputs"], task.props["error"]) == ("FAIL", "planned", "the countries are not there yet")
    assert reached(graph, "file", "/data/shop/orders.csv", Direction.DOWN) == set()


def test_a_dbt_model_that_failed_was_planned_and_the_answer_says_so():
    graph = graph_of(events("dbt_failure"))
    start = find_dataset(graph, DUCKDB, "shop.main.customer_features")
    answer = trace(graph, [start.key], Direction.UP)
    assert not answer.completeness.complete
    assert any("failed" in reason and "planned and not written" in reason for reason in answer.completeness.reasons)
    assert reached(graph, DUCKDB, "shop.main.customer_features", Direction.UP) == set()
    assert reached(graph, DUCKDB, "shop.main.orders", Direction.DOWN) == {"shop.main.stg_orders", "shop.main.spending"}


def test_the_dbt_test_that_was_skipped_is_told_as_failed_and_changes_nothing():
    """dbt-ol says FAIL of a test that never ran, on a model that was never made."""
    graph = graph_of(events("dbt_failure"))
    (tested,) = runs(graph)["shop.main.shop.customer_features.build.test"]
    assert tested.props["state"] == "FAIL"
    assert not any(edge.type in {"PRODUCED", "PLANNED"} and edge.source == tested.key for edge in graph.edges())
