"""Where a topic is and how to speak to it: a URL, ``GOVERN_KAFKA_*`` and a properties file become the settings of a Kafka client.

A secret is never part of the URL or of a message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from governance.cli.exits import Usage

__all__ = ["Address", "client_settings", "parse_address", "parse_properties"]

_PREFIX: Final = "GOVERN_KAFKA_"
_FILE: Final = "GOVERN_KAFKA_PROPERTIES"
_FORM: Final = "govern ingest 'kafka://HOST:PORT/TOPIC?group=NAME'"
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_GROUP: Final = "govern"
_OURS: Final = {
    "bootstrap.servers": "the brokers stand in the URL",
    "enable.auto.commit": "an offset is committed when its event is durable in the ledger",
    "enable.auto.offset.store": "an offset is committed when its event is durable in the ledger",
    "enable.partition.eof": "it is how the end of a partition is seen",
}
_DEFAULTS: Final = {"auto.offset.reset": "earliest", "log_level": "0", "client.id": "govern"}
"""Settings that a user may change. ``log_level`` 0: what goes wrong is told by the command, once, and not by every thread of the client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A topic, and the consumer group that reads it."""

    brokers: str
    """``HOST:PORT``, perhaps several with commas between: Kafka's ``bootstrap.servers``."""
    topic: str
    group: str | None = None
    """As the URL says."""

    def __str__(self) -> str:
        return f"kafka://{self.brokers}/{self.topic}"


def parse_address(source: str) -> Address:
    """The address that a URL names.

    Raises:
        Usage: it names no broker, no topic or an unknown parameter, or it holds a password.

    >>> parse_address("kafka://one:9092,two/openlineage.events?group=lineage")
    Address(brokers='one:9092,two:9092', topic='openlineage.events', group='lineage')
    """
    parts = urlsplit(source)
    if "@" in parts.netloc:
        raise Usage(
            "a kafka:// URL holds no user and no password: a command line is seen by everyone on the machine",
            hint=f"set {_PREFIX}SASL_USERNAME and {_PREFIX}SASL_PASSWORD, or name a file in {_FILE}",
        )
    brokers = [_broker(one, source) for one in parts.netloc.split(",")]
    topic = unquote(parts.path.removeprefix("/"))
    if not _TOPIC.fullmatch(topic) or topic in {".", ".."}:
        raise Usage(f"{source} names no Kafka topic (letters, digits, '.', '_' and '-')", hint=_FORM)
    given = parse_qsl(parts.query, keep_blank_values=True)
    unknown = sorted({name for name, _ in given} - {"group"})
    if unknown or parts.fragment:
        raise Usage(
            f"a kafka:// URL takes one parameter, group, not {', '.join(unknown) or 'a fragment'}",
            hint=f"every other setting is a variable ({_PREFIX}SECURITY_PROTOCOL …), or a line of the file that {_FILE} names",
        )
    groups = [value for _, value in given]
    if len(groups) > 1 or "" in groups:
        raise Usage(f"{source} names no single consumer group", hint=_FORM)
    return Address(brokers=",".join(brokers), topic=topic, group=groups[0] if groups else None)


def _broker(text: str, source: str) -> str:
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, "9092"
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise Usage(f"{source} names no Kafka broker as HOST:PORT", hint=_FORM)
    return f"{host}:{port}"


def parse_properties(text: str, place: str) -> dict[str, str]:
    r"""The settings of a properties file: ``name=value`` a line; empty lines and lines that begin with ``#`` or ``!`` are comments.

    Raises:
        Usage: a line is neither; named by its number, never by its text, which may hold a secret.

    >>> parse_properties("# ours\nsecurity.protocol = SASL_SSL\n", "kafka.properties")
    {'security.protocol': 'SASL_SSL'}
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        plain = line.strip()
        if not plain or plain[0] in "#!":
            continue
        name, equals, value = plain.partition("=")
        if not equals or not name.strip():
            raise Usage(f"{place}:{number} is no setting", hint="write name=value, as in librdkafka's CONFIGURATION.md")
        found[name.strip()] = value.strip()
    return found


def client_settings(address: Address, environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of a consumer of this address.

    Args:
        address: brokers, topic, and perhaps the group.
        environment: ``GOVERN_KAFKA_PROPERTIES`` names a properties file; any other ``GOVERN_KAFKA_X_Y`` is the client's setting ``x.y``
            and wins over the file. The group of the URL wins over both; without any it is ``govern``.

    Raises:
        Usage: the file cannot be read, or a setting is one that is not the user's to choose.

    >>> given = {"GOVERN_KAFKA_SECURITY_PROTOCOL": "SSL"}
    >>> client_settings(Address(brokers="b:9092", topic="t"), given)["security.protocol"]
    'SSL'
    """
    chosen = dict(_DEFAULTS)
    path = environment.get(_FILE, "").strip()
    if path:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise Usage(f"{path}, which {_FILE} names, cannot be read: {said}", hint=f"correct or unset {_FILE}") from None
        chosen |= _allowed(parse_properties(text, path), path)
    given = {name: value for name, value in environment.items() if name.startswith(_PREFIX) and name != _FILE and value}
    chosen |= _allowed({_setting(name): value for name, value in given.items()}, "the environment")
    group = address.group or chosen.get("group.id") or _GROUP
    return chosen | {
        "bootstrap.servers": address.brokers,
        "group.id": group,
        "enable.auto.commit": "false",
        "enable.auto.offset.store": "false",
        "enable.partition.eof": "true",
    }


def _setting(variable: str) -> str:
    name = variable.removeprefix(_PREFIX).lower()
    return name if name == "log_level" else name.replace("_", ".")  # the one setting that has no dot


def _allowed(settings: Mapping[str, str], place: str) -> Mapping[str, str]:
    for name in settings:
        if name in _OURS:
            raise Usage(f"{name} in {place} is not a setting to choose: {_OURS[name]}", hint=f"take {name} out of {place}")
    return settings
