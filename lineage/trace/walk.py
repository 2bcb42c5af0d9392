"""Trace upward (what made this) or downward (what did it make), and say how far the answer can be trusted.

1. the store walks the flow (``walk`` edges) from the start;
2. what stands beside it is added for the reader and not walked: runs behind ``DERIVED`` edges, code, parameters, environments,
   row sets, datasets, parents, planned outputs, all as of and as known at the times asked for;
3. everything for which the answer may be incomplete, or reach too far, is counted and named (:mod:`lineage.trace.completeness`).

Two times: ``as_of`` is when something was so, ``known_at`` when Govern had been told of it. Edges and deployments hold both, and
versions are there from ``created`` and known from ``recorded_at`` on. The other properties of a node are those known now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lineage.graph.keys import alias_key, dataset_key, job_key, row_set_key, run_key, version_key
from lineage.model import Direction, Edge, Impact, Json, Node, Subgraph
from lineage.ports import GraphStore
from lineage.trace.completeness import Gaps

__all__ = ["find_dataset", "there", "trace"]

_BESIDE_RUN = ("AT_REVISION", "CHILD_OF", "INSTANCE_OF", "IN_ENV", "PLANNED", "WITH_PARAMS")
_FLOW = ("INPUT_TO", "PRODUCED")
_VERSIONS = frozenset({"DatasetVersion", "ModelVersion"})
_LASTING = frozenset({"SERVICE", "STREAMING"})
"""Jobs whose runs are not meant to end."""
_COUNTED = 1000
"""Readers of an unknown version are counted up to here."""


def find_dataset(store: GraphStore, namespace: str, name: str) -> Node | None:
    """The Dataset or Model that goes by this name or is also called so (symlink); ``None`` if unknown."""
    node = store.node(dataset_key(namespace, name))
    if node is not None or store.node(alias_key(namespace, name)) is None:
        return node
    beside = store.neighbours([alias_key(namespace, name)], ["ALIAS_OF"])
    return next((one for one in beside.nodes if one.label in {"Dataset", "Model"}), None)


def there(node: Node, as_of: int | None, known_at: int | None) -> bool:
    """Whether a version was there at ``as_of`` and known at ``known_at``; of one whose time nobody told, only the second is asked."""
    created = node.props.get("created")
    if as_of is not None and isinstance(created, int) and created > as_of:
        return False
    return known_at is None or node.recorded_at <= known_at


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
    gaps = Gaps()
    asked = _Asked(direction, as_of, known_at, depth, max_nodes)
    begin = _versions_of(store, start, asked, gaps)
    flow = store.closure(begin, direction, as_of=as_of, known_at=known_at, depth=depth, max_nodes=max_nodes)
    nodes = {node.key: node for node in flow.nodes}
    edges = {edge.key: edge for edge in flow.edges}
    for beside_nodes, beside_edges in _beside(store, flow, asked):
        for node in beside_nodes:
            nodes.setdefault(node.key, node)
        for edge in beside_edges:
            edges.setdefault(edge.key, edge)
    for key in start:
        if key not in nodes and (itself := store.node(key)) is not None:
            nodes[key] = itself
    whole = Subgraph(
        nodes=tuple(nodes[key] for key in sorted(nodes)), edges=tuple(edges[key] for key in sorted(edges)), truncated=flow.truncated
    )
    _limits(gaps, store, begin, flow, asked)
    if lag:
        gaps.tell("lag", f"{lag} acknowledged ledger entries were not yet projected", lag)
    _flow_gaps(gaps, store, flow, nodes, as_of)
    for edge in whole.edges:
        if edge.type == "PLANNED":
            _planned(gaps, edge, nodes)
        elif edge.type == "PRODUCED" and edge.props.get("dangling") and direction is Direction.UP:
            gaps.add("undescribed_outputs", edge.key, lambda: _undescribed(edge, nodes))  # noqa: B023 - called at once
    if direction is Direction.DOWN:
        _unknown_readers(gaps, store, flow, as_of, known_at)
    hops = Counter(str(edge.props.get("basis", "unknown")) for edge in flow.edges)
    return Impact(start=tuple(start), direction=direction, graph=whole, completeness=gaps.finish(hops, lag), as_of=as_of, known_at=known_at)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What bounds a question."""

    direction: Direction
    as_of: int | None
    known_at: int | None
    depth: int | None
    max_nodes: int


def _versions_of(store: GraphStore, start: Sequence[str], asked: _Asked, gaps: Gaps) -> list[str]:
    """The start with every Dataset or Model also as its versions that were there: data flows between versions only."""
    whole = {key for key in start if key.startswith("dataset:")}
    if not whole:
        return list(start)
    beside = store.neighbours(sorted(whole), ["HAS_VERSION"], known_at=asked.known_at, limit=asked.max_nodes)
    if beside.truncated:
        gaps.tell("truncated_by_limit", f"only {asked.max_nodes} versions of the dataset were begun from", limit=asked.max_nodes)
    of_it = {edge.target for edge in beside.edges if edge.source in whole}
    return [*start, *(node.key for node in beside.nodes if node.key in of_it and there(node, asked.as_of, asked.known_at))]


def _beside(store: GraphStore, flow: Subgraph, asked: _Asked) -> Iterable[tuple[Iterable[Node], Iterable[Edge]]]:
    """What is shown and not walked. Hubs are asked from their many-to-one side only."""
    as_of, known_at = asked.as_of, asked.known_at
    reached = {node.key for node in flow.nodes}
    planned = sorted(node.key for node in flow.nodes if node.props.get("status") == "planned")
    if planned:  # a version that nobody wrote: the run that meant to is named
        meant = store.neighbours(planned, ["PLANNED"], as_of=as_of, known_at=known_at)
        yield meant.nodes, meant.edges
    runs = {node.key for node in flow.nodes if node.label == "Run"}
    behind = {run_key(edge.props["run"]) for edge in flow.edges if edge.type == "DERIVED" and "run" in edge.props}
    if asked.direction is Direction.UP:  # a run that says that a version has no source wrote it all the same
        wrote = {run_key(node.props["run"]) for node in flow.nodes if node.label in _VERSIONS and isinstance(node.props.get("run"), str)}
        behind |= wrote - runs
    runs |= behind
    if runs:
        found = store.neighbours(sorted(runs), _BESIDE_RUN, as_of=as_of, known_at=known_at)
        kept = [edge for edge in found.edges if edge.source in runs]
        ends = runs | {edge.target for edge in kept}
        yield (node for node in found.nodes if node.key in ends), kept
    if behind:  # of a run that the walk went through, what it read and wrote was walked; of one that DERIVED leaves out it was not
        shown = reached | runs
        found = store.neighbours(sorted(behind), _FLOW, as_of=as_of, known_at=known_at)
        yield (), [edge for edge in found.edges if edge.source in shown and edge.target in shown]
    versions = [node.key for node in flow.nodes if node.label in _VERSIONS]
    if versions:
        found = store.neighbours(versions, ["HAS_VERSION"], known_at=known_at)
        kept = [edge for edge in found.edges if edge.target in reached]
        ends = {edge.source for edge in kept}
        yield (node for node in found.nodes if node.key in ends), kept
    sets = {
        (stated["digest"], stated["count"])
        for edge in flow.edges
        if "row_set" in edge.props
        for stated in edge.props.get("row_sets", [edge.props["row_set"]])
    }
    of = {node.key for node in flow.nodes if node.label == "Deployment"} | {row_set_key(digest, count) for digest, count in sets}
    if of:
        found = store.neighbours(sorted(of), ["OF"], known_at=known_at)
        labels = {node.key: node.label for node in found.nodes}
        kept = [edge for edge in found.edges if labels[edge.source] == "Deployment" or edge.target in reached]
        ends = {end for edge in kept for end in (edge.source, edge.target)}
        yield (node for node in found.nodes if node.key in ends), kept


# ── what is not known ───────────────────────────────────────────────────────────────────────────
def _limits(gaps: Gaps, store: GraphStore, begin: Sequence[str], flow: Subgraph, asked: _Asked) -> None:
    if flow.truncated:
        gaps.tell("truncated_by_limit", f"the walk was cut at {len(flow.nodes)} nodes", limit=asked.max_nodes)
    elif asked.depth is not None:
        most = min(asked.max_nodes, len(flow.nodes) + _COUNTED)
        further, cut = store.reach(
            begin, asked.direction, as_of=asked.as_of, known_at=asked.known_at, depth=asked.depth + 1, max_nodes=most
        )
        beyond = len(further) - len(flow.nodes)
        if beyond > 0 or cut:
            gaps.tell(
                "truncated_by_depth", f"the walk was limited to {asked.depth} hops, and more was there", max(1, beyond), depth=asked.depth
            )


def _flow_gaps(gaps: Gaps, store: GraphStore, flow: Subgraph, nodes: dict[str, Node], as_of: int | None) -> None:
    """What the edges that were walked, and the runs they pass, leave open."""
    runs: dict[str, Node] = {node.key: node for node in flow.nodes if node.label == "Run"}
    through = {
        (edge.target, edge.props["through"]) for edge in flow.edges if "through" in edge.props
    }  # a view: what it is made of was read
    running: dict[str, str] = {}
    for edge in flow.edges:
        said = edge.props
        source = nodes[edge.source]
        version_basis = said.get("version_basis")
        if said.get("run_basis") in {"inferred", "unknown"}:
            gaps.add("runs_inferred", edge.key, lambda: _handed(edge, nodes))  # noqa: B023
        if version_basis in _DOUBTED and (edge.target, _title(source)) not in through:
            run = _run_of(edge, nodes)
            gaps.add(_DOUBTED[version_basis], (edge.source, run), lambda: _version_gap(edge, nodes))  # noqa: B023 - called at once
        if edge.type == "INPUT_TO":
            if _rows_unknown(edge, source):
                gaps.add("inputs_without_row_set", edge.key, lambda: _rows_gap(edge, nodes))  # noqa: B023
        elif edge.type == "PRODUCED":
            if said.get("inputs", 0) > 1 and said.get("outputs", 0) > 1:
                gaps.add("ambiguous_outputs", edge.source, lambda: _ambiguous(edge, nodes))  # noqa: B023
        elif edge.type == "DERIVED" and "run" in said and (node := nodes.get(run_key(said["run"]))) is not None:
            runs.setdefault(node.key, node)
        if said.get("status") == "running":
            run = _run_of(edge, nodes)
            running[run_key(run)] = run
    _run_gaps(gaps, store, runs, running, as_of)


_DOUBTED = {"unknown": "datasets_without_version", "inferred": "versions_inferred"}


def _run_gaps(gaps: Gaps, store: GraphStore, runs: dict[str, Node], running: dict[str, str], as_of: int | None) -> None:
    """Runs that never told their end (services and streams are not meant to), failed, or could not be read completely."""
    endless = {key: node for key, node in runs.items() if not node.props.get("terminal", node.props.get("end") is not None)}
    jobs = {job_key(job["namespace"], job["name"]) for node in endless.values() if (job := node.props.get("job")) is not None}
    lasting = {node.key for node in store.nodes_of(sorted(jobs)) if node.props.get("processing") in _LASTING} if jobs else set()
    for key in sorted(running.keys() | endless.keys()):
        node = runs.get(key)
        job = node.props.get("job") if node is not None else None
        if job is not None and job_key(job["namespace"], job["name"]) in lasting:
            continue
        run = str(node.props["run_id"]) if node is not None else running[key]
        reason = f"run {run} has not ended: what it writes may change"
        gaps.add("runs_without_terminal_event", key, lambda: {"reason": reason, "run_id": run, "job": job})  # noqa: B023
    for key in sorted(runs):
        props = runs[key].props
        end = props.get("end")
        over = as_of is None or end is None or end <= as_of
        if over and props.get("state") in {"FAIL", "ABORT"} and props.get("outputs") != "written":
            gaps.add("failed_runs", key, lambda: _failed(props))  # noqa: B023
        if props.get("extraction_error"):
            gaps.add("extraction_errors", key, lambda: _unread(props))  # noqa: B023


def _undescribed(edge: Edge, nodes: dict[str, Node]) -> dict[str, Json]:
    target, run = nodes[edge.target], _run_of(edge, nodes)
    reason = f"{_said(run)} describes where its outputs come from, and not where {_title(target)} does"
    return {"reason": reason, "run_id": run or None, **_names(target)}


def _handed(edge: Edge, nodes: dict[str, Node]) -> dict[str, Json]:
    job = next((nodes[end].props for end in (edge.source, edge.target) if nodes[end].label == "Job"), None)
    if job is not None:
        reason = f"job {job['namespace']} {job['name']} handed data over, or took it, in a run that is not known"
        return {"reason": reason, "run_id": None, "namespace": job["namespace"], "name": job["name"]}
    run = str(nodes[edge.source].props.get("run_id"))
    return {"reason": f"that the data came from run {run} of its job is inferred from time", "run_id": run}


def _failed(props: Mapping[str, Json]) -> dict[str, Json]:
    how = "was aborted" if props["state"] == "ABORT" else "failed"
    return {"reason": f"run {props['run_id']} {how}: it may have written something", "run_id": props["run_id"], "job": props.get("job")}


def _unread(props: Mapping[str, Json]) -> dict[str, Json]:
    reason = f"run {props['run_id']} says that its lineage could not be extracted completely"
    return {"reason": reason, "run_id": props["run_id"], "job": props.get("job")}


def _version_gap(edge: Edge, nodes: dict[str, Node]) -> dict[str, Json]:
    source, run = nodes[edge.source], _run_of(edge, nodes)
    if edge.props["version_basis"] == "unknown":
        reason = f"{_said(run)} read {_title(source)} at an unknown version"
    else:
        reason = f"the version of {_title(source)} that {_said(run)} read is inferred from time"
    return {"reason": reason, "run_id": run or None, **_names(source)}


def _rows_gap(edge: Edge, nodes: dict[str, Node]) -> dict[str, Json]:
    source, run = nodes[edge.source], _run_of(edge, nodes)
    return {"reason": f"which rows of {_title(source)} {_said(run)} read is unknown", "run_id": run or None, **_names(source)}


def _ambiguous(edge: Edge, nodes: dict[str, Node]) -> dict[str, Json]:
    run, said = _run_of(edge, nodes), edge.props
    reason = f"{_said(run)} does not say which of its {said['inputs']} inputs went into which of its {said['outputs']} outputs"
    return {"reason": reason, "run_id": run or None, "inputs": said["inputs"], "outputs": said["outputs"]}


def _planned(gaps: Gaps, edge: Edge, nodes: dict[str, Node]) -> None:
    target, run = nodes[edge.target], _run_of(edge, nodes)
    reason = f"{_said(run)} failed: {_title(target)} was planned and not written"
    gaps.add("planned_outputs", edge.key, lambda: {"reason": reason, "run_id": run or None, **_names(target)})


def _unknown_readers(gaps: Gaps, store: GraphStore, flow: Subgraph, as_of: int | None, known_at: int | None) -> None:
    """A reader of an unknown version of a dataset may have read the versions that were reached."""
    reached = {node.key for node in flow.nodes}
    names = {(node.props["namespace"], node.props["name"]) for node in flow.nodes if node.label in _VERSIONS}
    asked = {version_key(namespace, name, None): (namespace, name) for namespace, name in names}
    for node in store.nodes_of(sorted(asked.keys() - reached)):
        namespace, name = asked[node.key]
        found, cut = store.reach([node.key], Direction.DOWN, as_of=as_of, known_at=known_at, depth=1, max_nodes=_COUNTED + 1)
        readers = len(found) - 1
        if readers > 0:
            many = f"at least {readers}" if cut else str(readers)
            reason = f"{many} readers of {namespace} {name} read an unknown version of it, perhaps one of these"
            gaps.tell("readers_of_unknown_version", reason, readers, namespace=namespace, name=name)


def _rows_unknown(edge: Edge, source: Node) -> bool:
    """No statement means all rows of the version; of a store that Govern does not read, it means that nobody knows."""
    if source.label == "ModelVersion" or str(source.props.get("namespace", "")).startswith("govern://"):
        return False
    return "row_set" not in edge.props and "subset" not in edge.props


def _run_of(edge: Edge, nodes: dict[str, Node]) -> str:
    """The id of the run an edge speaks of; empty where it is none."""
    if "run" in edge.props:
        return str(edge.props["run"])
    run = next((nodes[end] for end in (edge.source, edge.target) if nodes[end].label in {"Run", "Deployment"}), None)
    return str(run.props["run_id"]) if run is not None else ""


def _said(run: str) -> str:
    return f"run {run}" if run else "an event"


def _names(node: Node) -> dict[str, Json]:
    return {name: node.props.get(name) for name in ("namespace", "name", "version")}


def _title(node: Node) -> str:
    version = node.props.get("version")
    return f"{node.props.get('namespace', '')} {node.props.get('name', '')}" + (f"@{version}" if version else "")
