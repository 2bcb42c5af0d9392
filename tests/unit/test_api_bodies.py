"""Bodies: what fits, what is refused and in which words; rows, snapshots, and keys that make a repeat one act."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

import orjson
import pyarrow as pa
import pytest

from governance.api import create_app
from governance.api.bodies import checked
from governance.api.problems import InvalidBody
from governance.api.routes.datasets import ARROW, table_bytes, table_of
from tests.fakes.api_client import AppClient
from tests.fakes.api_facade import FakeSystem

SUBJECT = {"type": "applicant", "value": "SENTINEL-17"}
ERASURE = {"subject": SUBJECT, "regulation": "gdpr", "ground": "art-17-1-b"}


@pytest.fixture
def system() -> FakeSystem:
    return FakeSystem()


@pytest.fixture
def client(system: FakeSystem) -> AppClient:
    return AppClient(create_app(system))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"subject": {"type": "applicant"}}, "subject.value"),
        ({"subject": {"type": 17, "value": "x"}}, "subject.type"),
        ({"subject": SUBJECT | {"name": "SENTINEL"}}, "subject.name"),
        ({"grund": "x"}, "grund"),
        ({"regulation": None}, "regulation"),
        ({"regulation": ["GDPR"]}, "regulation"),
        ({"ground": ""}, "ground"),
    ],
)
def test_a_body_that_does_not_fit_is_422_and_names_the_field_not_the_value(
    system: FakeSystem, client: AppClient, change: dict[str, Any], field: str
) -> None:
    answer = client.post("/api/v1/erasure-requests", json=ERASURE | change, role="privacy")
    assert answer.status_code == 422
    problem = answer.json()
    assert [fault["field"] for fault in problem["errors"]] == [field]
    assert problem["detail"].startswith(f"{field}: ")
    assert "SENTINEL" not in answer.text
    assert system.calls == []


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 400),
        (b"\xff\xfe", {"Content-Type": "application/json"}, 400),
        (b"[]", {"Content-Type": "application/json"}, 400),
        (b"[" * 100_000, {"Content-Type": "application/json"}, 400),
        (b'{"a": NaN}', {"Content-Type": "application/json"}, 400),
        (b"name=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"{}", {"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        (b"{}", {"Content-Type": "application/vnd.govern+json; charset=utf-8"}, 422),
    ],
)
def test_what_is_not_json_is_refused(client: AppClient, content: bytes, headers: dict[str, str], status: int) -> None:
    answer = client.post("/api/v1/keys", content=content, headers=headers, role="admin")
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_too_large_bodies_are_413_declared_streamed_or_compressed(client: AppClient, system: FakeSystem) -> None:
    big = b'{"name": "' + b"x" * (1024 * 1024) + b'"}'
    assert client.post("/api/v1/keys", content=big, role="admin").status_code == 413
    assert client.post("/api/v1/keys", content=iter([big[:10], big[10:]]), role="admin").status_code == 413
    bomb = gzip.compress(b" " * (64 * 1024 * 1024 + 1))
    answer = client.post("/api/v1/lineage", content=bomb, headers={"Content-Encoding": "gzip"}, role="ingest")
    assert answer.status_code == 413
    assert "67108864 bytes" in answer.json()["detail"]
    assert system.calls == []


def test_an_idempotency_key_is_passed_on_and_gives_the_same_answer(system: FakeSystem, client: AppClient) -> None:
    def ask(key: str | None) -> str:
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = client.post("/api/v1/erasure-requests", json=ERASURE, headers=headers, role="privacy")
        assert answer.headers["location"] == f"/api/v1/erasure-requests/{answer.json()['id']}"
        return str(answer.json()["id"])

    assert ask("a") == ask("a")
    assert len({ask("a"), ask("b"), ask(None), ask(None)}) == 4
    assert system.calls[0][1] == {"actor": "key:k-privacy", "idempotency": "a"}
    for bad in ("", " ", "x" * 256, "ümlaut".encode("latin-1")):
        answer = client.post("/api/v1/erasure-requests", json=ERASURE, headers={"Idempotency-Key": bad}, role="privacy")
        assert answer.status_code == 400, bad


def test_rows_travel_as_arrow(client: AppClient, system: FakeSystem) -> None:
    table = pa.table({"age": [30, 40, 50], "sex": ["f", None, "m"]})
    answer = client.post("/api/v1/datasets/credit.train/versions?mode=append&key=age", content=table_bytes(table), role="ingest")
    assert (answer.status_code, answer.json()["rows"]) == (201, 3)
    assert system.calls[-1][1] == {"name": "credit.train", "rows": 3, "mode": "append", "key": "age", "actor": "key:k-ingest"}
    assert client.post("/api/v1/datasets/credit.raw/versions", role="ingest").json()["rows"] == 0
    read = client.get("/api/v1/datasets/credit.train/versions/latest/rows", role="engineer")
    assert read.headers["content-type"] == ARROW
    assert table_of(read.content).column_names == ["govern_row_id", "age"]
    gone = client.get("/api/v1/datasets/credit.train/versions/0/rows", role="engineer")
    assert (gone.status_code, gone.json()["type"].rsplit("/", 1)[1]) == (410, "gone")


def test_what_is_not_arrow_is_refused(client: AppClient, system: FakeSystem) -> None:
    good = table_bytes(pa.table({"text": ["a", "bb", "ccc"]}))
    for bad in (b"not arrow", good[: len(good) // 2], b"\xff" * 64):
        assert client.post("/api/v1/datasets/d/versions", content=bad, role="ingest").status_code == 400
    assert client.post("/api/v1/datasets/d/versions?mode=upsert", content=good, role="ingest").status_code == 400
    assert system.calls == []


def test_a_snapshot_is_named_by_what_it_holds(client: AppClient) -> None:
    name = hashlib.sha256(b"code").hexdigest()
    assert client.request("PUT", f"/api/v1/snapshots/{name}", content=b"code", role="engineer").status_code == 201
    assert client.request("PUT", f"/api/v1/snapshots/{name}", content=b"code", role="engineer").status_code == 200
    assert client.request("PUT", f"/api/v1/snapshots/{name}", content=b"cod", role="engineer").status_code == 400
    assert client.request("PUT", f"/api/v1/snapshots/{name.upper()}", content=b"code", role="engineer").status_code == 400
    assert client.get(f"/api/v1/snapshots/{name}", role="auditor").content == b"code"
    assert client.get(f"/api/v1/snapshots/{'0' * 64}", role="auditor").status_code == 404


def test_a_hold_says_its_day_of_review_in_nanoseconds(client: AppClient, system: FakeSystem) -> None:
    url = "/api/v1/erasure-requests/er-1/hold"
    body = {"assets": ["model:credit-risk@1"], "ground": "litigation"}
    for given, kept in (("1970-01-02", 86_400 * 10**9), (5, 5), ("1970-01-01T00:00:01Z", 10**9)):
        assert client.post(url, json=body | {"review": given}, role="privacy").status_code == 200
        assert system.calls[-1][1]["body"] == {"asset": "model:credit-risk@1", "ground": "litigation", "review_at": kept}
    assert client.post(url, json=body | {"review": "soon"}, role="privacy").status_code == 400


def test_an_unknown_asset_holds_none_of_the_others(client: AppClient, system: FakeSystem) -> None:
    body = {"assets": ["dataset:credit.train", "dataset:nope", "model:credit-risk@1"], "ground": "litigation"}
    answer = client.post("/api/v1/erasure-requests/er-1/hold", json=body, role="privacy")
    assert (answer.status_code, answer.json()["hint"]) == (404, "govern erasure show er-1")
    assert system.calls == []
    body["assets"] = ["dataset:credit.train", "model:credit-risk@1", "dataset:credit.train"]
    assert client.post("/api/v1/erasure-requests/er-1/hold", json=body, role="privacy").status_code == 200
    assert [call["body"]["asset"] for _, call in system.calls] == ["dataset:credit.train", "model:credit-risk@1"]


def test_an_incident_closes_with_its_resolution(client: AppClient, system: FakeSystem) -> None:
    for body, passed in (({"resolution": "relabelled"}, {"reason": "relabelled"}), ({}, {})):
        assert client.post("/api/v1/incidents/in-1/close", json=body, role="engineer").status_code == 200
        assert system.calls[-1][1]["body"] == passed


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"5", 5),
        (b"12385419866126692094973268983808", 2**63 - 1),  # beyond 64 bits: the last instant there is, as in a query
        (b"-12385419866126692094973268983808", None),
        (b"1.5", None),
        (b"true", None),
        (b"1e400", None),
    ],
)
def test_a_time_in_a_body_is_read_as_in_a_query(sent: bytes, read: int | None) -> None:
    body = b'{"kind": "model-trace", "subject": "m", "known_at": ' + sent + b"}"
    try:
        value = orjson.loads(body)
    except ValueError:
        assert read is None
        return
    if read is None:
        with pytest.raises(InvalidBody, match="known_at"):
            checked("NewReport", value)
    else:
        assert checked("NewReport", value)["known_at"] == read


@pytest.mark.parametrize("name", ["anna@example.org", "+49 170 1", "Zoë Ñ", "deadbeef-4711-4000-8000-0123456789ab", "471108154700"])
def test_a_field_that_is_named_like_a_person_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(InvalidBody) as error:
        checked("NewErasure", {"subject": {"type": "email", "value": "x", name: 1}, name: 2})
    assert name not in error.value.message
    assert name not in str(error.value.fields)
    with pytest.raises(InvalidBody, match="surplus: is not a known field"):
        checked("NewErasure", {"subject": {"type": "email", "value": "x"}, "surplus": 2})
