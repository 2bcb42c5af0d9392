"""What a transaction changes in the graph, gathered in memory and written once: nodes as they are at its end, edges with their past.

Deltas are joined in the order in which they are applied, so that the history of an edge does not depend on how many events shared
a transaction: an edge that changed twice within it leaves the same two rows as over two transactions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lineage.adapters.sqlite_graph_schema import EMPTY, Row, pack, pack_edge, pack_hash, pack_props
from lineage.model import Edge, GraphDelta, Node

__all__ = ["Batch"]

_IDS = 100_000
"""Node numbers that are remembered: half of them are forgotten when so many are."""
_SAME = slice(1, 8)


@dataclass(slots=True)
class _Live:
    """An edge as it lives: a row of the file, or one that waits to be written."""

    row: int | None
    content: Row
    witness: bytes | str
    recorded_at: int


class Batch:
    """The changes of one transaction over ``connection``; :meth:`flush` before the commit, :meth:`drop` after a rollback."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._nodes: dict[str, Node] = {}
        self._first: dict[str, int] = {}  # when a node of this batch was first told
        self._gone: set[str] = set()
        self._edges: dict[str, list[tuple[Edge | None, int]]] = {}
        self._ends: dict[str, tuple[str, str]] = {}  # of edges of which only the removal is known
        self._fresh: set[str] = set()  # edges that were not there before this batch
        self._position: int | None = None
        self._ids: dict[str, int] = {}
        self._old_ids: dict[str, int] = {}
        self._types: dict[str, int] = {}
        self._kinds: set[tuple[str, str]] = set()
        self._witnesses: dict[str, bytes | str] = {}
        self._next: int | None = None

    def apply(self, delta: GraphDelta, position: int) -> None:
        """Join a delta."""
        at = delta.recorded_at
        for node in delta.nodes:
            self._nodes[node.key] = node
            self._first.setdefault(node.key, at)
            self._gone.discard(node.key)
        for edge in delta.edges:
            known = self._edges.get(edge.key)
            if known is None:
                self._edges[edge.key] = [(edge, edge.recorded_at)]
                if edge.key in delta.fresh:
                    self._fresh.add(edge.key)
            else:
                known.append((edge, edge.recorded_at))
        for place, key in enumerate(delta.removed_edges):
            if key not in self._edges and delta.removed_ends:
                self._ends[key] = delta.removed_ends[place]
            self._edges.setdefault(key, []).append((None, at))
        self._gone.update(delta.removed_nodes)
        self._position = position

    def flush(self) -> None:
        """Write what was joined."""
        if self._position is None:
            return
        fresh = self._write_nodes()
        self._write_edges(fresh)
        self._connection.execute("UPDATE meta SET value = ? WHERE name = 'position'", (self._position,))
        self._clear()
        if len(self._ids) > _IDS // 2:
            self._old_ids, self._ids = self._ids, {}

    def drop(self) -> None:
        """Forget what was joined, and what was remembered of the file."""
        self._clear()
        self._ids, self._old_ids, self._types, self._next = {}, {}, {}, None
        self._kinds.clear()

    def _clear(self) -> None:
        self._nodes, self._first, self._gone, self._edges, self._ends = {}, {}, set(), {}, {}
        self._fresh.clear()
        self._position = None

    # ── nodes ───────────────────────────────────────────────────────────────────────────────
    def _write_nodes(self) -> set[int]:
        """Write the nodes; returns the numbers of those that are new."""
        ends = {end for ops in self._edges.values() for edge, _ in ops if edge is not None for end in (edge.source, edge.target)}
        ends.update(end for pair in self._ends.values() for end in pair)
        self._find(ends | self._nodes.keys() | self._gone)
        if self._next is None:
            self._next = self._connection.execute("SELECT coalesce(max(id), 0) + 1 FROM nodes").fetchone()[0]
        inserts: list[Row] = []
        updates: list[Row] = []
        fresh: set[int] = set()
        for key, node in self._nodes.items():
            label, (namespace, name, props), gone = node.label, _columns(node), int(key in self._gone)
            ident = self._ids.get(key)
            if ident is None:
                ident = self._ids[key] = self._next
                self._next += 1
                fresh.add(ident)
                inserts.append((ident, pack(key), label, namespace, name, props, self._first[key], gone))
            else:
                updates.append((label, namespace, name, props, gone, ident))
            self._kind(label, key)
        self._connection.executemany("INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", inserts)
        self._connection.executemany("UPDATE nodes SET label = ?, namespace = ?, name = ?, props = ?, gone = ? WHERE id = ?", updates)
        gone_ids = [(self._ids[key],) for key in self._gone if key not in self._nodes and key in self._ids]
        self._connection.executemany("UPDATE nodes SET gone = 1 WHERE id = ?", gone_ids)
        return fresh

    def _find(self, keys: Iterable[str]) -> None:
        """Learn the numbers of the nodes that are in the file."""
        missing = []
        for key in keys:
            if key not in self._ids:
                if key in self._old_ids:
                    self._ids[key] = self._old_ids.pop(key)
                else:
                    missing.append(key)
        for start in range(0, len(missing), 400):
            some = {pack(key): key for key in missing[start : start + 400]}
            sql = f"SELECT key, id FROM nodes WHERE key IN ({','.join('?' * len(some))})"  # noqa: S608 - question marks
            self._ids.update({some[kept]: ident for kept, ident in self._connection.execute(sql, list(some))})

    def _kind(self, label: str, key: str) -> None:
        pair = (label, key.partition(":")[0])
        if pair not in self._kinds:
            self._kinds.add(pair)
            self._connection.execute("INSERT OR IGNORE INTO kinds VALUES (?, ?)", pair)

    # ── edges ───────────────────────────────────────────────────────────────────────────────
    def _write_edges(self, fresh: set[int]) -> None:
        inserts: list[Row] = []
        ids, told = self._ids, self._fresh
        for key, ops in self._edges.items():
            edge = ops[0][0]
            new = key in told or (edge is not None and (ids.get(edge.source) in fresh or ids.get(edge.target) in fresh))
            if new and edge is not None and len(ops) == 1:
                inserts.append((*self._content(edge), self._witness(edge.witness), edge.recorded_at, None))
            else:
                self._history(ops, None if new else self._live(key, ops), inserts)
        self._witnesses.clear()
        self._connection.executemany(
            "INSERT INTO edges(key, type, source, target, props, walk, valid_from, valid_to, witness, recorded_at, retracted_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            inserts,
        )

    def _witness(self, digest: str) -> bytes | str:
        """A witness as it is kept: many edges of a batch have the same."""
        found = self._witnesses.get(digest)
        if found is None:
            found = self._witnesses[digest] = pack_hash(digest)
        return found

    def _history(self, ops: Sequence[tuple[Edge | None, int]], live: _Live | None, inserts: list[Row]) -> None:
        """Go through what happened to one edge, from what the file holds on."""
        for edge, at in ops:
            if edge is None:
                self._close(live, at, inserts)
                live = None
                continue
            content, witness = self._content(edge), self._witness(edge.witness)
            if live is not None and live.content[_SAME] == content[_SAME]:
                live.witness = witness
                if live.row is not None:
                    self._connection.execute("UPDATE edges SET witness = ? WHERE id = ?", (witness, live.row))
            else:
                self._close(live, at, inserts)
                live = _Live(None, content, witness, at)
        if live is not None and live.row is None:
            inserts.append((*live.content, live.witness, live.recorded_at, None))

    def _live(self, key: str, ops: Sequence[tuple[Edge | None, int]]) -> _Live | None:
        """The edge as the file has it."""
        sql = (
            "SELECT id, key, type, source, target, props, walk, valid_from, valid_to, witness, recorded_at "
            "FROM edges WHERE retracted_at IS NULL AND key = ?"
        )
        first = ops[0][0]
        args: list[bytes | str | int]
        if first is not None:
            content = self._content(first)
            args = [content[0], content[2], content[1], content[3]]
            rows = self._connection.execute(f"{sql} AND source = ? AND type = ? AND target = ?", args).fetchall()
        else:
            kept = {pack_hash(key.partition(":")[2]), key}
            ends = self._ends.get(key)
            near = "" if ends is None else " AND source = ? AND target = ?"
            more = [] if ends is None else [self._ids.get(ends[0], 0), self._ids.get(ends[1], 0)]
            found = [row for one in kept for row in self._connection.execute(sql + near, [one, *more])]
            rows = [row for row in found if isinstance(row[1], str) or self._name(row[2]).lower() == key.partition(":")[0]]
        row = rows[0] if rows else None
        return None if row is None else _Live(row[0], tuple(row[1:9]), row[9], row[10])

    def _close(self, live: _Live | None, at: int, inserts: list[Row]) -> None:
        """End what lives; what lived for no time at all leaves no trace."""
        if live is None:
            return
        lived = live.recorded_at < at
        if live.row is None:
            if lived:
                inserts.append((*live.content, live.witness, live.recorded_at, at))
        elif lived:
            self._connection.execute("UPDATE edges SET retracted_at = ? WHERE id = ?", (at, live.row))
        else:
            self._connection.execute("DELETE FROM edges WHERE id = ?", (live.row,))

    def _content(self, edge: Edge) -> Row:
        """Key, type, source, target, properties, walk, valid from and to."""
        source, target = self._ids.get(edge.source), self._ids.get(edge.target)
        if source is None or target is None:
            raise ValueError(f"edge {edge.key} joins {edge.source} and {edge.target}, of which one is no node")
        kind = self._types.get(edge.type) or self._type(edge.type)
        props = pack_props(edge.props) if edge.props else EMPTY
        return (pack_edge(edge.key, edge.type), kind, source, target, props, int(edge.walk), edge.valid_from, edge.valid_to)

    def _type(self, name: str) -> int:
        """The number of a type that is not remembered."""
        self._connection.execute("INSERT OR IGNORE INTO types(name) VALUES (?)", (name,))
        found = self._types[name] = int(self._connection.execute("SELECT id FROM types WHERE name = ?", (name,)).fetchone()[0])
        return found

    def _name(self, ident: int) -> str:
        return str(self._connection.execute("SELECT name FROM types WHERE id = ?", (ident,)).fetchone()[0])


def _columns(node: Node) -> tuple[str | None, str | None, str]:
    """Namespace, name and the other properties; a name that is no text, or empty, stays among these."""
    namespace, name = node.props.get("namespace"), node.props.get("name")
    namespace = namespace if isinstance(namespace, str) and namespace else None
    name = name if isinstance(name, str) and name else None
    rest = dict(node.props)
    if namespace is not None:
        del rest["namespace"]
    if name is not None:
        del rest["name"]
    return namespace, name, pack_props(rest)
