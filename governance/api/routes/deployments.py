"""Release through the gate, roll back, and what serves where."""

from __future__ import annotations

from typing import Any

from governance.api.call import READERS, Call, Param, Reply, Route, json_reply, roles
from governance.api.paging import PAGING, page

__all__ = ["ROUTES"]


def release(system: Any, call: Call) -> Reply:
    """Release a version."""
    body = call.value
    answer = system.deployments.release(
        body["model"], str(body["version"]), body["environment"], actor=call.actor, idempotency=call.idempotency
    )
    return json_reply(answer, 201)


def rollback(system: Any, call: Call) -> Reply:
    """Back to the version before."""
    return json_reply(system.deployments.rollback(call.value["model"], call.value["environment"], actor=call.actor), 201)


def listed(system: Any, call: Call) -> Reply:
    """Deployments, past and present, ours and those that events tell of."""
    query = call.query
    asked = {name: query[name] for name in ("model", "environment", "active", "as_of", "known_at")}
    return json_reply(page(system.answers.deployed(**asked), "deployments", query))


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/deployments",
        summary="Release a model version to an environment, through its gate",
        roles=roles("engineer"),
        handler=release,
        takes="json",
        body="NewDeployment",
        status=201,
        idempotent=True,
        about="409 with a type ending `/gate-refused` when the policy says no; the detail lists its reasons.",
    ),
    Route(
        method="POST",
        path="/api/v1/deployments/rollback",
        summary="Go back to the version that served before",
        roles=roles("engineer"),
        handler=rollback,
        takes="json",
        body="Rollback",
        status=201,
        about="A version whose rows meet the suppression list is refused.",
    ),
    Route(
        method="GET",
        path="/api/v1/deployments",
        summary="List the deployments, or what served at a time as it was known at another",
        roles=READERS,
        handler=listed,
        query=(
            Param(name="model"),
            Param(name="environment"),
            Param(name="active", kind="bool", about="only those that serve (as far as was known)"),
            Param(name="as_of", kind="time", about="only those that served then (RFC 3339, a day, or UTC nanoseconds)"),
            Param(name="known_at", kind="time", about="as Govern knew it then"),
            *PAGING,
        ),
        about="What events of others tell of is listed too, with `own: false`.",
    ),
)
