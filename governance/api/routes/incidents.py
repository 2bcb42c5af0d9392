"""Incidents and the holds they set."""

from __future__ import annotations

from typing import Any

from governance.api.call import READERS, Call, Reply, Route, json_reply, roles
from governance.api.paging import PAGING, page

__all__ = ["ROUTES"]


def opened(system: Any, call: Call) -> Reply:
    """Open an incident."""
    answer = system.incidents.open(call.value, actor=call.actor, idempotency=call.idempotency)
    return json_reply(answer, 201, Location=f"/api/v1/incidents/{answer['id']}")


def listed(system: Any, call: Call) -> Reply:
    """Every incident."""
    return json_reply(page(system.incidents.list(), "incidents", call.query))


def one(system: Any, call: Call) -> Reply:
    """One incident."""
    return json_reply(system.incidents.get(call.path["id"]))


def close(system: Any, call: Call) -> Reply:
    """Close it and lift its hold."""
    body = {"reason": call.value["resolution"]} if call.value.get("resolution") else {}
    return json_reply(system.incidents.close(call.path["id"], body, actor=call.actor))


def holds(system: Any, _call: Call) -> Reply:
    """What is protected, until when."""
    return json_reply(system.incidents.holds())


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/incidents",
        summary="Open an incident from a prediction",
        roles=roles("engineer", "privacy"),
        handler=opened,
        takes="json",
        body="NewIncident",
        status=201,
        idempotent=True,
        about="Traces the prediction, holds what made it, and keeps a regression case that every later gate of the model runs.",
    ),
    Route(method="GET", path="/api/v1/incidents", summary="List the incidents", roles=READERS, handler=listed, query=PAGING),
    Route(method="GET", path="/api/v1/incidents/{id}", summary="One incident with its trace", roles=READERS, handler=one),
    Route(
        method="POST",
        path="/api/v1/incidents/{id}/close",
        summary="Close an incident and lift its hold",
        roles=roles("engineer", "privacy"),
        handler=close,
        takes="json",
        body="CloseIncident",
        works=True,
    ),
    Route(method="GET", path="/api/v1/holds", summary="What is held, until when, on which ground", roles=READERS, handler=holds),
)
