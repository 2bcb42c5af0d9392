"""A real Kafka for the tests: one KRaft node from Maven's jars, started by each test process when its first test asks for one.

Each test has a topic and a group of its own. Without Java or Maven the tests are skipped, and fail where ``GOVERN_REQUIRE_KAFKA`` is set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from deploy.java_server import CannotStart
from deploy.kafka.start import Kafka

ROOT = Path(__file__).parents[2]
PROPERTIES = "group.min.session.timeout.ms=300\nmessage.max.bytes=100000000\nreplica.fetch.max.bytes=100000000\n"
QUICK = {"GOVERN_KAFKA_SESSION_TIMEOUT_MS": "1000", "GOVERN_KAFKA_HEARTBEAT_INTERVAL_MS": "200"}
"""So soon the broker notices that a member was killed; its partitions wait for that long."""


def started(home: Path, *, port: int | None = None, properties: str = ""):
    """A server that runs; the test is skipped where it cannot, loudly, or fails where one is required."""
    try:
        server = Kafka(home, port=port, properties=properties)
        server.start()
    except CannotStart as error:
        if os.environ.get("GOVERN_REQUIRE_KAFKA"):
            pytest.fail(f"Kafka is required here, and {error}")
        pytest.skip(f"NO KAFKA: {error}; install Java 17 and Maven")
    return server


@pytest.fixture(scope="session")
def kafka() -> Iterator[Any]:
    """This process's Kafka."""
    with tempfile.TemporaryDirectory(prefix="govern-kafka-") as folder:
        server = started(Path(folder), properties=PROPERTIES)
        try:
            yield server
        finally:
            server.kill()


class Topic:
    """A topic, and what a test does to it."""

    def __init__(self, brokers: str, name: str, *, partitions: int = 1, **config: str) -> None:
        from confluent_kafka import Producer
        from confluent_kafka.admin import AdminClient, NewTopic

        self.brokers, self.name, self.group = brokers, name, f"group-{name}"
        self.producer = Producer({"bootstrap.servers": brokers, "message.max.bytes": "100000000", "linger.ms": "1", "log_level": 0})
        self.admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
        for made in self.admin.create_topics([NewTopic(name, partitions, 1, config=config)]).values():
            made.result(30)

    @property
    def url(self) -> str:
        return f"kafka://{self.brokers}/{self.name}?group={self.group}"

    def send(self, *values: bytes | None, partition: int = 0) -> None:
        """Append, and wait until it is there."""
        for value in values:
            self.producer.produce(self.name, value, partition=partition)
        assert self.producer.flush(30) == 0

    def committed(self, partition: int = 0) -> int:
        """The group's offset, -1001 where there is none."""
        from confluent_kafka import Consumer, KafkaException, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": self.group, "log_level": 0})
        try:
            return consumer.committed([TopicPartition(self.name, partition)], timeout=10)[0].offset
        except KafkaException:  # no group was seen by this broker yet
            return -1001
        finally:
            consumer.close()


_count = count()


@pytest.fixture
def new_topic(kafka, request: pytest.FixtureRequest) -> Callable[..., Topic]:
    """Makes a topic named for the test: ``new_topic(partitions=2)``."""

    def make(**options: Any) -> Topic:
        return Topic(kafka.brokers, f"{request.node.originalname[:80]}.{next(_count)}", **options)

    return make


def environment(**more: str) -> dict[str, str]:
    """Of a command: this one's, without what belongs to another home or Kafka."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GOVERN_")} | more


def ingest(topic: Topic | str, *args: str, **more: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """``govern ingest URL ARGS --json`` run to its end, and what it printed."""
    url = topic if isinstance(topic, str) else topic.url
    command = [sys.executable, "-m", "governance.cli", "ingest", url, "--json", *args]
    done = subprocess.run(command, env=environment(**more), capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    return done, json.loads(done.stdout) if done.stdout else {}


@pytest.fixture
def follow() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Leaves the same running: ``follow(topic_or_url, *args, log=FILE, **environment)``; its standard error goes to the file.

    What still runs after the test is killed.
    """
    running: list[subprocess.Popen[str]] = []

    def start(topic: Topic | str, *args: str, log: Path, module: Sequence[str] = ("governance.cli",), **more: str) -> subprocess.Popen[str]:
        url = topic if isinstance(topic, str) else topic.url
        with log.open("a") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", *module, "ingest", url, "--json", *args],
                env=environment(**more), stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT,
            )  # fmt: skip
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
