"""Unverified requests have limits: what a flood is told, what nobody else notices, and that the clock alone opens the door again."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.api import create_app
from governance.api.admission import BURST_SECONDS, MOST_WAITING, Admission, Bucket
from governance.api.metrics import Metrics
from governance.api.table import ROUTES
from governance.errors import TooMany
from governance.settings import Settings
from lineage.errors import BadInput
from tests.fakes.api_client import AppClient
from tests.fakes.api_facade import FakeSystem

ASK = "/api/v1/erasure-requests"
BODY = {"subject": {"type": "applicant", "value": "17"}, "regulation": "GDPR"}
BY_PATH = {(route.method, route.path): route for route in ROUTES}
INTAKE = BY_PATH["POST", ASK]


class Seconds:
    """A clock that goes forward when it is told to."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def system() -> FakeSystem:
    return FakeSystem()


@pytest.fixture
def app(system: FakeSystem, seconds: Seconds) -> Any:
    return create_app(system, Admission(rate=1, rate_of_all=2, now=seconds, pause=0))


@pytest.fixture
def client(app: Any) -> AppClient:
    return AppClient(app)


def asks(client: AppClient, role: str = "privacy") -> httpx2.Response:
    return client.post(ASK, role=role, json=BODY)


def entered(system: FakeSystem) -> int:
    return sum(name == "erasures.request" for name, _ in system.calls)


# ── at the door ─────────────────────────────────────────────────────────────────────────────────
def test_beyond_the_limit_a_request_is_told_when_to_come_again_and_nothing_is_kept(client, system, seconds) -> None:
    assert [asks(client).status_code for _ in range(BURST_SECONDS)] == [201] * BURST_SECONDS
    told = asks(client)
    assert (told.status_code, told.headers["retry-after"], told.headers["content-type"]) == (429, "1", "application/problem+json")
    assert told.json()["type"].endswith("problems/too-many")
    assert "GOVERN_INTAKE_RATE" in told.json()["detail"]
    assert '"17"' not in told.text
    assert entered(system) == BURST_SECONDS
    seconds.at += 0.9
    assert asks(client).status_code == 429
    seconds.at += 0.2
    assert (asks(client).status_code, asks(client).status_code) == (201, 429)
    assert entered(system) == BURST_SECONDS + 1


def test_one_key_that_runs_wild_leaves_room_for_another_until_the_limit_of_all(client) -> None:
    while asks(client).status_code == 201:
        pass
    assert [asks(client, "admin").status_code for _ in range(BURST_SECONDS)] == [201] * BURST_SECONDS
    third = client.post("/opendsr/v2/requests", role="controller", content=b"{}")
    assert third.status_code == 429
    assert "all keys" in third.json()["detail"]


def test_verified_work_many_in_one_body_and_every_other_route_know_no_limit(client) -> None:
    while asks(client).status_code == 201:
        pass
    assert {route.path for route in ROUTES if route.pool == "intake"} == {ASK, "/opendsr/v2/requests"}
    for _ in range(3 * BURST_SECONDS):
        assert client.get(f"{ASK}/er-1", role="privacy").status_code == 200
    assert client.post(f"{ASK}/er-1/verify", role="privacy", json={"method": "passport"}).status_code == 200
    lines = b'{"type":"applicant","value":"1"}\n'
    sent = client.post(f"{ASK}/batch", role="privacy", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert sent.status_code == 200, sent.text


def test_who_may_not_ask_takes_nothing_from_who_may(client, system) -> None:
    for _ in range(3 * BURST_SECONDS):
        assert asks(client, "auditor").status_code == 403
        assert client.post(ASK, json=BODY).status_code == 401
    assert asks(client).status_code == 201
    assert entered(system) == 1


def test_the_operator_sees_what_was_refused_and_is_told_once_a_minute(client, seconds, caplog) -> None:
    before = client.get("/metrics", role="admin").text
    assert 'govern_intake_refused_total{limit="key"} 0.0' in before
    while asks(client).status_code == 201:
        pass
    assert asks(client).status_code == 429
    after = client.get("/metrics", role="admin").text
    assert 'govern_intake_refused_total{limit="key"} 2.0' in after
    said = [one for one in caplog.records if "told to come again" in one.message]
    assert [one.levelname for one in said] == ["WARNING"]
    seconds.at += 61
    while asks(client).status_code == 201:
        pass
    assert sum("told to come again" in one.message for one in caplog.records) == 2


def test_requests_are_entered_one_after_the_other_while_others_are_answered(system) -> None:
    at_once, most, lock, free = 0, 0, threading.Lock(), threading.Event()

    def slow(body: Any, *, actor: str, idempotency: str | None) -> dict[str, Any]:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        free.wait(10)
        with lock:
            at_once -= 1
        return {"id": "er-1", "state": "received"}

    system.erasures.request = slow
    app = create_app(system)

    async def work() -> tuple[list[int], int]:
        answers: list[int] = []
        three = anyio.Event()
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http, anyio.create_task_group() as group:

            async def ask() -> None:
                answers.append((await http.post(ASK, json=BODY, headers={"X-API-Key": "key-of-privacy"})).status_code)
                if len(answers) == 3:
                    three.set()

            for _ in range(MOST_WAITING + 3):
                group.start_soon(ask)
            await three.wait()  # what does not fit any more is answered at once
            seen = (await http.get("/api/v1/models/credit-risk", headers={"X-API-Key": "key-of-auditor"})).status_code
            free.set()
        return answers, seen

    begin = time.monotonic()
    answers, seen = anyio.run(work)
    assert time.monotonic() - begin < 10, "the read waited for the requests"
    assert seen == 200
    assert (answers[:3], sorted(answers[3:])) == ([429] * 3, [201] * MOST_WAITING)
    assert most == 1


def test_a_refusal_is_held_back_and_nobody_else_with_it(system, seconds) -> None:
    app = create_app(system, Admission(rate=1, rate_of_all=1, now=seconds, pause=3600))
    key = {"X-API-Key": "key-of-admin"}

    async def work() -> list[int]:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http, anyio.create_task_group() as group:
            for _ in range(BURST_SECONDS):
                assert (await http.post(ASK, json=BODY, headers=key)).status_code == 201
            answered: list[int] = []

            async def ask() -> None:
                answered.append((await http.post(ASK, json=BODY, headers=key)).status_code)

            group.start_soon(ask)
            with anyio.fail_after(30):
                while 'refused_total{limit="key"} 1.0' not in (await http.get("/metrics", headers=key)).text:
                    assert (await http.get(f"{ASK}/er-1", headers=key)).status_code == 200
            group.cancel_scope.cancel()
        return answered

    assert anyio.run(work) == []


# ── the limits themselves ───────────────────────────────────────────────────────────────────────
def test_who_finds_the_queue_full_is_refused_and_a_place_is_free_again(seconds) -> None:
    door, refused = Admission(now=seconds), list[str]()
    with ExitStack() as stack:
        for _ in range(MOST_WAITING):
            stack.enter_context(door.queued(INTAKE, refused.append))
        with pytest.raises(TooMany, match="wait to be entered") as told, door.queued(INTAKE, refused.append):
            pytest.fail("one more was let in")
        assert (told.value.retry_after, refused) == (1, ["waiting"])
        with door.queued(BY_PATH["GET", "/healthz"], refused.append):
            pass
    with door.queued(INTAKE, refused.append):
        pass
    assert refused == ["waiting"]


def test_a_clock_that_was_set_back_gives_nothing_and_takes_nothing(seconds) -> None:
    bucket = Bucket(rate=2, most=20, tokens=3, at=100.0)
    assert bucket.later(90.0) == bucket
    assert bucket.later(101.0).tokens == 5
    assert bucket.later(10_000.0).tokens == 20


@given(
    gaps=st.lists(st.floats(min_value=0, max_value=5), min_size=1, max_size=80),
    rate=st.integers(min_value=1, max_value=5),
    keys=st.integers(min_value=1, max_value=3),
)
def test_never_more_than_the_burst_and_the_rate_whatever_the_times(gaps: list[float], rate: int, keys: int) -> None:
    seconds = Seconds()
    door, begin = Admission(rate=rate, rate_of_all=2 * rate, now=seconds), seconds.at
    taken = dict.fromkeys(range(keys), 0)
    for number, gap in enumerate(gaps):
        seconds.at += gap
        key = number % keys
        try:
            door.admit(INTAKE, f"key:{key}", lambda _name: None)
        except TooMany as told:
            seconds.at += told.retry_after  # it was told enough
            door.admit(INTAKE, f"key:{key}", lambda _name: None)
        taken[key] += 1
        most = rate * (BURST_SECONDS + seconds.at - begin)
        assert taken[key] <= most + 1e-6
        assert sum(taken.values()) <= 2 * most + 1e-6


def test_a_key_that_was_away_for_long_is_forgotten_and_nobody_else(seconds) -> None:
    door = Admission(rate=1, rate_of_all=10_000, now=seconds)
    for number in range(3_000):
        door.admit(INTAKE, f"key:{number}", lambda _name: None)
        seconds.at += 0.01
    assert len(door._keys) <= 1_025
    for _ in range(BURST_SECONDS - 1):
        door.admit(INTAKE, "key:2999", lambda _name: None)
    with pytest.raises(TooMany):
        door.admit(INTAKE, "key:2999", lambda _name: None)


def test_the_settings_have_names_and_ranges() -> None:
    read = Settings.read({"GOVERN_INTAKE_RATE": "5", "GOVERN_INTAKE_RATE_OF_ALL": "100"})
    assert (read.intake_rate, read.intake_rate_of_all) == (5, 100)
    assert (Settings.read({}).intake_rate, Settings.read({}).intake_rate_of_all) == (20, 40)
    for wrong in ("0", "-1", "ten", "10001"):
        with pytest.raises(BadInput, match="GOVERN_INTAKE_RATE"):
            Settings.read({"GOVERN_INTAKE_RATE": wrong})


def test_the_limits_stand_in_the_metrics_before_the_first_refusal(system) -> None:
    text = Metrics(system).render()[0].decode()
    assert all(f'govern_intake_refused_total{{limit="{name}"}} 0.0' in text for name in ("key", "all", "waiting"))
