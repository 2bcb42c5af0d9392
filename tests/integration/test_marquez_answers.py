"""Three events, 34 read calls: what a real Marquez answered, and what we answer, with every difference that is meant and no other."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from governance.api import create_app
from governance.wiring import System, init_home
from tests.fakes.api_client import AppClient
from tests.support.marquez import ANSWERS, CALLS, DATA, DIFFERENCES, EVENTS, Difference, differences

pytestmark = pytest.mark.integration

MINUTES = 60_000_000_000
ASKED = 1_795_226_942_000_000_000
"""2026-11-21T02:09:02Z, when Marquez was asked."""


class Then:
    """The clock of the day on which Marquez was asked."""

    def __init__(self) -> None:
        self._ticks = itertools.count(ASKED, 1000)

    def now(self) -> int:
        return next(self._ticks)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AppClient, dict[str, str]]]:
    made = init_home(tmp_path_factory.mktemp("home") / "h")
    with System(Path(made["home"]), worker=False, clock=Then()) as system:
        client = AppClient(create_app(system))
        headers = {"Authorization": f"Bearer {made['api_key']}"}
        for event in EVENTS:
            assert client.post("/api/v1/lineage", json=event, headers=headers).status_code == 201
        yield client, headers


@pytest.fixture(scope="module")
def found(client: tuple[AppClient, dict[str, str]]) -> dict[str, tuple[int, Any]]:
    """Call → (status, answer)."""
    http, headers = client
    answers = {}
    for name, call in CALLS.items():
        path = call["path"]
        if name == "dataset_version":  # ids of versions are ours
            known = http.get(CALLS["dataset"]["path"], headers=headers).json()["currentVersion"]
            path = path.rsplit("/", 1)[0] + "/" + known
        answer = http.get(path, headers=headers)
        assert answer.headers["content-type"] == "application/json"
        answers[name] = (answer.status_code, answer.json())
    return answers


def rule_of(where: str, ours: Any, theirs: Any) -> Difference | None:
    return next((rule for rule in DIFFERENCES if re.fullmatch(rule.at, where) and rule.so(ours, theirs)), None)


def test_all_34_calls_are_made() -> None:
    assert len(CALLS) == 34


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_differs_from_marquez_only_as_is_meant(name: str, found: dict[str, tuple[int, Any]]) -> None:
    status, answer = found[name]
    if (status, CALLS[name]["status"]) == (200, 500):
        assert rule_of(f"{name}/status", 200, 500) is not None
        return
    assert status == CALLS[name]["status"]
    unexplained = [one for one in differences(name, answer, ANSWERS[name]) if rule_of(*one) is None]
    assert not unexplained


def test_each_difference_that_is_listed_is_there(found: dict[str, tuple[int, Any]]) -> None:
    used = set()
    for name, (status, answer) in found.items():
        if status != CALLS[name]["status"]:
            used.add(rule_of(f"{name}/status", status, CALLS[name]["status"]))
        else:
            used |= {rule_of(*one) for one in differences(name, answer, ANSWERS[name])}
    assert used == set(DIFFERENCES)


def test_each_difference_that_is_listed_is_documented() -> None:
    page = (DATA.parents[2] / "docs" / "reference" / "marquez.md").read_text(encoding="utf-8")
    for rule in DIFFERENCES:
        assert f"| {rule.name} |" in page, rule.name


def test_what_marquez_cannot_answer_is_answered(found: dict[str, tuple[int, Any]]) -> None:
    assert [source["name"] for source in found["sources"][1]["sources"]] == ["default"]
    runs = found["run_lineage_upstream"][1]["runs"]
    assert [(one["job"]["name"], [(used["name"], used["producedByRunId"]) for used in one["inputs"]]) for one in runs] == [
        ("train.churn", [("features/users", "0192aaaa-0000-7000-8000-000000000001")]),
        ("featurize.users", [("raw/users", None)]),
    ]


def test_the_ids_of_versions_are_one_id_a_thing(found: dict[str, tuple[int, Any]]) -> None:
    """Marquez has two ids for one version; here what a run wrote is the version that is listed and read."""
    written = found["lineage_job"][1]["graph"][3]["data"]["latestRun"]["outputDatasetVersions"][0]["datasetVersionId"]["version"]
    read = found["run"][1]["inputDatasetVersions"][0]["datasetVersionId"]["version"]
    column = found["column_lineage_dataset"][1]["graph"][0]["data"]["datasetVersion"]
    known = {found["dataset"][1]["currentVersion"], found["dataset_version"][1]["version"], column}
    assert known == {written} == {read}
    job = {found["job"][1]["currentVersion"], found["job_versions"][1]["versions"][0]["version"], found["run"][1]["jobVersion"]["version"]}
    assert len(job) == 1
