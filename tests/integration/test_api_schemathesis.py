"""Schemathesis over the published description, against a real server: every check, data that fits and data that does not, every route.

It runs as the command that anyone can run against their own server; ``schemathesis.toml`` beside this file says, with its reason, where
a request that fits the schema may be refused all the same.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from governance.api.table import ROUTES
from governance.wiring import init_home
from tests.support.river import GOVERN, ROOT, clean_environment

pytestmark = [pytest.mark.integration, pytest.mark.timeout(3600)]

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CONFIG = Path(__file__).with_name("schemathesis.toml")


class Server:
    """A home without a worker, served; and its admin's key."""

    def __init__(self, root: Path) -> None:
        self.key = init_home(root / "home")["api_key"]
        self.log = root / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*GOVERN, "serve", "--home", str(root / "home"), "--port", "0", "--no-worker", "--json"],
                cwd=ROOT, env=clean_environment(), stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self.process.stdout is not None
        self.url = json.loads(self.process.stdout.readline())["url"]

    def close(self) -> None:
        os.kill(self.process.pid, signal.SIGTERM)
        try:
            assert self.process.wait(30) == 0, self.log.read_text()[-2000:]
        finally:
            self.process.kill()
            if self.process.stdout is not None:
                self.process.stdout.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path)
    yield running
    running.close()


def schemathesis(server: Server, folder: Path, *options: str) -> dict[str, object]:
    """Run it; what it says is shown when it finds something."""
    report, description = folder / "report.json", folder / "openapi.json"
    description.write_bytes(httpx2.get(f"{server.url}/openapi.json").content)  # of a description from a URL, that URL is not tested
    done = subprocess.run(
        [
            str(SCHEMATHESIS), "--config-file", str(CONFIG), "run", str(description), "--url", server.url, "--header", f"Authorization: Bearer {server.key}",
            "--checks", "all", "--mode", "all", "--no-color", "--continue-on-failure", "--warnings", "off", "--suppress-health-check", "all",
            "--report", "json", "--report-json-path", str(report), *options,
        ],
        cwd=ROOT, env=clean_environment(PYTHONWARNINGS="ignore", HYPOTHESIS_STORAGE_DIRECTORY=str(folder / "hypothesis")),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2_000:]
    assert httpx2.get(f"{server.url}/healthz").status_code == 200
    assert f"{len(ROUTES)} selected / {len(ROUTES)} total" in done.stdout
    assert "unexpected" not in server.log.read_text(), "an error that no check saw"
    told: dict[str, object] = json.loads(report.read_text())
    return told


def test_every_route_answers_as_it_is_described(server: Server, tmp_path: Path) -> None:
    schemathesis(server, tmp_path, "--phases", "fuzzing", "--max-examples", "1", "--seed", "1")


@pytest.mark.slow
def test_every_route_answers_as_it_is_described_to_many_requests(server: Server, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"schemathesis --seed {seed}")
    schemathesis(server, tmp_path, "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "40", "--seed", str(seed))
