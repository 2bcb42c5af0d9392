"""Rendered pieces of JSON, kept in the process until what they show changes.

A fragment of the lineage graph shows one job or dataset. It is kept under the node's key with the keys of all that it shows (the
latest run of a job, the other names of a dataset); the projector tells which keys a batch speaks of. Three rules make a reader who
waited for its event see it, and nothing older:

1. before the batch can be read, its keys are *dirty*: fragments that show them are dropped, and none is served or kept;
2. once it can be read they are dropped again and no longer dirty;
3. a fragment that was made while a key it shows was dropped is not kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

__all__ = ["Fragment", "Fragments"]

_LIMIT = 96 * 1024 * 1024
_NEVER = 2**63
"""A turn that never comes: while an edge is vanishing, nothing is kept whole."""
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
        self._whole: dict[str, bytes] = {}
        self._cut = 0  # the turn in which an edge vanished last

    @property
    def size(self) -> int:
        """Bytes kept, about."""
        return self._size

    def __len__(self) -> int:
        return len(self._found)

    def begin(self) -> int:
        """The turn in which an answer begins, to be given to :meth:`keep`."""
        with self._lock:
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

    def whole(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Those of the nodes that are kept with all their edges."""
        with self._lock:
            if self._cut == _NEVER:
                return {}
            return {key: self._whole[key] for key in keys if key in self._whole}

    def keep_whole(self, made: Iterable[tuple[str, Fragment, bytes]], turn: int) -> None:
        """Keep nodes with all their edges, as far as the fragments they were made of are still kept and no edge vanished since ``turn``."""
        with self._lock:
            if turn < self._cut:
                return
            for key, fragment, body in made:
                if self._found.get(key) is fragment and key not in self._whole:
                    self._whole[key] = body
                    self._size += len(body)

    # ── told by the projector ───────────────────────────────────────────────────────────────
    def changing(self, keys: Collection[str], *, cut: bool) -> None:
        """Before a batch can be read (rule 1); ``cut``: an edge vanishes, perhaps from a node that the batch does not speak of."""
        with self._lock:
            self._dirty.update(keys)
            self._drop(keys)
            if cut:
                self._cut = _NEVER

    def changed(self) -> None:
        """After it (rule 2)."""
        with self._lock:
            self._drop(self._dirty)
            self._dirty = set()
            if self._cut == _NEVER:
                self._size -= sum(map(len, self._whole.values()))
                self._whole.clear()
                self._cut = self._turn

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._found.clear()
            self._shown_by.clear()
            self._whole.clear()
            self._size = 0
            self._turn += 1
            self._oldest = self._turn

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
        self._size -= fragment.size + len(self._whole.pop(key, b""))
        for shown in fragment.shows:
            keys = self._shown_by[shown]
            keys.discard(key)
            if not keys:
                del self._shown_by[shown]
