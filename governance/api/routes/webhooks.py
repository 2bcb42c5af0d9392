"""Webhooks: endpoints that hear of events, signed as Standard Webhooks says."""

from __future__ import annotations

from typing import Any, Final

from governance.api.call import ADMIN, Call, Reply, Route, json_reply

__all__ = ["ROUTES"]

ONE: Final = "/api/v1/webhooks/{id}"


def add(system: Any, call: Call) -> Reply:
    """A new endpoint; its secret is shown once."""
    answer = system.webhooks.add(call.value, actor=call.actor)
    return json_reply(answer, 201, Location=f"/api/v1/webhooks/{answer['id']}")


def listed(system: Any, _call: Call) -> Reply:
    """Every endpoint."""
    return json_reply(system.webhooks.list())


def one(system: Any, call: Call) -> Reply:
    """One endpoint with what waits and what was given up."""
    return json_reply(system.webhooks.get(call.path["id"]))


def remove(system: Any, call: Call) -> Reply:
    """Gone, with what waited."""
    return json_reply(system.webhooks.remove(call.path["id"], actor=call.actor))


def rotate(system: Any, call: Call) -> Reply:
    """A new secret."""
    return json_reply(system.webhooks.rotate(call.path["id"], actor=call.actor))


def resume(system: Any, call: Call) -> Reply:
    """Sent again after it was disabled."""
    return json_reply(system.webhooks.resume(call.path["id"], actor=call.actor))


def replay(system: Any, call: Call) -> Reply:
    """What was given up is sent again."""
    return json_reply(system.webhooks.replay(call.path["id"], actor=call.actor))


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/webhooks",
        summary="Add an endpoint that hears of events from now on",
        roles=ADMIN,
        handler=add,
        takes="json",
        body="NewWebhook",
        status=201,
        about="The secret (or public key) is in this answer and nowhere else. Messages follow Standard Webhooks 1.0.0.",
    ),
    Route(method="GET", path="/api/v1/webhooks", summary="List the endpoints", roles=ADMIN, handler=listed),
    Route(method="GET", path=ONE, summary="One endpoint, what waits for it and what was given up", roles=ADMIN, handler=one),
    Route(method="DELETE", path=ONE, summary="Remove an endpoint, its keys and what waits for it", roles=ADMIN, handler=remove),
    Route(method="POST", path=f"{ONE}/rotate", summary="A new secret; the old one signs beside it for a day", roles=ADMIN, handler=rotate),
    Route(method="POST", path=f"{ONE}/resume", summary="Send again to a disabled endpoint", roles=ADMIN, handler=resume),
    Route(method="POST", path=f"{ONE}/replay", summary="Send again what was given up", roles=ADMIN, handler=replay),
)
