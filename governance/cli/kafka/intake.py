"""The loop from a message log to the ledger: take, deliver, then acknowledge.

The order is the promise. A message is acknowledged to the log only after the ledger said that its event is durable, or that it refuses it;
so whatever ends this process, each message is delivered at least once, and the ledger, which knows an event by its digest, keeps it once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from governance.cli.kafka.messages import Message, Messages
from governance.cli.sending import BATCH_BYTES, BATCH_EVENTS
from governance.cli.sources import Found
from lineage.errors import GovernError, StoreUnavailable
from lineage.openlineage.identity import MAX_DEPTH

__all__ = ["Intake", "Taken", "event_of"]

_LARGEST: Final = 64 * 1024 * 1024
_NAMED: Final = 100
"""Refused messages that the summary names; each one was told when it was met, and all are counted."""
_SETTLE: Final = 10.0
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
_ONE: Final = msgspec.json.Decoder(msgspec.Raw)


@dataclass(slots=True)
class Taken:
    """What was done so far."""

    received: int = 0
    accepted: int = 0
    """Durable in the ledger, now or before."""
    empty: int = 0
    """Tombstones and empty values: there is no event in them."""
    refused: int = 0
    named: list[dict[str, Any]] = field(default_factory=list)
    """The first refused messages: place, reason, topic, partition, offset."""
    ended: str = "stopped"
    """``end``: the end was reached; ``stopped``: it was asked to stop."""
    unsettled: int = 0
    """Partitions whose last offset could not be committed: their last messages will be delivered again."""


def event_of(message: Message) -> Found | None:
    """The event in a message, with its fault if it cannot be sent; ``None`` where there is none.

    >>> event_of(Message("t", 0, 4, b"{")).fault
    'it is not JSON'
    """
    raw = (message.value or b"").removeprefix(b"\xef\xbb\xbf").strip()
    if not raw:
        return None
    if len(raw) > _LARGEST:
        return Found(message.place, b"", f"the message has {len(raw)} bytes, an event at most {_LARGEST}")
    try:
        _ONE.decode(raw)
    except msgspec.DecodeError:
        if raw[0] == 0:
            return Found(
                message.place, b"", "it is not JSON: it begins with a zero byte, as what a schema registry's serializer wrote does"
            )
        return Found(message.place, b"", "it is not JSON")
    except RecursionError:
        return Found(message.place, b"", f"it is nested deeper than {MAX_DEPTH}")
    return Found(message.place, raw)


class Intake:
    """Moves messages into the ledger until it is told to stop, or the end is reached.

    Args:
        messages: the log.
        deliver: sends events; returns ``{place, reason}`` of those that were refused, when all others are durable.
        until_end: end where the log ended when reading began; else only when asked.
        stop: whether to end after the batch in hand.
        tell: a line for the log of this process.
        progress: told after each batch.
        patience: seconds that the server may be away.
    """

    def __init__(
        self,
        messages: Messages,
        deliver: Callable[[Sequence[Found]], list[dict[str, str]]],
        *,
        until_end: bool,
        stop: Callable[[], bool],
        tell: Callable[[str], None],
        progress: Callable[[Taken], None] = lambda _taken: None,
        patience: float = 60.0,
    ) -> None:
        self._messages = messages
        self._deliver = deliver
        self._until_end = until_end
        self._stop = stop
        self._tell = tell
        self._progress = progress
        self._patience = patience
        self.taken = Taken()

    def run(self) -> Taken:
        """Take, deliver, acknowledge, until the end or until stopped.

        Raises:
            StoreUnavailable: the server or the log was away for too long; what was delivered is acknowledged if the log can be reached.
        """
        try:
            while not self._stop():
                batch = self._messages.take(BATCH_EVENTS, BATCH_BYTES)
                if batch:
                    if not self._one(batch):
                        break
                elif self._until_end and self._messages.at_end():
                    self.taken.ended = "end"
                    break
                self._progress(self.taken)
        finally:
            self.taken.unsettled = self._messages.settle(_SETTLE)
        return self.taken

    def _one(self, batch: Sequence[Message]) -> bool:
        """Whether the batch was delivered; not when it was asked to stop while the server is away."""
        pairs = [(message, event_of(message)) for message in batch]
        events = [(message, found) for message, found in pairs if found is not None]
        refused = self._patiently([found for _, found in events]) if events else []
        if refused is None:
            return False
        reasons = {one["place"]: one["reason"] for one in refused}
        for message, _ in events:
            if (reason := reasons.get(message.place)) is not None:
                self._refuse(message, reason)
        self._messages.acknowledge(batch)  # last: a refusal too is told before the topic forgets it
        self.taken.received += len(batch)
        self.taken.empty += len(batch) - len(events)
        self.taken.accepted += len(events) - len(reasons)
        return True

    def _refuse(self, message: Message, reason: str) -> None:
        self._tell(f"refused: {message.place}: {reason}")
        self.taken.refused += 1
        if len(self.taken.named) < _NAMED:
            where = {"topic": message.topic, "partition": message.partition, "offset": message.offset}
            self.taken.named.append({"place": message.place, "reason": reason, **where})

    def _patiently(self, events: Sequence[Found]) -> list[dict[str, str]] | None:
        """What was refused; ``None`` when it was asked to stop before the server answered."""
        began = time.monotonic()
        attempt = 0
        while True:
            try:
                refused = self._deliver(events)
            except StoreUnavailable as error:
                left = self._patience - (time.monotonic() - began)
                if left <= 0:
                    raise
                if attempt == 0:
                    self._tell(f"waiting: {error.message}; {len(events)} events stay in the topic until it answers")
                pause = min(_PAUSES[min(attempt, len(_PAUSES) - 1)], left)
                attempt += 1
                self._messages.wait(pause)
                if self._stop():
                    return None
            except GovernError:
                self._tell(f"stopped at {events[0].place} to {events[-1].place}: it was not acknowledged")
                raise
            else:
                if attempt:
                    self._tell("it answers again")
                return refused
