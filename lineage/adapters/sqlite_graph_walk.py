"""The walks of the SQLite graph: one recursive query over the numbers of nodes when nothing bounds it, else level by level.

Walks ask nothing but the indexes of edges; nodes and edges are read afterwards, for what was reached.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from lineage.adapters.sqlite_graph_schema import EDGE, NODE, Row, edges_of, node_of, pack, unpack
from lineage.model import Direction, Subgraph

__all__ = ["Types", "closure", "expand", "neighbours", "nodes_under", "reach", "reach_keys"]

Types = Callable[[sqlite3.Connection], Mapping[int, str]]
"""The names of all edge types, as the connection sees them."""

_OUT = ("source", "target", "edges_out")
_IN = ("target", "source", "edges_in")
_Way = tuple[str, str, str]
_Where = tuple[str, dict[str, Any]]


def nodes_under(connection: sqlite3.Connection, keys: Iterable[str], living: str) -> list[Row]:
    """The rows of the nodes under these keys, in no order."""
    rows: list[Row] = []
    kept = list({pack(key) for key in keys})
    for start in range(0, len(kept), 500):
        some = kept[start : start + 500]
        sql = f"SELECT {NODE} FROM nodes n WHERE n.key IN ({','.join('?' * len(some))}) AND {living}"  # noqa: S608 - constants
        rows += connection.execute(sql, some)
    return rows


def reach(
    connection: sqlite3.Connection,
    start: Sequence[str],
    *,
    up: bool,
    as_of: int | None,
    known_at: int | None,
    depth: int | None,
    max_nodes: int,
) -> tuple[list[int], bool]:
    """(numbers of the nodes reached along walked edges that were valid at ``as_of`` and known at ``known_at``, whether cut)."""
    found, begin = _whole(connection, "r.id", start, up=up, as_of=as_of, known_at=known_at, depth=depth, max_nodes=max_nodes)
    if found is not None:
        return found, False
    return _levels(connection, begin, [_IN if up else _OUT], _walked(as_of, known_at), depth=depth, max_nodes=max_nodes)


def reach_keys(
    connection: sqlite3.Connection,
    start: Sequence[str],
    *,
    up: bool,
    as_of: int | None,
    known_at: int | None,
    depth: int | None,
    max_nodes: int,
) -> tuple[list[str], bool]:
    """The sorted keys of :func:`reach`, by one query where nothing bounds it."""
    found, begin = _whole(connection, "n.key", start, up=up, as_of=as_of, known_at=known_at, depth=depth, max_nodes=max_nodes)
    if found is not None:
        return sorted(map(unpack, found)), False
    seen, truncated = _levels(connection, begin, [_IN if up else _OUT], _walked(as_of, known_at), depth=depth, max_nodes=max_nodes)
    return sorted(_keys(connection, seen).values()), truncated


def _whole(
    connection: sqlite3.Connection,
    what: str,
    start: Sequence[str],
    *,
    up: bool,
    as_of: int | None,
    known_at: int | None,
    depth: int | None,
    max_nodes: int,
) -> tuple[list[Any] | None, list[tuple[str, int]]]:
    """(``r.id`` or ``n.key`` of all that is reached, the start by key); ``None`` where the walk is bounded and has to go by levels."""
    near, far, index = _IN if up else _OUT
    condition, args = _walked(as_of, known_at)
    begin = sorted((unpack(row[1]), row[0]) for row in nodes_under(connection, start, _living(known_at)))
    if depth is not None or len(begin) > max_nodes:
        return None, begin
    join = "CROSS JOIN nodes n ON n.id = r.id " if what == "n.key" else ""
    sql = (
        f"WITH RECURSIVE reached(id) AS (SELECT value FROM json_each(:start) UNION "  # noqa: S608 - constants
        f"SELECT e.{far} FROM reached r CROSS JOIN edges e INDEXED BY {index} ON e.{near} = r.id WHERE {condition}) "
        f"SELECT {what} FROM reached r {join}LIMIT :limit"
    )
    args = {**args, "start": json.dumps([ident for _, ident in begin]), "limit": max_nodes + 1}
    found = [row[0] for row in connection.execute(sql, args)]
    return (found if len(found) <= max_nodes else None), begin


def closure(
    connection: sqlite3.Connection,
    types: Types,
    start: Sequence[str],
    *,
    up: bool,
    as_of: int | None,
    known_at: int | None,
    depth: int | None,
    max_nodes: int,
) -> Subgraph:
    """What is reached, with the edges walked."""
    seen, truncated = reach(connection, start, up=up, as_of=as_of, known_at=known_at, depth=depth, max_nodes=max_nodes)
    near, _, index = _IN if up else _OUT
    condition, args = _walked(as_of, known_at)
    numbers = json.dumps(seen)
    sql = f"SELECT {NODE} FROM json_each(?) k CROSS JOIN nodes n ON n.id = k.value"  # noqa: S608 - constants
    rows = connection.execute(sql, (numbers,)).fetchall()
    keys = {row[0]: unpack(row[1]) for row in rows}
    sql = f"SELECT {EDGE} FROM json_each(:seen) k CROSS JOIN edges e INDEXED BY {index} ON e.{near} = k.value WHERE {condition}"  # noqa: S608 - constants
    far = 2 if up else 3
    names = types(connection)
    within = (row for row in connection.execute(sql, {**args, "seen": numbers}) if row[far] in keys)
    edges = edges_of(within, keys, names)
    return Subgraph(
        nodes=tuple(sorted(map(node_of, rows), key=attrgetter("key"))),
        edges=tuple(sorted(edges, key=attrgetter("key", "recorded_at"))),
        truncated=truncated,
    )


def expand(
    connection: sqlite3.Connection,
    types: Types,
    start: Sequence[str],
    chosen: Sequence[str],
    *,
    direction: Direction | None,
    depth: int | None,
    max_nodes: int,
) -> tuple[list[str], list[tuple[str, str, str]], bool]:
    """(sorted keys, sorted (type, source, target), whether cut) of a walk over living edges of these types."""
    names = {ident: name for ident, name in types(connection).items() if name in set(chosen)}
    where: _Where = (f"e.retracted_at IS NULL AND e.type IN ({','.join(map(str, sorted(names)))})", {})
    ways = [way for way, other in ((_OUT, Direction.UP), (_IN, Direction.DOWN)) if direction is not other]
    begin = sorted((unpack(row[1]), row[0]) for row in nodes_under(connection, start, _living(None)))
    seen, truncated = _levels(connection, begin, ways, where, depth=depth, max_nodes=max_nodes)
    keys = _keys(connection, seen)
    sql = (
        f"SELECT DISTINCT e.type, e.source, e.target FROM json_each(?) k "  # noqa: S608 - constants
        f"CROSS JOIN edges e INDEXED BY edges_out ON e.source = k.value WHERE {where[0]}"
    )
    rows = connection.execute(sql, (json.dumps(seen),))
    between = [(names[kind], keys[source], keys[target]) for kind, source, target in rows if target in keys]
    return sorted(keys.values()), sorted(between), truncated


def neighbours(
    connection: sqlite3.Connection,
    types: Types,
    keys: Iterable[str],
    chosen: Sequence[str] | None,
    *,
    as_of: int | None,
    known_at: int | None,
    limit: int | None,
) -> Subgraph:
    """The given nodes, the edges of the types that touch them, and the nodes at the other end."""
    names = types(connection)
    condition, args = _condition(as_of, known_at)
    if chosen is not None:
        wanted = {ident for ident, name in names.items() if name in set(chosen)}
        condition += f" AND e.type IN ({','.join(map(str, sorted(wanted)))})"
    living = _living(known_at)
    nodes = {row[0]: row for row in nodes_under(connection, keys, living)}
    given = json.dumps(list(nodes))
    found: dict[int, Row] = {}
    for near, _, index in (_OUT, _IN):
        sql = (
            f"SELECT e.id, {EDGE} FROM json_each(:given) k "  # noqa: S608 - constants
            f"CROSS JOIN edges e INDEXED BY {index} ON e.{near} = k.value WHERE {condition}"
        )
        found.update((row[0], row[1:]) for row in connection.execute(sql, {**args, "given": given}))
    ends = {end for row in found.values() for end in row[2:4]} - nodes.keys()
    sql = f"SELECT {NODE} FROM json_each(?) k CROSS JOIN nodes n ON n.id = k.value WHERE {living}"  # noqa: S608 - constants
    nodes.update((row[0], row) for row in connection.execute(sql, (json.dumps(list(ends)),)))
    shown = {ident: unpack(row[1]) for ident, row in nodes.items()}
    edges = sorted(edges_of(found.values(), shown, names), key=attrgetter("key"))
    kept = edges if limit is None else edges[:limit]
    if len(kept) < len(edges):
        touched = {*keys, *(end for edge in kept for end in (edge.source, edge.target))}
        nodes = {ident: row for ident, row in nodes.items() if shown[ident] in touched}
    return Subgraph(
        nodes=tuple(sorted(map(node_of, nodes.values()), key=attrgetter("key"))),
        edges=tuple(kept),
        truncated=len(kept) < len(edges),
    )


def _levels(
    connection: sqlite3.Connection,
    begin: list[tuple[str, int]],
    ways: Sequence[_Way],
    where: _Where,
    *,
    depth: int | None,
    max_nodes: int,
) -> tuple[list[int], bool]:
    """Breadth first; where the limit cuts, the smallest keys of the level stay, so that every store cuts alike."""
    steps = [
        f"SELECT e.{far} FROM json_each(:level) k CROSS JOIN edges e INDEXED BY {index} ON e.{near} = k.value WHERE {where[0]}"  # noqa: S608 - constants
        for near, far, index in ways
    ]
    level = [ident for _, ident in begin]
    truncated = len(level) > max_nodes
    seen = dict.fromkeys(level[:max_nodes])
    hops = 0
    while level and not truncated and (depth is None or hops < depth):
        hops += 1
        args = {**where[1], "level": json.dumps(level)}
        found = {row[0] for step in steps for row in connection.execute(step, args)} - seen.keys()
        level = list(found)
        truncated = len(seen) + len(level) > max_nodes
        if truncated:
            keys = _keys(connection, level)
            level = sorted(level, key=keys.__getitem__)[: max_nodes - len(seen)]
        seen.update(dict.fromkeys(level))
    return list(seen), truncated


def _keys(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, str]:
    sql = "SELECT n.id, n.key FROM json_each(?) k CROSS JOIN nodes n ON n.id = k.value"
    return {ident: unpack(key) for ident, key in connection.execute(sql, (json.dumps(list(numbers)),))}


def _living(known_at: int | None) -> str:
    """Of the past also nodes are shown that are gone."""
    return "n.gone = 0" if known_at is None else "1"


def _walked(as_of: int | None, known_at: int | None) -> _Where:
    condition, args = _condition(as_of, known_at)
    return f"e.walk AND {condition}", args


def _condition(as_of: int | None, known_at: int | None) -> _Where:
    """The edges that were known at ``known_at`` and valid at ``as_of``."""
    parts = []
    args: dict[str, Any] = {}
    if known_at is None:
        parts.append("e.retracted_at IS NULL")
    else:
        parts.append("e.recorded_at <= :known AND (e.retracted_at IS NULL OR :known < e.retracted_at)")
        args["known"] = known_at
    if as_of is not None:
        parts.append("e.valid_from <= :as_of AND (e.valid_to IS NULL OR :as_of < e.valid_to)")
        args["as_of"] = as_of
    return " AND ".join(parts), args
