"""The server on a real socket: the official OpenLineage client, many at once, a taken port, signals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpCompression, HttpConfig, HttpTransport
from openlineage.client.uuid import generate_new_uuid
from requests.exceptions import HTTPError

from governance.api.server import GRACE_SECONDS, bind, run
from lineage.errors import BadInput, Conflict, StoreUnavailable
from tests.fakes.api_facade import FakeSystem

pytestmark = pytest.mark.integration

EVENT = {"eventTime": "2026-11-20T10:00:00Z", "producer": "p", "run": {"runId": "r"}, "job": {"namespace": "n", "name": "j"}}
INGEST = {"Authorization": "Bearer key-of-ingest"}


class Running:
    """A server in a thread of this process."""

    def __init__(self, system: FakeSystem) -> None:
        self.system = system
        self.ready = threading.Event()
        self.stop = threading.Event()
        self.url = ""
        self.sock = bind("127.0.0.1", 0)
        self.thread = threading.Thread(target=run, args=(system, self.sock), kwargs={"on_ready": self._ready, "stop": self.stop})
        self.thread.start()
        assert self.ready.wait(30)

    def _ready(self, url: str) -> None:
        self.url = url
        self.ready.set()

    def close(self) -> None:
        self.stop.set()
        self.thread.join(10)
        self.sock.close()
        assert not self.thread.is_alive()


@pytest.fixture
def server() -> Iterator[Running]:
    running = Running(FakeSystem())
    yield running
    running.close()


def emit(url: str, key: str, *, compression: HttpCompression | None = None, name: str = "train") -> None:
    auth = ApiKeyTokenProvider({"apiKey": key})
    client = OpenLineageClient(transport=HttpTransport(HttpConfig(url=url, auth=auth, compression=compression)))
    event = RunEvent(
        eventType=RunState.COMPLETE,
        eventTime="2026-11-20T10:00:00+00:00",
        run=Run(runId=str(generate_new_uuid())),
        job=Job(namespace="ml", name=name),
        producer="https://example.com/producer",
        inputs=[],
        outputs=[],
    )
    client.emit(event)
    client.close()


@pytest.mark.parametrize("compression", [None, HttpCompression.GZIP])
def test_the_unmodified_openlineage_client_delivers(server: Running, compression: HttpCompression | None) -> None:
    emit(server.url, "key-of-ingest", compression=compression)
    emit(server.url + "/", "key-of-engineer", compression=compression)
    events = [json.loads(raw) for raw in server.system.events.values()]
    assert [event["job"]["name"] for event in events] == ["train", "train"]
    assert {event["eventType"] for event in events} == {"COMPLETE"}


def test_the_openlineage_client_hears_of_a_wrong_key(server: Running) -> None:
    with pytest.raises(HTTPError, match="401"):
        emit(server.url, "key-of-nobody")
    with pytest.raises(HTTPError, match="403"):
        emit(server.url, "key-of-auditor")
    assert server.system.events == {}


def test_the_openlineage_client_sends_again_after_a_503(server: Running) -> None:
    server.system.broken = StoreUnavailable("the disk is full")
    healed = threading.Timer(0.5, lambda: setattr(server.system, "broken", None))
    healed.start()
    emit(server.url, "key-of-ingest")
    healed.join()
    assert len(server.system.events) == 1


def test_a_hundred_requests_at_once_are_all_answered(server: Running) -> None:
    server.system.delay = 0.05

    client = httpx2.Client(base_url=server.url, headers=INGEST, timeout=30, limits=httpx2.Limits(max_connections=100))

    def post(number: int) -> int:
        return client.post("/api/v1/lineage", content=json.dumps(EVENT | {"run": {"runId": str(number)}})).status_code

    started = time.monotonic()
    with client, ThreadPoolExecutor(100) as pool:
        statuses = list(pool.map(post, range(100)))
    assert statuses == [201] * 100
    assert len(server.system.events) == 100
    assert time.monotonic() - started < 30


def test_slow_predictions_do_not_delay_an_acknowledgement(server: Running) -> None:
    release = threading.Event()
    plain = server.system.serving.infer

    def slow(*args: object, **kwargs: object) -> object:
        assert release.wait(30)
        return plain(*args, **kwargs)  # type: ignore[arg-type]

    server.system.serving.infer = slow  # type: ignore[method-assign,assignment]
    body = {"inputs": [{"name": "age", "shape": [1], "datatype": "INT64", "data": [1]}]}
    client = httpx2.Client(base_url=server.url, timeout=30, limits=httpx2.Limits(max_connections=100))

    def predict() -> int:
        return client.post("/v2/models/credit-risk/infer", json=body, headers={"X-API-Key": "key-of-predict"}).status_code

    with client, ThreadPoolExecutor(40) as pool:
        slow_ones = [pool.submit(predict) for _ in range(40)]
        time.sleep(0.3)
        assert httpx2.post(f"{server.url}/api/v1/lineage", content=json.dumps(EVENT), headers=INGEST, timeout=4).status_code == 201
        assert httpx2.get(f"{server.url}/healthz", timeout=4).status_code == 200
        release.set()
        assert [one.result() for one in slow_ones] == [200] * 40


def test_the_server_names_no_software_and_speaks_json(server: Running) -> None:
    answer = httpx2.get(f"{server.url}/healthz")
    assert "server" not in answer.headers
    assert answer.json() == {"status": "ok"}


def test_raw_nonsense_does_not_end_the_server(server: Running) -> None:
    host, port = server.sock.getsockname()
    for junk in (
        b"\x00" * 64,
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"POST /lineage HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000,
    ):
        with socket.create_connection((host, port), timeout=5) as sock:
            try:
                sock.sendall(junk)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(4096)
            except OSError:
                pass  # the server may hang up on nonsense at any byte
    assert httpx2.get(f"{server.url}/healthz").status_code == 200


def test_a_body_that_pauses_too_long_is_a_408_and_one_that_keeps_coming_is_not(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("governance.api.app.IDLE_SECONDS", 0.5)
    raw = json.dumps(EVENT).encode()
    head = f"POST /api/v1/lineage HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-of-ingest\r\nContent-Length: {len(raw)}\r\n\r\n".encode()
    with socket.create_connection(server.sock.getsockname(), timeout=10) as sock:
        sock.sendall(head + raw[:10])
        assert sock.recv(4096).startswith(b"HTTP/1.1 408 ")
    with socket.create_connection(server.sock.getsockname(), timeout=10) as sock:
        sock.sendall(head)
        for at in range(0, len(raw), 40):
            sock.sendall(raw[at : at + 40])
            time.sleep(0.2)
        assert sock.recv(4096).startswith(b"HTTP/1.1 201 ")


def test_a_caller_that_hangs_up_leaves_nothing_behind(server: Running) -> None:
    head = b"POST /api/v1/lineage HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-of-ingest\r\nContent-Length: 1000\r\n\r\n{"
    with socket.create_connection(server.sock.getsockname(), timeout=10) as sock:
        sock.sendall(head)
    assert httpx2.get(f"{server.url}/healthz").status_code == 200
    assert server.system.events == {}


def test_a_url_that_cannot_be_told_ends_the_server() -> None:
    def refuse(url: str) -> None:
        raise StoreUnavailable(f"cannot write {url}")

    with bind("127.0.0.1", 0) as sock, pytest.raises(StoreUnavailable, match="cannot write http"):
        run(FakeSystem(), sock, on_ready=refuse)


def test_a_taken_port_a_wrong_host_and_a_wrong_port_are_told() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"port {port} on 127.0.0.1 is taken") as caught:
            bind("127.0.0.1", port)
        assert "--port" in str(caught.value.hint)
    with pytest.raises(BadInput, match="cannot listen"):
        bind("192.0.2.1", 0)
    with pytest.raises(BadInput, match="65535"):
        bind("127.0.0.1", 70_000)


PROGRAM = """
import sys
from pathlib import Path
from types import ModuleType
from tests.fakes.api_facade import FakeSystem

class Owned(FakeSystem):
    def __enter__(self):
        return self
    def __exit__(self, *_):
        hang = {hang}
        if hang:
            import time
            time.sleep(60)
        Path({mark!r}).write_text("closed")

wiring = ModuleType("governance.wiring")
wiring.open_system = lambda home, worker, owned: Owned(delay={delay})
sys.modules["governance.wiring"] = wiring
from governance.api.server import serve
serve(Path("."), port=0, json_output=True)
"""


@contextlib.contextmanager
def started(mark: Path, *, delay: float = 0.0, hang: bool = False) -> Iterator[tuple[subprocess.Popen[str], str]]:
    program = PROGRAM.format(mark=str(mark), delay=delay, hang=hang)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, str(json.loads(process.stdout.readline())["url"])
        finally:
            process.kill()


@pytest.mark.parametrize("sig", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_finishes_what_is_being_answered_and_closes_the_home(tmp_path: Path, sig: signal.Signals) -> None:
    with (
        started(tmp_path / "closed", delay=1.0) as (process, url),
        ThreadPoolExecutor(1) as pool,
        httpx2.Client(base_url=url, timeout=10) as client,
    ):
        client.get("/healthz")
        under_way = pool.submit(lambda: client.post("/api/v1/lineage", content=json.dumps(EVENT), headers=INGEST).status_code)
        time.sleep(0.5)
        signalled = time.monotonic()
        os.kill(process.pid, sig)
        assert under_way.result() == 201
        out, err = process.communicate(timeout=10)
        assert time.monotonic() - signalled < GRACE_SECONDS
        assert process.returncode == 0, err
        assert (tmp_path / "closed").read_text() == "closed"
        assert out == ""
        assert "posts of events acknowledged: 1" in err


def test_a_home_that_hangs_in_closing_is_left_within_the_grace(tmp_path: Path) -> None:
    with started(tmp_path / "closed", hang=True) as (process, _url):
        signalled = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        _out, err = process.communicate(timeout=30)
        assert time.monotonic() - signalled < GRACE_SECONDS + 1
        assert process.returncode == 1
        assert "closing the home hangs" in err
        assert not (tmp_path / "closed").exists()
