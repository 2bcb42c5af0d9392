"""Every read of Marquez's API: names in, JSON out. What is not there raises ``NotFound`` with Marquez's own words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

from lineage.errors import BadInput, NotFound
from lineage.graph.keys import alias_key, dataset_key, field_key, job_key
from lineage.marquez.columns import column_graph, fields_under
from lineage.marquez.datasets import dataset_view, newest_first, version_view
from lineage.marquez.events import EventPage, event_page
from lineage.marquez.flow import DEEPEST, Flow
from lineage.marquez.jobs import job_view
from lineage.marquez.kept import Kept
from lineage.marquez.known import Known, RunFacts
from lineage.marquez.lists import namespaces, page_datasets, search, sources, tags
from lineage.marquez.names import NodeId, parse_node_id, version_id
from lineage.marquez.runlineage import run_lineage
from lineage.marquez.runs import RUNS_READ, job_version, job_versions, run_facets, run_view
from lineage.marquez.stats import counts, event_counts, intervals
from lineage.model import Direction, Json, Node
from lineage.openlineage.names import normalise
from lineage.ports import Clock, GraphStore, Ledger

__all__ = ["MAX_NODES", "VERSIONS_READ", "Marquez"]

MAX_NODES = 20_000
"""Nodes in one answer unless more or fewer are asked for."""
VERSIONS_READ = 10_000
"""So many versions of one dataset are looked at."""

_STATES = ("NEW", "RUNNING", "COMPLETED", "FAILED", "ABORTED")
_SCANNED = 500


class Marquez:
    """Marquez's reads over a graph and its ledger. Safe to use from many threads.

    Args:
        graph: the projection.
        ledger: where the events lie.
        clock: the time of the statistics.
        watch: registers a watcher of the projector (``Projector.watch``); called once, when the first graph is asked for.
    """

    def __init__(self, graph: GraphStore, ledger: Ledger, clock: Clock, watch: Callable[[Kept], None]) -> None:
        self._graph = graph
        self._ledger = ledger
        self._clock = clock
        self._kept = Kept()
        self._flow = Flow(graph, self._kept)
        self._watch: Callable[[Kept], None] | None = watch

    # ── lineage ─────────────────────────────────────────────────────────────────────────────
    def lineage(self, node_id: str, *, depth: int = 20, direction: Direction | None = None, max_nodes: int = MAX_NODES) -> bytes:
        """The graph around a dataset, a job or a run's job; see :mod:`lineage.marquez.flow`."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch(self._kept)
        return self._flow.answer(self._node(node_id), depth, direction, max_nodes)

    def column_lineage(self, node_id: str, *, depth: int = 20, downstream: bool = False, max_nodes: int = MAX_NODES) -> dict[str, Json]:
        """The graph around a column, or around all columns of a dataset or of what a job writes."""
        known = self._known()
        missing = NotFound("Could not find node")
        for asked in parse_node_id(node_id):
            start = self._columns(known, asked)
            if start is None:
                continue
            at = None
            if asked.version is not None:
                if downstream:
                    raise BadInput("Node version cannot be specified when withDownstream is true")
                at = self._made_at(asked)
                if at is None:
                    raise missing
            depth = min(max(depth, 0), DEEPEST)
            return column_graph(self._graph, known, start, depth=depth, downstream=downstream, at=at, max_nodes=max_nodes)
        raise missing

    def run_lineage(self, run_id: str, *, depth: int = 20, direction: Direction = Direction.UP, max_nodes: int = MAX_NODES) -> Json:
        """The runs that a run's data came from, or went to."""
        self._run(run_id)
        return run_lineage(self._graph, self._known(), run_id, depth=depth, direction=direction, max_nodes=max_nodes)

    def events(self, *, before: int, after: int, limit: int, offset: int, newest: bool) -> EventPage:
        """The events by event time."""
        return event_page(self._graph.state(), self._ledger, before=before, after=after, limit=limit, offset=offset, newest=newest)

    # ── things by name ──────────────────────────────────────────────────────────────────────
    def namespaces(self, *, limit: int, offset: int) -> dict[str, Json]:
        """All namespaces."""
        return {"namespaces": namespaces(self._graph.state())[offset : offset + limit]}

    def namespace(self, name: str) -> Json:
        """One namespace."""
        found = [one for one in namespaces(self._graph.state()) if one["name"] in (name, normalise(name, "x")[0])]
        if not found:
            raise NotFound(f"Namespace '{name}' not found.")
        return found[0]

    def sources(self, *, limit: int, offset: int) -> dict[str, Json]:
        """All sources."""
        return {"sources": sources(self._graph.state())[offset : offset + limit]}

    def source(self, name: str) -> Json:
        """One source."""
        found = [one for one in sources(self._graph.state()) if one["name"] == name]
        if not found:
            raise NotFound(f"Source '{name}' not found.")
        return found[0]

    def tags(self, *, limit: int, offset: int) -> dict[str, Json]:
        """All tags of datasets and jobs."""
        return {"tags": tags(self._graph.state())[offset : offset + limit]}

    def datasets(self, namespace: str, *, limit: int, offset: int) -> dict[str, Json]:
        """The datasets of a namespace by name."""
        nodes, total = page_datasets(self._graph, namespace=normalise(namespace, "x")[0], limit=limit, offset=offset)
        if not total:
            self.namespace(namespace)
        known = self._known()
        return {"totalCount": total, "datasets": self._dataset_views(known, nodes)}

    def dataset(self, namespace: str, name: str) -> Json:
        """One dataset by any of its names."""
        node = self._dataset_node(namespace, name)
        return self._dataset_views(self._known(), [node])[0]

    def versions(self, namespace: str, name: str, *, limit: int, offset: int) -> dict[str, Json]:
        """The versions of a dataset, the newest first; those that were only read come last."""
        node = self._dataset_node(namespace, name)
        found = self._versions([node])[node.key]
        known = self._known()
        return {"versions": [version_view(known, one) for one in found[offset : offset + limit]], "totalCount": len(found)}

    def version(self, namespace: str, name: str, version: str) -> Json:
        """One version, by its id or by the name its store gave it."""
        node = self._dataset_node(namespace, name)
        for one in self._versions([node])[node.key]:
            if version in (version_id(one.key), one.props["version"]):
                return version_view(self._known(), one)
        raise NotFound(f"Dataset version '{version}' not found.")

    def jobs(self, namespace: str | None, *, states: Sequence[str] = (), limit: int, offset: int) -> dict[str, Json]:
        """Jobs by (namespace, name); with ``states`` those whose latest run is in one of them. The count is of all."""
        if not set(states) <= set(_STATES):
            raise BadInput(f"lastRunStates are some of {', '.join(_STATES)}")
        known = self._known()
        nodes, total = self._graph.page("Job", namespace=namespace, limit=_SCANNED if states else limit, offset=0 if states else offset)
        if namespace is not None and not total:
            self.namespace(namespace)
        if not states:
            return {"totalCount": total, "jobs": [job_view(known, node) for node in nodes]}
        found: list[Json] = []
        read = 0
        while nodes and len(found) < offset + limit:
            views = (job_view(known, node) for node in nodes)
            found += [view for view in views if view["latestRun"] is None or view["latestRun"]["state"] in states]
            read += len(nodes)
            nodes, _ = self._graph.page("Job", namespace=namespace, limit=_SCANNED, offset=read)
        return {"totalCount": total, "jobs": found[offset : offset + limit]}

    def job(self, namespace: str, name: str) -> Json:
        """One job."""
        return job_view(self._known(), self._job_node(namespace, name))

    def job_versions(self, namespace: str, name: str, *, limit: int, offset: int) -> dict[str, Json]:
        """What a job has been, the newest first."""
        self._job_node(namespace, name)
        known = self._known()
        job = known.job(namespace, name)
        return {"versions": job_versions(known, job)[offset : offset + limit] if job else []}

    def job_version(self, namespace: str, name: str, version: str) -> Json:
        """One of the versions of a job."""
        for one in self.job_versions(namespace, name, limit=VERSIONS_READ, offset=0)["versions"]:
            if one["version"] == version:
                return one
        raise NotFound(f"Job version '{version}' not found.")

    def runs(self, namespace: str, name: str, *, limit: int, offset: int) -> dict[str, Json]:
        """The runs of a job, the one that started last first."""
        self._job_node(namespace, name)
        known = self._known()
        job = known.job(namespace, name)
        if job is None:
            return {"runs": [], "totalCount": 0}
        found = [run_view(run) for run in known.runs(job.ident, limit=limit, offset=offset)]
        return {"runs": found, "totalCount": known.count_runs(job.ident)}

    def run(self, run_id: str) -> Json:
        """One run."""
        return run_view(self._run(run_id))

    def run_facets(self, run_id: str, kind: str) -> Json:
        """The facets of a run, or of its job."""
        return run_facets(self._known(), self._run(run_id), kind)

    def search(
        self,
        text: str,
        *,
        kind: str | None = None,
        newest: bool = False,
        limit: int = 10,
        namespace: str | None = None,
        before: int | None = None,
        after: int | None = None,
    ) -> dict[str, Json]:
        """Jobs and datasets by a part of their name."""
        known = self._known()
        return search(self._graph, known, text, kind=kind, newest=newest, limit=limit, namespace=namespace, before=before, after=after)

    def stats(self, asset: str, period: str, zone: ZoneInfo) -> list[dict[str, Json]]:
        """How many events (``lineage-events``), jobs, datasets or sources there were."""
        places = intervals(self._clock.now(), period, zone)
        state = self._graph.state()
        return event_counts(state, places) if asset == "lineage-events" else counts(self._graph, state, asset, places)

    # ── finding ─────────────────────────────────────────────────────────────────────────────
    def _known(self) -> Known:
        return Known(self._graph.state())

    def _run(self, run_id: str) -> RunFacts:
        run = self._known().run(run_id)
        if run is None:
            raise NotFound(f"Run '{run_id}' not found.")
        return run

    def _node(self, node_id: str) -> Node:
        """The dataset or job that a node id means."""
        asked: NodeId | None = None
        for asked in parse_node_id(node_id):
            if asked.kind == "run":
                job = self._run(asked.names[0][0]).job
                node = self._graph.node(job_key(*job)) if job else None
            elif asked.kind == "job":
                node = self._first([job_key(*names) for names in asked.names])
            elif asked.kind == "dataset":
                node = self._dataset(asked.names)
            else:
                raise NotFound(f"Node '{node_id}' must be of type dataset or job!")
            if node is not None:
                return node
        if asked is None:
            raise NotFound("HTTP 404 Not Found")
        name = next(parse_node_id(node_id)).names[0]
        if asked.kind == "run":
            raise NotFound(f"Run '{name[0]}' has no job.")
        raise NotFound(f"{asked.kind.capitalize()} '{name[1]}' not found.")

    def _dataset(self, names: Sequence[Sequence[str]]) -> Node | None:
        """The Dataset or Model of the first of these names that is known, by that name or as another name of it."""
        plain = [normalise(name[0], name[1]) for name in names]
        wanted = [make(*name) for name in plain for make in (dataset_key, alias_key)]
        found = {node.key: node for node in self._graph.nodes_of(wanted)}
        for name in plain:
            if dataset_key(*name) in found:
                return found[dataset_key(*name)]
            if alias_key(*name) in found:
                return self._graph.node(self._known().context.identity(name).key)
        return None

    def _first(self, keys: Sequence[str]) -> Node | None:
        found = {node.key: node for node in self._graph.nodes_of(keys)}
        return next((found[one] for one in keys if one in found), None)

    def _dataset_node(self, namespace: str, name: str) -> Node:
        node = self._dataset([(namespace, name)])
        if node is None:
            self.namespace(namespace)
            raise NotFound(f"Dataset '{name}' not found.")
        return node

    def _job_node(self, namespace: str, name: str) -> Node:
        node = self._graph.node(job_key(namespace, name))
        if node is None:
            self.namespace(namespace)
            raise NotFound(f"Job '{name}' not found.")
        return node

    def _dataset_views(self, known: Known, nodes: Sequence[Node]) -> list[Json]:
        """The views of these datasets; the versions of those that nobody wrote are asked for together."""
        unwritten = []
        for node in nodes:
            identity = known.context.identity((node.props["namespace"], node.props["name"]))
            if known.latest_version(identity) is None:
                unwritten.append(node)
        read = self._versions(unwritten)
        return [dataset_view(known, node, read.get(node.key, ())) for node in nodes]

    def _versions(self, nodes: Sequence[Node]) -> dict[str, list[Node]]:
        """Dataset key → its named versions, the newest first."""
        if not nodes:
            return {}
        near = self._graph.neighbours([node.key for node in nodes], ("HAS_VERSION",), limit=VERSIONS_READ)
        by_key = {node.key: node for node in near.nodes}
        found: dict[str, list[Node]] = {node.key: [] for node in nodes}
        for edge in near.edges:
            if edge.source in found and edge.target in by_key:
                found[edge.source].append(by_key[edge.target])
        return {one: newest_first(versions) for one, versions in found.items()}

    def _columns(self, known: Known, asked: NodeId) -> list[str] | None:
        """Where column lineage begins; ``None`` when no reading of the id is known."""
        if asked.kind == "dataset":
            node = self._dataset(asked.names)
            return fields_under(self._graph, [node.key]) if node is not None else None
        if asked.kind == "job":
            node = self._first([job_key(*names) for names in asked.names])
            return fields_under(self._graph, [node.key]) if node is not None else None
        if asked.kind != "datasetField":
            return None
        for namespace, name, field in asked.names:
            identity = known.context.identity(normalise(namespace, name))
            wanted = field_key(identity.namespace, identity.name, field)
            if self._graph.node(wanted) is not None:
                return [wanted]
            facet = known.dataset(identity.namespace, identity.name).facets.get("schema")
            columns = facet.get("fields") if isinstance(facet, dict) else None
            if isinstance(columns, list) and any(isinstance(one, dict) and one.get("name") == field for one in columns):
                return []
        return None

    def _made_at(self, asked: NodeId) -> int | None:
        """When the version that a node id names was made, or a job's version first ran; ``None`` when there is none."""
        if asked.kind == "job":
            node = self._first([job_key(*names) for names in asked.names])
            job = self._known().job(node.props["namespace"], node.props["name"]) if node else None
            runs = self._known().runs(job.ident, limit=RUNS_READ) if job else []
            return min((run.meaning.end or run.facts.get("t", 0) for run in runs if job_version(run) == asked.version), default=None)
        node = self._dataset(asked.names)
        for one in self._versions([node])[node.key] if node else []:
            if asked.version in (version_id(one.key), one.props["version"]):
                return int(one.props.get("created") or 0)
        return None
