"""Column lineage as Marquez shows it: from which columns a column is made, and which are made from it.

Marquez follows a column up and then down again, so that the siblings of a column count as its lineage. Here what lies up and what
lies down of the start is answered, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lineage.graph.context import Identity
from lineage.graph.facets import facets_of
from lineage.marquez.datasets import column_lineage, fields_of, newest_first
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
    made: Mapping[tuple[str, str, str, str], Mapping[str, Json]]
    """(column, source namespace, source name, source column) → how it comes about."""


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
        at: as it was at this time, with ids that name versions.
        max_nodes: columns, at most.
    """
    ways = (Direction.UP, Direction.DOWN) if downstream else (Direction.UP,)
    triples: set[tuple[str, str, str]] = set()
    truncated = False
    for way in ways:
        _, found, cut = graph.expand(start, ("FEEDS",), direction=way, depth=depth, max_nodes=max_nodes)
        triples.update(found)
        truncated = truncated or cut
    ends = sorted({end for _, source, target in triples for end in (source, target)})
    near = graph.neighbours(ends, ("FEEDS",))
    edges = [edge for edge in near.edges if (edge.type, edge.source, edge.target) in triples and (at is None or edge.valid_from <= at)]
    nodes = {node.key: node for node in near.nodes}
    datasets = _datasets(graph, known, [node for node in nodes.values() if node.key in ends], at)
    answer: dict[str, Json] = {"graph": _nodes(known, edges, nodes, datasets, versioned=at is not None)}
    return {**answer, "truncated": True} if truncated else answer


def _nodes(
    known: Known, edges: Sequence[Edge], nodes: Mapping[str, Node], datasets: Mapping[str, _Dataset], *, versioned: bool
) -> list[dict[str, Json]]:
    shown: dict[str, dict[str, Json]] = {}
    idents: dict[str, str] = {}
    for key in {end for edge in edges for end in (edge.source, edge.target)}:
        place = _place(known, nodes[key])
        dataset = datasets[place[0].key]
        name = field_id(place[0].namespace, place[0].name, place[1])
        idents[key] = f"{name}#{dataset.version}" if versioned and dataset.version else name
        shown[key] = {
            "namespace": place[0].namespace,
            "dataset": place[0].name,
            "datasetVersion": dataset.version,
            "field": place[1],
            "fieldType": dataset.types.get(place[1], ""),
            **_NOWHERE,
            "inputFields": [],
        }
    sources: dict[str, set[str]] = {key: set() for key in shown}
    targets: dict[str, set[str]] = {key: set() for key in shown}
    for edge in sorted(edges, key=lambda edge: (idents[edge.target], idents[edge.source], edge.key)):
        target, source = shown[edge.target], shown[edge.source]
        if edge.source not in sources[edge.target]:
            made = _made(datasets[_place(known, nodes[edge.target])[0].key], edge, target, source)
            target["inputFields"].append({name: source[name] for name in ("namespace", "dataset", "datasetVersion", "field")} | dict(made))
            if target["transformationType"] is None:
                target |= dict(made)
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


def _made(dataset: _Dataset, edge: Edge, target: Mapping[str, Json], source: Mapping[str, Json]) -> Mapping[str, Json]:
    """How the target column comes from the source: as the facet of the present version says, else as the edge does."""
    said = dataset.made.get((target["field"], source["namespace"], source["dataset"], source["field"]))
    if said is not None:
        return said
    return {"transformationDescription": edge.props.get("description"), "transformationType": edge.props.get("subtype")}


def _place(known: Known, node: Node) -> tuple[Identity, str]:
    return known.context.identity((node.props["namespace"], node.props["name"])), str(node.props["field"])


def _datasets(graph: GraphStore, known: Known, nodes: Sequence[Node], at: int | None) -> dict[str, _Dataset]:
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
    key = identity.version_key(version) if version is not None else None
    facets = {**found.facets, **(facets_of(known.state, key) if key else {})}
    made = {
        (column["name"], one["namespace"], one["dataset"], one["field"]): {
            name: one[name] for name in ("transformationDescription", "transformationType")
        }
        for column in column_lineage(known, facets) or []
        for one in column["inputFields"]
    }
    return _Dataset(
        version=version_id(key) if key else None,
        types={one["name"]: one["type"] or "" for one in fields_of(facets)},
        made=made,
    )
