"""The walk of the SQLite graph: one recursive query when nothing bounds it, else level by level."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from lineage.model import Edge, Node, Subgraph

__all__ = ["EDGE", "NODE", "closure", "edge_of", "node_of"]

NODE = "n.key, n.label, n.props"
EDGE = "e.key, e.type, e.source, e.target, e.props, e.walk, e.witness, e.valid_from, e.valid_to, e.recorded_at"


def node_of(row: tuple[Any, ...]) -> Node:
    """The node of a row of :data:`NODE`."""
    return Node(key=row[0], label=row[1], props=json.loads(row[2]))


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
    """What is reached from ``start`` along walked edges that were valid at ``as_of`` and known at ``known_at``."""
    near, far = ("target", "source") if up else ("source", "target")
    condition, args = _condition(as_of, known_at)
    begin = _existing(connection, sorted(set(start)), known_at)
    seen: set[str] = set()
    truncated = len(begin) > max_nodes
    if depth is None and not truncated:
        sql = (
            f"WITH RECURSIVE reached(key) AS (SELECT value FROM json_each(:start) UNION "  # noqa: S608 - constants
            f"SELECT e.{far} FROM reached r JOIN edges e ON e.{near} = r.key WHERE {condition}) SELECT key FROM reached LIMIT :limit"
        )
        rows = connection.execute(sql, {**args, "start": json.dumps(begin), "limit": max_nodes + 1}).fetchall()
        if len(rows) <= max_nodes:
            seen = {row[0] for row in rows}
    if not seen:
        seen, truncated = _levels(connection, begin, (near, far), (condition, args), depth=depth, max_nodes=max_nodes)
    keys = json.dumps(sorted(seen))
    sql = f"SELECT {EDGE} FROM json_each(:keys) k JOIN edges e ON e.{near} = k.value WHERE {condition}"  # noqa: S608 - constants
    edges = [row for row in connection.execute(sql, {**args, "keys": keys}) if row[2] in seen and row[3] in seen]
    sql = f"SELECT {NODE} FROM json_each(?) k JOIN nodes n ON n.key = k.value"  # noqa: S608 - constants
    nodes = sorted(connection.execute(sql, (keys,)).fetchall())
    return Subgraph(
        nodes=tuple(map(node_of, nodes)),
        edges=tuple(edge_of(row) for row in sorted(edges, key=lambda row: (row[0], row[9]))),
        truncated=truncated,
    )


def _levels(
    connection: sqlite3.Connection,
    begin: list[str],
    ends: tuple[str, str],
    where: tuple[str, dict[str, Any]],
    *,
    depth: int | None,
    max_nodes: int,
) -> tuple[set[str], bool]:
    """Breadth first; where the limit cuts, the smallest keys of the level stay, so that every store cuts alike."""
    near, far = ends
    sql = f"SELECT DISTINCT e.{far} FROM json_each(:keys) k JOIN edges e ON e.{near} = k.value WHERE {where[0]}"  # noqa: S608 - constants
    level = begin
    truncated = len(level) > max_nodes
    seen = set(level[:max_nodes])
    hops = 0
    while level and not truncated and (depth is None or hops < depth):
        hops += 1
        found = {row[0] for row in connection.execute(sql, {**where[1], "keys": json.dumps(level)})}
        level = sorted(found - seen)
        truncated = len(seen) + len(level) > max_nodes
        level = level[: max_nodes - len(seen)]
        seen.update(level)
    return seen, truncated


def _existing(connection: sqlite3.Connection, keys: list[str], known_at: int | None) -> list[str]:
    live = "" if known_at is not None else " AND NOT n.gone"
    sql = f"SELECT n.key FROM json_each(?) k JOIN nodes n ON n.key = k.value WHERE 1{live} ORDER BY n.key"  # noqa: S608 - constants
    return [row[0] for row in connection.execute(sql, (json.dumps(keys),))]


def _condition(as_of: int | None, known_at: int | None) -> tuple[str, dict[str, Any]]:
    parts = ["e.walk"]
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
