"""kill -9 of ``govern ingest kafka://…``: whatever the moment, every message of the topic is in the ledger exactly once in the end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from governance.wiring import init_home
from lineage.openlineage import event_digest
from tests import lineage_events as make
from tests.support.kafka import QUICK, ROOT, Topic, environment, ingest
from tests.support.kafka_ingest import MOMENTS
from tests.support.ledgers import held

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(900)]

EVENTS = 1500


@contextmanager
def served(home: Path, log: Path) -> Iterator[str]:
    """A server over a home; its URL."""
    with log.open("a") as stderr:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.ingest_server", str(home), "none", "0"],
            cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=stderr, text=True,
        )  # fmt: skip
    try:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["url"]
    finally:
        server.terminate()
        server.wait(60)
        server.stdout.close()


def filled(topic: Topic, events: int) -> set[str]:
    """The digests of what was sent, over both partitions; some of it twice, as a producer that tries again does."""
    raws = [make.run(f"r{number}", "COMPLETE", number % 1440, [make.ds("in")], [make.ds(f"out{number % 50}")]) for number in range(events)]
    for partition in (0, 1):
        topic.send(*raws[partition::2], *raws[partition:40:2], partition=partition)
    return {event_digest(json.loads(raw)) for raw in raws}


def kills(follow, topic: Topic, rounds: list[tuple[str, int]], log: Path, *, patience: float, **more: str) -> int:
    """Follow and be killed, again and again; how many of the kills were at their moment."""
    itself = 0
    for moment, count in rounds:
        process = follow(topic, log=log, module=("tests.support.kafka_ingest", moment, str(count)), **more)
        try:
            process.wait(patience if moment != "none" else count / 1000)
            itself += 1
        except subprocess.TimeoutExpired:  # there was no such moment any more, or it is a kill at a random time
            os.kill(process.pid, signal.SIGKILL)
            process.wait(30)
        assert process.returncode == -signal.SIGKILL, log.read_text()[-2000:]
        process.stdout.close()
    return itself


def settled(topic: Topic, **more: str) -> None:
    """One run to the end, and then each event is there once and nothing is left to read."""
    done, said = ingest(topic, "--until-end", **more)
    assert done.returncode == 0, done.stderr
    assert said["refused_count"] == said["missed"] == said["unsettled"] == said["lag"] == 0
    again, nothing = ingest(topic, "--until-end", **more)
    assert (again.returncode, nothing["received"]) == (0, 0), again.stderr


def exactly_once(home: Path, sent: set[str]) -> None:
    with held(home) as identities:
        assert set(identities) == sent
        assert [one for one, times in Counter(identities).items() if times != 1] == []


def test_kills_at_every_moment_lose_and_double_nothing_in_an_owned_home(new_topic, tmp_path, follow):
    home, log = tmp_path / "home", tmp_path / "log"
    init_home(home)
    topic = new_topic(partitions=2)
    sent = filled(topic, EVENTS)
    rounds = [(moment, count) for moment in MOMENTS for count in (1, 2)]
    assert kills(follow, topic, rounds, log, patience=30.0, GOVERN_HOME=str(home), **QUICK) == len(rounds)
    settled(topic, GOVERN_HOME=str(home), **QUICK)
    exactly_once(home, sent)


def test_kills_at_random_times_lose_and_double_nothing_over_http(new_topic, tmp_path, follow):
    home, log = tmp_path / "home", tmp_path / "log"
    key = init_home(home)["api_key"]
    topic = new_topic(partitions=2)
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    sent = filled(topic, EVENTS)
    rounds = [(chance.choice(["none", *MOMENTS]), chance.randrange(1, 4)) for _ in range(8)]
    rounds = [(moment, count * 700 if moment == "none" else count) for moment, count in rounds]
    print(rounds)
    with served(home, tmp_path / "server.log") as url:
        where = {"GOVERN_URL": url, "GOVERN_API_KEY": key, **QUICK}
        kills(follow, topic, rounds, log, patience=4.0, **where)
        settled(topic, **where)
    exactly_once(home, sent)
