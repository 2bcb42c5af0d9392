"""Govern held against the suite: golden graphs, and one graph whatever the order, the repetition and the transport."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lineage.openlineage import event_digest
from tests.compat.consumer import Graph
from tests.compat.govern_consumer import InProcess, OverHttp, serving
from tests.compat.guide import EXAMPLES
from tests.compat.orders import orders
from tests.compat.samples import events_of, samples

HERE = Path(__file__).parent
FOLDERS = sorted([*(HERE / "scenarios").iterdir(), *(one for one in (HERE.parent / "data" / "openlineage").iterdir() if one.is_dir())])
SCENARIOS = {
    folder.name: [path.read_bytes() for path in sorted(folder.glob("*.json"))] for folder in sorted(FOLDERS, key=lambda one: one.name)
}
SAMPLES = dict(samples())
ALL = [event for events in SCENARIOS.values() for event in events]


def graph_of(events: list[bytes]) -> Graph:
    consumer = InProcess()
    for event in events:
        consumer.send(event)
    return consumer.graph()


def brief(graph: Graph) -> Graph:
    """Without what is empty, and facets by their names."""
    shown = {name: value for name, value in graph.items() if value}
    return {**shown, "facets": {entity: sorted(bodies) for entity, bodies in graph["facets"].items()}} if "facets" in shown else shown


def same(name: str, value: Any) -> None:
    path = HERE / "expected" / f"{name}.json"
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("GOVERN_WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert json.loads(text) == json.loads(path.read_text(encoding="utf-8")), f"{path.name} differs: look at it, then GOVERN_WRITE_GOLDEN=1"


def test_all_scenarios_are_there():
    assert {name: len(events) for name, events in SCENARIOS.items()} == {
        "CLL": 9,
        "airflow": 32,
        "simple_run_event": 1,
        "spark_dataproc_bigquery_shakespare": 12,
        "spark_dataproc_simple_producer_test": 4,
        "spark_dataproc_simple_producer_test_complete": 16,
    }
    assert len(SAMPLES) == 47


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_graph_of_a_scenario_is_the_expected_one(name):
    same(name, brief(graph_of(SCENARIOS[name])))


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_entity_and_column_of_a_scenario_is_in_the_graph(name):
    """What can be read off the events without any rule of a graph."""
    graph = graph_of(SCENARIOS[name])
    known = {tuple(one["name"]) for one in graph["datasets"]} | {
        tuple(other) for one in graph["datasets"] for other in one.get("names", [])
    }
    known_columns = {tuple(end[1:]) for one in graph["columns"] for end in (one["from"], one["to"]) if end[0] == "column"}
    for body in map(json.loads, SCENARIOS[name]):
        assert body["run"]["runId"] in {one["id"] for one in graph["runs"]}
        assert [body["job"]["namespace"], body["job"]["name"]] in graph["jobs"]
        for dataset in (*body["inputs"], *body["outputs"]):
            assert (dataset["namespace"].rstrip("/"), dataset["name"].rstrip("/")) in known or dataset["namespace"].startswith(
                ("gs://", "file")
            )
        for output in body["outputs"]:
            fields = output["facets"].get("columnLineage", {}).get("fields", {})
            assert {one["field"] for field in fields.values() for one in field["inputFields"]} <= {column[2] for column in known_columns}
            assert {field for field, said in fields.items() if said["inputFields"]} <= {column[2] for column in known_columns}


@pytest.mark.parametrize("name", SCENARIOS)
def test_order_and_repetition_do_not_matter(name):
    events = SCENARIOS[name]
    expected = InProcess()
    expected.send_batch(events)
    for called, order in orders(events, shuffles=2):
        consumer = InProcess()
        consumer.send_batch(order)
        assert consumer.digest() == expected.digest(), called


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SCENARIOS, "all"])
def test_order_and_repetition_do_not_matter_in_two_hundred_shuffles(name):
    events = SCENARIOS.get(name, ALL)
    expected = InProcess()
    expected.send_batch(events)
    for number, (called, order) in enumerate(orders(events, shuffles=200)):
        consumer = InProcess()
        if number % 2:
            consumer.send_batch(order)
        else:
            for event in order:
                consumer.send(event)
        assert consumer.digest() == expected.digest(), called


def test_facets_come_back_as_they_were_sent():
    for name, events in SCENARIOS.items():
        found = graph_of(events)["facets"]
        for body in map(json.loads, sorted(events, key=lambda raw: json.loads(raw)["eventTime"])):
            kept = found.get(f"run {body['run']['runId']}", {})
            assert body["run"]["facets"].keys() <= kept.keys(), name
        last = json.loads(max(events, key=lambda raw: json.loads(raw)["eventTime"]))
        assert found.get(f"run {last['run']['runId']}", {}).items() >= last["run"]["facets"].items()


# ── the specification's samples ─────────────────────────────────────────────────────────────────
def test_the_graphs_of_the_specification_s_samples_are_the_expected_ones():
    same("spec", {name: brief(graph_of(events_of(name, sample))) for name, sample in SAMPLES.items()})


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_taken_in_any_order_and_its_facet_comes_back(name):
    sample = SAMPLES[name]
    events = events_of(name, sample)
    digests = set()
    for order in itertools.permutations(events * 2) if len(events) == 2 else [events, events * 2]:
        consumer = InProcess()
        for event in order:
            consumer.send(event)
        digests.add(consumer.digest())
    assert len(digests) == 1
    if "eventTime" in sample:
        return
    entities = consumer.graph()["facets"].values()
    inner = [facet for facet in sample if not any(bodies.get(facet) == sample[facet] for bodies in entities)]
    on_reads = name.startswith("DataQualityMetricsInput") or any("inputCondition" in facet for facet in sample.values())
    assert inner == (list(sample) if on_reads else []), "what is said of a read stands on the edge, by its meaning and digest"


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_the_guide_in_any_order(name):
    digests = set()
    for order in itertools.permutations(EXAMPLES[name]):
        consumer = InProcess()
        consumer.send_batch([*order, *order[::-1]])
        digests.add(consumer.digest())
    assert len(digests) == 1


def test_the_graphs_of_the_guide_s_examples_are_the_expected_ones():
    same("guide", {name: brief(graph_of(events)) for name, events in EXAMPLES.items()})


def test_the_suite_sees_what_is_missing_and_what_is_too_much():
    """The comparison itself: an event left out, or one more, is another graph."""
    events = SCENARIOS["CLL"]
    whole = graph_of(events)
    assert graph_of(events[:-1]) != whole
    assert graph_of([*events, *SCENARIOS["simple_run_event"]]) != whole


# ── transports ──────────────────────────────────────────────────────────────────────────────────
@pytest.mark.integration
def test_every_transport_gives_one_graph_one_after_the_other_and_all_at_once(tmp_path):
    """Each way sends a part that no other has sent yet; then each sends a part of what others have sent, all at once."""
    expected = InProcess()
    expected.send_batch(ALL)
    distinct = len({event_digest(json.loads(event)) for event in ALL})
    shuffled = [order[:20] for _, order in orders(ALL, shuffles=len(OverHttp.WAYS))][-len(OverHttp.WAYS) :]
    with serving(tmp_path / "home") as (url, key, system), contextlib.ExitStack() as stack:
        ways = [stack.enter_context(OverHttp(url, key, system, way)) for way in OverHttp.WAYS]
        for number, way in enumerate(ways):
            way.send_batch(ALL[number :: len(ways)])
        assert ways[0].digest() == expected.digest()
        assert system.ingestor.status()["events"] == distinct
        with ThreadPoolExecutor(len(ways)) as pool:
            list(pool.map(lambda way, order: way.send_batch(order), ways, shuffled))
        assert ways[0].digest() == expected.digest()
        assert ways[0].graph() == expected.graph()
        assert system.ingestor.status()["events"] == distinct
