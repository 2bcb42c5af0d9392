"""The message log in Kafka: a consumer group member over confluent_kafka (librdkafka).

One thread; librdkafka's own threads fetch, and tell what happened when they are polled. Offsets are committed in the background, one
commit at a time, so that a later offset is never overtaken by an earlier one, and before a partition is given away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Record

from governance.cli.exits import Usage
from governance.cli.kafka import faults
from governance.cli.kafka.address import Address
from governance.cli.kafka.messages import Message
from governance.cli.kafka.offsets import Key, Offsets
from lineage.errors import GovernError, StoreUnavailable

__all__ = ["KafkaMessages"]

_IDLE: Final = 0.25
"""Seconds that :meth:`KafkaMessages.take` waits for a first message: how soon a signal is seen."""
_LINGER: Final = 0.005
_ASK: Final = 5.0
_PROBE: Final = 1.0
_TELL: Final = 2.0
"""Seconds of silence after which waiting is told."""


class KafkaMessages:
    """A member of a consumer group, reading one topic. See :class:`governance.cli.kafka.messages.Messages`.

    Args:
        address: where the topic is.
        settings: the client's, of :func:`governance.cli.kafka.address.client_settings`.
        tell: a line for the log of this process.
        patience: seconds that every broker may be away.
        stop: whether to give up waiting.

    Raises:
        Usage: a setting is not one of the client's.
    """

    def __init__(
        self, address: Address, settings: Mapping[str, str], *, tell: Callable[[str], None], patience: float, stop: Callable[[], bool]
    ) -> None:
        self._address = address
        self._secrets = faults.secrets_of(settings)
        self._tell = tell
        self._patience = patience
        self._stop = stop
        self._offsets = Offsets()
        self._fault: GovernError | None = None
        self._reason = "it cannot be reached"
        self._away: float | None = None
        self._told = False
        self._probed = 0.0
        self._held: Record | None = None
        self._batch: list[Message] = []
        self._joined = False
        self._alone = 0.0
        self._complained = False
        self._leaving = False
        self._committing = False
        self._missed = 0
        self._compared = 0.0
        try:
            self._consumer = Consumer({**settings, "error_cb": self._judge, "on_commit": self._on_commit})
        except KafkaException as error:
            raise Usage(
                f"the Kafka client does not take these settings: {self._plain(error)}",
                hint="the names are those of librdkafka's CONFIGURATION.md; correct GOVERN_KAFKA_… or the properties file",
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leaving = True
        self._consumer.close()

    def open(self) -> bool:
        """Find the topic, remember where it ends now, and join the group; ``False`` when it was asked to stop before a broker answered.

        Raises:
            StoreUnavailable: no broker answered.
            NotFound: there is no such topic.
            Forbidden: the broker does not let this user in, or not to this topic.
        """
        topic = self._address.topic
        self._away = time.monotonic()
        while not self._stop():
            try:
                found = self._consumer.list_topics(topic, timeout=_PROBE).topics[topic]
                if found.error is None:
                    for number in found.partitions:
                        end = self._consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_ASK)[1]
                        self._offsets.ends[topic, number] = end
                    self._consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
                    self._is_here()
                    self._alone = time.monotonic()
                    return True
                self._judge(found.error)
            except KafkaException as error:
                self._judge_silence(error)
            self._consumer.poll(0.1)  # what the client's threads have to say
            self._check()
            self._lose_patience(self._away)
        return False

    # ── the port ────────────────────────────────────────────────────────────────────────────────
    def take(self, most: int, most_bytes: int) -> list[Message]:
        """The next messages; see the port."""
        self._batch, size, pause = [], 0, _IDLE
        while len(self._batch) < most:
            record, self._held = self._held, None
            if record is None:
                record = self._consumer.poll(pause)
            self._check()
            if record is None:
                break
            if (error := record.error()) is not None:
                self._on_event(error, record)
                continue
            value = record.value()
            if self._batch and size + len(value or b"") > most_bytes:
                self._held = record
                break
            self._batch.append(self._message(record, value))
            size += len(value or b"")
            pause = _LINGER
        self._commit()
        if self._batch:
            self._is_here()
        else:
            self._probe()
            if not self._joined:
                self._complain("the group has given this member no partition yet")
        batch, self._batch = self._batch, []
        return batch

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Let these offsets be committed, of partitions that are still ours."""
        for message in messages:
            self._offsets.delivered((message.topic, message.partition), message.offset)
        self._commit()

    def wait(self, seconds: float) -> None:
        """Poll with everything paused, so that the group does not take this member for dead."""
        parts = self._pause()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._stop():
            record = self._consumer.poll(min(left, _IDLE))
            if record is not None and (error := record.error()) is not None:
                self._on_event(error, record)
            self._check()
        still = _keys(self._consumer.assignment())
        self._consumer.resume([part for part in parts if (part.topic, part.partition) in still])

    def settle(self, seconds: float) -> int:
        """Commit what is not committed; see the port."""
        end = time.monotonic() + seconds
        self._pause()
        while (self._offsets.open() or self._committing) and self._fault is None and time.monotonic() < end:
            self._commit()
            self._consumer.poll(0.05)
        return len(self._offsets.open())

    def at_end(self) -> bool:
        """Whether each partition was read to where it ended at the start: ours by us, and the others as the group's offsets say.

        A partition may be another member's, and that member may be dead without the broker having noticed.
        """
        if not self._joined or not self._offsets.done(_keys(self._consumer.assignment())):
            return False
        others = self._offsets.others()
        now = time.monotonic()
        if not others or now - self._compared < _PROBE:
            return not others
        self._compared = now
        try:
            known = self._consumer.committed([TopicPartition(*key) for key in others], timeout=_ASK)
        except KafkaException as error:
            self._judge_silence(error)
            return False
        behind = [str(part.partition) for part in known if part.offset < others[part.topic, part.partition]]
        if behind:
            self._complain(f"partition {', '.join(behind)} belongs to another member of the group, which has not read it to the end")
        return not behind

    def lag(self) -> int | None:
        """Messages behind, by the ends that came with the last fetch."""
        if not self._joined:
            return None
        return self._offsets.lag({(part.topic, part.partition): self._high(part) for part in self._consumer.assignment()})

    def missed(self) -> int:
        """Messages that the topic's retention removed before they were read."""
        return self._missed

    # ── messages ────────────────────────────────────────────────────────────────────────────────
    def _message(self, record: Record, value: bytes | None) -> Message:
        key, offset = _place(record)
        expected = self._offsets.expected(key)
        if expected is not None and expected < offset:
            self._look_back(key, expected, offset)
        self._offsets.took(key, offset)
        return Message(*key, offset, value)

    def _look_back(self, key: Key, expected: int, offset: int) -> None:
        """Offsets are missing: compaction and transactions leave such holes; what retention removed was never read."""
        place = f"{key[0]}[{key[1]}]"
        try:
            low = self._consumer.get_watermark_offsets(TopicPartition(*key), timeout=_ASK)[0]
        except KafkaException as error:
            self._tell(f"unknown: whether {place} lost offsets {expected} to {offset - 1} unread: {self._plain(error)}")
            return
        lost = min(low, offset) - expected
        if lost > 0:
            self._missed += lost
            self._tell(f"missed: {place}@{expected} to {expected + lost - 1} were removed by the topic's retention before they were read")

    def _high(self, part: TopicPartition) -> int:
        try:
            return int(self._consumer.get_watermark_offsets(part, cached=True)[1])
        except KafkaException:
            return -1  # nothing was fetched yet; the end at the start stands for it

    def _pause(self) -> list[TopicPartition]:
        parts = self._consumer.assignment()
        if parts:
            self._consumer.pause(parts)
        return parts

    # ── commits ─────────────────────────────────────────────────────────────────────────────────
    def _commit(self) -> None:
        wanted = self._offsets.open()
        if self._committing or not wanted:
            return
        try:
            self._consumer.commit(offsets=_parts(wanted), asynchronous=True)
            self._committing = True
        except KafkaException as error:
            self._judge_commit(error.args[0], list(wanted))

    def _on_commit(self, error: KafkaError | None, parts: list[TopicPartition]) -> None:
        self._committing = False
        for part in parts:
            key = (part.topic, part.partition)
            fault = part.error or error
            if fault is not None:
                self._judge_commit(fault, [key])
            else:
                self._offsets.settled(key, part.offset)
                self._is_here()

    def _judge_commit(self, error: KafkaError, keys: list[Key]) -> None:
        if error.code() in faults.MOVED:
            self._offsets.forget(keys)
            return
        self._judge(error)
        if self._fault is None and error.code() not in faults.PASSING:
            self._fault = StoreUnavailable(f"Kafka does not take this group's offsets: {self._plain(error)}", hint="look at the broker")

    # ── what the client tells ───────────────────────────────────────────────────────────────────
    def _complain(self, what: str) -> None:
        """Say once what is waited for, after a while."""
        if not self._complained and time.monotonic() - self._alone > _TELL:
            self._complained = True
            self._tell(f"waiting: {what}; a member that was killed is noticed after its session timeout")

    def _on_assign(self, _consumer: Consumer, parts: list[TopicPartition]) -> None:
        self._joined, self._complained = True, False
        try:
            known = self._consumer.committed(parts, timeout=_ASK) if parts else []
        except KafkaException as error:
            self._tell(f"unknown: what the group read before, and so whether something was removed unread: {self._plain(error)}")
            known = []
        self._offsets.assign(_keys(parts), {(part.topic, part.partition): part.offset for part in known if part.offset >= 0})
        self._is_here()

    def _on_revoke(self, _consumer: Consumer, parts: list[TopicPartition]) -> None:
        keys = _keys(parts)
        wanted = {key: offset for key, offset in self._offsets.open().items() if key in keys}
        if wanted and not self._leaving:
            try:
                self._consumer.commit(offsets=_parts(wanted), asynchronous=False)
            except KafkaException as error:
                self._judge_commit(error.args[0], list(wanted))
        self._on_lost(_consumer, parts)

    def _on_lost(self, _consumer: Consumer, parts: list[TopicPartition]) -> None:
        keys = _keys(parts)
        self._joined, self._alone = False, time.monotonic()
        self._batch[:] = [message for message in self._batch if (message.topic, message.partition) not in keys]
        if self._held is not None and _place(self._held)[0] in keys:
            self._held = None
        if not self._leaving:
            self._offsets.forget(keys)

    def _on_event(self, error: KafkaError, record: Record) -> None:
        if error.code() == faults.END:
            self._offsets.reached_end(*_place(record))
            self._is_here()
        else:
            self._judge(error)
            self._check()

    def _judge(self, error: KafkaError) -> None:
        """Remember what an error means: no way on, or wait. Called by the client too, inside a poll: it never raises."""
        said, code = self._plain(error), error.code()
        self._fault = self._fault or faults.final(error, said, self._address)
        if code == faults.TOO_SLOW:
            self._tell(f"waiting: {said}")
        elif code != faults.ALL_DOWN:
            self._reason = said
        if code in faults.CONNECTION and self._away is None:
            self._away = self._probed = time.monotonic()

    def _judge_silence(self, error: KafkaException) -> None:
        if error.args[0].code() not in faults.SILENT:
            self._judge(error.args[0])

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault

    # ── a broker that is away ───────────────────────────────────────────────────────────────────
    def _probe(self) -> None:
        """Ask a broker that was away, since an idle topic does not tell that it is there again.

        Raises:
            StoreUnavailable: patience is at its end.
        """
        if self._away is None or time.monotonic() - self._probed < _PROBE:
            return
        try:
            self._consumer.list_topics(self._address.topic, timeout=_PROBE)
        except KafkaException as error:
            self._judge_silence(error)
            self._lose_patience(self._away)
        else:
            self._is_here()
        self._probed = time.monotonic()

    def _lose_patience(self, since: float) -> None:
        waited = time.monotonic() - since
        if waited > self._patience:
            raise StoreUnavailable(
                f"no Kafka broker answered at {self._address.brokers} for {self._patience:.0f} s: {self._reason}",
                hint="look at the broker, the address and GOVERN_KAFKA_SECURITY_PROTOCOL; run the command again: it goes on where it was",
            )
        if waited > _TELL and not self._told:
            self._told = True
            self._tell(f"waiting: no Kafka broker answers at {self._address.brokers}: {self._reason}")

    def _is_here(self) -> None:
        self._away = None
        if self._told:
            self._told = False
            self._tell(f"Kafka answers again at {self._address.brokers}")

    def _plain(self, error: KafkaError | KafkaException) -> str:
        return faults.plain(error.args[0] if isinstance(error, KafkaException) else error, self._secrets)


def _keys(parts: Iterable[TopicPartition]) -> set[Key]:
    return {(part.topic, part.partition) for part in parts}


def _parts(offsets: Mapping[Key, int]) -> list[TopicPartition]:
    return [TopicPartition(*key, offset) for key, offset in offsets.items()]


def _place(record: Record) -> tuple[Key, int]:
    topic, partition, offset = record.topic(), record.partition(), record.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return (topic, partition), offset
