"""What the errors of the Kafka client mean for the loop: no way on, try again, or the group went on without us."""

# ruff: noqa: SLF001 - librdkafka names the errors of its own side with an underscore; they are its public interface

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import KafkaError

from governance.cli.kafka.address import Address
from lineage.errors import Forbidden, GovernError, NotFound, StoreUnavailable

__all__ = ["ALL_DOWN", "CONNECTION", "END", "MOVED", "PASSING", "SILENT", "TOO_SLOW", "final", "plain", "secrets_of"]

END: Final = KafkaError._PARTITION_EOF
TOO_SLOW: Final = KafkaError._MAX_POLL_EXCEEDED
ALL_DOWN: Final = KafkaError._ALL_BROKERS_DOWN
SILENT: Final = frozenset({KafkaError._TRANSPORT, KafkaError._TIMED_OUT})
"""What a request says when nobody answered; the client's threads say more closely why."""
CONNECTION: Final = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._SSL})
MOVED: Final = frozenset(
    {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.FENCED_INSTANCE_ID, KafkaError._ASSIGNMENT_LOST}
)
"""The group went on without this member: who has the partition now is given the messages again, and the ledger knows them."""
PASSING: Final = CONNECTION | {
    KafkaError._TIMED_OUT,
    KafkaError._WAIT_COORD,
    KafkaError._STATE,
    KafkaError._DESTROY,
    KafkaError._RETRY,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
}
"""A commit that fails so is tried again."""
_LOGIN: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
_RIGHTS: Final = frozenset(
    {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}
)
_UNKNOWN: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})
_SECRET: Final = ("password", "secret", "pem", "token", "jaas", "sasl.oauthbearer.config")


def final(error: KafkaError, said: str, address: Address) -> GovernError | None:
    """The error to end with, where waiting cannot help.

    Args:
        error: the client's.
        said: its text, without secrets.
        address: of the topic.
    """
    code = error.code()
    if code in _LOGIN:
        return Forbidden(
            f"Kafka at {address.brokers} does not let this user in: {said}",
            hint="correct GOVERN_KAFKA_SASL_USERNAME, GOVERN_KAFKA_SASL_PASSWORD and GOVERN_KAFKA_SASL_MECHANISM",
        )
    if code in _RIGHTS:
        return Forbidden(
            f"Kafka at {address.brokers} does not let this user read {address.topic}: {said}",
            hint="the user needs READ on the topic and on the group: kafka-acls.sh",
        )
    if code in _UNKNOWN:
        return NotFound(
            f"there is no topic {address.topic} at {address.brokers}",
            hint="correct the topic in the URL, or create it: kafka-topics.sh --create --topic NAME",
        )
    if error.fatal():
        return StoreUnavailable(f"the Kafka client cannot go on: {said}", hint="run the command again: it goes on where it was")
    return None


def secrets_of(settings: Mapping[str, str]) -> list[str]:
    """The values that no message may hold.

    >>> secrets_of({"sasl.password": "hunter2", "sasl.username": "ann"})
    ['hunter2']
    """
    return [value for name, value in settings.items() if value and any(word in name for word in _SECRET)]


def plain(error: KafkaError, secrets: Iterable[str]) -> str:
    """The text of an error, without secrets."""
    text = error.str()
    for secret in secrets:
        text = text.replace(secret, "…")
    return text
