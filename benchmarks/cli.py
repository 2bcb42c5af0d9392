"""How long a person waits: `govern --help` and a cold `govern trace`, against a Python that does nothing."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Line, seconds

GOVERN = Path(sys.executable).with_name("govern")
HELP_LIMIT = 0.4
TRACE_LIMIT = 1.0
TIMES = 7
START_TIMEOUT = 60.0


def run() -> Iterator[Line]:
    """Start of Python, of the help, and of a trace against a server with one recorded run."""
    base = seconds(lambda: _run([sys.executable, "-c", ""]), TIMES)
    yield _line("cli: govern --help", [str(GOVERN), "--help"], base, HELP_LIMIT)
    with tempfile.TemporaryDirectory() as folder:
        yield from _trace(Path(folder), base)


def _trace(home: Path, base: float) -> Iterator[Line]:
    name = "cli: cold govern trace over HTTP"
    try:
        made = json.loads(_run([str(GOVERN), "init", "--home", str(home / "h"), "--json"]))
    except (RuntimeError, ValueError) as error:
        yield _failed(name, base, f"govern init: {error}")
        return
    server = subprocess.Popen(
        [str(GOVERN), "serve", "--home", str(home / "h"), "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        url = _url(server)
        environment = os.environ | {"GOVERN_URL": url, "GOVERN_API_KEY": made["api_key"]}
        (home / "event.json").write_text(json.dumps(_event()))
        _run([str(GOVERN), "ingest", str(home / "event.json")], environment)
        yield _line(name, [str(GOVERN), "trace", "--run", _event()["run"]["runId"], "--json"], base, TRACE_LIMIT, environment)
    except (RuntimeError, ValueError, KeyError) as error:
        yield _failed(name, base, str(error))
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
        raise RuntimeError(f"govern serve said nothing for {START_TIMEOUT:g} s")
    line = stream.readline()
    if not line:
        raise RuntimeError(f"govern serve ended with status {server.wait(10)}")
    return str(json.loads(line)["url"])


def _event() -> dict:
    run = "01890a5d-ac96-774b-bcce-b302099a8057"
    return {
        "eventTime": "2026-01-01T00:00:00Z",
        "eventType": "COMPLETE",
        "producer": "https://example.com/bench",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run},
        "job": {"namespace": "bench", "name": "job"},
        "inputs": [{"namespace": "bench", "name": f"in{n}"} for n in range(3)],
        "outputs": [{"namespace": "bench", "name": "out"}],
    }


def _line(name: str, command: list[str], base: float, limit: float, environment: dict | None = None) -> Line:
    try:
        _run(command, environment)
    except RuntimeError as error:
        return _failed(name, base, str(error))
    value = seconds(lambda: _run(command, environment), TIMES)
    return Line(name=name, value=value, unit="s", baseline="bare python", baseline_value=base, limit=limit)


def _failed(name: str, base: float, why: str) -> Line:
    return Line(name=name, value=0.0, unit="s", baseline="bare python", baseline_value=base, failed=why.strip().replace("\n", " ")[-300:])


def _run(command: list[str], environment: dict | None = None) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuntimeError(str(error)) from error
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} {' '.join(command[1:3])} exits {done.returncode}: {done.stderr[-200:]}")
    return done.stdout
