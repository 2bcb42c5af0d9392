"""Ten thousand unverified requests at a real server with its worker: no retrain, and who else asks it is answered within 50 ms (p99).

The requests are about the very people whom the served model was trained on, so that each of them, once verified and approved, would
replace it. Other callers meanwhile read a model, post a lineage event and ask for a prediction; the baseline is the same without a flood.

The flood is one process with one thread and a few keep-alive connections, which sends the next request when the last was answered and does
not wait when it is told to: the worst that one caller can do, at the least that it costs the processor it shares with the server. What the
server and a client reach together without any work behind them (``/healthz`` in place of the request) is measured in the same run.
"""

from __future__ import annotations

import http.client
import json
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from benchmarks.lineage_events import training_events
from benchmarks.lineage_server import Served, served
from benchmarks.measure import CommandFailed, Line, plain_environment
from governance.cli.demo.river import River
from governance.cli.demo.story import Story
from governance.cli.demo.world import World
from lineage.errors import GovernError

__all__ = ["measure"]

REQUESTS = {"full": 10_000, "quick": 3_000}
BARE = 2_000
"""Requests to ``/healthz`` by the same client."""
CONNECTIONS = 4
QUIET_SECONDS = 8.0
PAUSE = 0.01
"""Seconds between two calls of the other callers: they are users, not a flood."""
P99_LIMIT = 50.0
INTAKE = "/api/v1/erasure-requests"
SUBJECTS = 1_000


def measure(job: Any) -> Iterator[Line]:
    """A home with a model that serves, and its worker; a quiet stretch, then the flood."""
    count = REQUESTS.get(getattr(getattr(job, "sizes", None), "name", "full"), REQUESTS["full"])
    with ExitStack() as stack:
        folder = Path(getattr(job, "folder", None) or stack.enter_context(tempfile.TemporaryDirectory(prefix="govern-bench-")))
        try:
            home, key = _home(folder)
        except GovernError as error:
            yield Line(name="flood: the home", value=0, unit="", baseline="", baseline_value=0, failed=error.message[-300:])
            return
        with served(home, key, worker=True) as server:
            calls = _calls(server)
            _probe(server, calls, lambda: False, least=50)  # the served model's process starts
            end = time.monotonic() + QUIET_SECONDS
            quiet = _probe(server, calls, lambda: time.monotonic() < end)
            bare = _Flood(server, BARE, path="/healthz").figures()
            before, cpu = _retrains(server), server.cpu()
            flooding = _Flood(server, count)
            loud = _probe(server, calls, flooding.running, least=2)
            flood = flooding.figures()
            cpu = server.cpu() - cpu
            time.sleep(2.0)  # whatever the flood might have started has begun by now
            started = _retrains(server) - before
            pending = _pending(server)
    accepted, later = flood["statuses"].get("201", 0), flood["statuses"].get("429", 0)
    if accepted + later != count or not accepted or pending != accepted:
        failed = f"answers {flood['statuses']} to {count:,} requests, of which {pending:,} wait for proof of identity"
        yield Line(name="flood: unverified requests", value=0, unit="", baseline="", baseline_value=0, failed=failed)
        return
    yield Line(
        name=f"flood: retrains that {count:,} unverified requests cause", value=started, unit="times", baseline="one by one",
        baseline_value=count, limit=0,
        note=f"{accepted:,} entered, {later:,} told to come again, none lost; {flood['seconds']:.0f} s, {cpu:.1f} s of server cpu",
    )  # fmt: skip
    yield Line(
        name="flood: requests answered", value=count / flood["seconds"], unit="/s", baseline="/healthz",
        baseline_value=BARE / bare["seconds"], note=f"{CONNECTIONS} connections of one client",
    )  # fmt: skip
    for name in quiet:
        yield Line(
            name=f"flood: {name} meanwhile, p99", value=_p99(loud[name]), unit="ms", baseline="no flood", baseline_value=_p99(quiet[name]),
            limit=P99_LIMIT, note=f"p50 {statistics.median(loud[name]):.1f} ms over {len(loud[name]):,} calls",
        )  # fmt: skip


def _pending(server: Served) -> int:
    """How many requests wait for proof of identity, page by page."""
    found, after = 0, ""
    while True:
        page = json.loads(server.get(f"/api/v1/erasure-requests?state=identity_pending&limit=1000{after}")[1])
        found += len(page["requests"])
        if not page["next"]:
            return found
        after = f"&cursor={page['next']}"


# ── the home ────────────────────────────────────────────────────────────────────────────────────
def _home(folder: Path) -> tuple[Path, str]:
    """A home in which the example's model serves, made as the demo makes it, and its admin's key."""
    world = World(folder / "demo")
    river = River(world, Story(silent=True), model="credit-risk", dp=False)
    river.start()
    with world.server():
        for step in (river.keys, river.data, river.train, river.judge, river.release):
            step()
    return world.home, world.keys["admin"]


def _retrains(server: Served) -> int:
    """How many versions there are of all models: each retrain makes one."""
    models = json.loads(server.get("/api/v1/models")[1])["models"]
    return sum(int(model["latest"]) for model in models)


def _calls(server: Served) -> dict[str, tuple[str, str, Callable[[], bytes | None]]]:
    """What other callers do: name → (method, path, body)."""
    inputs = json.loads(server.get("/v2/models/credit-risk")[1])["inputs"]
    row = pa.ipc.open_stream(server.get("/api/v1/datasets/credit.test/versions/latest/rows")[1]).read_all().slice(0, 1).to_pylist()[0]
    tensors = [{"name": one["name"], "datatype": one["datatype"], "shape": [1], "data": [row[one["name"]]]} for one in inputs]
    predict = json.dumps({"inputs": tensors}).encode()
    events = iter(training_events(20_000, prefix="probe"))
    return {
        "a model is read": ("GET", "/api/v1/models/credit-risk", lambda: None),
        "an event is posted": ("POST", "/api/v1/lineage", lambda: next(events)),
        "a prediction is asked": ("POST", "/v2/models/credit-risk/infer", lambda: predict),
    }


# ── the other callers ───────────────────────────────────────────────────────────────────────────
def _probe(
    server: Served, calls: dict[str, tuple[str, str, Callable[[], bytes | None]]], going: Callable[[], bool], *, least: int = 0
) -> dict[str, list[float]]:
    """Milliseconds of each call, one after the other on a connection of its own, while ``going()``, and at least ``least`` times."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    at = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=60)
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    rounds = 0
    while going() or rounds < least:
        rounds += 1
        for name, (method, path, body) in calls.items():
            sent = body()
            begin = time.perf_counter()
            connection.request(method, path, body=sent, headers=headers)
            answer = connection.getresponse()
            said = answer.read()
            took[name].append(1e3 * (time.perf_counter() - begin))
            if answer.status >= 400:
                raise CommandFailed(f"{method} {path} answers {answer.status}: {said[:200]!r}")
            time.sleep(PAUSE)
    connection.close()
    return took


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


# ── the flood, in a process of its own ──────────────────────────────────────────────────────────
class _Flood:
    """``python -m benchmarks.erasure_flood`` with the server's address on standard input; ``path`` is where it asks."""

    def __init__(self, server: Served, count: int, path: str = INTAKE) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.erasure_flood"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=plain_environment(), cwd=Path(__file__).parents[1],
        )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"url": server.url, "key": server.key, "count": count, "path": path}))
        self._process.stdin.close()

    def running(self) -> bool:
        return self._process.poll() is None

    def figures(self) -> dict[str, Any]:
        """``seconds`` from the first request to the last answer, and ``statuses``: how many answers of each."""
        assert self._process.stdout is not None
        figures: dict[str, Any] = json.loads(self._process.stdout.read())
        self._process.stdout.close()
        self._process.wait()
        return figures


def _flood() -> None:
    asked = json.loads(sys.stdin.read())
    statuses: Counter[str] = Counter()
    begin = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        numbers = iter(range(asked["count"]))
        for _ in range(CONNECTIONS):
            one = _Connection(asked)
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.send(next(numbers))
        while selector.get_map():
            for key, _events in selector.select(60.0):
                status = key.data.answer()
                if status is None:
                    continue
                statuses[status] += 1
                number = next(numbers, None)
                if number is not None:
                    key.data.send(number)
                else:
                    selector.unregister(key.fileobj)
                    key.data.socket.close()
    print(json.dumps({"seconds": time.perf_counter() - begin, "statuses": statuses}))


class _Connection:
    """A keep-alive connection with one request under way: bytes out, a status in."""

    def __init__(self, asked: dict[str, Any]) -> None:
        at = urlsplit(asked["url"])
        self.socket = socket.create_connection((str(at.hostname), at.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._path = asked["path"]
        self._head = f"Host: {at.netloc}\r\nAuthorization: Bearer {asked['key']}\r\nContent-Type: application/json\r\n"
        self._got = b""

    def send(self, number: int) -> None:
        if self._path != INTAKE:
            self.socket.sendall(f"GET {self._path} HTTP/1.1\r\n{self._head}\r\n".encode())
            return
        person = str(1 + number % SUBJECTS)
        body = json.dumps({"subject": {"type": "applicant", "value": person}, "regulation": "GDPR", "ground": "Art. 17(1)"})
        more = f"Idempotency-Key: flood-{number}\r\nContent-Length: {len(body)}\r\n"
        self.socket.sendall(f"POST {self._path} HTTP/1.1\r\n{self._head}{more}\r\n{body}".encode())

    def answer(self) -> str | None:
        """The status, once the whole answer is here."""
        part = self.socket.recv(65_536)
        if not part:
            raise CommandFailed("the server closed a connection of the flood")
        self._got += part
        head, end, body = self._got.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not end or length is None or len(body) < int(length[1]):
            return None
        self._got = b""
        return head.split(b" ", 2)[1].decode()


if __name__ == "__main__":
    _flood()
