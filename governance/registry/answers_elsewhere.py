"""A model that was trained elsewhere, as the graph tells it: its run and recipe, what was measured of it, where it serves.

Of a model that was trained here the registry and the findings speak; of another one only events do. The answer has the same fields, so
that the terminal and the papers show both alike. What nobody said is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.registry.answers_body import code_text
from governance.registry.answers_deployed import environment_of
from lineage.model import Impact, Node
from lineage.ports import GraphStore
from lineage.trace import deployed

__all__ = ["model_elsewhere"]

_RECIPE = ("AT_REVISION", "WITH_PARAMS", "IN_ENV")
_VERDICTS = {"pass": "PASS", "fail": "FAIL"}
"""Status of a result in the ``test`` facet → verdict; anything else was not decided."""


def model_elsewhere(graph: GraphStore, impact: Impact, version: Node) -> dict[str, Any]:
    """The fields of a TraceAnswer that the registry fills for a model of our own, for the ModelVersion ``version``."""
    about, run = graph.facets(version.key), _run_of(impact, version)
    kept = _object(about.get("govern_model"))
    metrics = _object(kept.get("metrics"))
    answer: dict[str, Any] = {
        "model": {
            "name": version.props["name"],
            "namespace": version.props["namespace"],
            "version": version.props.get("version"),
            "run_id": run.props["run_id"] if run else None,
            "status": None,
            "artifact_digest": kept.get("digest") if isinstance(kept.get("digest"), str) else None,
        },
        "audits": _tests(graph, impact, version),
        "deployments": _deployments(graph, impact, version),
    }
    if run is None:
        return answer
    times = {"started_at": run.props.get("start"), "ended_at": run.props.get("end"), "state": run.props.get("state")}
    answer["run"] = {"run_id": run.props["run_id"], **times, "metrics": metrics}
    training = _object(graph.facets(run.key).get("govern_training"))
    answer["seed"] = training.get("seed")
    beside = graph.neighbours([run.key], _RECIPE, as_of=impact.as_of, known_at=impact.known_at)
    found = {node.label: node.props for node in beside.nodes if node.key != run.key}
    answer["code"] = code_text(found["CodeRevision"].get("location")) if "CodeRevision" in found else None
    answer["params"] = found["ParamSet"].get("params") if "ParamSet" in found else None
    answer["environment"] = found["Environment"].get("details") if "Environment" in found else None
    answer["threads"] = _object(answer["environment"]).get("threads")
    return answer


def _run_of(impact: Impact, version: Node) -> Node | None:
    """The run that made the version, among what the trace walked."""
    nodes = {node.key: node for node in impact.graph.nodes}
    return next((nodes[edge.source] for edge in impact.graph.edges if edge.type == "PRODUCED" and edge.target == version.key), None)


def _tests(graph: GraphStore, impact: Impact, version: Node) -> list[dict[str, Any]]:
    """What ``test`` facets said of the version, in the shape of a finding; by name, the latest last."""
    beside = graph.neighbours([version.key], ["AUDITED_BY"], as_of=impact.as_of, known_at=impact.known_at)
    times = {edge.target: edge.valid_from for edge in beside.edges}
    tests = sorted(
        (node for node in beside.nodes if node.key in times), key=lambda node: (str(node.props["name"]), times[node.key], node.key)
    )
    return [
        {
            "audit": node.props["name"],
            "verdict": _VERDICTS.get(str(node.props.get("status")), "INCONCLUSIVE"),
            "severity": node.props.get("severity"),
            "run_id": node.props["run"],
        }
        for node in tests
    ]


def _deployments(graph: GraphStore, impact: Impact, version: Node) -> list[dict[str, Any]]:
    name = str(version.props["name"])
    return [
        {
            "id": one.deployment.props["run_id"],
            "name": one.deployment.props.get("name"),
            "environment": environment_of(name, one.deployment) or one.deployment.props.get("name"),
            "active_from": one.active_from,
            "active_to": one.active_to,
        }
        for one in deployed(graph, versions=[version.key], as_of=impact.as_of, known_at=impact.known_at)
    ]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
