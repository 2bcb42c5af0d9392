"""What the loop needs of a message log: a small port, and the values that cross it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Message", "Messages"]


@dataclass(frozen=True, slots=True)
class Message:
    """One record of a topic; its place identifies it for ever."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    """``None``: a tombstone."""

    @property
    def place(self) -> str:
        """For people and logs.

        >>> Message("openlineage.events", 0, 17, None).place
        'openlineage.events[0]@17'
        """
        return f"{self.topic}[{self.partition}]@{self.offset}"


class Messages(Protocol):
    """A log of messages in partitions, read by a group that keeps its offsets at the log."""

    def take(self, most: int, most_bytes: int) -> list[Message]:
        """The next messages in order, at most so many and (but for a single larger one) so many bytes; none when none came for a moment.

        Raises:
            StoreUnavailable: the log has been away for longer than one is ready to wait.
            Forbidden, NotFound: it may not be read, or is not there.
        """
        ...

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """These are dealt with: the group need not see them again. Called only when what was in them is durable elsewhere."""
        ...

    def wait(self, seconds: float) -> None:
        """Stay a member of the group for a while without taking anything; what was taken stays taken."""
        ...

    def settle(self, seconds: float) -> int:
        """Bring the acknowledgements to the log, for at most so long; returns how many partitions are left whose offset is not there."""
        ...

    def at_end(self) -> bool:
        """Whether the group took all that was in the log when reading began. Asked only when nothing is in hand."""
        ...

    def lag(self) -> int | None:
        """Messages in our partitions that were not taken yet; ``None`` where that is not known."""
        ...

    def missed(self) -> int:
        """Messages that the log removed before this group read them, as far as that was seen."""
        ...
