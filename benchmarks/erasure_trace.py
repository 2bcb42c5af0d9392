"""From a person to rows, versions, models and live deployments through the API of a real server: the first question, and the next.

Every model was trained on a version that holds the person, and serves: the worst case, for the answer names them all. The versions are
written through the registry's door; the records of models and deployments are entered in the ledger as a training and a release enter
them, because a thousand trainings would measure something else.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.erasure_sizes import Job
from benchmarks.lineage_server import Served, made_home, served
from benchmarks.measure import Line
from governance.registry.acts import act
from governance.wiring import open_system

__all__ = ["measure"]

COLD_MS = 10.0
_VERSIONS = 20
_PEOPLE = 200
_ROWS = 2_000
_ASKED = 20
_SETTLED = 120.0
"""Seconds that a fresh server is left alone at most: it loads what the first question needs."""
_QUIET = 0.02
"""Processor seconds in two seconds below which it has done so."""


def measure(job: Job) -> Iterator[Line]:
    """Fill a home, serve it, ask."""
    home = job.folder / "home"
    key = made_home(home)
    _fill(home, job.sizes.models)
    with served(home, key) as server:
        _settle(server)
        for file in home.rglob("*"):
            _drop(file)
        bare = statistics.median(_bare(server) for _ in range(_ASKED))
        used, first, said = _asked(server, 0)
        took = [_asked(server, person) for person in range(1, _ASKED)]
    names = f"{len(said['models']):,} models, {len(said['deployments']):,} live deployments"
    yield Line(
        name="trace: a person through the API, the first question of a server", value=1e3 * first, unit="ms", limit=COLD_MS,
        baseline="a bare answer", baseline_value=1e3 * bare, note=f"files not in the cache; processor {1e3 * used:.0f} ms; {names}",
    )  # fmt: skip
    yield Line(
        name="trace: the same, warm", value=1e3 * statistics.median(wall for _, wall, _ in took), unit="ms", baseline="a bare answer",
        baseline_value=1e3 * bare, note=f"processor {1e3 * statistics.mean(cpu for cpu, _, _ in took):.0f} ms each",
    )  # fmt: skip


def _fill(home: Path, models: int) -> None:
    with open_system(home, worker=False) as system:
        body = {"name": "bench", "kind": "parquet", "subject_key": "person", "subject_type": "applicant"}
        system.datasets.register(body, actor="key:bench")
        infos = []
        for version in range(_VERSIONS):
            values = [float(row if row % _VERSIONS != version else -row) for row in range(_ROWS)]
            people = [str(row % _PEOPLE) for row in range(_ROWS)]
            table = pa.table({"person": people, "x": values, "number": list(range(_ROWS))})
            infos.append(system.datasets.write("bench", table, mode="replace", key="number", actor="key:bench"))
        system.log.append([_model(number, infos[number % _VERSIONS]) for number in range(models)])


def _model(number: int, info: dict[str, Any]) -> Any:
    """A model of one version that serves, as its training and its release leave it in the ledger."""
    name, nothing = f"model-{number}", "sha256:" + 64 * "0"
    given = {"role": "train", "dataset": "bench", "version": info["version"], "row_set": info["row_set"]["digest"], "rows": info["rows"]}
    spec = {
        "model": name, "entrypoint": "model", "code": "snapshot:" + 64 * "0", "params": {"lr": 0.1}, "seed": 1, "threads": 1,
        "inputs": [given], "environment": nothing, "label": "x", "features": ["x"], "subject_key": "person", "privacy": None,
        "timeout_s": 600.0, "strategy": "full", "sharding": None,
    }  # fmt: skip
    version = {
        "model": name, "version": 1, "run_id": f"00000000-0000-7000-8000-{number:012d}", "operation": f"operation-{number}",
        "created_at": 1, "status": "released", "artifact": {"digest": nothing, "parts": {}}, "spec": spec, "policy": None, "metrics": {},
        "spend": None, "retrained": None, "predecessor": None, "destroyed_at": None, "destroyed_by": None, "started_at": 1, "ended_at": 2,
    }  # fmt: skip
    deployment = {
        "id": f"deployment-{number}", "model": name, "version": 1, "environment": "production", "active_from": 3, "active_to": None,
        "run_id": f"00000000-0000-7000-9000-{number:012d}", "reason": "release",
    }  # fmt: skip
    owner = {"name": name, "purpose": "bench", "owner": "bench", "latest": 1, "aliases": {"production": 1}, "config": {}}
    records = {("version", f"{name}@000001"): version, ("deployment", deployment["id"]): deployment, ("model", name): owner}
    return act("bench.model", actor="key:bench", records=records)


def _asked(server: Served, person: int) -> tuple[float, float, dict[str, Any]]:
    """(processor seconds of the server, seconds until the whole answer is here, the answer)."""
    body = json.dumps({"type": "applicant", "value": str(person)}).encode()
    cpu, begin = server.cpu(), time.perf_counter()
    said = server.post("/api/v1/subjects:trace", body)
    took = time.perf_counter() - begin
    answer: dict[str, Any] = json.loads(said)
    assert answer["models"], "the person is in every version"
    assert len(answer["deployments"]) == len(answer["models"])
    return server.cpu() - cpu, took, answer


def _settle(server: Served) -> None:
    """Until the server rests: on a loaded machine a time that is fixed would measure its start."""
    begin, used = time.monotonic(), -1.0
    while time.monotonic() - begin < _SETTLED and server.cpu() - used > _QUIET:
        used = server.cpu()
        time.sleep(2.0)


def _bare(server: Served) -> float:
    return server.get("/healthz")[0]


def _drop(file: Path) -> None:
    """Out of the system's cache."""
    if file.is_file():
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
