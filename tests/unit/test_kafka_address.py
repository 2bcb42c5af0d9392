"""Where a topic is and how to speak to it: the URL, the environment, the properties file, and the secrets in them."""

from __future__ import annotations

import re
import sys

import pytest

from governance.cli.exits import Usage
from governance.cli.kafka.address import Address, client_settings, parse_address

HERE = Address(brokers="b:9092", topic="t")


@pytest.mark.parametrize(
    ("source", "brokers", "topic", "group"),
    [
        ("kafka://b:9092/t", "b:9092", "t", None),
        ("kafka://b/t", "b:9092", "t", None),
        ("kafka://b1:1,b2:2,b3/open-lineage_events.v1?group=my%20group", "b1:1,b2:2,b3:9092", "open-lineage_events.v1", "my group"),
        ("kafka://[::1]:9094/t", "[::1]:9094", "t", None),
        ("kafka://[::1]/t", "[::1]:9092", "t", None),
    ],
)
def test_an_address_is_brokers_topic_and_group(source, brokers, topic, group):
    assert parse_address(source) == Address(brokers=brokers, topic=topic, group=group)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("kafka://b:9092", "no Kafka topic"),
        ("kafka://b:9092/", "no Kafka topic"),
        ("kafka://b:9092/a/b", "no Kafka topic"),
        ("kafka://b:9092/..", "no Kafka topic"),
        ("kafka:///t", "no Kafka broker"),
        ("kafka://b:port/t", "no Kafka broker"),
        ("kafka://b:0/t", "no Kafka broker"),
        ("kafka://b:70000/t", "no Kafka broker"),
        ("kafka://b1,,b2/t", "no Kafka broker"),
        ("kafka://b/t?group=", "no single consumer group"),
        ("kafka://b/t?group=a&group=b", "no single consumer group"),
        ("kafka://b/t?team=a", "one parameter, group, not team"),
        ("kafka://b/t?sasl.password=x", "one parameter, group, not sasl.password"),
        ("kafka://b/t#x", "not a fragment"),
    ],
)
def test_what_is_no_address_is_said(source, said):
    with pytest.raises(Usage, match=re.escape(said)):
        parse_address(source)


def test_a_password_in_the_url_is_refused_and_not_repeated():
    with pytest.raises(Usage) as error:
        parse_address("kafka://ann:hunter2@b:9092/t")
    assert "hunter2" not in error.value.message + str(error.value.hint)
    assert "GOVERN_KAFKA_SASL_PASSWORD" in str(error.value.hint)


def test_the_environment_wins_over_the_file_and_the_url_over_both(tmp_path):
    file = tmp_path / "kafka.properties"
    file.write_text("# ours\n! theirs\n\nsasl.username = ann\nsasl.password=a=b#c\ngroup.id=filed\nclient.id=x\n")
    given = {"GOVERN_KAFKA_PROPERTIES": str(file), "GOVERN_KAFKA_SASL_USERNAME": "eve", "GOVERN_KAFKA_LOG_LEVEL": "6", "GOVERN_KAFKA_X": ""}
    found = client_settings(HERE, given)
    assert (found["sasl.username"], found["sasl.password"], found["group.id"]) == ("eve", "a=b#c", "filed")
    assert (found["log_level"], found["client.id"], found["bootstrap.servers"]) == ("6", "x", "b:9092")
    assert "x" not in found
    assert client_settings(Address(brokers="b:9092", topic="t", group="url"), given)["group.id"] == "url"
    assert client_settings(HERE, {})["group.id"] == "govern"
    assert client_settings(HERE, {})["auto.offset.reset"] == "earliest"


@pytest.mark.parametrize("name", ["enable.auto.commit", "enable.auto.offset.store", "bootstrap.servers", "enable.partition.eof"])
def test_what_the_promise_rests_on_is_not_to_choose(tmp_path, name):
    file = tmp_path / "kafka.properties"
    file.write_text(f"{name}=true\n")
    with pytest.raises(Usage, match=name):
        client_settings(HERE, {"GOVERN_KAFKA_PROPERTIES": str(file)})
    with pytest.raises(Usage, match=name):
        client_settings(HERE, {"GOVERN_KAFKA_" + name.upper().replace(".", "_"): "true"})


def test_a_line_that_is_no_setting_is_named_by_its_number_alone(tmp_path):
    file = tmp_path / "kafka.properties"
    file.write_text("a=b\nhunter2\n")
    with pytest.raises(Usage) as error:
        client_settings(HERE, {"GOVERN_KAFKA_PROPERTIES": str(file)})
    assert f"{file}:2" in error.value.message
    assert "hunter2" not in error.value.message


def test_a_file_that_is_not_there_is_said():
    with pytest.raises(Usage, match="cannot be read: No such file"):
        client_settings(HERE, {"GOVERN_KAFKA_PROPERTIES": "/nowhere/kafka.properties"})


# ── the command, where it ends before any broker ────────────────────────────────────────────────
@pytest.fixture
def govern(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty home; returns its exit code and what it said on standard error."""
    from governance.cli import main

    (tmp_path / "govern.json").write_text("{}")
    monkeypatch.setenv("GOVERN_HOME", str(tmp_path))

    def run(*args: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main(["ingest", *args])
        return end.value.code, capsys.readouterr().err

    return run


def test_without_the_extra_it_is_named(govern, monkeypatch):
    for name in ("governance.cli.kafka.consumer", "governance.cli.kafka.faults"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    code, said = govern("kafka://b:9092/t")
    assert code == 2
    assert "needs the extra kafka" in said
    assert "pip install 'govern-ml[kafka]'" in said


def test_a_wrong_setting_is_named_without_its_value(govern, monkeypatch):
    monkeypatch.setenv("GOVERN_KAFKA_SASL_PASS_WORD", "hunter2")
    code, said = govern("kafka://b:9092/t")
    assert code == 2
    assert 'No such configuration property: "sasl.pass.word"' in said
    assert "hunter2" not in said


@pytest.mark.parametrize("option", [["--until-end"], ["--patience", "3"]])
def test_what_is_for_a_topic_is_refused_for_a_file(govern, tmp_path, option):
    code, said = govern(str(tmp_path), *option)
    assert (code, "a file ends by itself" in said) == (2, True)
