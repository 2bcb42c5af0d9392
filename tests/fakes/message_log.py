"""A message log in memory with one partition: a member begins where the group's offset is, and keeps the port's rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from governance.cli.kafka.messages import Message


class MemoryLog:
    """See :class:`governance.cli.kafka.messages.Messages`; acknowledgements are at the log at once."""

    def __init__(self, values: Sequence[bytes | None], *, most: int = 1000) -> None:
        self._values = values
        self._most = most
        self._at = 0
        self.committed = 0
        self.settled = False
        self.waited: list[float] = []

    def rejoin(self, *, most: int) -> Self:
        """A new member of the group, after the last one ended in whatever way."""
        self._at, self._most, self.settled = self.committed, most, False
        return self

    def take(self, most: int, most_bytes: int) -> list[Message]:
        part = self._values[self._at : self._at + min(most, self._most)]
        found = [Message("log", 0, self._at + number, value) for number, value in enumerate(part)]
        self._at += len(found)
        return found

    def acknowledge(self, messages: Sequence[Message]) -> None:
        self.committed = max(self.committed, messages[-1].offset + 1)

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)

    def settle(self, seconds: float) -> int:
        self.settled = True
        return 0

    def at_end(self) -> bool:
        return self._at == len(self._values)

    def lag(self) -> int | None:
        return len(self._values) - self._at

    def missed(self) -> int:
        return 0
