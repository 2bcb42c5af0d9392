"""The transport inside a process gives the application's own answers, and starts without FastAPI."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx2
import pytest

from governance.api import create_app
from governance.api.local import LocalTransport
from lineage.errors import StoreUnavailable
from tests.fakes.api_client import AppClient
from tests.fakes.api_facade import FakeSystem

REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/healthz", {}),
    ("GET", "/readyz", {}),
    ("GET", "/api/v1/trace?model=credit-risk@latest&direction=up", {}),
    ("GET", "/api/v1/trace?model=nope", {}),
    ("GET", "/api/v1/trace?mdel=nope", {}),
    ("GET", "/api/v1/models/credit-risk/versions/1", {}),
    ("GET", "/api/v1/models/credit%20risk", {}),
    ("GET", "/api/v1/nowhere", {}),
    ("PATCH", "/api/v1/keys", {}),
    ("GET", "/api/v1/datasets/credit.train/versions/1/rows", {}),
    ("GET", "/api/v1/datasets/credit.train/versions/0/rows", {}),
    ("POST", "/api/v1/lineage", {"content": b'{"job": {}, "run": {}}'}),
    ("POST", "/api/v1/lineage", {"content": b"no"}),
    ("POST", "/api/v1/keys", {"json": {"name": "x"}}),
    ("POST", "/api/v1/keys", {"content": b"x" * (1024 * 1024 + 1)}),
    ("POST", "/api/v1/keys", {"json": {"name": "x", "roles": ["ingest"]}, "headers": {"Content-Encoding": "br"}}),
    ("POST", "/api/v1/erasure-requests/er-1/verify", {"json": {"method": "m", "verifier": "v"}}),
    ("POST", "/v2/models/nope/infer", {"json": {"inputs": [{"name": "a", "shape": [1], "datatype": "INT64", "data": [1]}]}}),
    ("GET", "/api/v1/reports/r-1", {}),
    ("GET", "/openapi.json", {}),
]


@pytest.mark.parametrize(("method", "url", "more"), REQUESTS, ids=[f"{method} {url}" for method, url, _ in REQUESTS])
def test_both_carriers_answer_alike(method: str, url: str, more: dict[str, Any]) -> None:
    over_asgi = AppClient(create_app(FakeSystem())).request(method, url, role="admin", **more)
    with httpx2.Client(transport=LocalTransport(lambda _worker: FakeSystem()), base_url="http://govern.local") as client:
        inside = client.request(method, url, **more)
    assert (inside.status_code, inside.content) == (over_asgi.status_code, over_asgi.content)
    own = {"x-request-id", "content-length"}
    assert {name: value for name, value in inside.headers.items() if name not in own} == {
        name: value for name, value in over_asgi.headers.items() if name not in own
    }


def test_the_owner_is_admin_and_no_header_makes_or_unmakes_it() -> None:
    system = FakeSystem()
    with httpx2.Client(transport=LocalTransport(lambda _worker: system), base_url="http://govern.local") as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-API-Key": "key-of-predict"}):
            assert client.post("/api/v1/keys", json={"name": "ci", "roles": ["ingest"]}, headers=headers).status_code == 201
    assert {call["actor"] for _, call in system.calls} == {"key:local"}
    app = AppClient(create_app(FakeSystem()))
    for key in ("local", "key:local", ""):
        assert app.get("/api/v1/keys", headers={"X-API-Key": key}).status_code == 401


def test_the_home_is_opened_at_the_first_request_again_for_work_and_closed_with_the_client() -> None:
    opened: list[tuple[bool, FakeSystem]] = []

    def opener(worker: bool) -> FakeSystem:
        assert all(system.closed for _, system in opened), "two systems would own one home"
        opened.append((worker, FakeSystem()))
        return opened[-1][1]

    client = httpx2.Client(transport=LocalTransport(opener), base_url="http://govern.local")
    assert opened == []
    client.get("/api/v1/models")
    client.get("/api/v1/models")
    body = {"code": "snapshot:" + "a" * 64, "config": {}, "policy_text": ""}
    assert client.post("/api/v1/models/credit-risk/trainings", json=body).status_code == 202
    client.get("/api/v1/operations/op-1")
    client.close()
    assert [worker for worker, _ in opened] == [False, True]
    assert [system.closed for _, system in opened] == [1, 1]


def test_a_locked_home_is_told_as_it_is() -> None:
    def opener(worker: bool) -> FakeSystem:
        raise StoreUnavailable("the home is locked by process 4711", hint="set GOVERN_URL")

    with (
        httpx2.Client(transport=LocalTransport(opener), base_url="http://govern.local") as client,
        pytest.raises(StoreUnavailable, match="4711"),
    ):
        client.get("/api/v1/models")


def test_a_read_imports_no_framework() -> None:
    """FastAPI and pydantic alone take longer to import than a cold ``govern trace`` may take on a slow machine."""
    program = """
import sys, httpx2
from governance.api.local import LocalTransport
from tests.fakes.api_facade import FakeSystem
http = httpx2.Client(transport=LocalTransport(lambda worker: FakeSystem()), base_url="http://govern.local")
assert http.get("/api/v1/trace?model=credit-risk").status_code == 200
loaded = {"fastapi", "starlette", "pydantic", "uvicorn", "prometheus_client", "torch", "lance"} & set(sys.modules)
sys.exit(f"imported {loaded}" if loaded else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
