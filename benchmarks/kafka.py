"""Events a second out of a Kafka topic, beside the same events from a file: both are whole commands into fresh homes, start included.

Only when it is named: it starts a broker (`deploy/kafka/start.py`), which needs Java and fetches its jars once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.lineage_events import training_events
from benchmarks.lineage_server import GOVERN, made_home
from benchmarks.measure import CommandFailed, Line, command, plain_environment
from deploy.java_server import CannotStart
from deploy.kafka.start import Kafka

EVENTS = 20_000
PARTITIONS = 3
LEAST = 0.6
"""Of the rate of a file: what the promise is. The rest is joining a group, fetching and committing."""
NAME = "kafka: a topic to its end"


def run() -> Iterator[Line]:
    """The file first, then the topic, three times each in turn; the best of each."""
    events = training_events(EVENTS, prefix="kafka")
    note = f"{EVENTS} events, {sum(map(len, events)) // EVENTS:,} B each, {PARTITIONS} partitions; best of 3"
    try:
        with tempfile.TemporaryDirectory() as folder:
            where = Path(folder)
            server = Kafka(where / "kafka", flags=("-Xmx512m",))
            server.start()
            try:
                file, topic = _filled(where, server.brokers, events)
                took: dict[str, list[tuple[float, float]]] = {file: [], topic: []}
                for turn in range(3):
                    for source, figures in took.items():
                        home = where / f"home-{turn}-{len(source)}"
                        made_home(home)
                        url = f"{source}?group=g{turn}" if source == topic else source
                        more = ["--until-end"] if source == topic else []
                        done = command([*GOVERN, "ingest", url, *more], environment=plain_environment(GOVERN_HOME=str(home)), timeout=600)
                        if f"{EVENTS} of {EVENTS} events accepted" not in done.said:
                            raise CommandFailed(done.said)
                        figures.append((done.wall, done.cpu))
            finally:
                server.stop()
    except (CommandFailed, CannotStart) as error:
        yield Line(name=NAME, value=0.0, unit="/s", baseline="from a file", baseline_value=0.0, failed=str(error))
        return
    (wall, cpu), (base_wall, base_cpu) = min(took[topic]), min(took[file])
    yield Line(
        name=NAME, value=EVENTS / wall, unit="/s", baseline="from a file", baseline_value=EVENTS / base_wall, ratio_limit=LEAST,
        cpu=cpu, baseline_cpu=base_cpu, note=note,
    )  # fmt: skip


def _filled(where: Path, brokers: str, events: list[bytes]) -> tuple[str, str]:
    """A file and a topic that hold the events."""
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    file = where / "events.jsonl"
    file.write_bytes(b"\n".join(events) + b"\n")
    admin = AdminClient({"bootstrap.servers": brokers})
    for made in admin.create_topics([NewTopic("events", PARTITIONS, 1)]).values():
        made.result(30)
    producer = Producer({"bootstrap.servers": brokers, "queue.buffering.max.messages": str(2 * EVENTS)})
    for number, raw in enumerate(events):
        producer.produce("events", raw, partition=number % PARTITIONS)
    if producer.flush(60):
        raise CommandFailed("the broker did not take every event")
    return str(file), f"kafka://{brokers}/events"
