"""``govern ingest kafka://…`` when things go wrong: brokers and servers that go away, members that come and go, messages that are lost."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.java_server import free_port
from governance.wiring import init_home
from lineage.openlineage import event_digest
from tests import lineage_events as make
from tests.support.govern_server import GovernServer
from tests.support.kafka import PROPERTIES, QUICK, Topic, ingest, started
from tests.support.ledgers import held

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    init_home(tmp_path / "home")
    return tmp_path / "home"


def raws(start: int, count: int) -> list[bytes]:
    return [
        make.run(f"run{number}", "COMPLETE", number % 1440, [make.ds("in")], [make.ds("out")]) for number in range(start, start + count)
    ]


def digests(events: list[bytes]) -> set[str]:
    return {event_digest(json.loads(raw)) for raw in events}


def until(true: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def stopped(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> dict:
    process.send_signal(number)
    out, _ = process.communicate(timeout=120)
    assert out, f"it ended with {process.returncode} before it was ready"
    return json.loads(out)


# ── the end that is asked for ───────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_follower_takes_what_comes_and_ends_cleanly_when_asked(new_topic, home, tmp_path, number, follow):
    topic = new_topic()
    topic.send(*raws(0, 5))
    process = follow(topic, log=tmp_path / "log", GOVERN_HOME=str(home), **QUICK)
    until(lambda: topic.committed() == 5)
    topic.send(*raws(5, 2), b"poison")
    until(lambda: "refused" in (tmp_path / "log").read_text())
    said = stopped(process, number)
    assert process.returncode == 0, (tmp_path / "log").read_text()
    assert (said["received"], said["accepted"], said["refused_count"], said["ended"], said["lag"]) == (8, 7, 1, "stopped", 0)
    assert topic.committed() == 8
    with held(home) as identities:
        assert sorted(identities) == sorted(digests(raws(0, 7)))


def test_an_end_that_was_not_reached_is_incomplete(home, tmp_path, follow):
    port = free_port()
    process = follow(f"kafka://127.0.0.1:{port}/events", "--until-end", log=tmp_path / "log", GOVERN_HOME=str(home))
    until(lambda: "waiting: no Kafka broker answers" in (tmp_path / "log").read_text())
    assert stopped(process)["ended"] == "stopped"
    assert process.returncode == 4


# ── brokers ─────────────────────────────────────────────────────────────────────────────────────
def test_no_broker_is_an_error_after_the_patience(home):
    url = f"kafka://127.0.0.1:{free_port()}/events"
    done, said = ingest(url, "--patience", "1", GOVERN_HOME=str(home))
    assert done.returncode == 1
    assert f"error: no Kafka broker answered at {url[8:].partition('/')[0]} for 1 s: " in done.stderr
    assert "Connection refused" in done.stderr
    assert said["received"] == 0


def test_no_topic_is_an_error_at_once_and_none_is_made(kafka, home):
    for _ in range(2):
        done, _ = ingest(f"kafka://{kafka.brokers}/no-such-topic", GOVERN_HOME=str(home))
        assert done.returncode == 1
        assert f"error: there is no topic no-such-topic at {kafka.brokers}" in done.stderr


def test_a_broker_that_goes_away_is_waited_for_and_one_that_stays_away_ends_it(home, tmp_path, follow):
    log = tmp_path / "log"
    server = started(tmp_path / "kafka", properties=PROPERTIES)
    try:
        topic = Topic(server.brokers, "events")
        topic.send(*raws(0, 3))
        process = follow(topic, "--patience", "200", log=log, GOVERN_HOME=str(home), **QUICK)
        until(lambda: topic.committed() == 3)
        server.kill()
        until(lambda: "waiting: no Kafka broker answers" in log.read_text())
        server.start()
        topic.send(*raws(3, 3))
        until(lambda: topic.committed() == 6 or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        assert "Kafka answers again" in log.read_text()
        said = stopped(process)
        assert (process.returncode, said["accepted"]) == (0, 6)

        process = follow(topic, "--patience", "3", log=log, GOVERN_HOME=str(home), **QUICK)
        topic.send(*raws(6, 1))
        until(lambda: topic.committed() == 7)
        server.kill()
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 1
        assert json.loads(out)["accepted"] == 1
        assert "error: no Kafka broker answered" in log.read_text()
    finally:
        server.kill()
    with held(home) as identities:
        assert sorted(identities) == sorted(digests(raws(0, 7)))


# ── the server ──────────────────────────────────────────────────────────────────────────────────
def test_a_server_that_goes_away_is_waited_for_and_nothing_is_committed_meanwhile(new_topic, tmp_path, follow):
    home, log = tmp_path / "home", tmp_path / "log"
    key = init_home(home)["api_key"]
    topic = new_topic()
    server = GovernServer(home, tmp_path / "server.log", free_port())
    where = {"GOVERN_URL": server.url, "GOVERN_API_KEY": key, **QUICK}
    done, _ = ingest(topic, "--until-end", **where)
    assert done.returncode == 1
    assert "no server answers" in done.stderr
    server.start()
    try:
        done, _ = ingest(topic, "--until-end", **where | {"GOVERN_API_KEY": "no-such-key"})
        assert done.returncode == 1
        assert "GOVERN_API_KEY" in done.stderr
        topic.send(*raws(0, 3))
        process = follow(topic, log=log, **where)
        until(lambda: topic.committed() == 3)
        server.stop()
        topic.send(*raws(3, 400))
        until(lambda: "waiting: no server answers" in log.read_text())
        time.sleep(2.5)  # longer than the session: a member that did not poll would be thrown out
        assert topic.committed() == 3
        server.start()
        until(lambda: topic.committed() == 403)
        said = stopped(process)
        assert (process.returncode, said["accepted"], said["lag"]) == (0, 403, 0)
        done, _ = ingest(topic, "--until-end", "--patience", "1", **where)
        assert done.returncode == 0
        server.stop()
        topic.send(*raws(403, 1))
        process = follow(topic, "--until-end", "--patience", "1", log=log, **where)
        process.communicate(timeout=120)
        assert process.returncode == 1
        assert topic.committed() == 403
    finally:
        server.stop()
    with held(home) as identities:
        assert sorted(identities) == sorted(digests(raws(0, 403)))


# ── the group ───────────────────────────────────────────────────────────────────────────────────
def test_members_that_come_and_go_share_the_topic_and_lose_and_double_nothing(new_topic, tmp_path, follow):
    home, log = tmp_path / "home", tmp_path / "log"
    key = init_home(home)["api_key"]
    topic = new_topic(partitions=3)
    sent = raws(0, 3000)
    server = GovernServer(home, tmp_path / "server.log", free_port())
    server.start()
    try:
        where = {"GOVERN_URL": server.url, "GOVERN_API_KEY": key, **QUICK}

        def feed() -> None:
            for at in range(0, len(sent), 50):
                topic.send(*sent[at : at + 50], partition=at // 50 % 3)
                time.sleep(0.1)

        feeder = threading.Thread(target=feed)
        feeder.start()
        members = []
        for _ in range(3):
            members.append(follow(topic, log=log, **where))
            time.sleep(1.0)
        until(lambda: all(topic.committed(partition) > 0 for partition in range(3)))
        first = stopped(members[0])
        members[1].kill()
        members[1].communicate()
        feeder.join(120)
        done, said = ingest(topic, "--until-end", **where)
        assert done.returncode == 0, done.stderr
        last = stopped(members[2])
        assert [first["refused_count"], last["refused_count"], said["missed"], last["missed"]] == [0, 0, 0, 0]
        assert sum(topic.committed(partition) for partition in range(3)) == len(sent)
    finally:
        server.stop()
    with held(home) as identities:
        assert sorted(identities) == sorted(digests(sent))


def test_a_member_that_was_killed_is_waited_for_and_that_is_said(new_topic, home, tmp_path, follow):
    topic = new_topic()
    topic.send(*raws(0, 1))
    slow = {"GOVERN_KAFKA_SESSION_TIMEOUT_MS": "15000", "GOVERN_KAFKA_HEARTBEAT_INTERVAL_MS": "500"}
    process = follow(topic, log=tmp_path / "log", GOVERN_HOME=str(home), **slow)
    until(lambda: topic.committed() == 1)
    process.kill()
    process.communicate()
    topic.send(*raws(1, 1))
    done, said = ingest(topic, "--until-end", GOVERN_HOME=str(home), **slow)
    assert (done.returncode, said["accepted"], said["ended"]) == (0, 1, "end")
    assert "waiting: the group has given this member no partition yet; a member that was killed is noticed" in done.stderr


# ── messages ────────────────────────────────────────────────────────────────────────────────────
def test_what_retention_removed_unread_is_counted(new_topic, home):
    from confluent_kafka import TopicPartition

    topic = new_topic()
    topic.send(*raws(0, 4))
    assert ingest(topic, "--until-end", GOVERN_HOME=str(home))[1]["accepted"] == 4
    topic.send(*raws(4, 6))
    for removed in topic.admin.delete_records([TopicPartition(topic.name, 0, 7)]).values():
        removed.result(30)
    done, said = ingest(topic, "--until-end", GOVERN_HOME=str(home))
    assert (said["received"], said["missed"]) == (3, 3)
    assert f"missed: {topic.name}[0]@4 to 6 were removed by the topic's retention before they were read" in done.stderr


def test_what_a_transaction_took_back_is_not_read_and_its_marks_are_no_messages(new_topic, home):
    from confluent_kafka import Producer

    topic = new_topic()
    producer = Producer({"bootstrap.servers": topic.brokers, "transactional.id": topic.name, "log_level": 0})
    producer.init_transactions(30)
    for number, keep in ((0, True), (1, False), (2, True)):
        producer.begin_transaction()
        producer.produce(topic.name, raws(number, 1)[0])
        producer.flush(30)
        (producer.commit_transaction if keep else producer.abort_transaction)(30)
    done, said = ingest(topic, "--until-end", GOVERN_HOME=str(home))
    assert (done.returncode, said["received"], said["missed"], said["lag"]) == (0, 2, 0, 0), done.stderr
    assert topic.committed() == 6
    with held(home) as identities:
        assert sorted(identities) == sorted(digests(raws(0, 1) + raws(2, 1)))


def test_a_large_event_is_taken_and_one_beyond_the_limit_is_refused_by_itself(new_topic, home):
    topic = new_topic(**{"max.message.bytes": "100000000"})
    large = make.run("large", "COMPLETE", 1, [make.ds("in", documentation={"description": "x" * 9_000_000})])
    beyond = make.run("beyond", "COMPLETE", 1, [make.ds("in", documentation={"description": "x" * 67_200_000})])
    topic.send(*raws(0, 2), large, beyond, *raws(2, 1))
    done, said = ingest(topic, "--until-end", GOVERN_HOME=str(home))
    assert (done.returncode, said["received"], said["accepted"]) == (1, 5, 4), done.stderr
    assert [one["offset"] for one in said["refused"]] == [3]
    assert f"the message has {len(beyond)} bytes, an event at most 67108864" in said["refused"][0]["reason"]
    assert topic.committed() == 5
