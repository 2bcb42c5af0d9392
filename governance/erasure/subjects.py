"""From a subject to everything that rests on its rows, without naming it anywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from governance.erasure.owners import owner_names
from governance.erasure.scope import Searcher
from governance.plan import ForeignReach
from governance.registry.datasets import Datasets
from governance.registry.deployments import Deployments
from governance.registry.models import Models
from governance.registry.references import steady
from lineage.graph import keys
from lineage.model import Direction, Node, Subgraph
from lineage.ports import GraphStore, KeyStore
from lineage.rows import canonical_subject, subject_refs
from lineage.trace import Gaps, completeness_json, trace

__all__ = ["Subjects", "foreign_reach"]

_NOBODY = 32 * "0"
"""No HMAC of anybody, but by a chance of one in 2^128."""


def foreign_reach(
    graph: GraphStore, datasets: Datasets, models: Models, namespace: str, versions: Mapping[str, Sequence[str]]
) -> list[ForeignReach]:
    """What lies downstream of these versions of our datasets and cannot be opened here: foreign datasets, models trained elsewhere.

    The walk does not pass through a version of the same datasets that is not among ``versions``: the index says that it holds none of
    the rows, so what was made from it (after a purge, most of all) is no copy of them.
    """
    starts = [keys.version_key(namespace, name, version) for name, listed in versions.items() for version in listed]
    starts = [key for key in starts if graph.node(key) is not None]
    if not starts:
        return []
    registered = set(datasets.names())
    ours = {(body["model"], body["run_id"]) for body in models.all_versions()}
    found = []
    for node in _reached(graph.closure(starts, Direction.DOWN), starts, namespace, versions):
        owner, name, version = node.props.get("namespace"), node.props.get("name"), node.props.get("version")
        if node.label == "DatasetVersion" and not (owner == namespace and name in registered):
            found.append(
                ForeignReach(
                    id=f"dataset:{owner}/{name}@{version}",
                    kind="dataset-elsewhere",
                    reason="its store is not registered here; its owner must erase there",
                    namespace=str(owner),
                    owners=_owners(graph, node),
                )
            )
        if node.label == "ModelVersion" and (owner != namespace or (name, version) not in ours):
            found.append(
                ForeignReach(
                    id=f"model:{owner}/{name}@{version}",
                    kind="model-elsewhere",
                    reason="it was not trained here; its owner must retrain or withdraw it",
                    namespace=str(owner),
                    owners=_owners(graph, node),
                )
            )
    return sorted(found, key=lambda reach: reach.id)


def _owners(graph: GraphStore, node: Node) -> tuple[str, ...]:
    """Who owns a version as ownership facets say: of itself, of its dataset or model, else of the jobs whose runs made it."""
    whole = keys.dataset_key(str(node.props.get("namespace")), str(node.props.get("name")))
    stated = {name for key in (node.key, whole) for name in owner_names(graph.facets(key).get("ownership"))}
    if not stated:
        makers = [edge.source for edge in graph.neighbours([node.key], ["PRODUCED"]).edges if edge.target == node.key]
        made = graph.neighbours(makers, ["INSTANCE_OF"]) if makers else None
        for job in made.nodes if made is not None else ():
            if job.label == "JobVersion":
                of = keys.job_key(str(job.props.get("namespace")), str(job.props.get("name")))
                stated |= set(owner_names(graph.facets(of).get("ownership")))
    return tuple(sorted(stated))


def _reached(subgraph: Subgraph, starts: Sequence[str], namespace: str, versions: Mapping[str, Sequence[str]]) -> list[Node]:
    """The nodes of a closure that are reached without passing through one of our versions that holds none of the rows."""

    def clean(node: Node) -> bool:
        listed = versions.get(str(node.props.get("name"))) if node.props.get("namespace") == namespace else None
        return node.label == "DatasetVersion" and listed is not None and node.props.get("version") not in listed

    nodes = {node.key: node for node in subgraph.nodes if not clean(node)}
    following: dict[str, list[str]] = {}
    for edge in subgraph.edges:
        following.setdefault(edge.source, []).append(edge.target)
    seen, waiting = set(starts), list(starts)
    while waiting:
        for key in following.get(waiting.pop(), ()):
            if key in nodes and key not in seen:
                seen.add(key)
                waiting.append(key)
    return [nodes[key] for key in seen if key in nodes]


class Subjects:
    """Answers ``impact --subject``."""

    def __init__(
        self,
        *,
        keystore: KeyStore,
        graph: GraphStore,
        searcher: Searcher,
        datasets: Datasets,
        models: Models,
        deployments: Deployments,
        settle: Callable[[], int],
        installation: str,
    ) -> None:
        self._keys = keystore
        self._graph = graph
        self._searcher = searcher
        self._datasets = datasets
        self._models = models
        self._deployments = deployments
        self._settle = settle
        self._namespace = f"govern://{installation}"

    def look_ahead(self) -> None:
        """Search for nobody, so that libraries, records and catalogs are there when somebody is searched for; nothing without datasets."""
        if self._datasets.names():
            self._searcher.search([_NOBODY])

    def trace(self, kind: str, value: str, *, actor: str) -> dict[str, Any]:  # noqa: ARG002 - the door names who asks
        """Subject → rows → versions → runs → model versions → live deployments; the identifier is HMACed and dropped."""
        lag = self._settle()
        canonical_id = canonical_subject(kind, value)
        ref, (scope, searched, held) = steady(
            lambda: subject_refs(self._keys, canonical_id), lambda asked: (asked[0], self._searcher.look(asked))
        )
        datasets, starts = [], []
        for name, rows in scope.rows.items():
            if rows:
                versions = list(held[name].versions) if name in held else []
                datasets.append({"dataset": name, "rows": len(rows), "versions": versions})
                starts += [keys.version_key(self._namespace, name, version) for version in versions]
        there = {node.key for node in self._graph.nodes_of(starts)}
        known = [key for key in starts if key in there]
        impact = trace(self._graph, known, Direction.DOWN, lag=lag) if known else None
        nodes = impact.graph.nodes if impact else ()
        hit = {(facts.model, facts.version): (facts, count) for facts in scope.versions if (count := sum(facts.hits.values()))}
        live = [dict(body) for body in self._deployments.serving() if (body["model"], body["version"]) in hit]
        gaps = Gaps()
        if impact is not None:
            gaps.join(impact.completeness)
        elif lag:
            gaps.tell("lag", f"{lag} acknowledged ledger entries were not yet projected", lag)
        for reach in scope.foreign:
            gaps.tell("elsewhere", f"{reach.id}: {reach.reason}", id=reach.id)
        if len(known) < len(starts):
            missing = len(starts) - len(known)
            gaps.tell("not_in_any_event", f"{missing} dataset version(s) that hold the rows are in no event yet", missing)
        completeness = gaps.finish(impact.completeness.hops_by_basis if impact else {}, lag)
        return {
            "subject_ref": ref,
            "datasets": datasets,
            "runs": sorted({str(node.props.get("run_id")) for node in nodes if node.label == "Run"}),
            "models": [
                {
                    "model": model,
                    "version": version,
                    "live": list(facts.environments),
                    "destroyed": facts.destroyed,
                    "rows": count,
                }
                for (model, version), (facts, count) in sorted(hit.items(), key=itemgetter(0))
            ],
            "deployments": live,
            "predictions": scope.predictions,
            "elsewhere": [{"id": reach.id, "kind": reach.kind, "reason": reach.reason} for reach in scope.foreign],
            "searched": {name: value for name, value in searched.items() if name != "scope"},
            "completeness": completeness_json(completeness),
        }
