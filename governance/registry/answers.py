"""The answer of a trace: what made a model version, a prediction, a run or a dataset, from the graph, recounted from the stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from governance.ports import PredictionStore
from governance.registry.audits import Findings
from governance.registry.datasets import Datasets
from governance.registry.deployments import Deployments
from governance.registry.find import bodies, nearest
from governance.registry.models import Models
from lineage.errors import BadInput, GovernError, NotFound
from lineage.graph import keys
from lineage.model import Direction, Edge, Impact, Node
from lineage.openlineage import normalise
from lineage.ports import GraphStore, Ledger
from lineage.trace import find_dataset, trace

__all__ = ["Answers"]


class Answers:
    """Answers traces. ``settle()`` waits until what was acknowledged is projected and returns the lag that is left."""

    def __init__(
        self,
        *,
        graph: GraphStore,
        ledger: Ledger,
        datasets: Datasets,
        models: Models,
        findings: Findings,
        deployments: Deployments,
        predictions: PredictionStore,
        settle: Callable[[], int],
        installation: str,
    ) -> None:
        self._graph = graph
        self._ledger = ledger
        self._datasets = datasets
        self._models = models
        self._findings = findings
        self._deployments = deployments
        self._predictions = predictions
        self._settle = settle
        self._namespace = f"govern://{installation}"

    def trace(
        self,
        *,
        model: str | None = None,
        run: str | None = None,
        prediction: str | None = None,
        namespace: str | None = None,
        name: str | None = None,
        direction: str = "up",
        as_of: int | None = None,
        known_at: int | None = None,
        depth: int | None = None,
    ) -> dict[str, Any]:
        """The TraceAnswer; exactly one of ``model``, ``run``, ``prediction`` and (``namespace``, ``name``) says of what.

        Raises:
            NotFound: no such thing; the hint names the nearest.
            BadInput: nothing or too much was asked.
        """
        if sum(bool(given) for given in (model, run, prediction, namespace or name)) != 1:
            raise BadInput("trace one thing: a model, a run, a prediction, or a dataset by namespace and name", hint="govern trace --help")
        lag = self._settle()
        receipt = self._predictions.receipt(prediction) if prediction else None
        if receipt is not None:
            model = f"{receipt['model']}@{receipt['version']}"
        version: dict[str, Any] | None = None
        if model:
            kind, ref, start, version = self._model(model)
        elif run:
            kind, ref, start, version = "run", run, [keys.run_key(run)], self._models.by_run(run)
            if self._graph.node(start[0]) is None:
                raise NotFound(f"no run {run} is known", hint="govern lineage status shows whether its events arrived")
        else:
            kind, ref, start = self._dataset(namespace or self._namespace, name or "")
        way = Direction(direction)
        impact = trace(self._graph, start, way, as_of=as_of, known_at=known_at, depth=depth, lag=lag)
        answer = self._answer(impact, version)
        subject = {"kind": kind, "ref": ref}
        if receipt is not None:
            subject = {"kind": "prediction", "ref": str(prediction)}
            answer["prediction"] = self._receipt(receipt)
        return {"subject": subject, "direction": str(way), "as_of": as_of, "known_at": known_at} | answer

    def _receipt(self, receipt: Mapping[str, Any]) -> dict[str, Any]:
        """What may be told of a prediction; of an erased one its receipt is left, and the request that erased it."""
        erased_by = receipt["request"]
        known = erased_by is None and self._predictions.get(receipt["id"])["subject_ref"] is not None
        shown = {field: receipt[field] for field in ("id", "at", "deployment", "model", "version")}
        return shown | {"subject_known": known, "erased_by": erased_by}

    # ── where to start ──────────────────────────────────────────────────────────────────────────
    def _model(self, reference: str) -> tuple[str, str, list[str], dict[str, Any] | None]:
        name, _, wanted = reference.partition("@")
        if self._ledger.record("model", name) is not None:
            version = self._models.resolve(name, wanted or None)
            return "model", f"{name}@{version['version']}", [keys.version_key(self._namespace, name, version["run_id"])], version
        known = self._graph.find("ModelVersion", {"name": name})
        if wanted:
            known = [node for node in known if node.props.get("version") == wanted]
        if not known:
            names = {body["name"] for body in bodies(self._ledger, "model")} | {
                str(node.props["name"]) for node in self._graph.find("Model")
            }
            raise NotFound(
                f"no model is named {reference!r}",
                hint=nearest(name, names, listing="govern models") + (f"; e.g. `govern trace {min(names)}`" if names else ""),
            )
        newest = max(known, key=lambda node: (node.props.get("created") or 0, node.key))
        return "model", f"{name}@{newest.props.get('version')}", [newest.key], None

    def _dataset(self, namespace: str, name: str) -> tuple[str, str, list[str]]:
        node = find_dataset(self._graph, *normalise(namespace, name))  # by any of its names, in any harmless spelling
        if node is None:
            names = {str(node.props["name"]) for node in self._graph.find("Dataset")}
            raise NotFound(f"no dataset {name!r} is known in {namespace}", hint=nearest(name, names, listing="govern dataset list"))
        namespace, name = str(node.props["namespace"]), str(node.props["name"])
        known = self._graph.find("DatasetVersion", {"namespace": namespace, "name": name})
        return "dataset", f"{namespace} {name}", [node.key for node in known] or [node.key]

    # ── the answer ──────────────────────────────────────────────────────────────────────────────
    def _answer(self, impact: Impact, version: Mapping[str, Any] | None) -> dict[str, Any]:
        nodes = {node.key: node for node in impact.graph.nodes}
        edges = list(impact.graph.edges)
        datasets = [self._dataset_entry(node, nodes, edges, version) for node in nodes.values() if node.label == "DatasetVersion"]
        datasets.sort(
            key=lambda item: (item["role"] != "train", item["role"] != "test", item["dataset"], item["created"] or 0, str(item["version"]))
        )
        sources = [item for item in datasets if not item["inputs"]]
        counts = [item["recounted"] if item["recounted"] is not None else item["rows"] for item in sources]
        reasons = list(impact.completeness.reasons)
        reasons += [
            f"the rows of {item['dataset']}@{item['version']} cannot be counted here"
            for item, rows in zip(sources, counts, strict=True)
            if rows is None
        ]
        return {
            "model": self._model_entry(version),
            "run": self._run_entry(version),
            "datasets": datasets,
            "source_rows": sum(counts) if counts and None not in counts else None,
            **self._recipe(version, nodes),
            "audits": self._findings.get(version["model"], version["version"])["findings"] if version else [],
            "decision": self._findings.decision(version["model"], version["version"]) if version else None,
            "deployments": self._deployed(version, nodes),
            "nodes": [{"key": node.key, "label": node.label, "props": dict(node.props)} for node in impact.graph.nodes],
            "edges": [
                {
                    "key": edge.key,
                    "type": edge.type,
                    "source": edge.source,
                    "target": edge.target,
                    "props": dict(edge.props),
                    "walk": edge.walk,
                }
                for edge in edges
            ],
            "completeness": {
                "complete": impact.completeness.complete and len(reasons) == len(impact.completeness.reasons),
                "reasons": sorted(set(reasons)),
                "hops_by_basis": dict(impact.completeness.hops_by_basis),
                "lag": impact.completeness.lag,
            },
        }

    def _model_entry(self, version: Mapping[str, Any] | None) -> dict[str, Any] | None:
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

    def _run_entry(self, version: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if version is None:
            return None
        return {field: version.get(field) for field in ("run_id", "started_at", "ended_at", "metrics", "operation", "spend")} | {
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
        return {"params": params, "seed": None, "threads": None, "environment": environment, "code": _code_text(code), "policy": None}

    def _deployed(self, version: Mapping[str, Any] | None, nodes: Mapping[str, Node]) -> list[dict[str, Any]]:
        if version is not None:
            return [body for body in self._deployments.list(version["model"])["deployments"] if body["version"] == version["version"]]
        return [{"id": node.key, **dict(node.props)} for node in nodes.values() if node.label == "Deployment"]

    # ── one dataset version ─────────────────────────────────────────────────────────────────────
    def _dataset_entry(
        self, node: Node, nodes: Mapping[str, Node], edges: Sequence[Edge], version: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        namespace, name, stated = str(node.props["namespace"]), str(node.props["name"]), node.props.get("version")
        read = [edge for edge in edges if edge.type == "INPUT_TO" and edge.source == node.key]
        derived = [edge for edge in edges if edge.type == "DERIVED" and edge.target == node.key]
        training = keys.run_key(version["run_id"]) if version else None
        mine = next((edge for edge in read if edge.target == training), None)
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
        producer, made_from = self._producer(node, nodes, edges)
        counted = self._counted(namespace, name, stated)
        bases = {str(edge.props.get("basis")) for edge in (*read, *derived) if edge.props.get("basis")}
        return {
            "dataset": name,
            "namespace": namespace,
            "version": stated,
            "role": role or (mine.props.get("role") if mine else None),
            "rows": counted["rows"] if counted["rows"] is not None else _stated_rows(node),
            "recounted": counted["recounted"],
            "digest": counted["digest"],
            "row_set": {"digest": row_set.get("digest") or counted["row_set"], "count": row_set.get("count", counted["rows"])},
            "gone": counted["gone"],
            "erased_by": counted["request"],
            "created": node.props.get("created"),
            "version_basis": str(shown.props.get("version_basis")) if shown else ("stated" if stated else "unknown"),
            "basis": ", ".join(sorted(bases)) or None,
            "producer": producer,
            "inputs": [
                {"dataset": source[0], "version": source[1]}
                for source in sorted({*made_from, *(_pair(nodes, edge.source) for edge in derived)}, key=str)
            ],
        }

    def _producer(
        self, node: Node, nodes: Mapping[str, Node], edges: Sequence[Edge]
    ) -> tuple[dict[str, Any] | None, list[tuple[Any, Any]]]:
        produced = next((edge for edge in edges if edge.type == "PRODUCED" and edge.target == node.key), None)
        run = nodes.get(produced.source) if produced else None
        if produced is None or run is None:
            return None, []
        location = next(
            (
                nodes[edge.target].props.get("location")
                for edge in edges
                if edge.type == "AT_REVISION" and edge.source == run.key and edge.target in nodes
            ),
            None,
        )
        job = run.props.get("job") or {}
        entry = {
            "job": job.get("name"),
            "namespace": job.get("namespace"),
            "run_id": run.props.get("run_id"),
            "code": _code_text(location),
            "state": run.props.get("state"),
        }
        inputs = [_pair(nodes, edge.source) for edge in edges if produced.walk and edge.type == "INPUT_TO" and edge.target == run.key]
        return entry, inputs

    def _counted(self, namespace: str, name: str, version: Any) -> dict[str, Any]:
        nothing = {"rows": None, "recounted": None, "digest": None, "row_set": None, "gone": False, "request": None}
        if namespace != self._namespace or version is None or self._ledger.record("dataset", name) is None:
            return nothing
        info = next((info for info in self._datasets.infos(name) if info.version == version), None)
        if info is None:
            return nothing
        recounted = None
        if not info.gone:
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


def _pair(nodes: Mapping[str, Node], key: str) -> tuple[Any, Any]:
    node = nodes.get(key)
    return (node.props.get("name"), node.props.get("version")) if node else (key, None)


def _stated_rows(node: Node) -> int | None:
    rows = node.props.get("row_count")
    return rows if isinstance(rows, int) else None


def _code_text(location: Any) -> str | None:
    if not isinstance(location, Mapping):
        return None
    where = location.get("url") or location.get("repoUrl") or location.get("path")
    version = location.get("version")
    if where and version and str(version) not in str(where):
        return f"{where}@{version}"
    return str(version or where) if (version or where) else None
