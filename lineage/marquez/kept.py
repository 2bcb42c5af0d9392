"""What this process keeps of the lineage graph between two questions, and how it stays true: a watcher of the projector."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection

from lineage.marquez.fragments import Fragments
from lineage.marquez.links import Links

__all__ = ["Kept"]

_REMEMBERED = 4096


class Kept:
    """Links and rendered fragments. Safe to use from many threads.

    When the graph stands, or a batch begins, at a position that the projector of this process did not tell (another process writes),
    all of it is dropped.
    """

    def __init__(self) -> None:
        self.fragments = Fragments()
        self.links = Links()
        self._lock = threading.Lock()
        self._at: int | None = None
        self._told: deque[int] = deque(maxlen=_REMEMBERED)

    def begin(self, position: int) -> int:
        """The turn of the fragments in which an answer over the graph at ``position`` begins."""
        with self._lock:
            if position not in self._told:
                self._clear()
                self._at = position
                self._told.append(position)
            return self.fragments.begin()

    def changing(self, keys: Collection[str], flows: Collection[tuple[str, str]], *, cut: bool, first: int, position: int) -> None:
        """Before a batch can be read."""
        with self._lock:
            if first != self._at:
                self._clear()
            self._at = position
            self._told.append(position)
            self.fragments.changing(keys, cut=cut)
            self.links.changing(keys, flows, cut=cut)

    def changed(self) -> None:
        """After it."""
        with self._lock:
            self.fragments.changed()
            self.links.changed()

    def cleared(self) -> None:
        """The graph is made anew."""
        with self._lock:
            self._clear()
            self._at = None

    def _clear(self) -> None:
        self._told.clear()
        self.fragments.clear()
        self.links.clear()
