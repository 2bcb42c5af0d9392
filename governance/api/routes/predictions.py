"""Receipts of predictions."""

from __future__ import annotations

from typing import Any

from governance.api.call import READERS, Call, Reply, Route, json_reply

__all__ = ["ROUTES"]


def prediction(system: Any, call: Call) -> Reply:
    """What was asked and answered."""
    return json_reply(system.predictions.get(call.path["id"]))


def trace(system: Any, call: Call) -> Reply:
    """From the prediction to rows and code."""
    return json_reply(system.predictions.trace(call.path["id"]))


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/predictions/{id}",
        summary="One prediction: version, deployment, input and output",
        roles=READERS,
        handler=prediction,
        about="410 when its input was erased.",
    ),
    Route(method="GET", path="/api/v1/predictions/{id}/trace", summary="Trace a prediction to its sources", roles=READERS, handler=trace),
)
