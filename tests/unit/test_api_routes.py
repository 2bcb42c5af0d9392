"""Every route: its role, its shape, its errors; through the real FastAPI application over ASGI."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator
from starlette.routing import Route as StarletteRoute

from governance.api import create_app
from governance.api.call import ROLES
from governance.api.docs import routes_page
from governance.api.door import read_query
from governance.api.openapi import document
from governance.api.routes.datasets import ARROW, table_bytes
from governance.api.table import ROLES_BY_ROUTE, ROUTES
from lineage.errors import BadInput, Conflict, Incomplete, StoreUnavailable, Tampered
from lineage.marquez.names import uuid_of
from tests.fakes.api_client import AppClient
from tests.fakes.api_facade import FakeSystem

EVENT = {"eventTime": "2026-11-20T10:00:00Z", "producer": "p", "run": {"runId": "r"}, "job": {"namespace": "n", "name": "j"}}
SNAPSHOT = "snapshot:" + "a" * 64
SUBJECT = {"type": "applicant", "value": "SENTINEL-17"}
TENSOR = {"name": "age", "shape": [2], "datatype": "INT64", "data": [30, 40]}

BODIES: dict[str, Any] = {
    "NewDataset": {"name": "credit.raw", "kind": "lines", "path": "raw.data", "subject_key": "line", "subject_type": "applicant"},
    "NewTraining": {"code": SNAPSHOT, "config": {"seed": 1}, "policy_text": "name: x"},
    "NewDeployment": {"model": "credit-risk", "version": "1", "environment": "production"},
    "Rollback": {"model": "credit-risk", "environment": "production"},
    "DataSubject": SUBJECT,
    "NewErasure": {"subject": SUBJECT, "regulation": "GDPR", "ground": "art-17-1-b"},
    "Acknowledge": {"how": "letter"},
    "Challenge": {"method": "code"},
    "Verify": {"method": "id-card", "verifier": "desk"},
    "Approve": {},
    "Refuse": {"ground": "art-17-3-b", "notice": "told by letter"},
    "Lift": {"ground": "art-6-1-b", "reasons": "a new contract"},
    "ApproveLift": {"note": "seen"},
    "HoldAssets": {"assets": ["model:credit-risk@1"], "ground": "litigation", "review": "2027-01-01T00:00:00Z"},
    "ReleaseAssets": {"assets": ["model:credit-risk@1"], "reason": "settled"},
    "Extend": {"reason": "complex"},
    "Withdraw": {},
    "Decide": {"action": "keep"},
    "NewIncident": {"prediction": "p-1", "summary": "wrong", "expect": "good"},
    "CloseIncident": {},
    "NewReport": {"kind": "model-trace", "subject": "credit-risk"},
    "NewKey": {"name": "ci", "roles": ["ingest"]},
    "NewWebhook": {"url": "https://hooks.example.com/", "events": ["erasure.*"]},
    "NewRecipient": {"name": "Example Ltd", "role": "processor", "assets": ["dataset:credit.train"]},
    "AcknowledgeNotice": {"reference": "T-17"},
    "ExcuseNotice": {"excuse": "impossible", "ground": "it was dissolved"},
    "NewOrder": {"dataset": "credit.train", "ground": "collected without a ground", "reference": "C-4743", "due": "2030-01-01"},
    "AnswerTask": {"answer": "done", "evidence": "sha256:" + "0f" * 32},
    "OpenDsrRequest": {
        "regulation": "gdpr",
        "subject_request_id": "a7551968-d5d6-44b2-9831-815ac9017798",
        "subject_request_type": "erasure",
        "submitted_time": "2026-11-20T15:00:00Z",
        "subject_identities": [{"identity_type": "email", "identity_value": "SENTINEL@example.org", "identity_format": "raw"}],
        "a later member": {},
    },
    "NewController": {"name": "Example Ltd", "identities": {"email": "email"}},
    "NewBackup": {
        "id": "01980000-0000-7000-8000-000000000000",
        "made_at": 1,
        "until": 2,
        "size": 3,
        "root": "0" * 64,
        "bytes": 4,
    },
    "NewRedaction": {"entries": [3], "fields": ["/job/facets/sql/query"], "reason": "a literal"},
    "NewReproduction": {"model": "credit-risk", "version": "1"},
}
NAMES = {
    "name": "credit-risk",
    "version": "1",
    "id": "er-1",
    "sha256": hashlib.sha256(b"tar").hexdigest(),
    "namespace": "n",
    "dataset": "d",
    "job": "j",
    "source": "default",
    "asset": "jobs",
    "task": "t-1",
}
JOB_VERSION = uuid_of("job-version", ["n", "j"], [], [{"namespace": "n", "name": "d"}], None)
QUERIES = {
    "/api/v1/trace": "?model=credit-risk",
    "/api/v1/ledger/proof": "?index=1",
    "/api/v1/lineage": "?nodeId=job:n:j",
    "/api/v1/column-lineage": "?nodeId=dataset:n:d",
    "/api/v1/runlineage/upstream": "?runId=er-1",
    "/api/v1/runlineage/downstream": "?runId=er-1",
    "/api/v1/search": "?q=d",
    "/api/v1/stats/{asset}": "?period=DAY",
    "/api/v1/lineage/retain": "?older_than=90d",
    "/api/v1/jobs/runs/{id}/facets": "?type=run",
}


@pytest.fixture
def system() -> FakeSystem:
    return FakeSystem()


@pytest.fixture
def client(system: FakeSystem) -> AppClient:
    return AppClient(create_app(system))


def good_request(route: Any) -> dict[str, Any]:
    """A request that the contract allows, for any route of the table."""
    path = route.path.format(**NAMES)
    if route.path.startswith("/api/v1/datasets/"):
        path = path.replace("credit-risk", "credit.train")
    if route.path == "/api/v1/keys/{id}":
        path = "/api/v1/keys/k-1"
    if route.path.endswith("/jobs/{job}/versions/{version}"):
        path = path.replace("/versions/1", f"/versions/{JOB_VERSION}")
    query = QUERIES.get(route.path, "") if route.method == "GET" or any(param.required for param in route.query) else ""
    request: dict[str, Any] = {"method": route.method, "url": path + query}
    if route.takes == "json":
        request["json"] = BODIES[route.body] if route.body else {"inputs": [TENSOR]}
    elif route.path.endswith("/batch"):
        request["content"] = json.dumps([EVENT])
    elif route.takes == "event":
        request["content"] = json.dumps(EVENT)
    elif route.media == ARROW:
        request["content"] = table_bytes(pa.table({"a": [1]}))
    elif route.takes == "binary" and route.body:
        request["content"] = json.dumps(BODIES[route.body])
    elif route.takes == "binary":
        request["content"] = b"tar"
    return request


IDS = [f"{route.method} {route.path}" for route in ROUTES]


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
def test_each_route_answers_every_role_as_the_table_says(route: Any, system: FakeSystem, client: AppClient) -> None:
    system.snapshots_kept[NAMES["sha256"]] = b"tar"
    for role in ROLES:
        answer = client.request(**good_request(route), headers={"Authorization": f"Bearer key-of-{role}"})
        if not route.roles or role in route.roles:
            expected = {409} if route.path.endswith("/rollback") else {route.status, 200 if route.method == "PUT" else route.status}
            assert answer.status_code in expected, answer.text
        else:
            assert answer.status_code == 403
            assert answer.json()["type"].endswith("/forbidden")
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-API-Key": "wrong"}, {"Authorization": "Basic key-of-admin"}):
        answer = client.request(**good_request(route), headers=headers)
        assert answer.status_code == (401 if route.roles else route.status), headers
        if route.roles:
            assert answer.headers["www-authenticate"] == "Bearer"


def test_the_table_is_the_application(system: FakeSystem) -> None:
    served = {
        (method, route.path)
        for route in create_app(system).app.routes
        if isinstance(route, StarletteRoute)
        for method in route.methods or ()
    }
    assert {pair for pair in served if pair[0] != "HEAD"} == {(route.method, route.path) for route in ROUTES}
    assert len(ROLES_BY_ROUTE) == len(ROUTES) == len({route.ident for route in ROUTES})
    assert all("admin" in roles for roles in ROLES_BY_ROUTE.values() if roles)
    assert {name for name, roles in ROLES_BY_ROUTE.items() if not roles} == {
        "GET /healthz",
        "GET /readyz",
        "GET /openapi.json",
        "GET /v2/health/live",
        "GET /v2/health/ready",
        "GET /api/v1/keys/public",
        "GET /opendsr/v2/discovery",
        "GET /opendsr/v2/certificate.pem",
    }


def test_the_auditor_reads_no_identity_and_changes_nothing_but_papers() -> None:
    may = {name for name, roles in ROLES_BY_ROUTE.items() if "auditor" in roles}
    assert not {"POST /api/v1/subjects:trace", "GET /api/v1/datasets/{name}/versions/{version}/rows"} & may
    assert {name for name in may if not name.startswith("GET ")} == {"POST /api/v1/reports", "POST /api/v1/reproductions"}


def test_the_page_of_routes_is_fresh() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "routes.md"
    assert page.read_text(encoding="utf-8") == routes_page(), "run: python -m governance.api.docs docs/reference/routes.md"


def test_openapi_describes_each_route_and_resolves_each_reference() -> None:
    openapi = document(ROUTES)
    assert openapi["openapi"] == "3.1.0"
    assert {(m.upper(), p) for p, methods in openapi["paths"].items() for m in methods} == {(r.method, r.path) for r in ROUTES}
    text = json.dumps(openapi)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        part: Any = openapi
        for name in reference.split("/"):
            part = part[name]
    for name, schema in openapi["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        if name in BODIES:
            resolved = {**schema, "components": openapi["components"]}
            assert not list(Draft202012Validator(resolved).iter_errors(BODIES[name])), name
            strict = list(Draft202012Validator(resolved).iter_errors(BODIES[name] | {"surplus": 1}))
            assert bool(strict) == (name != "OpenDsrRequest"), name  # another's specification: later members of it are passed over


def test_every_answer_has_the_security_headers_and_no_cors(client: AppClient) -> None:
    for url, origin in (("/healthz", {}), ("/nowhere", {}), ("/api/v1/models", {"Origin": "https://evil.example"})):
        headers = client.get(url, headers=origin).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])
        assert not [name for name in headers if name.startswith("access-control")]


def test_unknown_paths_and_methods_are_problems(client: AppClient) -> None:
    answer = client.get("/api/v1/model")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "/api/v1/models" in answer.json()["hint"]
    answer = client.request("PATCH", "/api/v1/keys")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (Conflict("c"), 409, "conflict"),
        (Incomplete("i"), 409, "incomplete"),
        (StoreUnavailable("disk is full", hint="free some"), 503, "unavailable"),
        (Tampered("leaf 3"), 500, "tampered"),
        (BadInput("b"), 400, "bad-input"),
    ],
)
def test_each_error_has_its_problem(system: FakeSystem, client: AppClient, error: Exception, status: int, slug: str) -> None:
    system.broken = error
    answer = client.get("/api/v1/models/credit-risk", role="engineer")
    body = answer.json()
    assert (answer.status_code, body["status"]) == (status, status)
    assert body["type"].endswith(f"/{slug}")
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("retry-after" in answer.headers) == (status == 503)


def test_an_unexpected_error_tells_neither_its_message_nor_its_place(
    system: FakeSystem, client: AppClient, caplog: pytest.LogCaptureFixture
) -> None:
    system.broken = RuntimeError("row 17 holds SENTINEL")
    answer = client.get("/api/v1/models/credit-risk", role="engineer")
    assert answer.status_code == 500
    assert "SENTINEL" not in answer.text
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text
    instance = answer.json()["instance"]
    assert instance.startswith("urn:uuid:")
    assert instance in caplog.text
    assert "api_facade.py" in caplog.text
    assert "SENTINEL" not in caplog.text


@pytest.mark.parametrize(("version", "slug"), [("refused", "gate-refused"), ("held", "held"), ("spent", "budget-exceeded")])
def test_a_refused_release_says_why(client: AppClient, version: str, slug: str) -> None:
    body = BODIES["NewDeployment"] | {"version": version}
    answer = client.post("/api/v1/deployments", json=body, role="engineer")
    assert answer.status_code == 409
    assert answer.json()["type"].endswith(f"/{slug}")


def test_a_typo_in_a_model_name_gets_the_nearest_names_and_the_next_command(client: AppClient) -> None:
    answer = client.get("/api/v1/trace?model=credit-rsk", role="auditor")
    assert answer.status_code == 404
    assert answer.json()["hint"] == "nearest: credit-risk; next: govern trace credit-risk"


def test_nobody_without_a_key_is_read(client: AppClient) -> None:
    def body() -> Any:
        yield b"x"
        raise AssertionError("the body was read")

    assert client.post("/api/v1/lineage", content=body()).status_code == 401


def test_two_different_keys_are_refused(client: AppClient) -> None:
    headers = {"Authorization": "Bearer key-of-admin", "X-API-Key": "key-of-auditor"}
    assert client.get("/api/v1/models", headers=headers).status_code == 401
    headers["X-API-Key"] = "key-of-admin"
    assert client.get("/api/v1/models", headers=headers).status_code == 200


def test_a_model_version_has_an_entity_tag_that_changes_with_its_aliases(system: FakeSystem, client: AppClient) -> None:
    url = "/api/v1/models/credit-risk/versions/latest"
    first = client.get(url, role="auditor")
    tag = first.headers["etag"]
    again = client.get(url, headers={"If-None-Match": f'"x", W/{tag}'}, role="auditor")
    assert (again.status_code, again.content) == (304, b"")
    system.aliases["champion"] = "1"
    changed = client.get(url, headers={"If-None-Match": tag}, role="auditor")
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_lists_page_by_cursor(client: AppClient) -> None:
    seen: list[str] = []
    url = "/api/v1/deployments?limit=2"
    while url:
        body = client.get(url, role="auditor").json()
        assert len(body["deployments"]) <= 2
        seen += [item["id"] for item in body["deployments"]]
        url = f"/api/v1/deployments?limit=2&cursor={body['next']}" if body["next"] else ""
    assert seen == ["d-0", "d-1", "d-2", "d-3", "d-4"]
    for bad in ("cursor=%21", "cursor=bm9uZQ", "limit=0", "limit=1001", "limit=x"):
        assert client.get(f"/api/v1/deployments?{bad}", role="auditor").status_code == 400, bad
    body = client.get("/api/v1/ledger/entries?start=3&limit=1", role="auditor").json()
    assert (body["entries"][0]["index"], body["next"]) == (3, 4)
    assert client.get("/api/v1/ledger/entries?start=4&limit=1", role="auditor").json()["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        "",
        "model=a&run=b",
        "namespace=n",
        "name=n",
        "column=c",
        "job=j",
        "job_namespace=n",
        "namespace=n&name=n&job_namespace=n&job=j",
        "model=a&max_nodes=0",
        "model=a&format=png",
        "model=a&dircetion=up",
        "model=a&direction=sideways",
        "model=a&depth=-1",
        "model=a&model=b",
        "model=a&as_of=yesterday",
    ],
)
def test_a_trace_that_is_not_one_question_is_refused(client: AppClient, system: FakeSystem, query: str) -> None:
    answer = client.get(f"/api/v1/trace?{query}", role="auditor")
    assert answer.status_code == 400
    assert answer.json()["detail"]
    assert system.calls == []


@pytest.mark.parametrize(
    ("form", "media"),
    [
        ("dot", "text/vnd.graphviz"),
        ("svg", "image/svg+xml"),
        ("prov", "application/prov+json"),
        ("openlineage", "application/x-ndjson"),
    ],
)
def test_a_trace_is_given_in_the_format_asked_for(client: AppClient, system: FakeSystem, form: str, media: str) -> None:
    answer = client.get(f"/api/v1/trace?model=m&format={form}", role="auditor")
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == media
    assert [(call, what["form"]) for call, what in system.calls] == [("answers.exported", form)]


def test_a_page_of_events_names_the_next_one(client: AppClient, system: FakeSystem) -> None:
    answer = client.get("/api/v1/export/openlineage?since=2026-01-01&limit=1", role="auditor")
    assert (answer.headers["govern-next"], answer.headers["govern-destroyed"]) == ("abc", "1")
    assert answer.headers["link"] == '<?since=1767225600000000000&limit=1&cursor=abc>; rel="next"'
    assert answer.content == b"{}\n"
    assert system.calls[0][1]["since"] == 1_767_225_600_000_000_000


def test_deployments_are_asked_as_of_and_as_known_at(client: AppClient, system: FakeSystem) -> None:
    url = "/api/v1/deployments?environment=production&as_of=2026-03-03&known_at=2026-03-05"
    assert client.get(url, role="auditor").status_code == 200
    asked = system.calls[0][1]
    assert (asked["environment"], asked["active"]) == ("production", None)
    assert asked["known_at"] - asked["as_of"] == 2 * 86_400 * 10**9


def test_a_trace_is_asked_as_the_query_says(client: AppClient, system: FakeSystem) -> None:
    query = "namespace=s3%3A%2F%2Flake&name=a%20b&direction=down&as_of=2026-11-20T10:00:00.000001%2B01:00&known_at=1000&depth=3"
    assert client.get(f"/api/v1/trace?{query}", role="privacy").status_code == 200
    assert system.calls == [
        (
            "trace",
            {
                "model": None,
                "run": None,
                "prediction": None,
                "namespace": "s3://lake",
                "name": "a b",
                "column": None,
                "job_namespace": None,
                "job": None,
                "direction": "down",
                "as_of": 1_795_165_200_000_001_000,
                "known_at": 1000,
                "depth": 3,
                "max_nodes": 20_000,
            },
        )
    ]


def test_the_nearest_parameter_is_hinted() -> None:
    route = next(route for route in ROUTES if route.path == "/api/v1/trace")
    with pytest.raises(BadInput) as caught:
        read_query(route.query, "directon=up")
    assert caught.value.hint == "did you mean direction?"


def test_papers_are_pdf_or_json(client: AppClient) -> None:
    for url in ("/api/v1/reports/r-1", "/api/v1/erasure-requests/er-1/certificate"):
        answer = client.get(url, role="auditor")
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.content.startswith(b"%PDF-")
    assert client.get("/api/v1/erasure-requests/er-1/certificate?format=json", role="auditor").json()["id"] == "er-1"
    assert client.get("/api/v1/erasure-requests/er-1/certificate?format=xml", role="auditor").status_code == 400


def test_the_plan_of_a_request_is_read_by_privacy_and_auditor_alone(client: AppClient) -> None:
    for role in ("privacy", "auditor"):
        assert client.get("/api/v1/erasure-requests/er-1/plan", role=role).json()["request"] == "er-1"
    assert client.get("/api/v1/erasure-requests/er-1/plan", role="engineer").status_code == 403


def test_a_request_may_not_be_approved_by_its_own_key(client: AppClient) -> None:
    answer = client.post("/api/v1/erasure-requests/er-own/approve", role="privacy")
    assert answer.status_code == 403
    assert "another key" in answer.json()["hint"]
    assert client.post("/api/v1/erasure-requests/er-1/approve", role="privacy").status_code == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [("index=1", 200), ("first=1&second=3", 200), ("", 400), ("index=1&first=1", 400), ("first=1", 400), ("size=3", 400)],
)
def test_one_proof_at_a_time(client: AppClient, query: str, status: int) -> None:
    assert client.get(f"/api/v1/ledger/proof?{query}", role="auditor").status_code == status


def test_readiness_follows_the_stores(client: AppClient, system: FakeSystem) -> None:
    assert client.get("/readyz").status_code == 200
    assert client.get("/v2/health/ready").json() == {"ready": True}
    system.state = "not ready"
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]) == (503, {"ledger": False})
    assert client.get("/v2/health/ready").status_code == 400
    assert client.get("/healthz").status_code == 200


def test_metrics_count_by_template_and_never_by_name(client: AppClient, system: FakeSystem) -> None:
    client.get("/api/v1/predictions/SENTINEL", role="auditor")
    client.get("/SENTINEL")
    client.post(
        "/v2/models/credit-risk/infer", json={"inputs": [TENSOR], "parameters": {"govern_subject": "applicant:SENTINEL"}}, role="predict"
    )
    text = client.get("/metrics", role="ingest").text
    assert 'govern_http_requests_total{method="GET",route="/api/v1/predictions/{id}",status="200"} 1.0' in text
    assert 'govern_http_requests_total{method="(any)",route="(none)",status="404"} 1.0' in text
    assert 'govern_predictions_total{model="credit-risk",version="1"} 1.0' in text
    assert "govern_lineage_lag 0.0" in text
    assert "govern_up 1.0" in text
    assert "SENTINEL" not in text


def test_the_log_has_no_body_query_subject_or_key(client: AppClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="governance.api"):
        client.post("/api/v1/subjects:trace", json=SUBJECT, role="privacy")
        client.get("/api/v1/trace?model=SENTINEL", role="privacy")
    lines = [record.getMessage() for record in caplog.records if record.name == "governance.api"]
    assert [line.split()[:3] for line in lines] == [["POST", "/api/v1/subjects:trace", "200"], ["GET", "/api/v1/trace", "404"]]
    assert "SENTINEL" not in caplog.text
    assert "key-of" not in caplog.text


def test_every_body_model_is_used_and_refuses_an_unknown_key(client: AppClient) -> None:
    assert {route.body for route in ROUTES if route.body} == set(BODIES)
    for route in ROUTES:
        if route.body is None:
            continue
        request = good_request(route)
        if route.path.startswith("/opendsr/"):  # its specification wants members that are not known to be passed over
            continue
        request["json"] = request["json"] | {"surplus": 1}
        answer = client.request(**request, role="admin")
        assert answer.status_code == 422, route.path
        assert answer.json()["detail"] == "surplus: is not a known field"


def test_httpx2_speaks_to_the_application_directly(system: FakeSystem) -> None:
    """The helper of these tests adds nothing of its own to an answer."""

    async def ask() -> int:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=create_app(system)), base_url="http://t") as http:
            return (await http.get("/healthz")).status_code

    import anyio

    assert anyio.run(ask) == 200
