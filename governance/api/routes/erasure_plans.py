"""What an erasure request would do, before it is approved, and how far it is."""

from __future__ import annotations

from typing import Any, Final

from governance.api.call import Call, Reply, Route, json_reply, roles

__all__ = ["ROUTES"]

SEE: Final = roles("privacy", "auditor")


def plan(system: Any, call: Call) -> Reply:
    """What would be purged, retrained, destroyed and told; when, how long, with how many others."""
    return json_reply(system.erasure_plans.plan(call.path["id"]))


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/erasure-requests/{id}/plan",
        summary="What a request would do, when it would end and what it would cost",
        roles=SEE,
        handler=plan,
        about="Before the approval: as if it were approved now. Later: as it stands. Times are UTC nanoseconds, costs seconds of work.",
    ),
)
