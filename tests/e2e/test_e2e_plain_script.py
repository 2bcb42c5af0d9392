"""A user's own script, with the official client and our helpers alone, against a real server: governed like a model of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.facets import facets_of, problems
from tests.support.river import River, clean_environment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SCRIPT = Path(__file__).parents[2] / "examples" / "plain_script" / "train.py"
SECRET = "0123456789abcdef" * 2


@pytest.fixture
def told(tmp_path_factory):
    """A server that a script has told everything, the folder the script ran in, and what it printed."""
    root = tmp_path_factory.mktemp("plain")
    river = River(root)
    river.start()
    try:
        folder = root / "work"
        folder.mkdir()
        env = clean_environment(OPENLINEAGE_URL=river.url, OPENLINEAGE_API_KEY=river.new_key("ingest"), ROW_SECRET=SECRET)
        done = subprocess.run([sys.executable, str(SCRIPT)], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        yield river, folder, done.stdout
    finally:
        river.stop()


def test_a_plain_script_is_governed(told):
    """One test, so that the server starts and the script runs once."""
    its_model_is_traced_to_rows_code_parameters_environment_and_what_was_measured(told)
    the_table_reaches_what_runs_in_production(told)
    the_terminal_says_so_too(told)
    every_facet_it_sent_is_as_its_schema_says_and_none_names_a_patient(told)


def its_model_is_traced_to_rows_code_parameters_environment_and_what_was_measured(told):
    river, _, said = told
    model = said.splitlines()[0].partition(":")[0]
    answer = river.ask("GET", "/api/v1/trace", params={"model": "tumour-grade"})
    assert (answer["subject"]["kind"], answer["subject"]["ref"]) == ("model", model)
    assert answer["completeness"]["complete"], answer["completeness"]["reasons"]
    assert answer["params"] == {"C": "0.5", "max_iter": "200", "solver": "lbfgs", "test_size": "0.25"}
    assert "train.py" in answer["code"]
    assert answer["environment"]["python"].startswith("CPython 3.")
    (table,) = answer["datasets"]
    assert (table["dataset"], table["rows"], answer["source_rows"]) == ("patients", 569, 569)
    assert table["version"].startswith("sha256:")
    assert table["producer"]["job"] == "prepare"
    assert {one["role"]: one["count"] for one in table["row_sets"]} == {"train": 426, "test": 143}
    assert answer["seed"] == 11
    assert [(one["audit"], one["verdict"]) for one in answer["audits"]] == [("accuracy.floor", "PASS")]
    (deployed,) = answer["deployments"]
    assert (deployed["environment"], deployed["active_to"]) == ("production", None)
    assert answer["model"]["artifact_digest"].startswith("sha256:")
    assert (answer["run"]["state"], answer["run"]["run_id"]) == ("COMPLETE", answer["model"]["version"])
    assert answer["run"]["metrics"]["accuracy"] > 0.9


def the_table_reaches_what_runs_in_production(told):
    river, _, _ = told
    answer = river.ask("GET", "/api/v1/trace", params={"namespace": "clinic", "name": "patients", "direction": "down"})
    found = {node["label"]: node["props"] for node in answer["nodes"]}
    assert found["ModelVersion"]["name"] == "tumour-grade"
    assert (found["Deployment"]["name"], found["Deployment"]["live"]) == ("tumour-grade.production", True)
    assert answer["completeness"]["complete"], answer["completeness"]["reasons"]


def the_terminal_says_so_too(told):
    river, _, _ = told
    said = river.cli("trace", "tumour-grade", "--strict").stdout
    for word in (
        "patients@sha256:",
        "569 rows",
        "solver=lbfgs",
        "train.py",
        "accuracy.floor: PASS",
        "in production from",
        "seed 11",
        "train 426",
        "complete (",
    ):
        assert word in said, f"{word!r} is not in\n{said}"


def every_facet_it_sent_is_as_its_schema_says_and_none_names_a_patient(told):
    river, folder, _ = told
    assert (folder / "patients.csv").read_text().startswith("patient,")
    sent = [json.loads(event) for event in events(river)]
    assert len(sent) == 7
    assert [fault for event in sent for fault in problems(event)] == []
    rows = [facet for event in sent for _, key, facet in facets_of(event) if key == "govern_rowSet"]
    assert {facet["count"] for facet in rows} == {569, 426, 143}
    assert all(set(facet) <= {"_producer", "_schemaURL", "digest", "count", "role", "keyColumns"} for facet in rows)


def events(river: River) -> list[str]:
    listed = river.ask("GET", "/api/v1/ledger/entries", params={"kind": "openlineage", "limit": 100})["entries"]
    return [one["payload"] for one in listed]
