"""The questions that the Neo4j graph answers, each in the Cypher that the server prunes.

``RETURN DISTINCT`` of one expression behind a variable-length pattern visits a node once, however many paths lead to it. A walk that
a limit cuts is made again level by level, so that every store cuts at the same keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lineage.adapters.neo4j_graph_cypher import PAGED
from lineage.adapters.neo4j_graph_props import GONE, LINEAGE, META, RETIRED, edge_of, is_short, node_of
from lineage.model import Direction, Edge, Json, Node, Subgraph

if TYPE_CHECKING:
    from neo4j import ManagedTransaction

__all__ = [
    "When",
    "closure",
    "counts",
    "edges",
    "expand",
    "find",
    "kept_edges",
    "kept_nodes",
    "neighbours",
    "nodes",
    "nodes_of",
    "page",
    "reach",
]

_NODE = "labels(n) AS labels, properties(n) AS props"
_EDGE = "type(r) AS type, startNode(r).key AS source, endNode(r).key AS target, properties(r) AS props"
_STARTS = 4
"""From more nodes than these a walk goes level by level: the server's own walk would go through what they share once for each."""


class When:
    """Which edges a question may see: those of a day (``as_of``), as known on a day (``known_at``)."""

    def __init__(self, as_of: int | None = None, known_at: int | None = None) -> None:
        self.known = known_at is not None
        self.params = {name: value for name, value in (("as_of", as_of), ("known_at", known_at)) if value is not None}
        parts = []
        if known_at is not None:
            parts.append("r.recorded_at <= $known_at AND (r.retracted_at IS NULL OR $known_at < r.retracted_at)")
        if as_of is not None:
            parts.append("r.valid_from <= $as_of AND (r.valid_to IS NULL OR $as_of < r.valid_to)")
        self.condition = " AND ".join(parts)

    def types(self, types: Iterable[str]) -> str:
        """The types to follow; of the past also what was retired."""
        return "|".join(f"`{kind}`" for kind in sorted({*types, RETIRED} if self.known else set(types)))

    def where(self, *more: str) -> str:
        """The condition on a relationship ``r``, with others."""
        return " AND ".join(part for part in (*more, self.condition) if part) or "true"


def ask(tx: ManagedTransaction, text: str, **params: Any) -> list[list[Any]]:
    """Every row as a list of values."""
    return [record.values() for record in tx.run(text, params)]


def nodes_of(tx: ManagedTransaction, keys: Iterable[str], *, gone: bool = False) -> list[Node]:
    """The nodes under these keys, sorted by key."""
    text = f"UNWIND $keys AS key MATCH (n:{LINEAGE} {{key: key}}) {'' if gone else f'WHERE NOT n:{GONE}'} RETURN {_NODE}"
    found = (node_of(labels, props) for labels, props in ask(tx, text, keys=sorted(set(keys))))
    return sorted(found, key=lambda node: node.key)


def find(tx: ManagedTransaction, label: str, where: dict[str, Json], limit: int, after: str | None) -> list[Node]:
    """Nodes of a label whose properties equal ``where``; texts are compared by the server, all else here."""
    texts = {name: value for name, value in where.items() if isinstance(value, str) and name.isidentifier() and is_short(value)}
    exact = " ".join(f"AND n.`{name}` = $texts.`{name}`" for name in texts)
    found: list[Node] = []
    while len(found) < limit:
        step = limit - len(found) if len(texts) == len(where) else 1000
        text = f"MATCH (n:`{label}`) WHERE n.key > $after {exact} RETURN {_NODE} ORDER BY n.key LIMIT $step"
        rows = [node_of(labels, props) for labels, props in ask(tx, text, after=after or "", texts=texts, step=step)]
        found += [node for node in rows if all(name in node.props and node.props[name] == where[name] for name in where)]
        if len(rows) < step:
            break
        after = rows[-1].key
    return found[:limit]


def page(tx: ManagedTransaction, label: str, *, namespace: str | None, text: str | None, limit: int, offset: int) -> tuple[list[Node], int]:
    """Nodes of a label by (namespace, name, key), and how many there are in all."""
    indexed = label in PAGED
    place, name = ("n.namespace", "n.name") if indexed else ("coalesce(n.namespace, '')", "coalesce(n.name, '')")
    parts = [f"{place} = $namespace" if namespace is not None else f"{place} >= ''", f"{name} >= ''"]
    if text is not None:
        parts.append(f"{name} =~ $pattern")
    params = {"namespace": namespace, "pattern": _containing(text or ""), "limit": limit, "offset": offset}
    match = f"MATCH (n:`{label}`) WHERE {' AND '.join(parts)}"
    rows = ask(tx, f"{match} RETURN {_NODE} ORDER BY {place}, {name}, n.key SKIP $offset LIMIT $limit", **params)
    total = ask(tx, f"{match} RETURN count(n)", **params)[0][0]
    return [node_of(labels, props) for labels, props in rows], total


def _containing(text: str) -> str:
    r"""A pattern of Java for ``text`` anywhere in a name; ``(?i)`` there is about ASCII letters alone, as it should be."""
    return "(?is).*" + "".join(char if char.isalnum() else f"\\x{{{ord(char):x}}}" for char in text) + ".*"


def reach(
    tx: ManagedTransaction, start: Sequence[str], walked: Collection[str], when: When, *, up: bool, depth: int | None, limit: int
) -> tuple[set[str], bool]:
    """(the keys reached along walked edges, whether the limit cut them)."""
    begin = _there(tx, start, gone=when.known)
    return _walk(tx, begin, when.types(walked), when.where("r.walk"), when.params, up=up, depth=depth, limit=limit)


def _there(tx: ManagedTransaction, keys: Iterable[str], *, gone: bool = False) -> list[str]:
    """The keys under which there is a node, sorted."""
    text = f"UNWIND $keys AS key MATCH (n:{LINEAGE} {{key: key}}) {'' if gone else f'WHERE NOT n:{GONE}'} RETURN key"
    return sorted(row[0] for row in ask(tx, text, keys=sorted(set(keys))))


def _walk(
    tx: ManagedTransaction,
    begin: list[str],
    types: str,
    condition: str,
    params: dict[str, int],
    *,
    up: bool | None,
    depth: int | None,
    limit: int,
) -> tuple[set[str], bool]:
    left, right = ("<-", "-") if up else ("-", "->") if up is False else ("-", "-")
    if not begin or len(begin) > limit or depth == 0 or not types:
        return set(begin[:limit]), len(begin) > limit
    inside = "" if condition == "true" else f" WHERE {condition}"
    if depth is None and len(begin) <= _STARTS:
        text = (
            f"UNWIND $begin AS key MATCH (s:{LINEAGE} {{key: key}}) "
            f"MATCH (s){left}[rs:{types}*1..]{right}(m) "
            f"{f'WHERE all(r IN rs WHERE {condition}) ' if inside else ''}RETURN DISTINCT m.key LIMIT $most"
        )
        found = {*begin, *(row[0] for row in ask(tx, text, begin=begin, most=limit + 1, **params))}
        if len(found) <= limit:
            return found, False
    step = f"UNWIND $level AS key MATCH (s:{LINEAGE} {{key: key}}){left}[r:{types}]{right}(m) {inside} RETURN DISTINCT m.key"
    seen, level, truncated, hops = set(begin), begin, False, 0
    while level and not truncated and (depth is None or hops < depth):
        hops += 1
        level = sorted({row[0] for row in ask(tx, step, level=level, **params)} - seen)
        truncated = len(seen) + len(level) > limit
        level = level[: limit - len(seen)]
        seen.update(level)
    return seen, truncated


def closure(
    tx: ManagedTransaction, start: Sequence[str], walked: Collection[str], when: When, *, up: bool, depth: int | None, limit: int
) -> Subgraph:
    """What is reached along walked edges, with the edges between."""
    seen, truncated = reach(tx, start, walked, when, up=up, depth=depth, limit=limit)
    left, right = ("<-", "-") if up else ("-", "->")
    edges: list[Edge] = []
    if seen and walked:
        text = (
            f"UNWIND $keys AS key MATCH (n:{LINEAGE} {{key: key}}){left}[r:{when.types(walked)}]{right}(m) "
            f"WHERE {when.where('r.walk')} RETURN {_EDGE}"
        )
        rows = ask(tx, text, keys=sorted(seen), **when.params)
        edges = [edge_of(*row) for row in rows if row[1] in seen and row[2] in seen]
    return Subgraph(
        nodes=tuple(nodes_of(tx, seen, gone=True)),
        edges=tuple(sorted(edges, key=lambda edge: (edge.key, edge.recorded_at))),
        truncated=truncated,
    )


def expand(
    tx: ManagedTransaction, start: Sequence[str], types: Sequence[str], *, direction: Direction | None, depth: int | None, limit: int
) -> tuple[list[str], list[tuple[str, str, str]], bool]:
    """What is reached along edges of these types, and the edges between."""
    begin = _there(tx, start)
    up = None if direction is None else direction is Direction.UP
    chosen = When().types(types)
    seen, truncated = _walk(tx, begin, chosen, "true", {}, up=up, depth=depth, limit=limit)
    if not seen or not types:
        return sorted(seen), [], truncated
    text = f"UNWIND $keys AS key MATCH (n:{LINEAGE} {{key: key}})-[r:{chosen}]->(m) RETURN DISTINCT type(r), n.key, m.key"
    between = [(kind, source, target) for kind, source, target in ask(tx, text, keys=sorted(seen)) if target in seen]
    return sorted(seen), sorted(between), truncated


def neighbours(tx: ManagedTransaction, keys: Sequence[str], types: Collection[str], when: When, limit: int | None) -> Subgraph:
    """The given nodes, the edges of these types that touch them, and the nodes at the other end."""
    given = {node.key: node for node in nodes_of(tx, keys, gone=when.known)}
    found: dict[str, Edge] = {}
    cut = False
    if given and types:
        few = "" if limit is None else " ORDER BY r.key LIMIT $limit"
        for left, right in (("-", "->"), ("<-", "-")):
            text = (
                f"UNWIND $keys AS key MATCH (n:{LINEAGE} {{key: key}}){left}[r:{when.types(types)}]{right}(m) "
                f"WHERE {when.where('(r.was IS NULL OR r.was IN $types)' if when.known else '')} WITH DISTINCT r RETURN {_EDGE}{few}"
            )
            rows = ask(tx, text, keys=sorted(given), types=sorted(types), limit=(limit or 0) + 1, **when.params)
            found.update({edge.key: edge for edge in (edge_of(*row) for row in rows)})
        cut = limit is not None and len(found) > limit
    edges = [found[key] for key in sorted(found)][:limit]
    ends = {end for edge in edges for end in (edge.source, edge.target)} - given.keys()
    everything = {**given, **{node.key: node for node in nodes_of(tx, ends, gone=True)}}
    return Subgraph(nodes=tuple(everything[key] for key in sorted(everything)), edges=tuple(edges), truncated=cut)


def nodes(tx: ManagedTransaction) -> list[Node]:
    """Every node that lives, whoever made it, sorted by key."""
    rows = ask(tx, f"MATCH (n) WHERE NOT n:{GONE} AND NOT n:{META} RETURN {_NODE}")
    return sorted((node_of(labels, props) for labels, props in rows), key=lambda node: str(node.key))


def edges(tx: ManagedTransaction) -> list[Edge]:
    """Every relationship that lives, whoever made it, sorted by key."""
    rows = ask(tx, f"MATCH ()-[r]->() WHERE NOT r:{RETIRED} RETURN {_EDGE}")
    return sorted((edge_of(*row) for row in rows), key=lambda edge: str(edge.key))


def kept_nodes(tx: ManagedTransaction, after: str, limit: int) -> list[tuple[Node, bool]]:
    """The nodes whose key comes after ``after``, by key, and whether each is gone."""
    text = f"MATCH (n:{LINEAGE}) WHERE n.key > $after RETURN {_NODE} ORDER BY n.key LIMIT $limit"
    return [(node_of(labels, props), GONE in labels) for labels, props in ask(tx, text, after=after, limit=limit)]


def kept_edges(tx: ManagedTransaction, kind: str, after: str, limit: int) -> list[tuple[str, Edge, int | None]]:
    """The relationships of a type whose key comes after ``after``, by key: that key, the edge, and when it was retracted."""
    text = f"MATCH ()-[r:`{kind}`]->() WHERE r.key > $after RETURN {_EDGE} ORDER BY r.key LIMIT $limit"
    rows = ask(tx, text, after=after, limit=limit)
    return [(found["key"], edge_of(name, source, target, dict(found)), found.get("retracted_at")) for name, source, target, found in rows]


def counts(tx: ManagedTransaction) -> dict[str, int]:
    """``nodes`` and ``edges`` that live; the server keeps these counts."""
    all_nodes, gone, own, all_edges, retired = (
        ask(tx, f"MATCH {pattern} RETURN count(*)")[0][0]
        for pattern in ("(n)", f"(n:{GONE})", f"(n:{META})", "()-[r]->()", f"()-[r:{RETIRED}]->()")
    )
    return {"nodes": all_nodes - gone - own, "edges": all_edges - retired}
