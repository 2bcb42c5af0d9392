"""``govern ingest kafka://…`` against a real Kafka: what is taken, refused, skipped and committed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.transport.kafka import KafkaConfig, KafkaTransport
from openlineage.client.uuid import generate_new_uuid

from governance.wiring import init_home
from lineage.openlineage import event_digest
from tests.support.kafka import Topic, ingest
from tests.support.ledgers import held

pytestmark = pytest.mark.integration


def event(number: int, **more) -> dict:
    return {
        "eventType": "COMPLETE",
        "eventTime": f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z",
        "producer": "https://example.com/tests",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": f"01890a5d-ac96-774b-bcce-{number:012d}"},
        "job": {"namespace": "kafka", "name": f"job{number}"},
        "outputs": [{"namespace": "kafka", "name": f"table{number}"}],
        **more,
    }


def raw(number: int, **more) -> bytes:
    return json.dumps(event(number, **more)).encode()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    init_home(tmp_path / "home")
    return tmp_path / "home"


def emit_with_the_official_client(topic: Topic) -> None:
    transport = KafkaTransport(KafkaConfig(config={"bootstrap.servers": topic.brokers}, topic=topic.name))
    run, job = Run(runId=str(generate_new_uuid())), Job(namespace="official", name="client")
    sent = RunEvent(eventTime="2026-01-01T00:00:00Z", run=run, job=job, eventType=RunState.COMPLETE, producer="https://example.com/tests")
    OpenLineageClient(transport=transport).emit(sent)
    transport.close()


def test_a_topic_is_taken_to_its_end_once_and_what_is_no_event_is_named(new_topic, home):
    topic = new_topic()
    emit_with_the_official_client(topic)
    deep = b'{"a":' * 400 + b"1" + b"}" * 400
    topic.send(raw(1), None, b"not json", b"", b'{"job": 7}', raw(1), deep, b"\x00\x00\x00\x00\x01avro", b"\xef\xbb\xbf" + raw(2))
    done, said = ingest(topic, "--until-end", GOVERN_HOME=str(home))
    assert done.returncode == 1, done.stderr
    assert (said["received"], said["accepted"], said["empty"], said["refused_count"]) == (10, 4, 2, 4)
    assert (said["lag"], said["missed"], said["unsettled"], said["ended"]) == (0, 0, 0, "end")
    assert [(one["topic"], one["partition"], one["offset"]) for one in said["refused"]] == [(topic.name, 0, at) for at in (3, 5, 7, 8)]
    for one in said["refused"]:
        assert f"refused: {topic.name}[0]@{one['offset']}: {one['reason']}" in done.stderr.splitlines()
    assert topic.committed() == 10
    with held(home) as identities:
        assert len(identities) == 3
        assert {event_digest(event(1)), event_digest(event(2))} < set(identities)

    topic.send(raw(3))
    done, said = ingest(topic, "--until-end", GOVERN_HOME=str(home))
    assert (done.returncode, said["received"], said["accepted"]) == (0, 1, 1), done.stderr
    assert done.stderr == ""
