"""The routes of webhooks, recipients, OpenDSR and intake: what reaches the services, and in which form they refuse."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from governance.api import create_app
from lineage.errors import BadInput
from tests.fakes.api_client import AppClient
from tests.fakes.api_facade import FakeSystem

IDENTITY = {"identity_type": "email", "identity_value": "SENTINEL@example.org", "identity_format": "raw"}
SENT = {
    "regulation": "gdpr",
    "subject_request_id": "a7551968-d5d6-44b2-9831-815ac9017798",
    "subject_request_type": "erasure",
    "submitted_time": "2026-11-20T15:00:00Z",
    "subject_identities": [IDENTITY],
}


@pytest.fixture
def system() -> FakeSystem:
    return FakeSystem()


@pytest.fixture
def client(system: FakeSystem) -> AppClient:
    return AppClient(create_app(system))


def signed(answer: Any) -> bool:
    return (
        answer.headers["x-opendsr-signature"] == hashlib.sha256(answer.content).hexdigest()
        and answer.headers["x-opendsr-processor-domain"] == "dsr.test"
    )


def test_a_controller_sends_and_the_bytes_are_handed_on_as_they_came(system: FakeSystem, client: AppClient) -> None:
    raw = json.dumps(SENT | {"unknown": {"x": 1}}, indent=3).encode()
    answer = client.post("/opendsr/v2/requests", role="controller", content=raw)
    assert answer.status_code == 201
    assert signed(answer)
    ((_, noted),) = [call for call in system.calls if call[0] == "opendsr.receive"]
    assert noted["raw"] == raw
    assert noted["key"] == "key:k-controller"


@pytest.mark.parametrize(
    "change",
    [
        {"regulation": "hipaa"}, {"subject_request_type": "access"}, {"subject_request_id": "x"}, {"subject_identities": []},
        {"subject_identities": [IDENTITY | {"identity_format": "rot13"}]}, {"subject_identities": [{"identity_type": "email"}]},
        {"status_callback_urls": "https://x"}, {"submitted_time": None},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_opendsr_s_form_and_signed(client: AppClient, change: dict[str, Any]) -> None:
    answer = client.post("/opendsr/v2/requests", role="controller", content=json.dumps(SENT | change))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 400
    assert answer.json()["error"]["message"]
    assert "SENTINEL" not in answer.text
    assert signed(answer)


def test_no_json_and_a_refusal_of_the_service_are_said_in_the_same_form(system: FakeSystem, client: AppClient) -> None:
    assert client.post("/opendsr/v2/requests", role="controller", content=b"{").json()["error"]["code"] == 400
    system.broken = BadInput("sha256 identities cannot be looked up", hint="send raw")
    answer = client.post("/opendsr/v2/requests", role="controller", content=json.dumps(SENT))
    assert answer.json()["error"]["errors"][0]["hint"] == "send raw"


def test_status_and_cancellation(client: AppClient) -> None:
    assert client.get("/opendsr/v2/requests/er-1", role="controller").json()["request_status"] == "pending"
    assert client.request("DELETE", "/opendsr/v2/requests/er-1", role="controller").status_code == 202
    late = client.request("DELETE", "/opendsr/v2/requests/er-late", role="controller")
    unknown = client.get("/opendsr/v2/requests/er-unknown", role="controller")
    assert [late.status_code, unknown.status_code] == [409, 404]
    assert signed(late)
    assert signed(unknown)


def test_a_controller_s_key_opens_nothing_else(client: AppClient) -> None:
    for path in ("/api/v1/erasure-requests", "/api/v1/recipients", "/api/v1/webhooks", "/metrics", "/api/v1/opendsr/controllers"):
        assert client.get(path, role="controller").status_code == 403, path
    for role in ("privacy", "engineer", "ingest"):
        assert client.get("/opendsr/v2/requests/er-1", role=role).status_code == 403


@pytest.mark.parametrize(
    ("media", "form"), [("application/x-ndjson", "ndjson"), ("application/json", "json"), ("text/csv; charset=utf-8", "csv")]
)
def test_intake_reads_three_forms(system: FakeSystem, client: AppClient, media: str, form: str) -> None:
    answer = client.post(
        "/api/v1/erasure-requests/batch?dry_run=true",
        role="privacy",
        content=b"a\nb",
        headers={"Content-Type": media, "Idempotency-Key": "k"},
    )
    assert answer.status_code == 200, answer.text
    ((_, noted),) = [call for call in system.calls if call[0] == "bulk.take"]
    assert noted == {"lines": [b"a\n", b"b"], "form": form, "actor": "key:k-privacy", "idempotency": "k", "dry_run": True}


def test_intake_refuses_another_media_type(client: AppClient) -> None:
    answer = client.post("/api/v1/erasure-requests/batch", role="privacy", content=b"x", headers={"Content-Type": "application/xml"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/v1/webhooks", {"url": "https://x/"}, "events"),
        ("/api/v1/webhooks", {"url": "https://x/", "events": []}, "events"),
        ("/api/v1/webhooks", {"url": "https://x/", "events": ["erasure.*"], "scheme": "v2"}, "scheme"),
        ("/api/v1/recipients", {"name": "x", "role": "friend", "assets": ["dataset:a"]}, "role"),
        ("/api/v1/recipients", {"name": "x", "role": "processor", "assets": []}, "assets"),
        ("/api/v1/opendsr/controllers", {"name": "x", "identities": {}}, "identities"),
    ],
)
def test_bodies_name_the_field_that_is_wrong(client: AppClient, path: str, body: dict[str, Any], field: str) -> None:
    answer = client.post(path, role="admin", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


# ── tasks of owners ─────────────────────────────────────────────────────────────────────────────
DONE = {"answer": "done", "evidence": "sha256:" + "0f" * 32}


def test_an_owner_answers_with_the_key_of_an_engineer_or_of_the_officer(system: FakeSystem, client: AppClient) -> None:
    for role in ("engineer", "privacy"):
        answer = client.post("/api/v1/erasure-tasks/task-1/answer", role=role, content=json.dumps(DONE))
        assert answer.status_code == 200
    said = [(noted["body"], noted["actor"], noted["officer"]) for what, noted in system.calls if what == "tasks.answer"]
    assert said == [(DONE, "key:k-engineer", False), (DONE, "key:k-privacy", True)], "only the officer answers for any owner"
    assert client.post("/api/v1/erasure-tasks/task-1/answer", role="auditor", content=json.dumps(DONE)).status_code == 403


@pytest.mark.parametrize(
    "change", [{"answer": "perhaps"}, {"evidence": "md5:00"}, {"evidence": "SENTINEL.pdf"}, {"file": "x"}, {"reason": "x" * 1001}]
)
def test_an_answer_that_does_not_fit_is_refused_at_the_door(client: AppClient, change: dict[str, Any]) -> None:
    answer = client.post("/api/v1/erasure-tasks/task-1/answer", role="privacy", content=json.dumps(DONE | change))
    assert answer.status_code in (400, 422)
    assert "SENTINEL" not in answer.text


def test_tasks_are_listed_by_request_and_state(client: AppClient) -> None:
    listed = client.get("/api/v1/erasure-tasks?request=er-1&state=overdue", role="auditor").json()
    assert listed["tasks"] == [{"id": "task-1", "request": "er-1", "state": "overdue"}]
    assert client.get("/api/v1/erasure-tasks?state=gone", role="auditor").status_code == 400
    assert client.get("/api/v1/erasure-tasks/task-9", role="privacy").json() == {"id": "task-9"}


# ── orders ──────────────────────────────────────────────────────────────────────────────────────
ORDERED = {"dataset": "scraped.faces", "ground": "no consent", "reference": "C-4743", "due": "2030-01-01"}


def test_an_order_is_entered_or_only_looked_at(system: FakeSystem, client: AppClient) -> None:
    answer = client.post("/api/v1/disgorgements", role="privacy", content=json.dumps(ORDERED))
    assert (answer.status_code, answer.headers["location"]) == (201, "/api/v1/erasure-requests/er-1")
    ((_, noted),) = [call for call in system.calls if call[0] == "erasures.disgorge"]
    assert noted["body"]["due_at"] == 1_893_456_000_000_000_000
    assert client.post("/api/v1/disgorgements", role="privacy", content=json.dumps(ORDERED | {"dry_run": True})).status_code == 200
    assert client.post("/api/v1/disgorgements", role="engineer", content=json.dumps(ORDERED)).status_code == 403


@pytest.mark.parametrize("change", [{"dataset": "../x"}, {"reference": ""}, {"models": "keep"}, {"due": "soon"}, {"ground": None}])
def test_an_order_that_does_not_fit_is_refused_at_the_door(client: AppClient, change: dict[str, Any]) -> None:
    assert client.post("/api/v1/disgorgements", role="privacy", content=json.dumps(ORDERED | change)).status_code in (400, 422)
