"""How long a person waits: `govern --help`, and a cold `govern trace` of both kinds, beside a Python that does nothing."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import CommandFailed, Line, Took, command, plain_environment

GOVERN = Path(sys.executable).with_name("govern")
HELP_LIMIT = 0.4
TRACE_LIMIT = 1.0
TIMES = 7
START_TIMEOUT = 60.0
RUN = "01890a5d-ac96-774b-bcce-b302099a8057"
EVENT = {
    "eventTime": "2026-01-01T00:00:00Z",
    "eventType": "COMPLETE",
    "producer": "https://example.com/bench",
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    "run": {"runId": RUN},
    "job": {"namespace": "bench", "name": "job"},
    "inputs": [{"namespace": "bench", "name": f"in{n}"} for n in range(3)],
    "outputs": [{"namespace": "bench", "name": "out"}],
}


def run() -> Iterator[Line]:
    """Start of Python, of the help, of a trace that opens the home itself, and of one against a server."""
    base = command([sys.executable, "-c", ""], times=TIMES)
    yield _line("start: govern --help", ["--help"], base, HELP_LIMIT, plain_environment())
    trace = ["trace", "--run", RUN, "--json"]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        here = plain_environment(GOVERN_HOME=str(home))
        try:
            made = json.loads(command([str(GOVERN), "init", "--home", str(home), "--json"], environment=plain_environment()).said)
            (home / "event.json").write_text(json.dumps(EVENT))
            command([str(GOVERN), "ingest", str(home / "event.json")], environment=here)
        except (CommandFailed, ValueError) as error:
            yield _failed("start: cold govern trace", base, error)
            return
        yield _line("start: cold govern trace, the home opened", trace, base, TRACE_LIMIT, here)
        yield from _served(home, made["api_key"], trace, base)


def _served(home: Path, key: str, trace: list[str], base: Took) -> Iterator[Line]:
    name = "start: cold govern trace over HTTP"
    server = subprocess.Popen(
        [str(GOVERN), "serve", "--home", str(home), "--port", "0", "--json"],
        env=plain_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield _line(name, trace, base, TRACE_LIMIT, plain_environment(GOVERN_URL=_url(server), GOVERN_API_KEY=key))
    except (CommandFailed, ValueError, KeyError) as error:
        yield _failed(name, base, error)
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        if server.stdout is not None:
            server.stdout.close()


def _url(server: subprocess.Popen[bytes]) -> str:
    """The URL in the server's one line of JSON."""
    stream = server.stdout
    if stream is None or not select.select([stream], [], [], START_TIMEOUT)[0]:
        raise CommandFailed(f"govern serve said nothing for {START_TIMEOUT:g} s")
    line = stream.readline()
    if not line:
        raise CommandFailed(f"govern serve ended with status {server.wait(10)}")
    return str(json.loads(line)["url"])


def _line(name: str, args: list[str], base: Took, limit: float, environment: dict[str, str]) -> Line:
    try:
        took = command([str(GOVERN), *args], times=TIMES, environment=environment)
    except CommandFailed as error:
        return _failed(name, base, error)
    return Line(
        name=name, value=took.wall, unit="s", baseline="bare python", baseline_value=base.wall, limit=limit,
        cpu=took.cpu, baseline_cpu=base.cpu,
    )  # fmt: skip


def _failed(name: str, base: Took, why: Exception) -> Line:
    said = str(why).strip().replace("\n", " ")[-300:]
    return Line(name=name, value=0.0, unit="s", baseline="bare python", baseline_value=base.wall, failed=said)
