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
_MET = 256
"""So many new nodes are asked for ahead of a walk; more are found by it."""
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
    """What a walk reached."""

    seen: Mapping[str, Ends]
    """Key → its links, those to what was not reached included. They may grow; what they lead to then is not in here."""
    deepest: int
    """Steps to what is farthest."""
    truncated: bool
    alone: bool = False
    """Whether no link leads out of it."""
    all_links: bool = True
    """Whether ``seen`` holds the links to what was not reached."""
    order: list[str] = field(default_factory=list)
    """Room for who shows the nodes in an order of its own."""

    def into(self, key: str) -> list[str]:
        """Those it has data from, as far as they were reached."""
        return [other for other in tuple(self.seen[key].into) if other in self.seen]

    def out(self, key: str) -> list[str]:
        """Those that have data from it, as far as they were reached."""
        return [other for other in tuple(self.seen[key].out) if other in self.seen]

    def whole(self, key: str) -> bool:
        """Whether all its neighbours were reached."""
        ends = self.seen[key]
        return self.alone or (self.all_links and all(other in self.seen for other in (*ends.into, *ends.out)))


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
        self._new: set[str] = set()
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
        self._meet(ask)
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

    def _meet(self, ask: Ask) -> None:
        """Learn the links of what is new beside something known: the next walk would miss it."""
        with self._lock:
            turn, new = self._turn, sorted(self._new)
            self._new.clear()
        if 0 < len(new) <= _MET:
            keys, pairs, truncated = ask(new, 1)
            if not truncated:
                self._keep(_complete(new, keys, pairs, 1), turn)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._found.clear()
            self._walks.clear()
            self._touched.clear()
            self._new.clear()
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
        dirty, kept, doubt = self._dirty, self._found, self._doubt

        def ends_of(key: str) -> Ends | None:
            return mine.get(key) or (None if key in dirty else kept.get(key))

        known = ends_of if mine or dirty else kept.get
        begin = known(start)
        if begin is None:
            return None, {start}
        seen: dict[str, Ends] = {start: begin}
        missing: set[str] = set()
        level = [(start, begin)]
        steps = 0
        truncated = False
        while level and steps < depth and not truncated:
            reached: dict[str, Ends] = {}
            for key, here in level:
                for others, forward in ((here.out, True), (here.into, False)):
                    if direction is (Direction.UP if forward else Direction.DOWN):
                        continue
                    for other in tuple(others) if doubt else others:
                        if other in seen or other in reached:
                            continue
                        ends = known(other)
                        if ends is None:
                            missing.add(other)
                        elif doubt and key not in (ends.into if forward else ends.out):
                            del others[other]
                        else:
                            reached[other] = ends
            if len(seen) + len(reached) > max_nodes:
                truncated = True
                reached = {key: reached[key] for key in sorted(reached)[: max_nodes - len(seen)]}
            steps += bool(reached)
            seen.update(reached)
            level = list(reached.items())
        if missing:
            return None, missing
        if doubt:
            _agree(seen)
        return Walked(seen, steps, truncated=truncated, alone=not (level or truncated or direction)), missing

    def _remember(self, asked: Hashable, walked: Walked) -> None:
        self._walks[asked] = walked
        while sum(len(one.seen) for one in self._walks.values()) > _REMEMBERED and len(self._walks) > 1:
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
            if ends is None:
                continue
            side = ends.out if forward else ends.into
            if other not in side:
                side[other] = None
                self._size += 1
            if other not in self._found and len(self._new) <= _MET:
                self._new.add(other)

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


def _agree(seen: Mapping[str, Ends]) -> None:
    """Take out the links that only one end names."""
    for key, ends in seen.items():
        for other in [other for other in ends.into if other in seen and key not in seen[other].out]:
            del ends.into[other]
        for other in [other for other in ends.out if other in seen and key not in seen[other].into]:
            del ends.out[other]


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
