"""Trace upward (what made this) or downward (what did it make), and say how far the answer can be trusted.

1. the store walks the flow (``walk`` edges) from the start;
2. what stands beside it is added for the reader and not walked: runs behind ``DERIVED`` edges, code, parameters, environments,
   row sets, datasets, parents, planned outputs;
3. every reason for which the answer may be incomplete, or reach too far, becomes a sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from lineage.graph.keys import alias_key, dataset_key, row_set_key, run_key, version_key
from lineage.model import Completeness, Direction, Edge, Impact, Node, Subgraph
from lineage.ports import GraphStore

__all__ = ["find_dataset", "trace"]

_OUT_OF_RUN = frozenset({"INSTANCE_OF", "AT_REVISION", "WITH_PARAMS", "IN_ENV", "CHILD_OF", "PLANNED"})


def find_dataset(store: GraphStore, namespace: str, name: str) -> Node | None:
    """The Dataset or Model that goes by this name or is also called so (symlink); ``None`` if unknown."""
    node = store.node(dataset_key(namespace, name))
    if node is not None or store.node(alias_key(namespace, name)) is None:
        return node
    beside = store.neighbours([alias_key(namespace, name)], ["ALIAS_OF"])
    return next((one for one in beside.nodes if one.label in {"Dataset", "Model"}), None)


def trace(
    store: GraphStore,
    start: Sequence[str],
    direction: Direction,
    *,
    as_of: int | None = None,
    known_at: int | None = None,
    depth: int | None = None,
    lag: int = 0,
    max_nodes: int = 100_000,
) -> Impact:
    """Everything upstream or downstream of the nodes ``start``, with what stands beside it.

    Args:
        store: the graph.
        start: node keys; an identity node (Dataset, Model) stands for all its versions.
        direction: ``UP`` or ``DOWN``.
        as_of: only what was so at this time, UTC ns.
        known_at: only what Govern knew at this time, UTC ns.
        depth: at most so many hops.
        lag: ledger entries not yet projected, for the answer's completeness.
        max_nodes: the walk is cut there and the answer says so.
    """
    begin = _versions_of(store, start)
    flow = store.closure(begin, direction, as_of=as_of, known_at=known_at, depth=depth, max_nodes=max_nodes)
    nodes = {node.key: node for node in flow.nodes}
    edges = {edge.key: edge for edge in flow.edges}
    for subgraph in _beside(store, flow):
        nodes.update({node.key: node for node in subgraph.nodes if node.key not in nodes})
        edges.update({edge.key: edge for edge in subgraph.edges if edge.key not in edges and _was(edge, as_of, known_at)})
    for key in start:
        node = store.node(key)
        if node is not None:
            nodes.setdefault(key, node)
    whole = Subgraph(
        nodes=tuple(nodes[key] for key in sorted(nodes)), edges=tuple(edges[key] for key in sorted(edges)), truncated=flow.truncated
    )
    limits = [f"{lag} acknowledged ledger entries were not yet projected"] if lag else []
    limits += [f"the walk was cut at {len(flow.nodes)} nodes"] if flow.truncated else []
    limits += [f"the walk was limited to {depth} hops"] if depth is not None else []
    reasons = sorted({*limits, *_reasons(store, whole, flow, direction)})
    hops = Counter(str(edge.props.get("basis", "unknown")) for edge in flow.edges)
    completeness = Completeness(complete=not reasons, reasons=tuple(reasons), hops_by_basis=dict(sorted(hops.items())), lag=lag)
    return Impact(start=tuple(start), direction=direction, graph=whole, completeness=completeness, as_of=as_of, known_at=known_at)


def _versions_of(store: GraphStore, start: Sequence[str]) -> list[str]:
    """The start with every Dataset or Model also as its versions: data flows between versions only."""
    begin = list(start)
    whole = [key for key in start if key.startswith("dataset:")]
    if whole:
        beside = store.neighbours(whole, ["HAS_VERSION"])
        begin += [edge.target for edge in beside.edges if edge.source in set(whole)]
    return begin


def _beside(store: GraphStore, flow: Subgraph) -> Iterable[Subgraph]:
    """What is shown and not walked. Hubs are asked from their many-to-one side only."""
    reached = {node.key for node in flow.nodes}
    runs = {node.key for node in flow.nodes if node.label == "Run"}
    runs |= {run_key(edge.props["run"]) for edge in flow.edges if edge.type == "DERIVED" and "run" in edge.props}
    versions = [node.key for node in flow.nodes if node.label in {"DatasetVersion", "ModelVersion"}]
    deployments = [node.key for node in flow.nodes if node.label == "Deployment"]
    rows = {
        row_set_key(stated["digest"], stated["count"])
        for edge in flow.edges
        if "row_set" in edge.props
        for stated in edge.props.get("row_sets", [edge.props["row_set"]])
    }
    out = store.neighbours(sorted(runs), sorted(_OUT_OF_RUN))
    yield _only(out, [edge for edge in out.edges if edge.source in runs], runs)
    made = store.neighbours(sorted(runs), ["INPUT_TO", "PRODUCED"])
    shown = reached | runs
    yield _only(made, [edge for edge in made.edges if edge.source in shown and edge.target in shown], runs)
    if versions:
        whole = store.neighbours(versions, ["HAS_VERSION"])
        yield _only(whole, [edge for edge in whole.edges if edge.target in reached], ())
    if deployments:
        live = store.neighbours(deployments, ["OF"])
        yield _only(live, list(live.edges), ())
    if rows:
        sets = store.neighbours(sorted(rows), ["OF"])
        yield _only(sets, [edge for edge in sets.edges if edge.target in reached], ())


def _only(graph: Subgraph, edges: list[Edge], always: Iterable[str]) -> Subgraph:
    keys = {end for edge in edges for end in (edge.source, edge.target)} | set(always)
    return Subgraph(nodes=tuple(node for node in graph.nodes if node.key in keys), edges=tuple(edges))


def _was(edge: Edge, as_of: int | None, known_at: int | None) -> bool:
    valid = as_of is None or (edge.valid_from <= as_of and (edge.valid_to is None or as_of < edge.valid_to))
    return valid and (known_at is None or edge.recorded_at <= known_at)


def _reasons(store: GraphStore, whole: Subgraph, flow: Subgraph, direction: Direction) -> Iterable[str]:
    names = {node.key: node for node in whole.nodes}
    for edge in flow.edges:
        said, run = edge.props, _run_of(edge, names)
        source = names[edge.source]
        if said.get("version_basis") == "unknown":
            yield f"{run} read {_title(source)} at an unknown version"
        elif said.get("version_basis") == "inferred":
            yield f"the version of {_title(source)} that {run} read is inferred from time"
        if said.get("status") == "running":
            yield f"{run} has not ended: what it writes may change"
        if edge.type == "PRODUCED" and said.get("inputs", 0) > 1 and said.get("outputs", 0) > 1:
            yield f"{run} does not say which of its {said['inputs']} inputs went into which of its {said['outputs']} outputs"
        if edge.type == "INPUT_TO" and _rows_unknown(edge, source):
            yield f"which rows of {_title(source)} {run} read is unknown"
    for edge in whole.edges:
        if edge.type == "PLANNED":
            yield f"{_run_of(edge, names)} failed: {_title(names[edge.target])} was planned and not written"
    for node in whole.nodes:
        if node.label == "Run" and node.props.get("extraction_error"):
            yield f"run {node.props['run_id']} says that its lineage could not be extracted completely"
    if direction is Direction.DOWN:
        yield from _unknown_readers(store, flow)


def _unknown_readers(store: GraphStore, flow: Subgraph) -> Iterable[str]:
    """A reader of an unknown version of a dataset may have read the versions that were reached."""
    reached = {node.key for node in flow.nodes}
    names = {(node.props["namespace"], node.props["name"]) for node in flow.nodes if node.label in {"DatasetVersion", "ModelVersion"}}
    for namespace, name in sorted(names):
        unknown = version_key(namespace, name, None)
        if unknown not in reached and store.node(unknown) is not None:
            readers = sum(edge.walk and edge.source == unknown for edge in store.neighbours([unknown]).edges)
            yield f"{readers} readers of {namespace} {name} read an unknown version of it, perhaps one of these"


def _rows_unknown(edge: Edge, source: Node) -> bool:
    """No statement means all rows of the version; of a store that Govern does not read, it means that nobody knows."""
    if source.label == "ModelVersion" or str(source.props.get("namespace", "")).startswith("govern://"):
        return False
    return "row_set" not in edge.props and "subset" not in edge.props


def _run_of(edge: Edge, names: dict[str, Node]) -> str:
    if "run" in edge.props:
        return f"run {edge.props['run']}"
    run = next((names[end] for end in (edge.source, edge.target) if names[end].label in {"Run", "Deployment"}), None)
    return f"run {run.props['run_id']}" if run else "an event"


def _title(node: Node) -> str:
    if node.label == "Run":
        return f"run {node.props['run_id']}"
    version = node.props.get("version")
    return f"{node.props.get('namespace', '')} {node.props.get('name', '')}" + (f"@{version}" if version else "")
