"""A model that was trained elsewhere: what an answer says of it is what events said of it, and of no neighbour."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from lineage_events import ds, model, nanos, project, run

from governance.registry.answers_elsewhere import model_elsewhere
from lineage.graph.keys import version_key
from lineage.model import Direction
from lineage.trace import MemoryGraph, trace

PLACE = "mlflow://host"


def code(version):
    return {"sourceCodeLocation": {"type": "git", "url": "https://example.org/jobs.git", "version": version}}


def params(**values):
    return {"executionParameters": {"parameters": [{"key": name, "value": value} for name, value in values.items()]}}


def evaluated(*results):
    return {"test": {"tests": [{"name": name, "status": status} for name, status in results]}}


SERVICE = {"jobType": {"processingType": "SERVICE"}}
EVENTS = [
    run("prep", "COMPLETE", 1, [], [ds("table", "1")], facets=params(rows="all"), job_facets=code("p")),
    run(
        "fit", "START", 2, [ds("table", "1")], job_facets=code("f"),
        facets=params(lr="0.1") | {"govern_training": {"seed": 7}, "govern_environment": {"digest": "sha256:ee", "threads": 2}},
    ),
    run("fit", "COMPLETE", 4, [], [model("fraud", "1", govern_model={"digest": "sha256:aa", "metrics": {"auc": 0.8}})], job_facets=code("f")),
    run("refit", "COMPLETE", 6, [ds("table", "1")], [model("fraud", "2")], facets=params(lr="0.9"), job_facets=code("r")),
    run("eval", "COMPLETE", 5, [model("fraud", "1")], facets=evaluated(("auc.floor", "pass"), ("fairness", "fail"), ("drift", "skip"))),
    run("live", "START", 7, [model("fraud", "1")], job="fraud.production", job_facets=SERVICE),
    run("live", "COMPLETE", 9, [model("fraud", "1")], job="fraud.production", job_facets=SERVICE),
    run("other", "START", 8, [model("fraud", "2")], job="scoring", job_facets=SERVICE),
]  # fmt: skip


@pytest.fixture(scope="module")
def graph():
    made = MemoryGraph()
    project(made, EVENTS)
    return made


def told(graph, version, **times):
    key = version_key(PLACE, "fraud", version)
    return model_elsewhere(graph, trace(graph, [key], Direction.UP, **times), graph.node(key))


def test_its_recipe_is_that_of_the_run_that_made_it_and_of_no_run_before(graph):
    answer = told(graph, "1")
    assert (answer["params"], answer["seed"], answer["threads"]) == ({"lr": "0.1"}, 7, 2)
    assert answer["code"].endswith("@f")
    assert answer["environment"]["digest"] == "sha256:ee"
    assert answer["model"] == {
        "name": "fraud", "namespace": PLACE, "version": "1", "run_id": "fit", "status": None, "artifact_digest": "sha256:aa",
    }  # fmt: skip
    assert answer["run"] == {
        "run_id": "fit", "started_at": nanos(2), "ended_at": nanos(4), "state": "COMPLETE", "metrics": {"auc": 0.8},
    }  # fmt: skip


def test_what_nobody_said_is_absent(graph):
    answer = told(graph, "2")
    assert (answer["params"], answer["seed"], answer["environment"], answer["model"]["artifact_digest"]) == (
        {"lr": "0.9"},
        None,
        None,
        None,
    )
    assert (answer["audits"], answer["run"]["metrics"]) == ([], {})


def test_tests_of_it_are_findings_and_only_a_pass_is_a_pass(graph):
    assert [(one["audit"], one["verdict"]) for one in told(graph, "1")["audits"]] == [
        ("auc.floor", "PASS"),
        ("drift", "INCONCLUSIVE"),
        ("fairness", "FAIL"),
    ]


def test_deployments_of_this_version_with_both_times_and_the_environment_where_the_name_tells_it(graph):
    (first,) = told(graph, "1")["deployments"]
    assert (first["environment"], first["active_from"], first["active_to"]) == ("production", nanos(7), nanos(9))
    (second,) = told(graph, "2")["deployments"]
    assert (second["environment"], second["active_to"]) == ("scoring", None)


def test_as_of_a_day_before_its_test_and_deployment_there_are_none(graph):
    answer = told(graph, "1", as_of=nanos(4))
    assert (answer["audits"], answer["deployments"]) == ([], [])
    assert answer["model"]["run_id"] == "fit"


def test_a_model_that_only_ever_served_has_no_run():
    made = MemoryGraph()
    project(made, [run("live", "START", 1, [model("fraud", "1")], job="fraud.production", job_facets=SERVICE)])
    answer = told(made, "1")
    assert answer["model"]["run_id"] is None
    assert "run" not in answer
    assert len(answer["deployments"]) == 1
