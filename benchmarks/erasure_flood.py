"""Ten thousand unverified requests at a real server with its worker: no retrain, and who else asks it is answered within 50 ms (p99).

The requests are about the very people whom the served model was trained on, so that each of them, once verified and approved, would
replace it. Other callers meanwhile read a model, post a lineage event and ask for a prediction; the baseline is the same without a flood.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
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

REQUESTS = {"full": 10_000, "quick": 1_000}
CONNECTIONS = 4
QUIET_SECONDS = 8.0
PAUSE = 0.01
"""Seconds between two calls of the other callers: they are users, not a flood."""
P99_LIMIT = 50.0
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
            _probe(server, calls, lambda: False, most=50)  # the served model's process starts
            end = time.monotonic() + QUIET_SECONDS
            quiet = _probe(server, calls, lambda: time.monotonic() < end)
            before = _retrains(server)
            flooding = _Flood(server, count)
            loud = _probe(server, calls, flooding.running)
            flood = flooding.figures()
            time.sleep(2.0)  # whatever the flood might have started has begun by now
            started = _retrains(server) - before
            received = len(json.loads(server.get("/api/v1/erasure-requests?state=identity_pending&limit=1")[1])["requests"])
    if flood["errors"] or not received:
        yield Line(name="flood: unverified requests", value=0, unit="", baseline="", baseline_value=0, failed=f"{flood['errors']} errors")
        return
    rate = f"{count:,} in {flood['seconds']:.0f} s, {count / flood['seconds']:.0f} a second over {CONNECTIONS} connections"
    yield Line(
        name=f"flood: retrains that {count:,} unverified requests cause", value=started, unit="times", baseline="one by one",
        baseline_value=count, limit=0, note=rate,
    )  # fmt: skip
    for name in quiet:
        yield Line(
            name=f"flood: {name} meanwhile, p99", value=_p99(loud[name]), unit="ms", baseline="no flood", baseline_value=_p99(quiet[name]),
            limit=P99_LIMIT, note=f"p50 {statistics.median(loud[name]):.1f} ms over {len(loud[name]):,} calls",
        )  # fmt: skip


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
    server: Served, calls: dict[str, tuple[str, str, Callable[[], bytes | None]]], going: Callable[[], bool], *, most: int = 0
) -> dict[str, list[float]]:
    """Milliseconds of each call, one after the other on a connection of its own, while ``going()``, or ``most`` times."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    at = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=60)
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    rounds = 0
    while going() or rounds < most:
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
    """``python -m benchmarks.erasure_flood`` with the server's address on standard input."""

    def __init__(self, server: Served, count: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.erasure_flood"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=plain_environment(), cwd=Path(__file__).parents[1],
        )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"url": server.url, "key": server.key, "count": count}))
        self._process.stdin.close()

    def running(self) -> bool:
        return self._process.poll() is None

    def figures(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        figures: dict[str, Any] = json.loads(self._process.stdout.read())
        self._process.stdout.close()
        return figures


def _flood() -> None:
    asked = json.loads(sys.stdin.read())
    at, errors = urlsplit(asked["url"]), [0] * CONNECTIONS

    def send(mine: int) -> None:
        connection = http.client.HTTPConnection(str(at.hostname), at.port, timeout=60)
        for number in range(mine, asked["count"], CONNECTIONS):
            person = 1 + number % SUBJECTS
            body = json.dumps({"subject": {"type": "applicant", "value": str(person)}, "regulation": "GDPR", "ground": "Art. 17(1)"})
            headers = {"Authorization": f"Bearer {asked['key']}", "Content-Type": "application/json", "Idempotency-Key": f"flood-{number}"}
            connection.request("POST", "/api/v1/erasure-requests", body=body.encode(), headers=headers)
            answer = connection.getresponse()
            answer.read()
            errors[mine] += answer.status not in (201, 429)  # a limit on requests is an answer too
        connection.close()

    begin = time.perf_counter()
    threads = [threading.Thread(target=send, args=(mine,)) for mine in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"seconds": time.perf_counter() - begin, "errors": sum(errors)}))


if __name__ == "__main__":
    _flood()
