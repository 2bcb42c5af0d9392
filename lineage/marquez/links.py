"""Which job reads and writes which dataset, kept in the process as far as it was walked: a walk that needs no question to the store.

A node's links are kept whole or not at all. The projector tells every new link, which is added; where a link vanished, the links of
all that the batch speaks of are dropped, with those of their neighbours. Where the neighbours of one of them are not known, an end
may still name a link that is gone: from then on **a link counts only when both ends name it**.

While a batch is on its way, and for what was not walked yet, the store is asked: first for the few nodes that are missing, then for
more and more around them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lineage.model import Direction

__all__ = ["Ask", "Ends", "Links", "Walked"]

Ask = Callable[[Sequence[str], int], tuple[list[str], list[tuple[str, str]], bool]]
"""(keys, depth) → (keys reached, (source, target) between them, whether a limit cut it), walked both ways."""

_LIMIT = 500_000
_REMEMBERED = 200_000
"""Nodes in all walks that are remembered."""
_KINDS = ("dataset:", "job:")
"""Keys of what has links."""
_REACH = (1, 4, 40, 1000)
"""How far around the missing nodes the store is asked, try by try."""


@dataclass(slots=True)
class Ends:
    """The neighbours of one node, in no order."""

    into: dict[str, None] = field(default_factory=dict)
    out: dict[str, None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.into) + len(self.out) + 1


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk reached: key → (those it has data from, those that have data from it), only those that were reached too."""

    ends: Mapping[str, tuple[Collection[str], Collection[str]]]
    whole: frozenset[str]
    """Those of the keys of which every neighbour was reached."""
    deepest: int
    """Steps to what is farthest."""
    truncated: bool
    order: list[str] = field(default_factory=list)
    """Room for who shows the nodes in an order of its own."""


class Links:
    """Keeps links and walks along them. Safe to use from many threads.

    Args:
        limit: links that are kept at most; the least recently fetched go first.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._found: OrderedDict[str, Ends] = OrderedDict()
        self._size = 0
        self._turn = 0
        self._forgotten = 0  # what was asked before this turn is not kept: it is no longer known what changed since
        self._touched: dict[str, int] = {}
        self._doubt = False  # a link may be named by one end only: walks look at both
        self._walks: OrderedDict[Hashable, Walked] = OrderedDict()
        self._dirty: set[str] = set()
        self._pending: list[tuple[str, str]] = []
        self._cut = False

    def __len__(self) -> int:
        return len(self._found)

    def walk(self, start: str, ask: Ask, *, direction: Direction | None, depth: int, max_nodes: int) -> Walked | None:
        """The nodes within ``depth`` steps of ``start``; the smallest keys of the last level stay when ``max_nodes`` cuts it.

        A walk is remembered until a link is added or vanishes. ``None`` when the store's answers were themselves cut, or changed
        under the walk again and again: then ask it for the whole.
        """
        mine: dict[str, Ends] = {}  # as the store said during this walk
        asked = (start, direction, depth, max_nodes)
        for reach in _REACH:
            with self._lock:
                turn = self._turn
                known = None if mine or self._pending or self._cut else self._walks.get(asked)
                if known is not None:
                    self._walks.move_to_end(asked)
                    return known
                walked, missing = self._walk(start, mine, direction, depth, max_nodes)
                if walked is not None:
                    if not self._dirty and not mine.keys() - self._found.keys():
                        self._remember(asked, walked)
                    return walked
            keys, pairs, truncated = ask(sorted(missing), reach)
            if truncated:
                return None
            found = _complete(missing, keys, pairs, reach)
            mine.update(found)
            self._keep(found, turn)
        return None

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._found.clear()
            self._walks.clear()
            self._touched.clear()
            self._size = 0
            self._turn += 1
            self._forgotten = self._turn
            self._doubt = False

    # ── told by the projector ───────────────────────────────────────────────────────────────
    def changing(self, keys: Collection[str], added: Iterable[tuple[str, str]], *, cut: bool) -> None:
        """Before a batch can be read: what it speaks of, the links it adds, and whether one vanishes."""
        with self._lock:
            self._turn += 1
            self._dirty.update(key for key in keys if key.startswith(_KINDS))
            self._pending.extend(pair for pair in added if not self._has(*pair))
            self._cut = self._cut or cut

    def changed(self) -> None:
        """After it."""
        with self._lock:
            self._turn += 1
            if self._pending or self._cut:
                self._walks.clear()
            for source, target in self._pending:
                self._add(source, target)
            if self._cut:
                self._vanished()
            self._touched.update(dict.fromkeys(self._dirty, self._turn))
            if len(self._touched) > self._limit:
                self._touched.clear()
                self._forgotten = self._turn
            self._dirty = set()
            self._pending = []
            self._cut = False

    # ── under the lock ──────────────────────────────────────────────────────────────────────
    def _walk(
        self, start: str, mine: dict[str, Ends], direction: Direction | None, depth: int, max_nodes: int
    ) -> tuple[Walked | None, set[str]]:
        """(what was walked, what is missing for it)."""
        dirty, found = self._dirty, self._found

        def ends_of(key: str) -> Ends | None:
            return mine.get(key) or (None if key in dirty else found.get(key))

        begin = ends_of(start)
        if begin is None:
            return None, {start}
        seen: dict[str, Ends] = {start: begin}
        missing: set[str] = set()
        level = [start]
        steps = 0
        truncated = False
        while level and steps < depth and not truncated:
            reached: dict[str, Ends] = {}
            for key in level:
                here = seen[key]
                for others, forward in ((here.out, True), (here.into, False)):
                    if direction is (Direction.UP if forward else Direction.DOWN):
                        continue
                    for other in tuple(others) if self._doubt else others:
                        if other in seen or other in reached:
                            continue
                        ends = ends_of(other)
                        if ends is None:
                            missing.add(other)
                        elif self._doubt and key not in (ends.into if forward else ends.out):
                            del others[other]
                        else:
                            reached[other] = ends
            level = list(reached)
            if len(seen) + len(level) > max_nodes:
                truncated = True
                level = sorted(level)[: max_nodes - len(seen)]
            steps += bool(level)
            for key in level:
                seen[key] = reached[key]
        return (None if missing else self._seen(seen, steps, truncated=truncated)), missing

    def _seen(self, seen: dict[str, Ends], steps: int, *, truncated: bool) -> Walked:
        """The links between what was seen."""
        ends: dict[str, tuple[Collection[str], Collection[str]]] = {}
        whole = set()
        keys = seen.keys()
        for key, found in seen.items():
            if self._doubt:
                for other in [other for other in found.into if other in seen and key not in seen[other].out]:
                    del found.into[other]
                for other in [other for other in found.out if other in seen and key not in seen[other].into]:
                    del found.out[other]
            if keys >= found.into.keys() and keys >= found.out.keys():
                whole.add(key)
                ends[key] = (tuple(found.into), tuple(found.out))
            else:
                ends[key] = ([one for one in found.into if one in seen], [one for one in found.out if one in seen])
        return Walked(ends, frozenset(whole), steps, truncated=truncated)

    def _remember(self, asked: Hashable, walked: Walked) -> None:
        self._walks[asked] = walked
        while sum(len(one.ends) for one in self._walks.values()) > _REMEMBERED and len(self._walks) > 1:
            self._walks.popitem(last=False)

    def _keep(self, found: dict[str, Ends], turn: int) -> None:
        with self._lock:
            if turn < self._forgotten:
                return
            for key, ends in found.items():
                if key not in self._dirty and self._touched.get(key, -1) <= turn:
                    self._forget(key)
                    self._found[key] = ends
                    self._size += len(ends)
            while self._size > self._limit and self._found:
                self._forget(next(iter(self._found)))

    def _has(self, source: str, target: str) -> bool:
        """Whether both ends are kept and name the link."""
        here, there = self._found.get(source), self._found.get(target)
        return here is not None and there is not None and target in here.out and source in there.into

    def _add(self, source: str, target: str) -> None:
        for key, other, forward in ((source, target, True), (target, source, False)):
            ends = self._found.get(key)
            if ends is not None:
                side = ends.out if forward else ends.into
                if other not in side:
                    side[other] = None
                    self._size += 1

    def _vanished(self) -> None:
        """Forget the links of all that the batch speaks of, and of their neighbours; where that cannot be told, doubt."""
        for key in self._dirty:
            ends = self._found.get(key)
            if ends is None:
                self._doubt = True
                continue
            for other in (*ends.into, *ends.out):
                self._forget(other)
            self._forget(key)

    def _forget(self, key: str) -> None:
        ends = self._found.pop(key, None)
        if ends is not None:
            self._size -= len(ends)


def _beside(ends: Ends, direction: Direction | None) -> Iterator[tuple[str, bool]]:
    """(neighbour, whether data flows to it)."""
    if direction is not Direction.UP:
        for other in ends.out:
            yield other, True
    if direction is not Direction.DOWN:
        for other in ends.into:
            yield other, False


def _complete(asked: Collection[str], keys: Collection[str], pairs: Iterable[tuple[str, str]], depth: int) -> dict[str, Ends]:
    """The nodes whose links are all among ``pairs``: those nearer to what was asked than ``depth``."""
    around: dict[str, Ends] = {key: Ends() for key in (*keys, *asked)}
    for source, target in pairs:
        around[source].out[target] = None
        around[target].into[source] = None
    near = dict.fromkeys(asked)
    level = list(asked)
    for _ in range(depth - 1):
        level = [other for other in dict.fromkeys(other for key in level for other, _ in _beside(around[key], None)) if other not in near]
        if not level:
            break
        near.update(dict.fromkeys(level))
    return {key: around[key] for key in near}
