"""`govern serve` and `govern worker` on one home: the second takes over when the first is killed or frozen, and who was frozen ends itself."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from lineage.adapters.machine import ProcessName
from lineage.adapters.postgres_database import PostgresDatabase
from lineage.adapters.postgres_lease import PostgresLease
from tests.support.river import GOVERN, clean_environment

pytestmark = [pytest.mark.integration, pytest.mark.crash]

LEASE = 3


@dataclass
class Processes:
    """A home and the processes on it."""

    home: Path
    env: dict[str, str]
    log: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, command: str, *words: str) -> subprocess.Popen[str]:
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [*GOVERN, command, "--home", str(self.home), "--port", "0", "--json", *words],
                env=self.env, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self.running.append(process)
        return process

    def says(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, self.log.read_text()[-2000:]
        return dict(json.loads(line))

    def doctor(self) -> dict[str, Any]:
        done = subprocess.run(
            [*GOVERN, "doctor", "--json"], env=self.env | {"GOVERN_HOME": str(self.home)}, capture_output=True, text=True, check=False
        )
        return dict(json.loads(done.stdout))


@pytest.fixture(params=["file", "postgres"])
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Processes]:
    more = {} if request.param == "file" else {"GOVERN_DATABASE": request.getfixturevalue("postgres_uri")}
    env = clean_environment(GOVERN_LEASE_SECONDS=str(LEASE), **more)
    subprocess.run([*GOVERN, "init", "--home", str(tmp_path / "home")], env=env, capture_output=True, check=True)
    made = Processes(home=tmp_path / "home", env=env, log=tmp_path / "log")
    yield made
    for process in made.running:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def entered_nothing(url: str) -> bool:
    """Ask until nobody answers any more; nothing may be accepted meanwhile."""
    with httpx2.Client(base_url=url, timeout=60) as client:
        for _ in range(200):
            try:
                answered = client.post("/api/v1/lineage", json={}).status_code
            except httpx2.TransportError:
                return True
            assert answered >= 400
            time.sleep(0.05)
    return False


def until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("processes", ["file", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True)
def test_a_worker_stands_by_and_serves_the_home_once_its_owner_was_killed(processes: Processes) -> None:
    owner = processes.start("serve")
    url = processes.says(owner)["url"]
    worker = processes.start("worker")
    said = processes.says(worker)["standby"]["owner"]
    assert (said["pid"], said["url"]) == (owner.pid, url)
    whose = processes.doctor()
    assert whose["owner"]["pid"] == owner.pid
    assert [one["pid"] for one in whose["standby"]] == [worker.pid]
    assert [check["ok"] for check in whose["checks"] if check["check"] == "owner"] == [True]
    (port,) = {one.laddr.port for one in psutil.Process(worker.pid).net_connections("tcp") if one.status == "LISTEN"}
    mine = f"http://127.0.0.1:{port}"
    assert httpx2.get(f"{mine}/healthz", timeout=60).json() == {"status": "standby"}
    refused = httpx2.get(f"{mine}/readyz", timeout=60)
    assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
    assert httpx2.get(f"{url}/readyz", timeout=60).status_code == 200

    owner.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    assert processes.says(worker) == {"url": mine}
    print(f"took over a killed owner in {time.monotonic() - killed:.2f} s")
    assert httpx2.get(f"{mine}/readyz", timeout=60).json()["status"] == "ready"
    whose = processes.doctor()
    assert (whose["owner"]["pid"], whose["owner"]["url"], whose["standby"]) == (worker.pid, mine, [])
    again = processes.start("serve")
    assert again.wait(120) == 1, "the home has an owner"
    assert f"is owned by process {worker.pid}" in processes.log.read_text()
    worker.terminate()
    assert worker.wait(60) == 0


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_while_it_stands_by_ends_well_and_takes_nothing(processes: Processes) -> None:
    owner = processes.start("serve")
    processes.says(owner)
    worker = processes.start("worker")
    processes.says(worker)
    worker.terminate()
    assert worker.wait(60) == 0
    assert processes.doctor()["owner"]["pid"] == owner.pid
    owner.terminate()
    assert owner.wait(60) == 0
    assert processes.doctor()["owner"] is None


def test_a_worker_needs_a_home(tmp_path: Path) -> None:
    done = subprocess.run(
        [*GOVERN, "worker", "--home", str(tmp_path / "none")], env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "is no home" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["postgres"], indirect=True)
def test_a_frozen_owner_is_taken_over_and_ended(processes: Processes) -> None:
    owner = processes.start("serve")
    processes.says(owner)
    worker = processes.start("worker")
    processes.says(worker)
    owner.send_signal(signal.SIGSTOP)
    frozen = time.monotonic()
    assert "url" in processes.says(worker)
    took = time.monotonic() - frozen
    print(f"took over a frozen owner in {took:.2f} s with a lease of {LEASE} s")
    assert took > LEASE * 0.7
    assert owner.wait(10) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["postgres"], indirect=True)
def test_an_owner_that_wakes_after_it_was_taken_over_elsewhere_ends_itself_and_its_children(processes: Processes) -> None:
    processes.env["GOVERN_SPARE_TRAININGS"] = "1"  # a child that waits for work
    owner = processes.start("serve")
    url = processes.says(owner)["url"]
    until(lambda: bool(psutil.Process(owner.pid).children()), 60)
    children = psutil.Process(owner.pid).children(recursive=True)
    owner.send_signal(signal.SIGSTOP)
    elsewhere = replace(ProcessName.own(), host="elsewhere", machine="another")
    database = PostgresDatabase(processes.env["GOVERN_DATABASE"])
    taker = PostgresLease(database, home="h", seconds=LEASE, lost=pytest.fail, me=elsewhere, ends_frozen=False)
    end = time.monotonic() + 60
    assert taker.wait(lambda _: None, stopped=lambda: time.monotonic() > end)
    try:
        owner.send_signal(signal.SIGCONT)
        assert entered_nothing(url)
        assert owner.wait(60) == 1
        until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in children), 5)
    finally:
        taker.__exit__(None, None, None)
    assert "was taken over by process" in processes.log.read_text()
