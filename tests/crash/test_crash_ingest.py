"""kill -9 of server and projector during ingest: every acknowledged event is there exactly once, and the graph is that of a clean fold.

Eight senders, as real clients do, send an event again until it is acknowledged; each acknowledgement is written to a file of the
sender's own before the next event, so that what Govern must have is known from outside. Some kills come at a random time, some at a
named moment of the server's own work (``tests/support/ingest_server.py``).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from neo4j import GraphDatabase

from governance.wiring import init_home
from lineage.adapters.file_keys import FileKeyStore
from lineage.adapters.neo4j_graph import Neo4jGraph, Place
from lineage.adapters.sql_ledger import SqlLedger
from lineage.adapters.sqlite_graph import SqliteGraph
from lineage.clock import SystemClock
from lineage.graph import graph_digest
from lineage.ingest import Ingestor
from lineage.ledger import fsck
from lineage.openlineage import event_digest
from lineage.ports import GraphStore
from tests import lineage_events as make
from tests.support.ingest_server import MOMENTS, NEO4J_MOMENTS
from tests.support.river import ROOT, clean_environment

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1800)]

SENDERS = 8
BATCHED = 3
"""Of the senders, so many send batches."""
PATIENCE = 20.0
"""Seconds to wait for a moment."""
COUNTS = {"durable": 60, "applying": 200, "applied": 10, "posted": 10, "written": 10}
"""A moment is taken at the latest at its so-many-th time: a transaction holds hundreds of events when the projector is behind."""


# ── what is sent ────────────────────────────────────────────────────────────────────────────────
def events(sender: int, runs: int, chance: random.Random) -> list[bytes]:
    """Runs over shared datasets, out of order, some versions unstated: a late event binds others anew."""
    found = []
    for number in range(runs):
        run, minute = f"{sender}.{number}", chance.randrange(10_000)
        read = [make.ds(f"table{chance.randrange(20)}", *chance.choice([(), (f"v{chance.randrange(5)}",)])) for _ in range(2)]
        wrote = (
            [make.ds(f"table{chance.randrange(20)}", f"w{run}", columns={"x": ["table1"]})] if number % 3 else [make.model(f"m{sender}")]
        )
        found.append(make.run(run, "START", minute, inputs=read, job=f"job{number % 7}"))
        found.append(make.run(run, chance.choice(["COMPLETE", "COMPLETE", "FAIL"]), minute + 1, read[:1], wrote, job=f"job{number % 7}"))
    chance.shuffle(found)
    return found


@dataclass
class Sender:
    """One client with a connection, its events, and a file of what was acknowledged to it."""

    events: list[bytes]
    file: Path
    size: int = 1
    at: int = 0
    acknowledged: int = 0

    def send(self, url: str, key: str, gone: threading.Event) -> None:
        """Until the server is gone; what was not acknowledged is sent first to the next one."""
        where = urlsplit(url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        path = "/api/v1/lineage" if self.size == 1 else "/api/v1/lineage/batch"
        with self.file.open("ab", buffering=0) as file:
            while not gone.is_set() and self.at < len(self.events):
                part = self.events[self.at : self.at + self.size]
                try:
                    connection.request("POST", path, part[0] if self.size == 1 else b"[" + b",".join(part) + b"]", headers)
                    answer = connection.getresponse()
                    body = answer.read()
                except (OSError, http.client.HTTPException):
                    connection.close()
                    gone.wait(0.01)
                    continue
                assert answer.status in (200, 201), (answer.status, body)
                assert self.size == 1 or json.loads(body)["summary"]["successful"] == len(part)
                file.write(b"".join(event_digest(json.loads(raw)).encode() + b"\n" for raw in part))
                os.fsync(file.fileno())
                self.at += len(part)
                self.acknowledged += len(part)
        connection.close()


# ── the home that is killed ─────────────────────────────────────────────────────────────────────
@dataclass
class Victim:
    """A home, the server over it, and its senders."""

    root: Path
    seed: int
    runs: int = 100
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = self.root / "home"
        self.key = init_home(self.home)["api_key"]
        self.chance = random.Random(self.seed)
        self.checks = 0
        self.senders = [
            Sender(events(n, self.runs, random.Random(f"{self.seed}/{n}")), self.root / f"acknowledged-{n}", 7 if n < BATCHED else 1)
            for n in range(SENDERS)
        ]

    def round(self, moment: str, count: int, pause: float) -> None:
        """Serve, send, and kill: at the moment, or after a pause."""
        with (self.root / "server.log").open("a") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "tests.support.ingest_server", str(self.home), moment, str(count)],
                cwd=ROOT, env=clean_environment(**self.environment), stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        gone = threading.Event()
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            if line:  # else it was killed while it caught up with the ledger
                url = json.loads(line)["url"]
                threads = [threading.Thread(target=sender.send, args=(url, self.key, gone)) for sender in self.senders]
                for thread in threads:
                    thread.start()
                with contextlib.suppress(subprocess.TimeoutExpired):  # a moment that does not come: the kill comes from outside
                    server.wait(pause if moment == "none" else PATIENCE)
                if server.poll() is None:
                    os.kill(server.pid, signal.SIGKILL)
                assert server.wait(60) == -signal.SIGKILL, (self.root / "server.log").read_text()[-2000:]
                gone.set()
                for thread in threads:
                    thread.join(60)
                    assert not thread.is_alive()
            else:
                assert server.wait(60) == -signal.SIGKILL, (self.root / "server.log").read_text()[-2000:]
        finally:
            gone.set()
            server.kill()
            server.wait()
            if server.stdout is not None:
                server.stdout.close()

    def acknowledged(self) -> list[str]:
        """Digests that a client holds an acknowledgement of, as their files say."""
        return [line for sender in self.senders if sender.file.exists() for line in sender.file.read_text().splitlines()]

    def check(self, graph_of: Callable[[Path], GraphStore]) -> str:
        """Open what is left, let the projector catch up, and compare it with a clean fold of the same log."""
        ledger = SqlLedger(
            self.home / "ledger.db", keys=FileKeyStore(self.home / "keys"), clock=SystemClock(),
            origin=f"govern.{json.loads((self.home / 'govern.json').read_text())['installation']}",
        )  # fmt: skip
        self.checks += 1
        graph, clean = graph_of(self.home), SqliteGraph(self.root / f"clean-{self.checks}.db")
        try:
            caught = Ingestor(ledger, graph, SystemClock())
            while caught.project() or caught.lag():
                pass
            fresh = Ingestor(ledger, clean, SystemClock())
            while fresh.project():
                pass
            held = Counter(entry.identity for entry in every(ledger) if entry.kind == "openlineage")
            acknowledged = Counter(self.acknowledged())
            sent = {event_digest(json.loads(raw)) for sender in self.senders for raw in sender.events[: sender.at + sender.size]}
            assert set(acknowledged) - set(held) == set(), "an acknowledged event is lost"
            assert [identity for identity, times in held.items() if times != 1] == [], "an event is there twice"
            assert set(held) - sent == set(), "there is an event that nobody sent"
            assert sum(acknowledged.values()) == sum(sender.acknowledged for sender in self.senders)
            assert fsck(ledger).problems == ()
            mine, clear = caught.status(), fresh.status()
            assert caught.lag() == 0
            assert caught.dead_letters() == []
            assert mine["events"] == clear["events"] == len(held)
            assert graph.counts() == clean.counts()
            digest = graph_digest(graph.nodes(), graph.edges())
            assert digest == graph_digest(clean.nodes(), clean.edges())
            return digest
        finally:
            clean.close()
            graph.close()
            ledger.close()


def every(ledger):
    at = 0
    while found := ledger.entries(at, 1000):
        yield from found
        at = found[-1].index + 1


def sqlite(home: Path) -> SqliteGraph:
    return SqliteGraph(home / "graph.db")


def campaign(victim: Victim, kills: int, graph_of: Callable[[Path], GraphStore], named: Sequence[str] = MOMENTS) -> None:
    """So many kills, half of them at a random time, the others at each moment in turn; what is left is compared now and then."""
    moments = [named[n // 2 % len(named)] if n % 2 else "none" for n in range(kills)]
    victim.chance.shuffle(moments)
    for number, moment in enumerate(moments):
        count, pause = victim.chance.randrange(1, COUNTS.get(moment, 2)), victim.chance.uniform(0.0, 0.6)
        print(f"seed {victim.seed} kill {number}: {moment} {count if moment != 'none' else f'{pause:.3f} s'}")
        victim.round(moment, count, pause)
        if number % 10 == 9 or number == kills - 1:
            print(f"{len(victim.acknowledged())} acknowledged, graph {victim.check(graph_of)}")
    assert len(victim.acknowledged()) >= kills


def test_three_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    victim = Victim(tmp_path, seed=7)
    for moment, count, pause in (("applying", 9, 0.0), ("none", 0, 0.5), ("durable", 5, 0.0)):
        victim.round(moment, count, pause)
    victim.check(sqlite)
    assert len(victim.acknowledged()) >= 10


@pytest.mark.slow
def test_fifty_kills_on_sqlite(tmp_path: Path) -> None:
    campaign(Victim(tmp_path, seed=random.SystemRandom().randrange(10**6), runs=250), 50, sqlite)


@pytest.mark.slow
def test_fifty_kills_on_neo4j(tmp_path: Path, neo4j_place: Place) -> None:
    with GraphDatabase.driver(neo4j_place.uri, auth=(neo4j_place.user, neo4j_place.password)) as driver:
        driver.execute_query("MATCH (n) DETACH DELETE n")  # as if no home had ever used it
    environment = {"GOVERN_GRAPH": neo4j_place.uri, "GOVERN_GRAPH_USER": neo4j_place.user, "GOVERN_GRAPH_PASSWORD": neo4j_place.password}
    victim = Victim(tmp_path, seed=random.SystemRandom().randrange(10**6), runs=250, environment=environment)
    campaign(victim, 50, lambda home: Neo4jGraph(neo4j_place, home / "fold.db"), NEO4J_MOMENTS)
