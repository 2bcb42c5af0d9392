"""Trainings, operations, the registry, audits, gates and reproduction."""

from __future__ import annotations

import hashlib
from typing import Any

from governance.api.call import MIB, READERS, Call, Reply, Route, json_reply, roles

__all__ = ["ROUTES"]

ENGINEER = roles("engineer")
VERSION = "/api/v1/models/{name}/versions/{version}"


def train(system: Any, call: Call) -> Reply:
    """Queue a training."""
    answer = system.trainings.start(call.path["name"], call.value, actor=call.actor, idempotency=call.idempotency)
    return json_reply(answer, 202, Location=f"/api/v1/operations/{answer['operation']}")


def operation(system: Any, call: Call) -> Reply:
    """How far a long work is."""
    return json_reply(system.operations.get(call.path["id"]))


def listed(system: Any, _call: Call) -> Reply:
    """Every model."""
    return json_reply(system.models.list())


def model(system: Any, call: Call) -> Reply:
    """One model."""
    return json_reply(system.models.get(call.path["name"]))


def version(system: Any, call: Call) -> Reply:
    """One version, with an entity tag over the whole answer (aliases and deployments change it)."""
    answer = json_reply(system.models.version(call.path["name"], call.path["version"]))
    tag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    wanted = {part.strip().removeprefix("W/") for part in call.headers.get("if-none-match", "").split(",")}
    if tag in wanted or "*" in wanted:
        return Reply(status=304, media="", headers=headers)
    return Reply(body=answer.body, headers=headers)


def lineage(system: Any, call: Call) -> Reply:
    """The trace of a version."""
    return json_reply(system.models.lineage(call.path["name"], call.path["version"]))


def audits(system: Any, call: Call) -> Reply:
    """The findings on a version."""
    return json_reply(system.models.audits(call.path["name"], call.path["version"]))


def rows(system: Any, call: Call) -> Reply:
    """The row sets a version was trained and tested on."""
    return json_reply(system.models.rows(call.path["name"], call.path["version"]))


def audit(system: Any, call: Call) -> Reply:
    """Queue the audits."""
    answer = system.audits.start(call.path["name"], call.path["version"], actor=call.actor)
    return json_reply(answer, 202, Location=f"/api/v1/operations/{answer['operation']}")


def gate(system: Any, call: Call) -> Reply:
    """What the policy says; a refusal is an answer here, not an error."""
    return json_reply(system.audits.gate(call.path["name"], call.path["version"], actor=call.actor))


def reproduction(system: Any, call: Call) -> Reply:
    """What another machine needs to train the same weights."""
    return json_reply(system.reproduction(call.value["model"], str(call.value["version"])))


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/models/{name}/trainings",
        summary="Queue a training",
        roles=ENGINEER,
        handler=train,
        takes="json",
        body="NewTraining",
        limit=4 * MIB,
        status=202,
        idempotent=True,
        works=True,
    ),
    Route(
        method="GET",
        path="/api/v1/operations/{id}",
        summary="How far a training, an audit or a re-keying is",
        roles=READERS,
        handler=operation,
        about="`state` is queued, running, done or failed; `progress` says how much of what.",
    ),
    Route(method="GET", path="/api/v1/models", summary="List the models", roles=READERS, handler=listed),
    Route(method="GET", path="/api/v1/models/{name}", summary="One model with its versions and aliases", roles=READERS, handler=model),
    Route(
        method="GET",
        path=VERSION,
        summary="One version",
        roles=READERS,
        handler=version,
        about="`version` is a number, an alias or `latest`. Has an ETag; If-None-Match gives 304.",
    ),
    Route(method="GET", path=f"{VERSION}/lineage", summary="What made a version", roles=READERS, handler=lineage),
    Route(method="GET", path=f"{VERSION}/audits", summary="What was measured on a version", roles=READERS, handler=audits),
    Route(method="GET", path=f"{VERSION}/rows", summary="The row sets of a version: counts and digests", roles=READERS, handler=rows),
    Route(
        method="POST",
        path=f"{VERSION}/audits",
        summary="Queue the audits of a version",
        roles=ENGINEER,
        handler=audit,
        status=202,
        works=True,
    ),
    Route(
        method="POST",
        path=f"{VERSION}/gate",
        summary="Let the policy decide on a version",
        roles=ENGINEER,
        handler=gate,
        about="200 with the decision, whatever it is; only a release is refused by 409.",
    ),
    Route(
        method="POST",
        path="/api/v1/reproductions",
        summary="What is needed to reproduce a version elsewhere",
        roles=roles("engineer", "auditor"),
        handler=reproduction,
        takes="json",
        body="NewReproduction",
        about="The specification, code and inputs; the rows come by the datasets' own route.",
    ),
)
