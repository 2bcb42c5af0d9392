"""Rendered pieces of JSON, kept in the process until what they show changes.

A fragment of the lineage graph shows one job or dataset. It is kept under the node's key with the keys of all that it shows (the
latest run of a job, the other names of a dataset); the projector tells which keys a batch speaks of. Three rules make a reader who
waited for its event see it, and nothing older:

1. before the batch can be read, its keys are *dirty*: fragments that show them are dropped, and none is served or kept;
2. once it can be read they are dropped again and no longer dirty;
3. a fragment that was made while a key it shows was dropped is not kept.

When the graph stands, or a batch begins, at a position that the projector of this process did not tell (another process writes),
all is dropped.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

__all__ = ["Fragment", "Fragments"]

_LIMIT = 64 * 1024 * 1024
_REMEMBERED = 4096
"""So many drops are remembered for rule 3; what was begun before them is not kept."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """One node of the graph, rendered except for what its edges say."""

    ident: str
    """Its node id, by which the nodes of an answer are sorted."""
    quoted: bytes
    """The node id as JSON."""
    named: bytes
    """``{"namespace": …, "name": …}`` as JSON."""
    head: bytes
    """From ``{"id":`` to where a job's inputs stand, or to the end of a dataset's data."""
    tail: bytes
    """What follows a job's outputs, to the end of its data; nothing for a dataset."""
    shows: frozenset[str]
    """Keys of all that it shows, its own among them."""
    last: int
    """When the last event spoke of it."""

    @property
    def size(self) -> int:
        """Bytes it takes, about."""
        return len(self.head) + len(self.tail) + 2 * len(self.quoted) + len(self.named) + 200 * len(self.shows) + 500


class Fragments:
    """A bounded store of fragments; the least recently used go first. Safe to use from many threads.

    Args:
        limit: bytes, about, that are kept at most.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._found: OrderedDict[str, Fragment] = OrderedDict()
        self._shown_by: dict[str, set[str]] = {}
        self._size = 0
        self._dirty: set[str] = set()
        self._drops: deque[tuple[int, frozenset[str]]] = deque(maxlen=_REMEMBERED)
        self._turn = 0
        self._oldest = 0
        self._at: int | None = None
        self._told: deque[int] = deque(maxlen=_REMEMBERED)

    @property
    def size(self) -> int:
        """Bytes kept, about."""
        return self._size

    def __len__(self) -> int:
        return len(self._found)

    def begin(self, position: int) -> int:
        """The turn in which an answer over the graph at ``position`` begins, to be given to :meth:`keep`."""
        with self._lock:
            if position not in self._told:  # written by another process, or nothing was told yet
                self._clear()
                self._at = position
                self._told.append(position)
            return self._turn

    def get(self, keys: Iterable[str]) -> dict[str, Fragment]:
        """Those of the fragments under these keys that are kept."""
        found = {}
        with self._lock:
            for key in keys:
                fragment = self._found.get(key)
                if fragment is not None:
                    self._found.move_to_end(key)
                    found[key] = fragment
        return found

    def keep(self, made: Iterable[tuple[str, Fragment]], turn: int) -> None:
        """Keep what was made since ``turn``, as far as nothing it shows was dropped meanwhile."""
        with self._lock:
            if turn < self._oldest:
                return
            stale = self._dirty.union(*(keys for when, keys in self._drops if when >= turn))
            for key, fragment in made:
                if fragment.shows.isdisjoint(stale):
                    self._forget(key)
                    self._found[key] = fragment
                    self._size += fragment.size
                    for shown in fragment.shows:
                        self._shown_by.setdefault(shown, set()).add(key)
            while self._size > self._limit and self._found:
                self._forget(next(iter(self._found)))

    # ── told by the projector ───────────────────────────────────────────────────────────────
    def changing(self, keys: Collection[str], first: int, position: int) -> None:
        """Before a batch can be read (rule 1)."""
        with self._lock:
            if first != self._at:
                self._clear()
            self._at = position
            self._told.append(position)
            self._dirty.update(keys)
            self._drop(keys)

    def changed(self) -> None:
        """After it (rule 2)."""
        with self._lock:
            self._drop(self._dirty)
            self._dirty = set()

    def cleared(self) -> None:
        """The graph is made anew."""
        with self._lock:
            self._clear()
            self._at = None

    # ── under the lock ──────────────────────────────────────────────────────────────────────
    def _drop(self, keys: Collection[str]) -> None:
        if len(self._drops) == self._drops.maxlen:
            self._oldest = self._drops[0][0] + 1
        self._drops.append((self._turn, frozenset(keys)))
        self._turn += 1
        for shown in keys:
            for key in tuple(self._shown_by.get(shown, ())):
                self._forget(key)

    def _forget(self, key: str) -> None:
        fragment = self._found.pop(key, None)
        if fragment is None:
            return
        self._size -= fragment.size
        for shown in fragment.shows:
            keys = self._shown_by[shown]
            keys.discard(key)
            if not keys:
                del self._shown_by[shown]

    def _clear(self) -> None:
        self._told.clear()
        self._found.clear()
        self._shown_by.clear()
        self._size = 0
        self._turn += 1
        self._oldest = self._turn
