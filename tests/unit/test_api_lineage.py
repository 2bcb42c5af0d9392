"""The OpenLineage door: acknowledgement, refusals, batches that keep each event's bytes."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.api import create_app
from governance.api.batch import split_batch
from lineage.errors import BadInput, StoreUnavailable
from tests.fakes.api_client import AppClient
from tests.fakes.api_facade import FakeSystem

EVENT = {"eventTime": "2026-11-20T10:00:00Z", "producer": "p", "run": {"runId": "r"}, "job": {"namespace": "n", "name": "j"}}


@pytest.fixture(scope="module", params=[True, False], ids=["fast", "long"])
def served(request: pytest.FixtureRequest) -> tuple[FakeSystem, AppClient]:
    """Every test here runs through the fast lane and the long way; an application is made once."""
    made = FakeSystem(fast=request.param)
    return made, AppClient(create_app(made))


@pytest.fixture
def system(served: tuple[FakeSystem, AppClient]) -> FakeSystem:
    made, _ = served
    made.events.clear()
    made.calls.clear()
    made.broken, made.delay = None, 0.0
    return made


@pytest.fixture
def client(served: tuple[FakeSystem, AppClient], system: FakeSystem) -> AppClient:
    return served[1]


@pytest.mark.parametrize("path", ["/api/v1/lineage", "/api/v1/lineage/", "/lineage", "/"])
def test_an_event_is_acknowledged_by_201_and_an_empty_body(client: AppClient, system: FakeSystem, path: str) -> None:
    raw = json.dumps(EVENT).encode()
    answer = client.post(path, content=raw, role="ingest")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (201, b"", "0")
    assert list(system.events.values()) == [raw]


@pytest.mark.parametrize("media", ["application/json", "text/plain", "application/x-www-form-urlencoded", None])
def test_an_event_is_not_lost_over_its_media_type(client: AppClient, media: str | None) -> None:
    headers = {} if media is None else {"Content-Type": media}
    assert client.post("/api/v1/lineage", content=json.dumps(EVENT).encode(), headers=headers, role="ingest").status_code == 201


def test_the_same_event_plain_and_gzip_is_kept_once(client: AppClient, system: FakeSystem) -> None:
    raw = json.dumps(EVENT).encode()
    for content, headers in ((raw, {}), (gzip.compress(raw), {"Content-Encoding": "gzip"}), (iter([raw[:9], raw[9:]]), {})):
        assert client.post("/api/v1/lineage", content=content, headers=headers, role="ingest").status_code == 201
    assert len(system.events) == 1


@pytest.mark.parametrize("bad", [b"", b"{", b"[]", b'"text"', b"{}", b'{"run": {}}', b"\xff", b"[" * 5000])
def test_what_is_no_event_is_a_problem_and_the_next_event_is_taken(client: AppClient, bad: bytes) -> None:
    answer = client.post("/api/v1/lineage", content=bad, role="ingest")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].endswith("/bad-event")
    assert client.post("/api/v1/lineage", content=json.dumps(EVENT).encode(), role="ingest").status_code == 201


def test_broken_gzip_is_a_problem(client: AppClient) -> None:
    whole = gzip.compress(json.dumps(EVENT).encode())
    for bad in (b"plain", whole[:-9], b""):
        answer = client.post("/api/v1/lineage", content=bad, headers={"Content-Encoding": "gzip"}, role="ingest")
        assert answer.status_code == 400, bad


def test_gzip_of_several_members_is_one_body_and_what_follows_it_is_not_gzip(client: AppClient, system: FakeSystem) -> None:
    raw = json.dumps(EVENT).encode()
    headers = {"Content-Encoding": "gzip"}
    members = gzip.compress(raw[:20]) + gzip.compress(raw[20:])
    assert client.post("/api/v1/lineage", content=members, headers=headers, role="ingest").status_code == 201
    assert list(system.events.values()) == [raw]
    assert client.post("/api/v1/lineage", content=members + b"junk", headers=headers, role="ingest").status_code == 400


def test_a_gzip_bomb_is_stopped_at_the_limit(client: AppClient, system: FakeSystem) -> None:
    bomb = gzip.compress(b" " * (65 * 1024 * 1024))
    assert len(bomb) < 80_000
    for path in ("/api/v1/lineage", "/api/v1/lineage/batch"):
        answer = client.post(path, content=bomb, headers={"Content-Encoding": "gzip"}, role="ingest")
        assert answer.status_code == 413
        assert answer.json()["type"].endswith("too-large")
    many = gzip.compress(b" " * 1024 * 1024) * 70
    assert client.post("/api/v1/lineage", content=many, headers={"Content-Encoding": "gzip"}, role="ingest").status_code == 413
    assert system.events == {}
    assert client.post("/api/v1/lineage", content=json.dumps(EVENT).encode(), role="ingest").status_code == 201


def test_a_thirty_megabyte_event_is_taken(client: AppClient, system: FakeSystem) -> None:
    event = EVENT | {"run": {"runId": "r", "facets": {"spark_plan": {"plan": "x" * 30_000_000}}}}
    assert client.post("/api/v1/lineage", content=json.dumps(event).encode(), role="ingest").status_code == 201
    assert len(system.events) == 1


def test_a_store_that_is_away_is_503_with_retry_after_never_429(client: AppClient, system: FakeSystem) -> None:
    system.broken = StoreUnavailable("the disk is full")
    for path, body in (("/api/v1/lineage", EVENT), ("/api/v1/lineage/batch", [EVENT])):
        answer = client.post(path, content=json.dumps(body).encode(), role="ingest")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_each_event_of_a_batch_is_judged_alone(client: AppClient, system: FakeSystem) -> None:
    answer = client.post("/api/v1/lineage/batch", content=json.dumps([EVENT, {"x": 1}, EVENT | {"producer": "q"}]).encode(), role="ingest")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "partial_success"
    assert body["summary"] == {"received": 3, "successful": 2, "failed": 1}
    assert [(failed["index"], failed["retriable"]) for failed in body["failed_events"]] == [(1, False)]
    assert len(system.events) == 2
    good = client.post("/api/v1/lineage/batch", content=b"[]", role="ingest").json()
    assert good == {"status": "success", "summary": {"received": 0, "successful": 0, "failed": 0}, "failed_events": []}


@pytest.mark.parametrize("bad", [b"", b"{", b"[1", b"[1 2]", b"[1,]", b'{"event": []}', b"[] []", b"\xff", b"[" * 100_000])
def test_a_batch_that_cannot_be_read_is_refused_whole(client: AppClient, system: FakeSystem, bad: bytes) -> None:
    answer = client.post("/api/v1/lineage/batch", content=bad, role="ingest")
    assert answer.status_code == 400
    assert answer.json()["type"].endswith("/bad-input")
    assert system.events == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(JSON, max_size=6), st.booleans(), st.sampled_from([None, 1]), st.booleans())
def test_splitting_keeps_the_bytes_of_each_event(values: list[object], ascii_only: bool, indent: int | None, wrapped: bool) -> None:
    parts = [json.dumps(value, ensure_ascii=ascii_only, indent=indent) for value in values]
    # A surrogate that stands alone is JSON text, but has no UTF-8 form: only its escape can be sent.
    sent = ("[ " + " ,\n".join(parts) + " ]").encode("utf-8", "surrogatepass" if ascii_only else "strict")
    body = b'{ "events" : ' + sent + b" }" if wrapped else sent
    assert split_batch(body) == [part.encode() for part in parts]


def test_lines_of_json_are_a_batch_too(client: AppClient) -> None:
    raw = json.dumps(EVENT).encode()
    answer = client.post(
        "/api/v1/lineage/batch", content=raw + b"\n\n" + raw + b"\r\n", headers={"Content-Type": "application/x-ndjson"}, role="ingest"
    )
    assert answer.json()["summary"] == {"received": 2, "successful": 2, "failed": 0}


def test_splitting_rejects_what_follows_the_end() -> None:
    with pytest.raises(BadInput, match="goes on after its end"):
        split_batch(b'[{"a": 1}] x')
