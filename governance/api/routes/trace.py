"""Where something came from and where it went."""

from __future__ import annotations

from typing import Any

from governance.api.call import READERS, Call, Param, Reply, Route, json_reply, roles
from lineage.errors import BadInput

__all__ = ["ROUTES"]


def trace(system: Any, call: Call) -> Reply:
    """Up or down from one thing."""
    query = call.query
    named = [kind for kind in ("model", "run", "prediction") if query[kind]]
    if query["name"] or query["namespace"]:
        if not (query["name"] and query["namespace"]):
            raise BadInput("a dataset has a namespace and a name", hint="give both namespace= and name=")
        named.append("dataset")
    if len(named) != 1:
        raise BadInput("name one thing to trace", hint="give one of model=, run=, prediction=, or namespace= with name=")
    return json_reply(system.trace(**query))


def subject(system: Any, call: Call) -> Reply:
    """A person's rows, runs, models and predictions."""
    return json_reply(system.subjects.trace(call.value["type"], str(call.value["value"]), actor=call.actor))


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/trace",
        summary="Trace a model, run, prediction or dataset up to its sources or down to its uses",
        roles=READERS,
        handler=trace,
        query=(
            Param(name="model", about="`NAME`, `NAME@VERSION` or `NAME@ALIAS`"),
            Param(name="run", about="OpenLineage run id"),
            Param(name="prediction", about="prediction id"),
            Param(name="namespace", about="OpenLineage namespace of a dataset"),
            Param(name="name", about="OpenLineage name of a dataset"),
            Param(name="direction", choices=("up", "down"), default="up"),
            Param(name="as_of", kind="time", about="the graph as it was valid then (RFC 3339, a day, or UTC nanoseconds)"),
            Param(name="known_at", kind="time", about="the graph as it was known then"),
            Param(name="depth", kind="int", maximum=10_000, about="most steps to walk"),
        ),
        about="The answer says in `completeness` whether it rests on everything and, if not, why.",
    ),
    Route(
        method="POST",
        path="/api/v1/subjects:trace",
        summary="What holds a person: rows, runs, models, deployments, predictions",
        roles=roles("privacy"),
        handler=subject,
        takes="json",
        body="DataSubject",
        about="A POST, so that no identifier stands in a URL or a log; it is turned into a keyed reference and dropped.",
    ),
)
