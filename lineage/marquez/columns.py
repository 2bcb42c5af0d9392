"""Column lineage as Marquez shows it: from which columns a column is made, and which are made from it.

Marquez follows a column up and then down again, so that the siblings of a column count as its lineage. Here what lies up and what
lies down of the start is answered, and nothing else. What was said of a whole output (a filter, a join) is no column and not shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lineage.graph.context import Identity
from lineage.marquez.datasets import fields_of, newest_first
from lineage.marquez.known import Known
from lineage.marquez.names import field_id, version_id
from lineage.model import Direction, Edge, Json, Node
from lineage.ports import GraphStore

__all__ = ["column_graph", "fields_under"]

_NOWHERE: Mapping[str, Json] = {"transformationDescription": None, "transformationType": None}


@dataclass(frozen=True, slots=True)
class _Dataset:
    """What a column shows of its dataset."""

    version: str | None
    types: Mapping[str, str]


def fields_under(graph: GraphStore, keys: Sequence[str]) -> list[str]:
    """Keys of the columns of these datasets, or of what these jobs write, that column lineage names."""
    written, _, _ = graph.expand(keys, ("WRITES", "DECLARED_OUTPUT"), direction=Direction.DOWN, depth=1)
    reached, _, _ = graph.expand(written, ("HAS_FIELD",), direction=Direction.DOWN, depth=1)
    return [key for key in reached if key not in set(written)]


def column_graph(
    graph: GraphStore, known: Known, start: Sequence[str], *, depth: int, downstream: bool, at: int | None = None, max_nodes: int
) -> dict[str, Json]:
    """``{"graph": [...]}``, columns sorted by id, as in ``GET /column-lineage``.

    Args:
        graph: what is walked.
        known: the facts.
        start: keys of Field nodes.
        depth: edges to follow at most.
        downstream: also what is made from the start.
        at: as it was at this time, with ids that name versions; else as it is now.
        max_nodes: columns, at most.
    """
    ways = (Direction.UP, Direction.DOWN) if downstream else (Direction.UP,)
    reached: set[str] = set()
    truncated = False
    for way in ways:
        keys, _, cut = graph.expand(start, ("FEEDS",), direction=way, depth=depth, max_nodes=max_nodes)
        reached.update(keys)
        truncated = truncated or cut
    near = graph.neighbours(sorted(reached), ("FEEDS",))
    nodes = {node.key: node for node in near.nodes if node.label == "Field"}
    holding = [edge for edge in near.edges if edge.source in nodes and edge.target in nodes and _holds(edge, at)]
    edges = {edge.key: edge for way in ways for edge in _walked(holding, start, way, depth)}
    datasets = _datasets(graph, known, [nodes[end] for edge in edges.values() for end in (edge.source, edge.target)], at)
    answer: dict[str, Json] = {"graph": _nodes(known, edges.values(), nodes, datasets, versioned=at is not None)}
    return {**answer, "truncated": True} if truncated else answer


def _holds(edge: Edge, at: int | None) -> bool:
    """Whether a flow between columns was stated at this time, or is stated now."""
    if at is None:
        return edge.valid_to is None
    return edge.valid_from <= at and (edge.valid_to is None or at < edge.valid_to)


def _walked(edges: Iterable[Edge], start: Iterable[str], way: Direction, depth: int) -> list[Edge]:
    """The edges that lie within ``depth`` steps up, or down, of the start."""
    beside: dict[str, list[Edge]] = {}
    for edge in edges:
        beside.setdefault(edge.target if way is Direction.UP else edge.source, []).append(edge)
    found: list[Edge] = []
    seen = set(start)
    level = sorted(seen)
    for _ in range(depth):
        passed = [edge for key in level for edge in beside.get(key, ())]
        found += passed
        level = sorted({edge.source if way is Direction.UP else edge.target for edge in passed} - seen)
        if not level:
            break
        seen.update(level)
    return found


def _nodes(
    known: Known, edges: Iterable[Edge], nodes: Mapping[str, Node], datasets: Mapping[str, _Dataset], *, versioned: bool
) -> list[dict[str, Json]]:
    shown: dict[str, dict[str, Json]] = {}
    idents: dict[str, str] = {}
    for key in {end for edge in edges for end in (edge.source, edge.target)}:
        identity, column = _place(known, nodes[key])
        dataset = datasets[identity.key]
        name = field_id(identity.namespace, identity.name, column)
        idents[key] = f"{name}#{dataset.version}" if versioned and dataset.version else name
        shown[key] = {
            "namespace": identity.namespace,
            "dataset": identity.name,
            "datasetVersion": dataset.version,
            "field": column,
            "fieldType": dataset.types.get(column, ""),
            **_NOWHERE,
            "inputFields": [],
        }
    sources: dict[str, set[str]] = {key: set() for key in shown}
    targets: dict[str, set[str]] = {key: set() for key in shown}
    for edge in sorted(edges, key=lambda edge: (idents[edge.target], idents[edge.source], edge.key)):
        target, source = shown[edge.target], shown[edge.source]
        if edge.source not in sources[edge.target]:
            made = {"transformationDescription": edge.props.get("description"), "transformationType": edge.props.get("subtype")}
            target["inputFields"].append({name: source[name] for name in ("namespace", "dataset", "datasetVersion", "field")} | made)
            if target["transformationType"] is None:
                target |= made
        sources[edge.target].add(edge.source)
        targets[edge.source].add(edge.target)

    def beside(key: str, others: set[str]) -> list[dict[str, str]]:
        return [{"origin": idents[key], "destination": ident} for ident in sorted(idents[other] for other in others)]

    return [
        {
            "id": idents[key],
            "type": "DATASET_FIELD",
            "data": shown[key],
            "inEdges": beside(key, sources[key]),
            "outEdges": beside(key, targets[key]),
        }
        for key in sorted(shown, key=lambda key: idents[key])
    ]


def _place(known: Known, node: Node) -> tuple[Identity, str]:
    """(dataset, column) of a Field."""
    return known.context.identity((node.props["namespace"], node.props["dataset"])), str(node.props["name"])


def _datasets(graph: GraphStore, known: Known, nodes: Iterable[Node], at: int | None) -> dict[str, _Dataset]:
    """Dataset key → what its columns show; versions of those that were only read are asked for together."""
    identities = {identity.key: identity for identity, _ in (_place(known, node) for node in nodes)}
    versions: dict[str, str | None] = {}
    for key, identity in identities.items():
        latest = known.latest_version(identity)
        versions[key] = known.context.version_at(identity, at, None) if at is not None else latest[0] if latest else None
    unwritten = sorted(key for key, version in versions.items() if version is None)
    if unwritten:
        near = graph.neighbours(unwritten, ("HAS_VERSION",), limit=1000)
        by_key = {node.key: node for node in near.nodes}
        for key in unwritten:
            read = newest_first(by_key[edge.target] for edge in near.edges if edge.source == key and edge.target in by_key)
            versions[key] = str(read[0].props["version"]) if read else None
    return {key: _dataset(known, identity, versions[key]) for key, identity in identities.items()}


def _dataset(known: Known, identity: Identity, version: str | None) -> _Dataset:
    found = known.dataset(identity.namespace, identity.name)
    return _Dataset(
        version=version_id(identity.version_key(version)) if version is not None else None,
        types={one["name"]: one["type"] or "" for one in fields_of(found.facets)},
    )
