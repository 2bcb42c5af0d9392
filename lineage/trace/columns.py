"""Trace a column: which columns made it, or which it went into, along column lineage.

``FEEDS`` is walked level by level as of and as known at the times asked for. What is said of a whole dataset (a filter, a join) is
shown beside a column that is traced upward and not walked on; where column lineage ends though data flows on, the answer says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from lineage.graph import keys
from lineage.model import Direction, Edge, Impact, Node, Subgraph
from lineage.ports import GraphStore
from lineage.trace.completeness import Gaps
from lineage.trace.walk import there

__all__ = ["columns_of", "trace_column"]


def columns_of(store: GraphStore, namespace: str, name: str, *, limit: int = 1000) -> list[str]:
    """The names of a dataset's columns that anything is known of: by column lineage, and by the schema of its latest versions."""
    whole = keys.dataset_key(namespace, name)
    beside = store.neighbours([whole], ["HAS_FIELD"], limit=limit)
    found = {str(node.props["name"]) for node in beside.nodes if node.label == "Field"}
    versions = store.neighbours([whole], ["HAS_VERSION"], limit=limit)
    for node in versions.nodes:
        found |= {str(column).split(":", 1)[0] for column in node.props.get("columns") or []}
    itself = store.node(whole)
    if itself is not None:
        found |= {str(column).split(":", 1)[0] for column in itself.props.get("columns") or []}
    return sorted(found)


def trace_column(
    store: GraphStore,
    namespace: str,
    name: str,
    column: str,
    direction: Direction,
    *,
    as_of: int | None = None,
    known_at: int | None = None,
    depth: int | None = None,
    lag: int = 0,
    max_nodes: int = 100_000,
) -> Impact:
    """The columns upstream or downstream of one, with the datasets they stand in.

    The dataset goes by the name that :func:`lineage.trace.find_dataset` gives; a column of which no column lineage speaks gives an
    answer that holds nothing and says why.
    """
    gaps = Gaps()
    start = keys.key("field", namespace, name, column)
    nodes: dict[str, Node] = {}
    walked: dict[str, Edge] = {}
    level = {start}
    hops = 0
    truncated = False
    unwalked: set[str] = set()  # at these the walk was cut, so nothing is said of where their lineage ends
    while level and (depth is None or hops <= depth):
        found = store.neighbours(sorted(level), ["FEEDS"], as_of=as_of, known_at=known_at, limit=4 * max_nodes)
        truncated = truncated or found.truncated
        ends = {node.key: node for node in found.nodes}
        nodes |= {key: ends[key] for key in level if key in ends and there(ends[key], None, known_at)}
        ahead = [edge for edge in found.edges if (edge.target if direction is Direction.UP else edge.source) in level]
        if depth is not None and hops == depth:
            unwalked |= level
            if ahead:
                gaps.tell("truncated_by_depth", f"the walk was limited to {depth} hops, and more was there", len(ahead), depth=depth)
            break
        further = sorted({edge.source if direction is Direction.UP else edge.target for edge in ahead} - nodes.keys())
        if len(nodes) + len(further) > max_nodes:
            truncated = True
            further = further[: max_nodes - len(nodes)]
            unwalked |= level | set(further)
        nodes |= {key: ends[key] for key in further}
        walked |= {edge.key: edge for edge in ahead if edge.source in nodes and edge.target in nodes}
        level = set() if truncated else set(further)
        hops += 1
    if truncated:
        gaps.tell("truncated_by_limit", f"the walk was cut at {len(nodes)} nodes", limit=max_nodes)
    if lag:
        gaps.tell("lag", f"{lag} acknowledged ledger entries were not yet projected", lag)
    _ends(gaps, store, {key: node for key, node in nodes.items() if key not in unwalked}, walked.values(), direction)
    if start not in nodes:
        reason = f"no column lineage speaks of {column} of {namespace} {name}"
        gaps.tell("columns_without_lineage", reason, namespace=namespace, name=name, column=column)
    beside_nodes, beside_edges = _beside(store, nodes, direction, as_of=as_of, known_at=known_at, limit=max_nodes)
    everything = {**beside_nodes, **nodes}
    edges = {**beside_edges, **walked}
    hops_by_basis = Counter(str(edge.props.get("basis", "unknown")) for edge in walked.values())
    return Impact(
        start=(start,),
        direction=direction,
        graph=Subgraph(
            nodes=tuple(everything[key] for key in sorted(everything)),
            edges=tuple(edges[key] for key in sorted(edges)),
            truncated=truncated,
        ),
        completeness=gaps.finish(hops_by_basis, lag),
        as_of=as_of,
        known_at=known_at,
    )


def _whole(node: Node) -> str:
    return keys.dataset_key(str(node.props["namespace"]), str(node.props["dataset"]))


def _beside(
    store: GraphStore, nodes: dict[str, Node], direction: Direction, *, as_of: int | None, known_at: int | None, limit: int
) -> tuple[dict[str, Node], dict[str, Edge]]:
    """The datasets of the columns, and upward what is said of the whole of a dataset: a filter or a join touches every column."""
    fields = [node for node in nodes.values() if node.label == "Field"]
    if not fields:
        return {}, {}
    shown = {node.key: node for node in store.nodes_of(sorted({_whole(node) for node in fields}))}
    edges: dict[str, Edge] = {}
    found = store.neighbours([node.key for node in fields], ["HAS_FIELD"], known_at=known_at)
    edges |= {edge.key: edge for edge in found.edges if edge.source in shown}
    if direction is Direction.UP and shown:
        said = store.neighbours(sorted(shown), ["FEEDS"], as_of=as_of, known_at=known_at, limit=limit)
        indirect = {edge.key: edge for edge in said.edges if edge.target in shown}
        wanted = {edge.source for edge in indirect.values()}
        shown |= {node.key: node for node in said.nodes if node.key in wanted}
        edges |= indirect
    return shown, edges


def _ends(gaps: Gaps, store: GraphStore, nodes: dict[str, Node], walked: Iterable[Edge], direction: Direction) -> None:
    """Columns at which the walk ended although a job writes (reads) their dataset."""
    up = direction is Direction.UP
    going = {edge.target if up else edge.source for edge in walked}
    last = {key: node for key, node in nodes.items() if node.label == "Field" and key not in going}
    wholes = {_whole(node) for node in last.values()}
    if not wholes:
        return
    _, said, _ = store.expand(
        sorted(wholes), ["WRITES"] if up else ["READ_BY"], direction=direction, depth=1, max_nodes=len(wholes) + 10_000
    )
    flowing = {target if up else source for _, source, target in said}
    for key in sorted(last):
        node = last[key]
        if _whole(node) in flowing:
            gaps.add("columns_without_lineage", key, lambda: _ended(node, up=up))  # noqa: B023 - called at once


def _ended(node: Node, *, up: bool) -> dict[str, object]:
    props = node.props
    what = "a job writes" if up else "jobs read"
    reason = f"column lineage ends at {props['namespace']} {props['dataset']}.{props['name']}, though {what} that dataset"
    return {"reason": reason, "namespace": props["namespace"], "name": props["dataset"], "column": props["name"]}
