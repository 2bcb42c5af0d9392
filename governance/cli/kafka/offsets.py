"""How far each partition was read, made durable and committed: plain bookkeeping, without a client.

For each partition that is ours: ``committed <= durable <= next``. A commit never goes beyond what is durable, and never back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["Key", "Offsets"]

Key = tuple[str, int]
"""Topic and partition."""


class Offsets:
    """The offsets of the partitions that this member reads."""

    def __init__(self) -> None:
        self.ends: dict[Key, int] = {}
        """Where every partition ended when reading began."""
        self._next: dict[Key, int | None] = {}
        self._taken: dict[Key, int] = {}
        self._durable: dict[Key, int] = {}
        self._committed: dict[Key, int] = {}
        self._ended: dict[Key, int] = {}

    def assign(self, keys: Iterable[Key], known: Mapping[Key, int]) -> None:
        """These are ours from now on.

        Args:
            keys: the partitions.
            known: what the group committed for them before, where it did.
        """
        for key in keys:
            self.forget([key])
            self._next[key] = None
            offset = known.get(key, -1)
            # Beyond the end at the start: another member was faster, or the topic was made anew and is read from its beginning.
            if 0 <= offset <= self.ends.get(key, -1):
                self._next[key] = self._committed[key] = offset

    def forget(self, keys: Iterable[Key]) -> None:
        """These are not ours any more."""
        for key in keys:
            self._next.pop(key, None)
            for held in (self._taken, self._durable, self._committed, self._ended):
                held.pop(key, None)

    def expected(self, key: Key) -> int | None:
        """The offset that comes next; ``None`` where nobody knows yet."""
        return self._next.get(key)

    def took(self, key: Key, offset: int) -> None:
        """A message was read."""
        self._next[key] = self._taken[key] = offset + 1

    def reached_end(self, key: Key, offset: int) -> None:
        """There is nothing more in it now; ``offset`` is the one that comes next."""
        self._ended[key] = offset
        self._next[key] = max(self._next.get(key) or 0, offset)

    def delivered(self, key: Key, offset: int) -> None:
        """What was in this message is durable; nothing happens where the partition went to another member meanwhile."""
        if key in self._next:
            self._durable[key] = max(self._durable.get(key, 0), offset + 1)

    def open(self) -> dict[Key, int]:
        """The offsets to commit: those that are durable and not committed.

        Where all that was taken is durable and the end was reached, it is the end: what lies before it (a transaction's mark, what was
        compacted or removed) is no message.
        """
        found = dict(self._durable)
        for key, end in self._ended.items():
            if self._taken.get(key) == self._durable.get(key):
                found[key] = max(end, found.get(key, 0))
        return {key: offset for key, offset in found.items() if offset > self._committed.get(key, 0)}

    def settled(self, key: Key, offset: int) -> None:
        """The group's offset is at least this."""
        if key in self._next:
            self._committed[key] = max(self._committed.get(key, -1), offset)

    def done(self, keys: Iterable[Key]) -> bool:
        """Whether each of these was read to where it ended at the start."""
        return all(key in self._ended or self._beyond(key) for key in keys)

    def others(self) -> dict[Key, int]:
        """The partitions that are not ours and were not empty, with where they ended at the start."""
        return {key: end for key, end in self.ends.items() if key not in self._next and end > 0}

    def lag(self, highs: Mapping[Key, int]) -> int | None:
        """Messages that were not read.

        Args:
            highs: our partitions, with the end that came with the last fetch, or -1.

        Returns:
            ``None`` where the place of a partition is not known.
        """
        behind = 0
        for key, high in highs.items():
            position = self._next.get(key)
            if position is None:
                return None
            behind += max(max(high, self.ends.get(key, -1)) - position, 0)
        return behind

    def _beyond(self, key: Key) -> bool:
        position, end = self._next.get(key), self.ends.get(key, -1)
        return position is not None and position >= end > 0
