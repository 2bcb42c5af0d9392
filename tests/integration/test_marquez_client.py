"""The API on a real socket as Marquez's clients use it: marquez-python unchanged, and percent-encoded names.

marquez-python is installed into a throw-away environment: its wheel brings a package named ``tests`` that would hide ours.
"""

from __future__ import annotations

import json
import subprocess
import threading
import venv
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from governance.api.server import bind, run
from governance.wiring import System, init_home
from tests.support.marquez import EVENTS

pytestmark = pytest.mark.integration

LAKE = "s3://ml-bucket"
RUN = "0192aaaa-0000-7000-8000-000000000002"
CHILD = Path(__file__).parent / "marquez_children" / "read_all.py"
NEEDS = ("marquez-python==0.50.0", "pytz")
"""pytz is imported by the client, which does not say so."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(url, key) of a server that has the three events."""
    made = init_home(tmp_path_factory.mktemp("home") / "h")
    stop, ready, urls = threading.Event(), threading.Event(), []

    def told(url: str) -> None:
        urls.append(url)
        ready.set()

    with System(Path(made["home"]), worker=False) as system:
        sock = bind("127.0.0.1", 0)
        thread = threading.Thread(target=run, args=(system, sock), kwargs={"on_ready": told, "stop": stop})
        thread.start()
        try:
            assert ready.wait(30)
            with httpx2.Client(base_url=urls[0], headers={"Authorization": f"Bearer {made['api_key']}"}) as http:
                for event in EVENTS:
                    assert http.post("/api/v1/lineage", json=event).status_code == 201
            yield urls[0], made["api_key"]
        finally:
            stop.set()
            thread.join(10)
            sock.close()
    assert not thread.is_alive()


@pytest.mark.slow
def test_every_read_method_of_marquez_python_works(server: tuple[str, str], tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    installed = subprocess.run([python, "-m", "pip", "install", "--quiet", *NEEDS], capture_output=True, text=True, check=False)
    if installed.returncode != 0:
        pytest.skip(f"marquez-python cannot be installed here, so nothing says that it works: {installed.stderr[-300:]}")
    done = subprocess.run([python, CHILD, *server], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "list_namespaces": ["ml-pipelines", LAKE],
        "list_namespaces, second page": [LAKE],
        "get_namespace": "anonymous",
        "list_sources": ["default"],
        "get_source": "",
        "list_tags": {"tags": []},
        "list_datasets": ["features/users", "models/churn", "raw/users"],
        "list_datasets, second page": ["models/churn"],
        "get_dataset": ["id", "age_bucket"],
        "list_dataset_versions": [True],
        "get_dataset_version": "v7",
        "list_jobs": ["featurize.users", "train.churn"],
        "get_job": RUN,
        "list_job_runs": [RUN],
        "get_job_run": "COMPLETED",
        "get_column_lineage_by_dataset_field": 2,
        "get_column_lineage_by_dataset": 4,
        "get_column_lineage_by_dataset, of a version": 4,
        "get_column_lineage_by_job": 4,
        "list_events": 3,
        "list_events, one": ["train.churn"],
        "get_namespace of none": 404,
        "get_dataset of none": 404,
        "get_job of none": 404,
        "get_job_run of none": 404,
        "create_namespace": 405,
        "create_tag": 404,
        "tag_dataset": 404,
    }


def test_a_client_that_writes_booleans_as_python_does_is_understood(server: tuple[str, str]) -> None:
    """``withDownstream=False`` is what marquez-python sends; unknown parameters are passed over, as Marquez does."""
    url, key = server
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as http:
        node = "datasetField:s3://ml-bucket:features/users:id"
        for said, count in (("False", 2), ("True", 2), ("", 2)):
            answer = http.get("/api/v1/column-lineage", params={"nodeId": node, "depth": 20, "withDownstream": said, "runState": "NEW"})
            assert (answer.status_code, len(answer.json()["graph"])) == (200, count)
        for query in ("depth=x", "depth=99999999999", "withDownstream=perhaps", "max_nodes=0"):
            answer = http.get(f"/api/v1/column-lineage?nodeId={node}&{query}")
            assert (answer.status_code, answer.json()["code"]) == (400, 400), query


def test_names_are_percent_encoded_on_the_wire(server: tuple[str, str]) -> None:
    url, key = server
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as http:
        for path, status in (
            ("/api/v1/namespaces/s3%3A%2F%2Fml-bucket/datasets/features%2Fusers", 200),
            ("/api/v1/namespaces/s3%3a%2f%2fml-bucket/datasets/features%2fusers", 200),
            ("/api/v1/namespaces/s3a%3A%2F%2FML-bucket/datasets/features%2Fusers", 200),
            ("/api/v1/namespaces/s3://ml-bucket/datasets/features/users", 404),
            ("/api/v1/namespaces/s3%253A%252F%252Fml-bucket/datasets/features%252Fusers", 404),
            ("/api/v1/namespaces/%ff%fe/datasets/x", 404),
            ("/api/v1/namespaces/%zz/datasets/x%", 404),
            ("/api/v1/namespaces/a%00b/jobs/x", 404),
        ):
            answer = http.get(path)
            assert answer.status_code == status, path


def test_a_key_is_needed_and_the_error_is_both_a_problem_and_marquez_own(server: tuple[str, str]) -> None:
    answer = httpx2.get(f"{server[0]}/api/v1/namespaces")
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    body = answer.json()
    assert (body["code"], body["status"], body["message"]) == (401, 401, body["detail"])


def test_posting_to_the_path_of_a_read_is_still_an_event(server: tuple[str, str]) -> None:
    url, key = server
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as http:
        assert http.post("/api/v1/lineage", json=EVENTS[0]).status_code == 201
        assert http.get("/api/v1/lineage?nodeId=job:ml-pipelines:train.churn").status_code == 200
        missing = http.get("/api/v1/lineage")
        assert (missing.status_code, missing.json()["message"]) == (400, "query param nodeId must not be null")
        assert http.put("/api/v1/lineage", json={}).status_code == 405
