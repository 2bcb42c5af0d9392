"""A home served by a real ``govern serve`` in a process of its own, and what it uses of the machine."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import CommandFailed, command, plain_environment

__all__ = ["Served", "bare_asgi", "made_home", "served"]

GOVERN = [sys.executable, "-m", "governance.cli"]
START_TIMEOUT = 60.0


class Served:
    """One running server: its URL, an admin's key, its process."""

    def __init__(self, url: str, key: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.key = key
        self.process = process

    def get(self, path: str) -> tuple[float, bytes]:
        """Seconds until the whole answer is here, over a connection of its own, and the answer."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.key}"})
        begin = time.perf_counter()
        with urllib.request.urlopen(request, timeout=120) as answer:
            body: bytes = answer.read()
        return time.perf_counter() - begin, body

    def post(self, path: str, body: bytes) -> bytes:
        """The answer to a JSON body."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=body, headers=headers), timeout=120) as answer:
            return bytes(answer.read())

    def settle(self, run: str, timeout: float = 600.0) -> float:
        """Seconds until a read of ``run`` rests on all that was acknowledged: the lag as a user meets it."""
        begin = time.perf_counter()
        while time.perf_counter() - begin < timeout:
            try:
                _, body = self.get(f"/api/v1/trace?run={run}&depth=1")
            except urllib.error.HTTPError as error:
                if error.code != 404:  # else it waited as long as it may, and does not know the run yet
                    raise
                error.close()
                continue
            if not json.loads(body)["completeness"]["lag"]:
                return time.perf_counter() - begin
        raise CommandFailed(f"the graph did not follow the ledger within {timeout:g} s")

    def cpu(self) -> float:
        """Processor seconds of the server and its children so far."""
        tree = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in tree)

    def memory(self) -> int:
        """Resident bytes of the server."""
        return int(psutil.Process(self.process.pid).memory_info().rss)


def made_home(home: Path) -> str:
    """A fresh home; returns its admin's key."""
    made = json.loads(command([*GOVERN, "init", "--home", str(home), "--json"], environment=plain_environment()).said)
    return str(made["api_key"])


@contextmanager
def served(home: Path, key: str, *, worker: bool = False, **environment: str) -> Iterator[Served]:
    """Serve a home until the end of the block; without a worker, which lineage does not need, unless one is asked for."""
    without = [] if worker else ["--no-worker"]
    with _process([*GOVERN, "serve", "--home", str(home), "--port", "0", *without, "--json"], home, environment) as (url, process):
        yield Served(url, key, process)


@contextmanager
def bare_asgi(folder: Path) -> Iterator[Served]:
    """A bare application on the same server class that reads a body and answers 201."""
    with _process([sys.executable, "-m", "benchmarks.lineage_bare_asgi"], folder, {}) as (url, process):
        yield Served(url, "none", process)


@contextmanager
def _process(args: list[str], folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "serve.log").open("ab") as log:
        process = subprocess.Popen(args, env=plain_environment(**environment), stdout=subprocess.PIPE, stderr=log)
    try:
        yield _url(process, folder / "serve.log"), process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    stream = process.stdout
    if stream is None or not select.select([stream], [], [], START_TIMEOUT)[0]:
        raise CommandFailed(f"the server said nothing for {START_TIMEOUT:g} s: {log.read_text()[-300:]}")
    line = stream.readline()
    if not line:
        raise CommandFailed(f"the server ended with status {process.wait(10)}: {log.read_text()[-300:]}")
    said: dict[str, Any] = json.loads(line)
    return str(said["url"])
