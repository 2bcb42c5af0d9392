"""The plain reference of the :class:`lineage.ports.GraphStore` port: dictionaries, one walk, nothing clever.

Every other store is held to its answers by one contract suite.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lineage.graph.facets import facets_of
from lineage.graph.state import dump, parse
from lineage.model import Direction, Edge, GraphDelta, Json, Node, Subgraph
from lineage.ports import FoldState

__all__ = ["MemoryGraph", "MemoryState"]

_CAPITALS = {ord(letter): ord(letter) + 32 for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


class MemoryState:
    """The fold's state in memory: an ordered mapping."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.order: list[str] = []

    def get(self, key: str) -> bytes | None:
        """The value under ``key``."""
        return self.values.get(key)

    def put(self, key: str, value: bytes) -> None:
        """Set a value."""
        if key not in self.values:
            bisect.insort(self.order, key)
        self.values[key] = value

    def delete(self, key: str) -> None:
        """Remove a key if it is there."""
        if self.values.pop(key, None) is not None:
            del self.order[bisect.bisect_left(self.order, key)]

    def load(self, key: str) -> Json:
        """The JSON value under ``key``."""
        raw = self.values.get(key)
        return None if raw is None else parse(raw)

    def store(self, key: str, value: Json) -> None:
        """Set a JSON value."""
        self.put(key, dump(value))

    def preload(self, keys: Iterable[str]) -> None:
        """Nothing to do: all of it is in memory."""

    def scan(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Pairs whose key begins with ``prefix``, in key order; a snapshot."""
        first = bisect.bisect_left(self.order, prefix)
        found = []
        for key in self.order[first:]:
            if not key.startswith(prefix):
                break
            found.append((key, self.values[key]))
        return iter(found)

    def between(self, low: str, high: str, *, reverse: bool = False, limit: int | None = None) -> list[tuple[str, bytes]]:
        """Pairs with ``low <= key < high``."""
        first, last = bisect.bisect_left(self.order, low), bisect.bisect_left(self.order, high)
        if limit is not None:
            first, last = (max(first, last - limit), last) if reverse else (first, min(last, first + limit))
        keys = self.order[first:last]
        return [(key, self.values[key]) for key in (reversed(keys) if reverse else keys)]

    def count(self, low: str, high: str) -> int:
        """How many keys with ``low <= key < high``."""
        return max(0, bisect.bisect_left(self.order, high) - bisect.bisect_left(self.order, low))


class _ReadOnly:
    """A state that can only be read."""

    def __init__(self, state: MemoryState) -> None:
        self.get, self.load, self.preload = state.get, state.load, state.preload
        self.scan, self.between, self.count = state.scan, state.between, state.count

    def store(self, key: str, value: Json) -> None:
        """Refused."""
        raise RuntimeError(f"store({key!r}, {type(value).__name__}) outside of transaction(): here the state is only read")

    def put(self, key: str, value: bytes) -> None:
        """Refused."""
        raise RuntimeError(f"put({key!r}, {len(value)} bytes) outside of transaction(): here the state is only read")

    def delete(self, key: str) -> None:
        """Refused."""
        raise RuntimeError(f"delete({key!r}) outside of transaction(): here the state is only read")


class MemoryGraph:
    """A lineage graph in memory. One thread at a time."""

    def __init__(self) -> None:
        self._state = MemoryState()
        self._nodes: dict[str, Node] = {}
        self._gone: dict[str, Node] = {}
        self._edges: dict[str, Edge] = {}
        self._closed: list[tuple[Edge, int]] = []
        self._position = 0

    @contextlib.contextmanager
    def transaction(self) -> Iterator[MemoryState]:
        """All or nothing: what was before is kept aside and put back when the work raises."""
        kept = (dict(self._state.values), list(self._state.order), dict(self._nodes), dict(self._gone), dict(self._edges))
        closed, position = list(self._closed), self._position
        try:
            yield self._state
        except BaseException:
            self._state.values, self._state.order, self._nodes, self._gone, self._edges = kept
            self._closed, self._position = closed, position
            raise

    def apply(self, delta: GraphDelta, position: int) -> None:
        """Write a delta and move the position. An edge that changes is closed and a new one begins, so the past stays answerable."""
        for node in delta.nodes:
            gone = self._gone.pop(node.key, None)
            known = self._nodes.get(node.key, gone)
            self._nodes[node.key] = dataclasses.replace(node, recorded_at=known.recorded_at if known else delta.recorded_at)
        for edge in delta.edges:
            old = self._edges.get(edge.key)
            if old is not None and dataclasses.replace(edge, witness=old.witness, recorded_at=old.recorded_at) == old:
                self._edges[edge.key] = dataclasses.replace(edge, recorded_at=old.recorded_at)
            else:
                self._close(edge.key, edge.recorded_at)
                self._edges[edge.key] = edge
        for key in delta.removed_edges:
            self._close(key, delta.recorded_at)
        for key in delta.removed_nodes:
            node_gone = self._nodes.pop(key, None)
            if node_gone is not None:
                self._gone[key] = node_gone
        self._position = position

    def _close(self, key: str, at: int) -> None:
        old = self._edges.pop(key, None)
        if old is not None and old.recorded_at < at:
            self._closed.append((old, at))

    def settle(self) -> None:
        """Nothing waits."""

    def position(self) -> int:
        """Ledger entries projected."""
        return self._position

    def node(self, key: str) -> Node | None:
        """The node under ``key``."""
        return self._nodes.get(key)

    def nodes_of(self, keys: Sequence[str]) -> list[Node]:
        """The nodes under these keys that live, sorted by key."""
        return [self._nodes[key] for key in sorted(set(keys)) if key in self._nodes]

    def find(self, label: str, where: Mapping[str, Json] | None = None, limit: int = 1000, *, after: str | None = None) -> list[Node]:
        """Nodes of a label whose properties equal ``where``, sorted by key; those that come after the key ``after``."""
        wanted = dict(where or {})
        later = sorted(self._nodes) if after is None else sorted(key for key in self._nodes if key > after)
        found = (self._nodes[key] for key in later if self._nodes[key].label == label)
        return [node for node in found if all(name in node.props and node.props[name] == wanted[name] for name in wanted)][:limit]

    def page(
        self, label: str, *, namespace: str | None = None, text: str | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[list[Node], int]:
        """(nodes of a label by (namespace, name, key), how many there are in all)."""
        wanted = None if text is None else text.translate(_CAPITALS)
        rows: list[tuple[str, str, str, Node]] = []
        for node in self._nodes.values():
            there, name = (str(node.props.get(part) or "") for part in ("namespace", "name"))
            if node.label == label and namespace in (None, there) and (wanted is None or wanted in name.translate(_CAPITALS)):
                rows.append((there, name, node.key, node))
        return [row[3] for row in sorted(rows, key=lambda row: row[:3])[offset : offset + limit]], len(rows)

    def closure(
        self,
        start: Sequence[str],
        direction: Direction,
        *,
        as_of: int | None = None,
        known_at: int | None = None,
        depth: int | None = None,
        max_nodes: int = 100_000,
    ) -> Subgraph:
        """All that is reached along walked edges, level by level; ``truncated`` when ``max_nodes`` cut it."""
        near = "target" if direction is Direction.UP else "source"
        beside: dict[str, list[Edge]] = {}
        for edge in self._known(known_at):
            if edge.walk and _valid(edge, as_of):
                beside.setdefault(getattr(edge, near), []).append(edge)
        ends = {key: {edge.source if near == "target" else edge.target for edge in edges} for key, edges in beside.items()}
        everything = self._everything(known_at)
        seen, truncated = _walk(sorted({key for key in start if key in everything}), ends, depth, max_nodes)
        edges = [edge for key in seen for edge in beside.get(key, ()) if edge.source in seen and edge.target in seen]
        return Subgraph(
            nodes=tuple(everything[key] for key in sorted(seen)),
            edges=tuple(sorted(edges, key=lambda edge: (edge.key, edge.recorded_at))),
            truncated=truncated,
        )

    def reach(
        self,
        start: Sequence[str],
        direction: Direction,
        *,
        as_of: int | None = None,
        known_at: int | None = None,
        depth: int | None = None,
        max_nodes: int = 100_000,
    ) -> tuple[list[str], bool]:
        """The keys of :meth:`closure`'s nodes."""
        found = self.closure(start, direction, as_of=as_of, known_at=known_at, depth=depth, max_nodes=max_nodes)
        return [node.key for node in found.nodes], found.truncated

    def expand(
        self, start: Sequence[str], types: Sequence[str], *, direction: Direction | None, depth: int | None = None, max_nodes: int = 100_000
    ) -> tuple[list[str], list[tuple[str, str, str]], bool]:
        """What is reached along living edges of these types, and the edges between."""
        chosen = [edge for edge in self._edges.values() if edge.type in types]
        ends: dict[str, set[str]] = {}
        for edge in chosen:
            if direction is not Direction.UP:
                ends.setdefault(edge.source, set()).add(edge.target)
            if direction is not Direction.DOWN:
                ends.setdefault(edge.target, set()).add(edge.source)
        seen, truncated = _walk(sorted({key for key in start if key in self._nodes}), ends, depth, max_nodes)
        between = {(edge.type, edge.source, edge.target) for edge in chosen if edge.source in seen and edge.target in seen}
        return sorted(seen), sorted(between), truncated

    def neighbours(
        self,
        keys: Sequence[str],
        types: Sequence[str] | None = None,
        *,
        as_of: int | None = None,
        known_at: int | None = None,
        limit: int | None = None,
    ) -> Subgraph:
        """The given nodes, the edges of these types that touch them, and the nodes at the other end."""
        everything = self._everything(known_at)
        given = {key for key in keys if key in everything}
        edges = [
            edge
            for edge in sorted(self._known(known_at), key=lambda edge: edge.key)
            if (types is None or edge.type in types) and (edge.source in given or edge.target in given) and _valid(edge, as_of)
        ]
        shown = edges if limit is None else edges[:limit]
        ends = given | {end for edge in shown for end in (edge.source, edge.target)}
        nodes = tuple(everything[key] for key in sorted(ends))
        return Subgraph(nodes=nodes, edges=tuple(shown), truncated=len(shown) < len(edges))

    def facets(self, key: str) -> Mapping[str, Json]:
        """The bodies of the facets that speak of a node."""
        return facets_of(self._state, key) if key in self._nodes else {}

    def state(self) -> FoldState:
        """The fold's state, to read."""
        return _ReadOnly(self._state)

    def nodes(self) -> Iterable[Node]:
        """Every live node, sorted by key."""
        return [self._nodes[key] for key in sorted(self._nodes)]

    def edges(self) -> Iterable[Edge]:
        """Every live edge, sorted by key."""
        return [self._edges[key] for key in sorted(self._edges)]

    def counts(self) -> Mapping[str, int]:
        """``nodes`` and ``edges`` that live."""
        return {"nodes": len(self._nodes), "edges": len(self._edges)}

    def kept_nodes(self) -> Iterator[tuple[Node, bool]]:
        """Every node, and whether it is gone."""
        yield from ((node, False) for node in self._nodes.values())
        yield from ((node, True) for node in self._gone.values())

    def kept_edges(self) -> Iterator[tuple[Edge, int | None]]:
        """Every edge that was, then every edge that is."""
        yield from self._closed
        yield from ((edge, None) for edge in self._edges.values())

    def clear(self, *, force: bool = False) -> None:  # noqa: ARG002 - nobody else writes here
        """Forget everything: the position is 0 again."""
        self._state.values, self._state.order = {}, []
        self._nodes, self._gone, self._edges, self._closed, self._position = {}, {}, {}, [], 0

    def close(self) -> None:
        """Nothing to close."""

    def _everything(self, known_at: int | None) -> Mapping[str, Node]:
        """The nodes an answer may hold: of the past also those that are gone."""
        return self._nodes if known_at is None else {**self._gone, **self._nodes}

    def _known(self, known_at: int | None) -> Iterator[Edge]:
        if known_at is None:
            yield from self._edges.values()
            return
        yield from (edge for edge in self._edges.values() if edge.recorded_at <= known_at)
        yield from (edge for edge, closed in self._closed if edge.recorded_at <= known_at < closed)


def _valid(edge: Edge, as_of: int | None) -> bool:
    return as_of is None or (edge.valid_from <= as_of and (edge.valid_to is None or as_of < edge.valid_to))


def _walk(begin: list[str], ends: Mapping[str, set[str]], depth: int | None, max_nodes: int) -> tuple[set[str], bool]:
    """(what is reached level by level, whether the limit cut it: the smallest keys of the last level stay)."""
    level, hops = begin, 0
    seen = set(level[:max_nodes])
    truncated = len(level) > max_nodes
    while level and not truncated and (depth is None or hops < depth):
        hops += 1
        level = sorted({end for key in level for end in ends.get(key, ())} - seen)
        truncated = len(seen) + len(level) > max_nodes
        level = level[: max_nodes - len(seen)]
        seen.update(level)
    return seen, truncated
