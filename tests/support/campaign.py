"""The kill campaign's driver: homes copied from one template, an owner that is killed, a worker that takes over, effects counted on disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from reports.verify import TrustedKeys, verify
from tests.support.campaign_home import DATASETS, LATER, MODELS, ORDERED, ROOT, SENTINEL
from tests.support.postgres import PostgresServer
from tests.support.river import clean_environment
from tests.support.scanner import scan

__all__ = ["Campaign", "OrderCampaign", "Outcome"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One erasure and the kill in it."""

    begun: int
    """Trainings that began before the kill."""
    took_over: float
    """Seconds from the kill until the home was owned again."""
    opened: float
    """Seconds from the kill until its work went on."""
    starts: int
    """Trainings in all."""


class Campaign:
    """One template in one kind of store, and the runs made from it."""

    order = False
    """Whether it is about an order, and not about a person."""

    def __init__(self, root: Path, server: PostgresServer | None) -> None:
        self.root, self.server = root, server
        self.count = 0
        env = clean_environment(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", PYTHONPATH=str(ROOT))
        self._forks = subprocess.Popen(
            [sys.executable, "-m", "tests.support.campaign_process"], cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )  # fmt: skip
        assert self._forks.stdout is not None
        assert self._forks.stdout.readline() == "ready\n"
        root.mkdir(parents=True, exist_ok=True)
        self._database("template", None)
        pid = self._fork("begin", root / "template")
        assert self._wait(pid, 120) == 0, (root / "template" / "log").read_text()
        self.request = json.loads((root / "template" / "begin.json").read_text())["request"]

    def close(self) -> None:
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        self._forks.stdin.close()
        self._forks.wait(30)
        self._forks.stdout.close()
        for name in (*(f"run{number}" for number in range(1, self.count + 1)), "template"):
            self._drop(name)

    # ── runs ────────────────────────────────────────────────────────────────────────────────────
    def unkilled(self) -> tuple[list[str], float]:
        """The boundaries that an erasure passes, two for each step, and how many seconds it takes."""
        folder = self._copy()
        pid = self._fork("own", folder, kill=None)
        assert self._wait(pid, 120) == 0, (folder / "log").read_text()
        told = json.loads((folder / "own.json").read_text())
        assert told["state"] == "completed", told
        self._counted(folder, killed=False)
        return told["boundaries"], told["seconds"]

    def killed(self, kill: dict[str, Any]) -> Outcome:
        """Kill the owner where ``kill`` says, let the other worker end the erasure, count.

        Beside what :mod:`tests.support.campaign_process` knows: ``{"moment": SECONDS}`` after it began, ``{"told": WORD}`` in the side file.
        """
        folder = self._copy()
        owner = self._fork("own", folder, kill=kill)
        ready = folder / "own.ready"
        self._until(ready.exists, owner, folder)
        stand = self._fork("stand", folder)
        self._until((folder / "stand.standing").exists, stand, folder)
        if "moment" in kill:
            time.sleep(max(0.0, float(ready.read_text() or time.time()) + kill["moment"] - time.time()))
            os.kill(owner, signal.SIGKILL)
        if "told" in kill:
            self._until(lambda: any(word == kill["told"] for word, _, _ in self._said(folder)), owner, folder)
            os.kill(owner, signal.SIGKILL)
        status = self._wait(owner, 60)
        dead = time.time()
        assert status == -signal.SIGKILL, f"{kill}: the owner ended with {status}: {(folder / 'log').read_text()[-3000:]}"
        before = self._said(folder)
        assert self._wait(stand, 120) == 0, f"{kill}: {(folder / 'log').read_text()[-3000:]}"
        told = json.loads((folder / "stand.json").read_text())
        assert told["fsck"], kill
        assert told["state"] == "completed", (kill, told)
        starts = self._counted(folder, killed=True)
        self._no_orphans(folder)
        shutil.rmtree(folder)
        self._drop(folder.name)
        return Outcome(
            begun=len([word for word, _, _ in before if word == "start"]),
            took_over=max(0.0, told["owns"] - dead),
            opened=max(0.0, told["opened"] - dead),
            starts=starts,
        )

    # ── what is on disk ─────────────────────────────────────────────────────────────────────────
    def _said(self, folder: Path) -> list[tuple[str, str, str]]:
        lines = (folder / "side").read_text().splitlines() if (folder / "side").exists() else []
        return [tuple(line.split()) for line in lines]  # type: ignore[misc]

    def _counted(self, folder: Path, *, killed: bool) -> int:
        """One purge of each dataset, one successor of each model, one certificate; how many trainings began."""
        home = folder / "home"
        for name in DATASETS:
            catalog = json.loads((home / "datasets" / name / "catalog.json").read_text())
            assert len(catalog["purges"]) == 1, name
            assert [version["gone"] for version in catalog["versions"]] == [True, False], name
        for place in ("datasets", "landing", "scopes", "scratch", "artifacts"):
            found = scan(home / place, [SENTINEL.encode()])
            assert not found.unknown, found.unknown
            assert not found.hits, found.hits
        records = self._records(folder)
        living = [body for body in records["version"].values() if body["destroyed_at"] is None]
        assert sorted((body["model"], body["version"]) for body in living) == [(model, 2) for model in MODELS]
        assert len(records["version"]) == 2 * len(MODELS)
        assert {path.name for path in (home / "artifacts").iterdir()} == {
            body["artifact"]["digest"].removeprefix("sha256:") for body in living
        }
        serving = sorted((body["model"], body["version"]) for body in records["deployment"].values() if body["active_to"] is None)
        assert serving == [(model, 2) for model in MODELS]
        assert len(records["deployment"]) == 2 * len(MODELS)
        self._certified(home, records)
        starts = self._trained(folder, list(MODELS), killed=killed)
        self._remembered(folder, inputs=0)
        return starts

    def _certified(self, home: Path, records: dict[str, dict[str, dict[str, Any]]]) -> None:
        """One certificate, which holds; nothing half written is left."""
        papers = list((home / "reports").iterdir())
        assert [path.name.split(".")[0] for path in papers] == [records["erasure"][self.request]["report"]]
        keys = TrustedKeys.from_json(json.loads((home / "public" / "keys.json").read_text()))
        assert verify(papers[0].read_bytes(), keys).exit_code == 0
        assert not any((home / "scopes").iterdir())
        assert [path for path in home.rglob("*") if path.suffix == ".tmp" or ".draft-" in path.name] == []

    def _trained(self, folder: Path, models: list[str], *, killed: bool) -> int:
        """How many trainings began: one for each model, and again the one that a kill met; each ended."""
        said = self._said(folder)
        starts = [model for word, model, _ in said if word == "start"]
        assert set(starts) == set(models)
        assert len(starts) <= len(models) + killed, said
        for model in models:
            assert [word for word, name, _ in said if name == model][-1] == "end", said
        assert len(said) == len(set(said)), "each training is a process of its own"
        return len(starts)

    def _records(self, folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
        """The control records, read without Govern."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for kind, ident, body in self._rows(folder, "ledger.db", "SELECT kind, ident, body FROM {}records", "govern_ledger."):
            found.setdefault(kind, {})[ident] = json.loads(body)
        return found

    def _remembered(self, folder: Path, *, inputs: int) -> None:
        """No workflow waits or failed, and of so many predictions it is known what was asked."""
        left = self._rows(
            folder, "workflows.db", "SELECT workflow_uuid, status FROM {}workflow_status WHERE status <> 'SUCCESS'", "govern_workflows."
        )
        assert left == []
        told = self._rows(
            folder, "predictions.db", "SELECT count(*), count(inputs), count(subject) FROM {}prediction", "govern_predictions."
        )
        assert [tuple(row) for row in told] == [(len(MODELS), inputs, inputs)]

    def _rows(self, folder: Path, file: str, statement: str, schema: str) -> list[Any]:
        if self.server is None:
            with closing(sqlite3.connect(folder / "home" / file)) as db:
                return db.execute(statement.format("")).fetchall()
        import psycopg

        with psycopg.connect(self.server.uri(self._name(folder.name))) as db:
            return db.execute(statement.format(schema).encode()).fetchall()

    def _no_orphans(self, folder: Path) -> None:
        """Five seconds after the end no process works in the home."""
        end = time.monotonic() + 5
        while (left := squatters(folder)) and time.monotonic() < end:
            time.sleep(0.02)
        told = [f"{one.pid} {one.cmdline()[-4:]}" for one in left]
        for one in left:
            one.kill()
        assert told == [], f"orphans 5 s after the end: {told}"

    # ── processes, folders, databases ───────────────────────────────────────────────────────────
    def _fork(self, what: str, folder: Path, kill: dict[str, Any] | None = None) -> int:
        folder.mkdir(exist_ok=True)
        database = self.server.uri(self._name(folder.name)) if self.server else None
        job = {
            "do": what, "home": str(folder / "home"), "side": str(folder / "side"), "database": database, "log": str(folder / "log"),
            "result": str(folder / f"{what}.json"), "kill": kill, "request": getattr(self, "request", None), "order": self.order,
        }  # fmt: skip
        return self._asked(job)

    def _asked(self, job: dict[str, Any]) -> int:
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        self._forks.stdin.write(json.dumps(job) + "\n")
        self._forks.stdin.flush()
        return int(self._forks.stdout.readline())

    def _wait(self, pid: int, seconds: float) -> int:
        """How the process ended; killed when it did not within so many seconds, which no run is meant to take."""
        end = time.monotonic() + seconds
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                self._asked({"wait": pid})
                raise AssertionError(f"process {pid} did not end within {seconds} s")
            time.sleep(0.02)
        return self._asked({"wait": pid})

    def _until(self, holds: Any, pid: int, folder: Path) -> None:
        end = time.monotonic() + 60
        while not holds() and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < end, (folder / "log").read_text()[-3000:]
            time.sleep(0.02)

    def _copy(self) -> Path:
        self.count += 1
        folder = self.root / f"run{self.count}"
        folder.mkdir()
        shutil.copytree(self.root / "template" / "home", folder / "home")
        self._database(folder.name, "template")
        return folder

    def _name(self, name: str) -> str:
        return f"campaign_{os.getpid()}_{name}"

    def _database(self, name: str, template: str | None) -> None:
        if self.server is not None:
            of = f" TEMPLATE {self._name(template)}" if template else ""
            self.server.run(f"CREATE DATABASE {self._name(name)}{of}")

    def _drop(self, name: str) -> None:
        if self.server is not None:
            self.server.run(f"DROP DATABASE IF EXISTS {self._name(name)} WITH (FORCE)")


class OrderCampaign(Campaign):
    """An order about one version of a dataset: what descends from it is purged or trained again, and everything else stays as it was."""

    order = True

    def _counted(self, folder: Path, *, killed: bool) -> int:
        """One purge of the ordered dataset and none of the other, one successor of each of its models, one certificate."""
        home = folder / "home"
        catalogs = {name: json.loads((home / "datasets" / name / "catalog.json").read_text()) for name in DATASETS}
        assert {name: len(catalog["purges"]) for name, catalog in catalogs.items()} == {name: int(name == ORDERED) for name in DATASETS}
        assert [version["gone"] for version in catalogs[ORDERED]["versions"]] == [True, True, False]
        found = scan(home / "datasets" / ORDERED, [SENTINEL.encode()])
        assert not found.unknown, found.unknown
        assert not found.hits, found.hits
        records = self._records(folder)
        living = {(body["model"], body["version"]): body for body in records["version"].values() if body["destroyed_at"] is None}
        tainted = sorted(model for model, dataset in MODELS.items() if dataset == ORDERED)
        assert sorted(living) == [(model, 2 if model in tainted else 1) for model in MODELS]
        assert len(records["version"]) == len(MODELS) + len(tainted)
        kept = {body["artifact"]["digest"].removeprefix("sha256:") for body in living.values()}
        assert {path.name for path in (home / "artifacts").iterdir()} == kept
        for model in tainted:
            (given,) = [one for one in living[model, 2]["spec"]["inputs"] if one["role"] == "train"]
            assert given["rows"] == LATER
        serving = sorted((body["model"], body["version"]) for body in records["deployment"].values() if body["active_to"] is None)
        assert serving == sorted(living)
        assert len(records["deployment"]) == len(MODELS) + len(tainted)
        self._certified(home, records)
        starts = self._trained(folder, tainted, killed=killed)
        self._remembered(folder, inputs=len(MODELS))
        return starts


def squatters(folder: Path) -> list[psutil.Process]:
    """Living processes that work in the folder, whoever their parent is now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found
