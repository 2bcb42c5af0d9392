"""The fast lane: it answers as the long way does, holds a bound on memory, and knows a revoked key at once."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import pytest

from governance.api.app import create_app
from governance.api.budget import Budget
from governance.api.fast import LANE_BYTES
from governance.registry.access import Access
from lineage.errors import Forbidden, StoreUnavailable
from tests.fakes.api_client import AppClient
from tests.fakes.api_facade import FakeSystem

EVENT = {"eventTime": "2026-11-20T10:00:00Z", "producer": "p", "run": {"runId": "r"}, "job": {"namespace": "n", "name": "j"}}
RAW = json.dumps(EVENT).encode()
OTHER = json.dumps(EVENT | {"producer": "q"}).encode()

REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/api/v1/lineage", {"content": RAW}),
    ("/api/v1/lineage/", {"content": RAW}),
    ("/lineage", {"content": b" " + RAW + b"\n"}),
    ("/", {"content": RAW}),
    ("/api/v1/lineage?x=1", {"content": RAW}),
    ("/api/v1/lineage", {"content": b""}),
    ("/api/v1/lineage", {"content": b"no"}),
    ("/api/v1/lineage", {"content": b"[]"}),
    ("/api/v1/lineage", {"content": b"[" + RAW + b"," + OTHER + b"]"}),
    ("/api/v1/lineage", {"content": b"[" + RAW + b",{}]"}),
    ("/api/v1/lineage", {"content": b"[{},1]"}),
    ("/api/v1/lineage", {"content": b"[" + RAW}),
    ("/api/v1/lineage", {"content": gzip.compress(RAW), "headers": {"Content-Encoding": "gzip"}}),
    ("/api/v1/lineage", {"content": b"plain", "headers": {"Content-Encoding": "gzip"}}),
    ("/api/v1/lineage", {"content": RAW, "headers": {"Content-Encoding": "br"}}),
    ("/api/v1/lineage", {"content": RAW, "headers": {"Idempotency-Key": ""}}),
    ("/api/v1/lineage", {"content": b" " * (LANE_BYTES + 1) + RAW}),
    ("/api/v1/lineage", {"content": RAW, "headers": {"Authorization": "Bearer nobody"}}),
    ("/api/v1/lineage", {"content": RAW, "headers": {"Authorization": "Bearer key-of-auditor"}}),
    ("/api/v1/lineage", {"content": RAW, "headers": {"Authorization": ""}}),
    ("/api/v1/lineage", {"content": RAW, "headers": {"Authorization": "Bearer key-of-ingest", "X-API-Key": "key-of-engineer"}}),
    ("/api/v1/lineage", {"content": RAW, "headers": {"Authorization": "", "X-API-Key": "key-of-ingest"}}),
    ("/api/v1/lineage/batch", {"content": b"[" + RAW + b",{}]"}),
    ("/api/v1/lineage/batch", {"content": b'{"events":[' + RAW + b"]}"}),
    ("/api/v1/lineage/batch", {"content": RAW + b"\n" + OTHER, "headers": {"Content-Type": "application/x-ndjson"}}),
    ("/api/v1/lineage/batch", {"content": b"[" + RAW + b"]", "headers": {"Prefer": "return=minimal"}}),
    ("/api/v1/lineage/batch", {"content": b"[" + RAW + b",{}]", "headers": {"Prefer": "return=minimal"}}),
    ("/api/v1/lineage/batch", {"content": b"{}"}),
    ("/api/v1/lineage/batch", {"content": b"[1] x"}),
]


@pytest.fixture(scope="module")
def both() -> list[tuple[FakeSystem, AppClient]]:
    systems = [FakeSystem(fast=True), FakeSystem(fast=False)]
    return [(system, AppClient(create_app(system))) for system in systems]


@pytest.mark.parametrize(("path", "more"), REQUESTS, ids=[f"{number}{path}" for number, (path, _) in enumerate(REQUESTS)])
def test_both_ways_answer_alike(both: list[tuple[FakeSystem, AppClient]], path: str, more: dict[str, Any]) -> None:
    headers = {"Authorization": "Bearer key-of-ingest"} | more.get("headers", {})
    answers = []
    for system, client in both:
        system.events.clear()
        system.calls.clear()
        answer = client.post(path, content=more["content"], headers=headers)
        shown = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
        answers.append((answer.status_code, answer.content, shown, sorted(system.events.values()), [call for call, _ in system.calls]))
    assert answers[0] == answers[1]


def post_all(app: Any, bodies: list[bytes]) -> list[httpx2.Response]:
    async def ask() -> list[httpx2.Response]:
        answers: list[Any] = [None] * len(bodies)
        async with (
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://t") as http,
            anyio.create_task_group() as group,
        ):

            async def one(number: int) -> None:
                answers[number] = await http.post("/api/v1/lineage", content=bodies[number], headers={"X-API-Key": "key-of-ingest"})

            for number in range(len(bodies)):
                group.start_soon(one, number)
        return answers

    return anyio.run(ask)


def test_what_waits_is_taken_together_and_each_is_told_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    system = FakeSystem(delay=0.01)
    sizes: list[int] = []
    plain = system.lineage.accept_many
    monkeypatch.setattr(system.lineage, "accept_many", lambda raws, actor: sizes.append(len(raws)) or plain(raws, actor=actor))
    bodies = [RAW.replace(b'"r"', b'"r%d"' % number) if number % 5 else b"no" for number in range(40)]
    answers = post_all(create_app(system), bodies)
    assert [answer.status_code for answer in answers] == [201 if number % 5 else 400 for number in range(40)]
    assert len(system.events) == 32
    assert max(sizes) > 5, "the posts were taken one by one"


def test_an_error_that_nobody_foresaw_is_its_own_event_s_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    system = FakeSystem()
    plain = system.lineage.accept_many

    def accept_many(raws: list[bytes], *, actor: Any) -> list[Any]:
        if any(b"poison" in raw for raw in raws):
            raise ZeroDivisionError
        return plain(raws, actor=actor)

    monkeypatch.setattr(system.lineage, "accept_many", accept_many)
    answers = post_all(create_app(system), [RAW, RAW.replace(b'"r"', b'"poison"'), OTHER])
    assert sorted(answer.status_code for answer in answers) == [201, 201, 500]
    assert len(system.events) == 2


def test_an_event_that_has_a_file_scanned_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    system = FakeSystem()
    release = threading.Event()
    plain = system.lineage.accept_many
    answered: list[bytes] = []

    def accept_many(raws: list[bytes], *, actor: Any) -> list[Any]:
        if any(b"landing" in raw for raw in raws):
            assert release.wait(10)
        answered.extend(raws)
        if len(answered) == 2:
            release.set()
        return plain(raws, actor=actor)

    monkeypatch.setattr(system.lineage, "accept_many", accept_many)
    monkeypatch.setattr(system.lineage, "scans", lambda raws: any(b"landing" in raw for raw in raws))
    landing = RAW.replace(b'"r"', b'"landing"')
    answers = post_all(create_app(system), [landing, RAW, OTHER])
    assert [answer.status_code for answer in answers] == [201] * 3
    assert answered[-1] == landing


def test_beyond_the_bound_on_memory_the_door_says_503_and_takes_events_again_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("governance.api.app.Budget", lambda: Budget(3 * len(RAW)))
    for fast in (True, False):
        system = FakeSystem(fast=fast, delay=0.3)
        app = create_app(system)
        answers = post_all(app, [RAW.replace(b'"r"', b'"%d"' % number) for number in range(8)])
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {201, 503}
        assert 3 <= statuses.count(201) < 8
        refused = answers[statuses.index(503)]
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["type"].endswith("unavailable")
        assert len(system.events) == statuses.count(201)
        assert AppClient(app).post("/lineage", content=RAW, role="ingest").status_code == 201
        bomb = gzip.compress(b" " * 100 * len(RAW) + RAW)
        assert AppClient(app).post("/lineage", content=bomb, headers={"Content-Encoding": "gzip"}, role="ingest").status_code == 503


def test_a_revoked_key_is_not_known_from_the_moment_of_its_revocation(
    open_ledger: Callable[..., Any], memory_keys: Any, ticking_clock: Any
) -> None:
    from governance.registry.acts import reduce_entry

    ledger = open_ledger(reducer=reduce_entry)
    access = Access(ledger, memory_keys, ticking_clock, installation="i", origin="o", certificate=bytes)
    kept, lost = (access.create(name, ["ingest"]) for name in ("kept", "lost"))
    assert access.known(lost["api_key"]) is None
    who = access.authenticate(lost["api_key"])
    access.authenticate(kept["api_key"])
    assert access.known(lost["api_key"]) == who
    assert access.known(lost["api_key"] + "x") is None
    access.revoke(lost["id"], actor="key:a")
    assert access.known(lost["api_key"]) is None
    assert access.known(kept["api_key"]) is None, "all are asked again after a revocation"
    with pytest.raises(Forbidden):
        access.authenticate(lost["api_key"])
    assert access.authenticate(kept["api_key"]) == access.known(kept["api_key"])


def test_a_key_that_is_revoked_while_it_is_checked_does_not_become_known(
    open_ledger: Callable[..., Any], memory_keys: Any, ticking_clock: Any
) -> None:
    from governance.registry.acts import reduce_entry

    ledger = open_ledger(reducer=reduce_entry)
    access = Access(ledger, memory_keys, ticking_clock, installation="i", origin="o", certificate=bytes)
    made = access.create("lost", ["ingest"])
    plain = ledger.record

    def record(kind: str, ident: str) -> Any:
        found = plain(kind, ident)
        if kind == "key" and not revoking:
            revoking.append(True)
            access.revoke(ident, actor="key:a")
        return found

    revoking: list[bool] = []
    ledger.record = record
    access.authenticate(made["api_key"])  # it was looked up while it lived
    assert access.known(made["api_key"]) is None


def test_a_budget_counts_what_is_held() -> None:
    budget = Budget(10)
    assert budget.take(6)
    assert not budget.take(5)
    assert budget.take(4)
    budget.give(6)
    assert (budget.used, budget.take(6)) == (4, True)
    assert isinstance(budget.full(), StoreUnavailable)


def test_the_thread_of_the_lane_ends_when_idle_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("governance.api.fast_queue._IDLE_SECONDS", 0.05)
    app = create_app(FakeSystem())
    for _ in range(3):
        assert AppClient(app).post("/lineage", content=RAW, role="ingest").status_code == 201
        end = time.monotonic() + 5
        while app._intake._running and time.monotonic() < end:
            time.sleep(0.02)
        assert not app._intake._running
