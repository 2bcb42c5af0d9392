"""Health, readiness, metrics and the API's own description."""

from __future__ import annotations

from typing import Any

from governance.api.call import ANY, OPEN, Call, Reply, Route, json_reply

__all__ = ["ROUTES"]


def healthz(_system: Any, _call: Call) -> Reply:
    """The process answers."""
    return json_reply({"status": "ok"})


def readyz(system: Any, _call: Call) -> Reply:
    """Every store can be used, or which cannot. While only the graph is away events are taken, so traffic may come."""
    state = system.ready()
    ready = state["status"] in {"ready", "degraded"}
    return json_reply(state) if ready else json_reply(state, 503, Retry_After="1")


def metrics(_system: Any, call: Call) -> Reply:
    """Prometheus text."""
    body, media = call.metrics().render()
    return Reply(body=body, media=media)


def openapi(_system: Any, call: Call) -> Reply:
    """OpenAPI 3.1 of the table."""
    return json_reply(call.description())


ROUTES = (
    Route(method="GET", path="/healthz", summary="Is the process alive?", roles=OPEN, handler=healthz, pool="inline"),
    Route(
        method="GET",
        path="/readyz",
        summary="Can every store be used?",
        roles=OPEN,
        handler=readyz,
        status_also=(503,),
        about="503 with the same body while one cannot; 200 and `degraded` while only the graph is away: events are taken, lag is shown.",
    ),
    Route(
        method="GET",
        path="/metrics",
        summary="Metrics for Prometheus",
        roles=ANY,
        handler=metrics,
        gives="text/plain",
        about="Requests, latency, lag, ledger entries, dead letters and predictions. Labels hold route templates, never names of persons.",
    ),
    Route(method="GET", path="/openapi.json", summary="This description", roles=OPEN, handler=openapi),
)
