"""What served where and when: our own releases from the registry, everyone's from the graph, as of a day, as known on a day."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from governance.registry.answers_start import served
from governance.registry.deployments import Deployments
from governance.registry.find import nearest
from lineage.errors import NotFound
from lineage.model import Node
from lineage.ports import GraphStore
from lineage.trace import Deployed, deployed

__all__ = ["deployments_answer", "environment_of"]


def environment_of(model: str, deployment: Node) -> str | None:
    """The environment a foreign service job names: what stands in its name after the model's, as in ``fraud.production``.

    >>> environment_of("fraud", Node(key="d", label="Deployment", props={"name": "fraud.production"}))
    'production'
    """
    name = str(deployment.props.get("name") or "")
    head, tail = name[: len(model)], name[len(model) :]
    return tail[1:] if model and head == model and len(tail) > 1 and tail[0] in "./-_:@" else None


def deployments_answer(
    graph: GraphStore,
    own: Deployments,
    *,
    model: str | None = None,
    environment: str | None = None,
    active: bool | None = None,
    as_of: int | None = None,
    known_at: int | None = None,
) -> dict[str, Any]:
    """``{as_of, known_at, deployments}``, oldest first; with a time, those that served then as known then.

    Deployments that only events told of have ``own: false``; their environment is the one their job's name tells, or ``null``, and a
    question for one environment also finds those whose job lives in a namespace of that name.
    """
    timed = as_of is not None or known_at is not None
    ours = own.list(model)["deployments"]
    runs = {body["run_id"] for body in ours}
    found = [dict(body) | {"own": True} for body in ours if not timed or served(body, as_of, known_at)]
    found += [body for body in _foreign(graph, model, as_of, known_at) if body["run_id"] not in runs]
    if environment is not None:
        known = sorted({str(body["environment"]) for body in found if body["environment"]})
        places = {str((body.get("job") or {}).get("namespace")) for body in found}
        if not timed and found and environment not in known and environment not in places:
            raise NotFound(f"nothing is or was in {environment!r}", hint=nearest(environment, known, listing="govern deployments"))
        found = [
            body
            for body in found
            if body["environment"] == environment
            or (body["environment"] is None and (body.get("job") or {}).get("namespace") == environment)
        ]
    if active is not None:
        found = [body for body in found if (body["active_to"] is None) == active]
    found.sort(key=lambda body: (body["active_from"], str(body["id"])))
    return {"as_of": as_of, "known_at": known_at, "deployments": found}


def _foreign(graph: GraphStore, model: str | None, as_of: int | None, known_at: int | None) -> Iterator[dict[str, Any]]:
    versions = None
    if model is not None:
        wholes = [node.key for node in graph.find("Model", {"name": model})]
        if not wholes:
            return
        beside = graph.neighbours(wholes, ["HAS_VERSION"], known_at=known_at)
        versions = [node.key for node in beside.nodes if node.label == "ModelVersion"]
    at = math.inf if as_of is None else as_of
    for one in deployed(graph, versions=versions, as_of=as_of, known_at=known_at):
        if as_of is None and known_at is not None and not (one.active_from <= at and (one.active_to is None or at < one.active_to)):
            continue  # known then, and over by then
        yield _body(one)


def _body(one: Deployed) -> dict[str, Any]:
    props: Mapping[str, Any] = one.deployment.props
    model = str(one.version.props.get("name"))
    return {
        "id": one.edge.key,
        "deployment": one.deployment.key,
        "model": model,
        "version": one.version.props.get("version"),
        "namespace": one.version.props.get("namespace"),
        "environment": environment_of(model, one.deployment),
        "active_from": one.active_from,
        "active_to": one.active_to,
        "known_from": one.edge.recorded_at,
        "version_basis": one.edge.props.get("version_basis"),
        "run_id": props.get("run_id"),
        "job": {"namespace": props.get("namespace"), "name": props.get("name")},
        "reason": None,
        "own": False,
    }
