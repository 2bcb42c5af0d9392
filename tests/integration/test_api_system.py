"""The door over a real home: keys, events, datasets, requests for erasure, the ledger; in this process and over a socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pyarrow as pa
import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import Dataset, Job, Run, RunEvent, RunState
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport
from openlineage.client.uuid import generate_new_uuid

from governance.api.local import local_client
from governance.api.routes.datasets import table_bytes, table_of
from governance.wiring import init_home
from lineage.errors import StoreUnavailable

pytestmark = pytest.mark.integration

PERSON = "SENTINEL-4711"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return init_home(tmp_path_factory.mktemp("home") / "h")


@contextmanager
def serving(home: str) -> Iterator[httpx2.Client]:
    """A server in a process of its own, without a worker, and a client with the first admin's key left out."""
    program = (
        f"from pathlib import Path; from governance.api.server import serve; serve(Path({home!r}), port=0, worker=False, json_output=True)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            with httpx2.Client(base_url=json.loads(line)["url"], timeout=30) as client:
                yield client
            os.kill(process.pid, signal.SIGTERM)
            _out, err = process.communicate(timeout=10)
            assert process.returncode == 0, err
            assert PERSON not in err
        finally:
            process.kill()


def key(client: httpx2.Client, made: dict[str, Any], *roles: str) -> dict[str, str]:
    body = {"name": "-".join(roles), "roles": list(roles)}
    answer = client.post("/api/v1/keys", json=body, headers={"X-API-Key": made["api_key"]})
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['api_key']}"}


def test_a_home_over_a_socket(made: dict[str, Any]) -> None:
    with serving(made["home"]) as client:
        assert client.get("/readyz").json()["status"] == "ready"
        assert client.get("/api/v1/models").status_code == 401
        engineer, auditor = key(client, made, "engineer"), key(client, made, "auditor")
        first, second = key(client, made, "privacy"), key(client, made, "privacy")

        # Another process may not open the home, and is told where its owner answers.
        with local_client(Path(made["home"])) as local, pytest.raises(StoreUnavailable) as locked:
            local.get("/api/v1/models")
        assert str(client.base_url).rstrip("/") in str(locked.value.hint)

        # The official client's event is in the graph at once: a read waits for what was acknowledged.
        sender = OpenLineageClient(
            transport=HttpTransport(
                HttpConfig(url=str(client.base_url), auth=ApiKeyTokenProvider({"apiKey": engineer["Authorization"][7:]}))
            )
        )
        run = str(generate_new_uuid())
        event = RunEvent(
            eventType=RunState.COMPLETE,
            eventTime="2026-11-20T10:00:00+00:00",
            run=Run(runId=run),
            job=Job(namespace="ml", name="split"),
            producer="https://example.com/producer",
            inputs=[Dataset(namespace="s3://lake", name="raw")],
            outputs=[Dataset(namespace="s3://lake", name="train")],
        )
        sender.emit(event)
        sender.close()
        trace = client.get("/api/v1/trace", params={"namespace": "s3://lake", "name": "raw", "direction": "down"}, headers=auditor)
        assert trace.status_code == 200, trace.text
        assert any("train" in node["label"] + str(node["props"]) for node in trace.json()["nodes"])
        assert client.get("/api/v1/lineage/status", headers=auditor).json()["events"] == 1

        # Rows in, rows out, by an engineer and never by an auditor.
        dataset = {"name": "people", "kind": "lance", "subject_key": "person", "subject_type": "applicant"}
        assert client.post("/api/v1/datasets", json=dataset, headers=engineer).status_code == 201
        table = pa.table({"person": [PERSON, "2", "3"], "age": [30, 40, 50]})
        written = client.post("/api/v1/datasets/people/versions", content=table_bytes(table), headers=engineer)
        assert written.status_code == 201, written.text
        assert written.json()["rows"] == 3
        read = client.get("/api/v1/datasets/people/versions/latest/rows", headers=engineer)
        assert sorted(table_of(read.content)["age"].to_pylist()) == [30, 40, 50]
        assert client.get("/api/v1/datasets/people/versions/latest/rows", headers=auditor).status_code == 403

        # A person is found by a privacy key, and the answer does not name them.
        found = client.post("/api/v1/subjects:trace", json={"type": "applicant", "value": PERSON}, headers=first)
        assert found.status_code == 200, found.text
        assert PERSON not in found.text
        assert found.json()["datasets"][0]["dataset"] == "people"

        # The same Idempotency-Key is one request; its own key may not approve it; another's approval waits for verification.
        body = {"subject": {"type": "applicant", "value": PERSON}, "regulation": "GDPR", "ground": "Art. 17(1)"}
        headers = first | {"Idempotency-Key": "one"}
        made_once = [client.post("/api/v1/erasure-requests", json=body, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in made_once] == [201, 201], made_once[0].text
        ident = made_once[0].json()["id"]
        assert made_once[1].json()["id"] == ident
        assert PERSON not in made_once[0].text
        other = body | {"ground": "Art. 17(1)(b)"}
        assert client.post("/api/v1/erasure-requests", json=other, headers=headers).json()["type"].endswith("/conflict")
        url = f"/api/v1/erasure-requests/{ident}"
        assert client.post(f"{url}/approve", headers=first).json()["type"].endswith("/forbidden")
        assert client.post(f"{url}/approve", headers=second).json()["type"].endswith("/conflict")
        assert client.get(url, headers=auditor).json()["state"] == "identity_pending"
        assert [one["id"] for one in client.get("/api/v1/erasure-requests", headers=auditor).json()["requests"]] == [ident]
        assert client.get(f"{url}/certificate", headers=auditor).status_code == 404
        assert client.post(f"{url}/withdraw", headers=second).json()["state"] == "withdrawn"

        # A typo, an unknown thing and a version that nobody made are problems with the next step.
        for path in (
            "/api/v1/datasets/peple/versions",
            "/api/v1/models/credit-risk",
            "/api/v1/predictions/nope",
            "/api/v1/operations/nope",
        ):
            answer = client.get(path, headers=engineer)
            assert (answer.status_code, bool(answer.json()["hint"])) == (404, True), path
        assert "people" in client.get("/api/v1/datasets/peple/versions", headers=engineer).json()["hint"]

        # The ledger proves itself, and the metrics name nobody.
        assert client.get("/api/v1/ledger/fsck", headers=auditor).json()["ok"] is True
        size = client.get("/api/v1/ledger/entries", headers=auditor).json()["size"]
        assert client.get(f"/api/v1/ledger/proof?index=0&size={size}", headers=auditor).status_code == 200
        assert client.get(f"/api/v1/ledger/proof?index={size}", headers=auditor).status_code in (400, 404)
        assert client.get("/api/v1/ledger/checkpoint", headers=auditor).text.splitlines()[1] == str(size)
        assert f"govern_lineage_entries {size}.0" in client.get("/metrics", headers=auditor).text

        # A revoked key is no key.
        listed = client.get("/api/v1/keys", headers={"X-API-Key": made["api_key"]}).json()["keys"]
        revoked = next(one["id"] for one in listed if one["name"] == "auditor")
        assert client.delete(f"/api/v1/keys/{revoked}", headers={"X-API-Key": made["api_key"]}).status_code == 200
        assert client.get("/api/v1/models", headers=auditor).status_code == 401


def test_every_read_of_a_new_home_answers_in_this_process(tmp_path: Path) -> None:
    home = Path(init_home(tmp_path / "h")["home"])
    with local_client(home) as client:
        for path, name in (
            ("/api/v1/models", "models"),
            ("/api/v1/datasets", "datasets"),
            ("/api/v1/deployments", "deployments"),
            ("/api/v1/erasure-requests", "requests"),
            ("/api/v1/incidents", "incidents"),
            ("/api/v1/holds", "holds"),
            ("/api/v1/reports", "reports"),
            ("/api/v1/budgets", "budgets"),
            ("/api/v1/lineage/dead-letters", "dead_letters"),
        ):
            answer = client.get(path)
            assert (answer.status_code, answer.json()[name]) == (200, []), path
        assert client.get("/api/v1/keys/public").json()["installation"]
        assert client.get("/openapi.json").json()["openapi"] == "3.1.0"
    with local_client(home) as again:
        assert again.get("/readyz").status_code == 200


def test_work_asked_in_this_process_opens_the_home_with_a_worker_and_is_done(tmp_path: Path) -> None:
    """A person whom nothing holds: searched, certified, with no server; the first step that needs a worker gets one."""
    home = Path(init_home(tmp_path / "h")["home"])
    with local_client(home) as client:
        asked = client.post("/api/v1/erasure-requests", json={"subject": {"type": "applicant", "value": 17}})
        url = f"/api/v1/erasure-requests/{asked.json()['id']}"
        assert client.get(f"{url}/certificate").status_code == 404
        verified = client.post(f"{url}/verify", json={"method": "id card", "verifier": "desk"})
        assert verified.status_code == 200, verified.text
        end = time.monotonic() + 60
        while (state := client.get(url).json()["state"]) == "verifying" and time.monotonic() < end:
            time.sleep(0.1)
        assert state == "completed"
        paper = client.get(f"{url}/certificate")
        assert paper.headers["content-type"] == "application/pdf"
        assert paper.content.startswith(b"%PDF-")
        assert client.get(f"{url}/certificate", params={"format": "json"}).json()["kind"]
