"""The walk of the SQLite graph: one recursive query when nothing bounds it, else level by level."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from lineage.model import Direction, Edge, Node, Subgraph

__all__ = ["EDGE", "NODE", "closure", "condition_of", "edge_of", "expand", "node_of", "reach"]

NODE = "n.key, n.label, n.props, n.recorded_at"
EDGE = "e.key, e.type, e.source, e.target, e.props, e.walk, e.witness, e.valid_from, e.valid_to, e.recorded_at"


def node_of(row: tuple[Any, ...]) -> Node:
    """The node of a row of :data:`NODE`."""
    return Node(key=row[0], label=row[1], props=json.loads(row[2]), recorded_at=row[3])


def edge_of(row: tuple[Any, ...]) -> Edge:
    """The edge of a row of :data:`EDGE`."""
    return Edge(
        key=row[0],
        type=row[1],
        source=row[2],
        target=row[3],
        props=json.loads(row[4]),
        walk=bool(row[5]),
        witness=row[6],
        valid_from=row[7],
        valid_to=row[8],
        recorded_at=row[9],
    )


def reach(
    connection: sqlite3.Connection,
    start: Sequence[str],
    *,
    up: bool,
    as_of: int | None,
    known_at: int | None,
    depth: int | None,
    max_nodes: int,
) -> tuple[set[str], bool]:
    """(keys reached from ``start`` along walked edges that were valid at ``as_of`` and known at ``known_at``, whether cut)."""
    near, far = ("target", "source") if up else ("source", "target")
    condition, args = _walked(as_of, known_at)
    begin = _existing(connection, sorted(set(start)), known_at)
    if depth is None and len(begin) <= max_nodes:
        sql = (
            f"WITH RECURSIVE reached(key) AS (SELECT value FROM json_each(:start) UNION "  # noqa: S608 - constants
            f"SELECT e.{far} FROM reached r JOIN edges e ON e.{near} = r.key WHERE {condition}) SELECT key FROM reached LIMIT :limit"
        )
        rows = connection.execute(sql, {**args, "start": json.dumps(begin), "limit": max_nodes + 1}).fetchall()
        if len(rows) <= max_nodes:
            return {row[0] for row in rows}, False
    sql = f"SELECT DISTINCT e.{far} FROM json_each(:keys) k JOIN edges e ON e.{near} = k.value WHERE {condition}"  # noqa: S608 - constants
    return _levels(connection, begin, [sql], args, depth=depth, max_nodes=max_nodes)


def closure(
    connection: sqlite3.Connection,
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
    condition, args = _walked(as_of, known_at)
    keys = json.dumps(sorted(seen))
    near = "target" if up else "source"
    sql = f"SELECT {EDGE} FROM json_each(:keys) k JOIN edges e ON e.{near} = k.value WHERE {condition}"  # noqa: S608 - constants
    edges = [row for row in connection.execute(sql, {**args, "keys": keys}) if row[2] in seen and row[3] in seen]
    sql = f"SELECT {NODE} FROM json_each(?) k JOIN nodes n ON n.key = k.value"  # noqa: S608 - constants
    nodes = sorted(connection.execute(sql, (keys,)).fetchall())
    return Subgraph(
        nodes=tuple(map(node_of, nodes)),
        edges=tuple(edge_of(row) for row in sorted(edges, key=lambda row: (row[0], row[9]))),
        truncated=truncated,
    )


def expand(
    connection: sqlite3.Connection,
    start: Sequence[str],
    types: Sequence[str],
    *,
    direction: Direction | None,
    depth: int | None,
    max_nodes: int,
) -> tuple[list[str], list[tuple[str, str, str]], bool]:
    """(sorted keys, sorted (type, source, target), whether cut) of a walk over living edges of these types."""
    chosen = "e.retracted_at IS NULL AND e.type IN (SELECT value FROM json_each(:types))"
    ways = {Direction.DOWN: [("source", "target")], Direction.UP: [("target", "source")]}
    steps = [
        f"SELECT DISTINCT e.{far} FROM json_each(:keys) k JOIN edges e ON e.{near} = k.value WHERE {chosen}"  # noqa: S608 - constants
        for near, far in (ways[direction] if direction is not None else [*ways[Direction.DOWN], *ways[Direction.UP]])
    ]
    args = {"types": json.dumps(list(types))}
    begin = _existing(connection, sorted(set(start)), None)
    seen, truncated = _levels(connection, begin, steps, args, depth=depth, max_nodes=max_nodes)
    sql = f"SELECT DISTINCT e.type, e.source, e.target FROM json_each(:keys) k JOIN edges e ON e.source = k.value WHERE {chosen}"  # noqa: S608 - constants
    between = [row for row in connection.execute(sql, {**args, "keys": json.dumps(sorted(seen))}) if row[2] in seen]
    return sorted(seen), sorted(between), truncated


def _levels(
    connection: sqlite3.Connection,
    begin: list[str],
    steps: Sequence[str],
    args: dict[str, Any],
    *,
    depth: int | None,
    max_nodes: int,
) -> tuple[set[str], bool]:
    """Breadth first; where the limit cuts, the smallest keys of the level stay, so that every store cuts alike."""
    level = begin
    truncated = len(level) > max_nodes
    seen = set(level[:max_nodes])
    hops = 0
    while level and not truncated and (depth is None or hops < depth):
        hops += 1
        keys = json.dumps(level)
        found = {row[0] for step in steps for row in connection.execute(step, {**args, "keys": keys})}
        level = sorted(found - seen)
        truncated = len(seen) + len(level) > max_nodes
        level = level[: max_nodes - len(seen)]
        seen.update(level)
    return seen, truncated


def _existing(connection: sqlite3.Connection, keys: list[str], known_at: int | None) -> list[str]:
    live = "" if known_at is not None else " AND NOT n.gone"
    sql = f"SELECT n.key FROM json_each(?) k JOIN nodes n ON n.key = k.value WHERE 1{live} ORDER BY n.key"  # noqa: S608 - constants
    return [row[0] for row in connection.execute(sql, (json.dumps(keys),))]


def condition_of(as_of: int | None, known_at: int | None) -> tuple[str, dict[str, Any]]:
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


def _walked(as_of: int | None, known_at: int | None) -> tuple[str, dict[str, Any]]:
    condition, args = condition_of(as_of, known_at)
    return f"e.walk AND {condition}", args
