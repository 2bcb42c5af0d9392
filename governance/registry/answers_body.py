"""A trace as the API tells it: the graph, and beside it what the registry and the stores say of the same things now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from governance.registry.audits import Findings
from governance.registry.datasets import Datasets
from governance.registry.deployments import Deployments
from governance.registry.models import Models
from lineage.errors import GovernError
from lineage.graph import keys
from lineage.model import DatasetVersionInfo, Direction, Edge, Impact, Node
from lineage.ports import Ledger
from lineage.trace import Gaps, completeness_json

__all__ = ["Bodies", "code_text", "graph_json"]

_RECOUNTED = 256
"""At most so many dataset versions are recounted in their store's files for one answer."""

_INPUTS = 1000
"""At most so many inputs are listed at one version; ``edges`` holds all."""


def graph_json(impact: Impact) -> dict[str, Any]:
    """``nodes`` and ``edges`` as JSON."""
    return {
        "nodes": [
            {"key": node.key, "label": node.label, "props": node.props, "recorded_at": node.recorded_at} for node in impact.graph.nodes
        ],
        "edges": [
            {
                "key": edge.key,
                "type": edge.type,
                "source": edge.source,
                "target": edge.target,
                "props": edge.props,
                "walk": edge.walk,
                "valid_from": edge.valid_from,
                "valid_to": edge.valid_to,
                "recorded_at": edge.recorded_at,
            }
            for edge in impact.graph.edges
        ],
        "truncated": impact.graph.truncated,
    }


@dataclass(slots=True)
class _Index:
    """The edges of an answer by what is asked of them: built once, so that a thousand versions cost a thousand look-ups."""

    nodes: dict[str, Node]
    read: dict[str, list[Edge]] = field(default_factory=dict)
    reads_of: dict[str, list[Edge]] = field(default_factory=dict)
    derived: dict[str, list[Edge]] = field(default_factory=dict)
    produced: dict[str, Edge] = field(default_factory=dict)
    revision: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, impact: Impact) -> _Index:
        index = cls({node.key: node for node in impact.graph.nodes})
        for edge in impact.graph.edges:
            match edge.type:
                case "INPUT_TO":
                    index.read.setdefault(edge.source, []).append(edge)
                    index.reads_of.setdefault(edge.target, []).append(edge)
                case "DERIVED":
                    index.derived.setdefault(edge.target, []).append(edge)
                case "PRODUCED":
                    index.produced.setdefault(edge.target, edge)
                case "AT_REVISION" if edge.target in index.nodes:
                    index.revision.setdefault(edge.source, index.nodes[edge.target].props.get("location"))
        return index


class Bodies:
    """Makes the JSON of a trace."""

    def __init__(
        self, *, ledger: Ledger, datasets: Datasets, models: Models, findings: Findings, deployments: Deployments, namespace: str
    ) -> None:
        self._ledger = ledger
        self._datasets = datasets
        self._models = models
        self._findings = findings
        self._deployments = deployments
        self._namespace = namespace

    def body(self, impact: Impact, version: Mapping[str, Any] | None) -> dict[str, Any]:
        """All of a TraceAnswer but its subject and its times."""
        index = _Index.of(impact)
        stores = _Stores(self._ledger, self._datasets, self._namespace, recount=impact.direction is Direction.UP)
        training = keys.run_key(version["run_id"]) if version else None
        datasets = [
            self._dataset(node, index, stores, version, training) for node in index.nodes.values() if node.label == "DatasetVersion"
        ]
        datasets.sort(
            key=lambda item: (item["role"] != "train", item["role"] != "test", item["dataset"], item["created"] or 0, str(item["version"]))
        )
        sources = [item for item in datasets if not item["inputs_total"]]
        counts = [item["recounted"] if item["recounted"] is not None else item["rows"] for item in sources]
        gaps = Gaps()
        gaps.join(impact.completeness)
        if impact.direction is Direction.UP:
            for item, rows in zip(sources, counts, strict=True):
                if rows is None:
                    place = (item["namespace"], item["dataset"], item["version"])
                    gaps.add("sources_not_counted", place, lambda: _uncounted(item))  # noqa: B023 - called at once
        completeness = gaps.finish(impact.completeness.hops_by_basis, impact.completeness.lag)
        return {
            "model": self._model(version),
            "run": self._run(version),
            "datasets": datasets,
            "source_rows": sum(counts) if counts and None not in counts else None,
            **self._recipe(version, index.nodes),
            "audits": self._findings.get(version["model"], version["version"])["findings"] if version else [],
            "decision": self._findings.decision(version["model"], version["version"]) if version else None,
            "deployments": self._deployed(version, index.nodes),
            "models": self._reached(impact),
            **graph_json(impact),
            "completeness": completeness_json(completeness),
        }

    def numbers(self, nodes: Iterable[Node]) -> dict[str, int]:
        """Key of each ModelVersion that was trained here → its number in the registry."""
        own = {str(node.props.get("version")): node.key for node in nodes if self._own(node)}
        if not own:
            return {}
        return {own[body["run_id"]]: body["version"] for body in self._models.all_versions() if body["run_id"] in own}

    def _own(self, node: Node) -> bool:
        return node.label == "ModelVersion" and node.props.get("namespace") == self._namespace

    def _reached(self, impact: Impact) -> list[dict[str, Any]]:
        """The model versions of the answer as a person names them: ours by number."""
        versions = [node for node in impact.graph.nodes if node.label == "ModelVersion"]
        numbers = self.numbers(versions)
        found = [
            {
                "key": node.key,
                "namespace": node.props.get("namespace"),
                "model": node.props.get("name"),
                "version": numbers.get(node.key, node.props.get("version")),
                "own": node.key in numbers,
            }
            for node in versions
        ]
        return sorted(found, key=lambda one: (str(one["namespace"]), str(one["model"]), str(one["version"]), one["key"]))

    def _model(self, version: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if version is None:
            return None
        model = self._models.get(version["model"])
        return {
            "name": version["model"],
            "version": version["version"],
            "run_id": version["run_id"],
            "status": version["status"],
            "artifact_digest": version["artifact"]["digest"],
            "destroyed_at": version["destroyed_at"],
            "destroyed_by": version["destroyed_by"],
            "predecessor": version["predecessor"],
            "aliases": sorted(alias for alias, number in model["aliases"].items() if number == version["version"]),
            "purpose": model.get("purpose"),
            "owner": model.get("owner"),
        }

    def _run(self, version: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if version is None:
            return None
        return {name: version.get(name) for name in ("run_id", "started_at", "ended_at", "metrics", "operation", "spend")} | {
            "state": "COMPLETE"
        }

    def _recipe(self, version: Mapping[str, Any] | None, nodes: Mapping[str, Node]) -> dict[str, Any]:
        if version is not None:
            spec = version["spec"]
            return {
                "params": spec["params"],
                "seed": spec["seed"],
                "threads": spec["threads"],
                "environment": spec["environment"],
                "code": spec["code"],
                "policy": version["policy"],
            }
        params = next((node.props.get("params") for node in nodes.values() if node.label == "ParamSet"), None)
        code = next((node.props.get("location") for node in nodes.values() if node.label == "CodeRevision"), None)
        environment = next((node.props.get("details") for node in nodes.values() if node.label == "Environment"), None)
        return {"params": params, "seed": None, "threads": None, "environment": environment, "code": code_text(code), "policy": None}

    def _deployed(self, version: Mapping[str, Any] | None, nodes: Mapping[str, Node]) -> list[dict[str, Any]]:
        if version is not None:
            return [body for body in self._deployments.list(version["model"])["deployments"] if body["version"] == version["version"]]
        return [{"id": node.key, **dict(node.props)} for node in nodes.values() if node.label == "Deployment"]

    # ── one dataset version ─────────────────────────────────────────────────────────────────────
    def _dataset(
        self, node: Node, index: _Index, stores: _Stores, version: Mapping[str, Any] | None, training: str | None
    ) -> dict[str, Any]:
        namespace, name, stated = str(node.props["namespace"]), str(node.props["name"]), node.props.get("version")
        read, derived = index.read.get(node.key, []), index.derived.get(node.key, [])
        mine = next((edge for edge in read if edge.target == training), None) if training else None
        role = next(
            (
                given["role"]
                for given in (version["spec"]["inputs"] if version else ())
                if (given["dataset"], given["version"]) == (name, stated) and namespace == self._namespace
            ),
            None,
        )
        shown = mine or next(iter(read), None)
        row_set = dict(shown.props.get("row_set") or {}) if shown else {}
        producer, made_from = _producer(node, index)
        counted = stores.counted(namespace, name, stated)
        sources = sorted({*made_from, *(_pair(index.nodes, edge.source) for edge in derived)}, key=str)
        bases = {str(edge.props["basis"]) for edge in (*read, *derived) if edge.props.get("basis")}
        return {
            "dataset": name,
            "namespace": namespace,
            "version": stated,
            "role": role or (mine.props.get("role") if mine else None),
            "rows": counted["rows"] if counted["rows"] is not None else _stated_rows(node),
            "recounted": counted["recounted"],
            "digest": counted["digest"],
            "row_set": {"digest": row_set.get("digest") or counted["row_set"], "count": row_set.get("count", counted["rows"])},
            "row_sets": [dict(one) for one in (shown.props.get("row_sets") if shown else None) or []],
            "gone": counted["gone"],
            "erased_by": counted["request"],
            "created": node.props.get("created"),
            "version_basis": str(shown.props.get("version_basis")) if shown else ("stated" if stated else "unknown"),
            "basis": ", ".join(sorted(bases)) or None,
            "producer": producer,
            "inputs": [{"dataset": source[0], "version": source[1]} for source in sources[:_INPUTS]],
            "inputs_total": len(sources),
        }


class _Stores:
    """What the stores of this home say of dataset versions, asked once per dataset."""

    _NOTHING = {"rows": None, "recounted": None, "digest": None, "row_set": None, "gone": False, "request": None}  # noqa: RUF012

    def __init__(self, ledger: Ledger, datasets: Datasets, namespace: str, *, recount: bool) -> None:
        self._ledger = ledger
        self._datasets = datasets
        self._namespace = namespace
        self._left = _RECOUNTED if recount else 0
        self._infos: dict[str, dict[str, DatasetVersionInfo]] = {}

    def counted(self, namespace: str, name: str, version: Any) -> dict[str, Any]:
        """Rows as recorded and as recounted now, digests, and the tombstone of a version that is gone."""
        info = self._of(name).get(version) if namespace == self._namespace and version is not None else None
        if info is None:
            return self._NOTHING
        recounted = None
        if not info.gone and self._left:
            self._left -= 1
            try:
                recounted = self._datasets.count(name, info.version)
            except GovernError:  # an older version of a landing file is no longer there to count; the answer then says what was recorded
                recounted = None
        return {
            "rows": info.rows,
            "recounted": recounted,
            "digest": info.digest,
            "row_set": info.row_set.digest,
            "gone": info.gone,
            "request": info.request,
        }

    def _of(self, name: str) -> dict[str, DatasetVersionInfo]:
        if name not in self._infos:
            known = self._ledger.record("dataset", name) is not None
            self._infos[name] = {info.version: info for info in self._datasets.infos(name)} if known else {}
        return self._infos[name]


def _producer(node: Node, index: _Index) -> tuple[dict[str, Any] | None, list[tuple[Any, Any]]]:
    produced = index.produced.get(node.key)
    run = index.nodes.get(produced.source) if produced else None
    if produced is None or run is None:
        return None, []
    job = run.props.get("job") or {}
    entry = {
        "job": job.get("name"),
        "namespace": job.get("namespace"),
        "run_id": run.props.get("run_id"),
        "code": code_text(index.revision.get(run.key)),
        "state": run.props.get("state"),
    }
    return entry, [_pair(index.nodes, edge.source) for edge in index.reads_of.get(run.key, ()) if produced.walk]


def _uncounted(item: Mapping[str, Any]) -> dict[str, Any]:
    which = item["dataset"] if item["version"] is None else f"{item['dataset']}@{item['version']}"
    reason = f"the rows of {which} cannot be counted here"
    return {"reason": reason, "namespace": item["namespace"], "name": item["dataset"], "version": item["version"]}


def _pair(nodes: Mapping[str, Node], key: str) -> tuple[Any, Any]:
    node = nodes.get(key)
    return (node.props.get("name"), node.props.get("version")) if node else (key, None)


def _stated_rows(node: Node) -> int | None:
    rows = node.props.get("row_count")
    return rows if isinstance(rows, int) else None


def code_text(location: Any) -> str | None:
    """A source code location on one line: where, which file of it, and at which revision.

    >>> code_text({"repoUrl": "https://example.org/ml.git", "path": "jobs/train.py", "version": "4f5a9c1d"})
    'https://example.org/ml/jobs/train.py@4f5a9c1d'
    """
    if not isinstance(location, Mapping):
        return None
    path, version = location.get("path"), location.get("version")
    where = location.get("url") or location.get("repoUrl") or path
    if where and path and str(path) not in str(where):
        where = f"{str(where).removesuffix('.git').rstrip('/')}/{path}"
    if where and version and str(version) not in str(where):
        return f"{where}@{version}"
    return str(version or where) if (version or where) else None
