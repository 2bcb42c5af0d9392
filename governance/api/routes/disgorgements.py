"""Disgorgement: an order to erase a dataset and all that descends from it; from its scope on it goes the way of any request."""

from __future__ import annotations

from typing import Any, Final

from governance.api.call import Call, Reply, Route, json_reply, roles
from governance.api.times import nanoseconds

__all__ = ["ROUTES"]

PRIVACY: Final = roles("privacy")


def disgorge(system: Any, call: Call) -> Reply:
    """An order, or what it would do."""
    body = dict(call.value)
    body["due_at"] = nanoseconds(str(body.pop("due")), "due")
    answer = system.erasures.disgorge(body, actor=call.actor, idempotency=call.idempotency)
    if body.get("dry_run"):
        return json_reply(answer)
    return json_reply(answer, 201, Location=f"/api/v1/erasure-requests/{answer['id']}")


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/disgorgements",
        summary="Enter an order to erase a dataset and all that descends from it, or see what it would do",
        roles=PRIVACY,
        handler=disgorge,
        takes="json",
        body="NewOrder",
        status=201,
        status_also=(200,),
        idempotent=True,
        works=True,
        about="The scope is searched and frozen; another key approves it under `/api/v1/erasure-requests/{id}/approve`, where it is also "
        "shown, held, decided and certified. A dry run is answered 200 and enters nothing.",
    ),
)
