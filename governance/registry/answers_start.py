"""Where an answer starts: a model, a prediction, a run, a dataset, a column or a job by its name, as of and as known at a time.

What is not known is never a dead end: the error names the nearest, or where the same name is known, and the next command.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from governance.registry.deployments import Deployments
from governance.registry.find import bodies, nearest
from governance.registry.models import Models
from lineage.errors import NotFound
from lineage.graph import keys
from lineage.model import Node
from lineage.openlineage import normalise
from lineage.ports import GraphStore, Ledger
from lineage.trace import deployed, find_dataset, runs_of_job, there
from lineage.trace.columns import columns_of

__all__ = ["Start", "Starts", "served"]

_NAMES = 1000
"""So many names are compared when one is not known."""
_RUNS = 100
"""A trace of a job begins from so many of its latest runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a walk begins, and what it is about."""

    kind: str
    """model | run | dataset | column | job."""
    ref: str
    keys: tuple[str, ...]
    version: Mapping[str, Any] | None = None
    """The registry's record, where the model was trained here."""
    column: tuple[str, str, str] | None = None
    """(namespace, name, column)."""
    left: int = 0
    """Earlier runs of the job that are not walked."""


def served(body: Mapping[str, Any], as_of: int | None, known_at: int | None) -> bool:
    """Whether a deployment of ours served at ``as_of`` as known at ``known_at``.

    Its begin and its end were known at the moment they happened, so the two times need no further record.
    """
    begin, end = body["active_from"], body["active_to"]
    at, known = math.inf if as_of is None else as_of, math.inf if known_at is None else known_at
    return bool(begin <= at and begin <= known and (end is None or at < end or known < end))


class Starts:
    """Finds the start of a question in the registry and the graph."""

    def __init__(self, graph: GraphStore, ledger: Ledger, models: Models, deployments: Deployments, namespace: str) -> None:
        self._graph = graph
        self._ledger = ledger
        self._models = models
        self._deployments = deployments
        self._namespace = namespace

    # ── models ──────────────────────────────────────────────────────────────────────────────────
    def model(self, reference: str, as_of: int | None = None, known_at: int | None = None) -> Start:
        """``NAME[@VERSION|@ALIAS]``; without a version, or by an alias, what it was at that time as known then."""
        name, _, wanted = reference.partition("@")
        if self._ledger.record("model", name) is not None:
            version = self._own(name, wanted or None, as_of, known_at)
            key = keys.version_key(self._namespace, name, version["run_id"])
            return Start(kind="model", ref=f"{name}@{version['version']}", keys=(key,), version=version)
        return self._foreign(reference, name, wanted or None, as_of, known_at)

    def latest(self, name: str, as_of: int | None = None, known_at: int | None = None) -> Start:
        """The newest version of a model, at that time as known then."""
        if self._ledger.record("model", name) is not None:
            return self.model(f"{name}@latest", as_of, known_at)
        return self._named(name, self._versions(name, name, as_of, known_at)[-1])

    def before(self, name: str, version: Start, as_of: int | None = None, known_at: int | None = None) -> Start:
        """The version that came right before another one."""
        if version.version is not None:
            if version.version["version"] < 2:
                raise NotFound(f"model {name} has no version before {version.ref}", hint=f"govern models {name}")
            return self.model(f"{name}@{version.version['version'] - 1}")
        known = [node.key for node in self._versions(name, name, as_of, known_at)]
        place = known.index(version.keys[0]) if version.keys[0] in known else 0
        node = self._graph.node(known[place - 1]) if place else None
        if node is None:
            raise NotFound(f"model {name} has no version before {version.ref}", hint=f"govern find {name}")
        return self._named(name, node)

    def _own(self, name: str, wanted: str | None, as_of: int | None, known_at: int | None) -> Mapping[str, Any]:
        if (as_of is None and known_at is None) or (wanted is not None and wanted.isdigit()):
            return self._models.resolve(name, wanted)
        if wanted != "latest":
            place = wanted or "production"
            found = [
                body
                for body in self._deployments.list(name)["deployments"]
                if body["environment"] == place and served(body, as_of, known_at)
            ]
            if found:
                return self._models.resolve(name, found[-1]["version"])
            if wanted is not None:
                raise NotFound(f"no version of {name} was in {wanted!r} at that time, as known then", hint=f"govern deployments {name}")
        then = min(time for time in (as_of, known_at) if time is not None)
        known = [body for body in bodies(self._ledger, "version", prefix=f"{name}@") if body["created_at"] <= then]
        return known[-1] if known else self._models.resolve(name, "latest" if wanted else None)

    def _foreign(self, reference: str, name: str, wanted: str | None, as_of: int | None, known_at: int | None) -> Start:
        """A version of a model that was trained elsewhere: known from events alone."""
        known = self._versions(reference, name, as_of, known_at)
        if wanted not in (None, "latest"):
            chosen = [node for node in known if node.props.get("version") == wanted]
            if not chosen:
                labels = sorted({str(node.props["version"]) for node in known if node.props.get("version") is not None})
                hint = nearest(str(wanted), labels, listing=f"govern trace {name}")
                raise NotFound(f"model {name} has no version {wanted!r}", hint=hint)
            return self._named(name, chosen[-1])
        if wanted is None and (as_of is not None or known_at is not None):
            live = {one.version.key for one in deployed(self._graph, versions=[n.key for n in known], as_of=as_of, known_at=known_at)}
            known = [node for node in known if node.key in live] or known
        return self._named(name, known[-1])

    def _versions(self, reference: str, name: str, as_of: int | None, known_at: int | None) -> list[Node]:
        """The versions of a foreign model that were there, oldest first; all of them where none was."""
        wholes = [node.key for node in self._graph.find("Model", {"name": name}, limit=_NAMES)]
        beside = self._graph.neighbours(wholes, ["HAS_VERSION"]) if wholes else None
        known = [node for node in beside.nodes if node.label == "ModelVersion"] if beside else []
        if not known:
            raise self._no_model(reference, name)
        known.sort(key=lambda node: (node.props.get("created") or 0, node.key))
        return [node for node in known if there(node, as_of, known_at)] or known

    @staticmethod
    def _named(name: str, node: Node) -> Start:
        version = node.props.get("version")
        return Start(kind="model", ref=f"{name}@{version}" if version is not None else name, keys=(node.key,))

    def _no_model(self, reference: str, name: str) -> NotFound:
        names = {body["name"] for body in bodies(self._ledger, "model")} | self._known("Model", name)
        hint = nearest(name, names, listing="govern models") + (f"; e.g. `govern trace {min(names)}`" if names else "")
        return NotFound(f"no model is named {reference!r}", hint=hint)

    # ── runs, datasets, columns, jobs ───────────────────────────────────────────────────────────
    def run(self, run: str) -> Start:
        """A run by its OpenLineage id."""
        key = keys.run_key(run)
        if self._graph.node(key) is None:
            raise NotFound(f"no run {run} is known", hint="govern lineage status shows whether its events arrived")
        return Start(kind="run", ref=run, keys=(key,), version=self._models.by_run(run))

    def dataset(self, namespace: str, name: str) -> Start:
        """A dataset by any of its names, in any harmless spelling; it stands for all its versions."""
        node = self._dataset(namespace, name)
        return Start(kind="dataset", ref=f"{node.props['namespace']} {node.props['name']}", keys=(node.key,))

    def column(self, namespace: str, name: str, column: str) -> Start:
        """A column of a dataset."""
        node = self._dataset(namespace, name)
        namespace, name = str(node.props["namespace"]), str(node.props["name"])
        key = keys.key("field", namespace, name, column)
        if self._graph.node(key) is None:
            known = columns_of(self._graph, namespace, name)
            if column not in known:
                listing = f"govern trace --dataset {namespace} {name}"
                raise NotFound(f"no column {column!r} of {namespace} {name} is known", hint=nearest(column, known, listing=listing))
        return Start(kind="column", ref=f"{namespace} {name} {column}", keys=(key,), column=(namespace, name, column))

    def job(self, namespace: str, name: str, as_of: int | None = None) -> Start:
        """A job: its latest runs."""
        key = keys.job_key(namespace, name)
        if self._graph.node(key) is None:
            names = self._known("Job", name, namespace)
            raise NotFound(f"no job {name!r} is known in {namespace}", hint=nearest(name, names, listing=f"govern find {name} --label Job"))
        runs, left = runs_of_job(self._graph, namespace, name, as_of=as_of, limit=_RUNS)
        return Start(kind="job", ref=f"{namespace} {name}", keys=(key, *map(keys.run_key, runs)), left=left)

    def _dataset(self, namespace: str, name: str) -> Node:
        node = find_dataset(self._graph, *normalise(namespace, name))
        if node is None:
            raise NotFound(f"no dataset {name!r} is known in {namespace}", hint=self._near_dataset(namespace, name))
        return node

    def _near_dataset(self, namespace: str, name: str) -> str:
        elsewhere, _ = self._graph.page("Dataset", text=name, limit=_NAMES)
        places = sorted({str(node.props["namespace"]) for node in elsewhere if node.props["name"] == name})
        if places:
            return f"it is known in {', '.join(places[:3])}: govern trace --dataset {places[0]} {name}"
        names = self._known("Dataset", name, namespace) or self._known("Dataset", name)
        return nearest(name, names, listing="govern find --label Dataset")

    def _known(self, label: str, name: str, namespace: str | None = None) -> set[str]:
        """Names to compare with, asked for on a miss only: those that begin alike, and the first ones there are."""
        alike, _ = self._graph.page(label, namespace=namespace, text=name[:3] or None, limit=_NAMES)
        first, _ = self._graph.page(label, namespace=namespace, limit=_NAMES)
        return {str(node.props["name"]) for node in (*alike, *first) if node.props.get("name")}
