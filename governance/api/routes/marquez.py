"""Marquez's reads over lineage: the graph, columns, runs, events, search and statistics.

The same path as an event's ``POST``, the same names, the same errors (``{code, message}``). What is meant to differ is listed in
``docs/reference/marquez.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from governance.api.call import READERS, Call, Param, Reply, Route
from lineage.errors import BadInput, NotFound
from lineage.model import Direction

__all__ = ["DEPTH", "PAGE", "READ", "ROUTES", "answer"]

MAX_LIMIT: Final = 1000
MAX_OFFSET: Final = 1_000_000
LATEST: Final = 2**63 - 2

PAGE: Final = (
    Param(name="limit", kind="int", default=100, minimum=0, maximum=MAX_LIMIT, about="most items in the answer"),
    Param(name="offset", kind="int", default=0, minimum=0, maximum=MAX_OFFSET, about="items to pass over"),
)
SOME: Final = {"minLength": 1}
DEPTH: Final = Param(
    name="depth", kind="int", default=20, minimum=-(2**31), maximum=2**31 - 1, about="hops from job to job; less than 0 is as 0"
)
NODES: Final = Param(
    name="max_nodes", kind="int", default=20_000, minimum=1, maximum=100_000, about="most nodes; `truncated` says that there are more"
)
READ: Final[Mapping[str, Any]] = {"method": "GET", "roles": READERS, "marquez": True}
ASSETS: Final = ("lineage-events", "jobs", "datasets", "sources")


def answer(system: Any, value: Any) -> Reply:
    """A view as JSON; ``X-Govern-Lag`` counts what was acknowledged and is not in it yet."""
    try:
        body = value if isinstance(value, bytes) else orjson.dumps(value)
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair, in a facet
        body = json.dumps(value, separators=(",", ":")).encode("ascii")
    lag = system.marquez.lag()
    return Reply(body=body, headers={"X-Govern-Lag": str(lag)} if lag else {})


def lineage(system: Any, call: Call) -> Reply:
    """The graph around a dataset or a job."""
    query = call.query
    views = system.marquez()
    found = views.lineage(
        _node_id(call),
        depth=query["depth"],
        direction=Direction(query["direction"]) if query["direction"] in ("up", "down") else None,
        max_nodes=query["max_nodes"],
    )
    return answer(system, found)


def column_lineage(system: Any, call: Call) -> Reply:
    """The graph around a column, or the columns of a dataset or job."""
    query = call.query
    found = system.marquez().column_lineage(
        _node_id(call), depth=query["depth"], downstream=query["withDownstream"], max_nodes=query["max_nodes"]
    )
    return answer(system, found)


def upstream(system: Any, call: Call) -> Reply:
    """The runs that a run's data came from."""
    return _runs(system, call, Direction.UP)


def downstream(system: Any, call: Call) -> Reply:
    """The runs that a run's data went to."""
    return _runs(system, call, Direction.DOWN)


def events(system: Any, call: Call) -> Reply:
    """The events as they were sent; ``Govern-Destroyed`` counts those of the page whose payload is gone."""
    query = call.query
    found = system.marquez().events(
        before=LATEST if query["before"] is None else query["before"],
        after=-LATEST if query["after"] is None else query["after"],
        limit=query["limit"],
        offset=query["offset"],
        newest=query["sortDirection"].lower() == "desc",
    )
    reply = answer(system, found.body)
    return replace(reply, headers={**reply.headers, "Govern-Destroyed": str(found.destroyed)}) if found.destroyed else reply


def all_events(system: Any, call: Call) -> Reply:
    """The events, at the path that marquez-python asks."""
    return events(system, call)


def search(system: Any, call: Call) -> Reply:
    """Jobs and datasets by a part of their name."""
    query = call.query
    text = query["q"]
    if not text or not text.strip():
        raise BadInput("query param q must not be blank", hint="q= a part of the name of a job or dataset")
    kind, sort = query["filter"], query["sort"]
    found = system.marquez().search(
        text,
        kind=kind.upper() if kind and kind.upper() in ("JOB", "DATASET") else None,
        newest=sort.upper() != "NAME",
        limit=query["limit"],
        namespace=query["namespace"],
        before=query["before"],
        after=query["after"],
    )
    return answer(system, found)


def stats(system: Any, call: Call) -> Reply:
    """How much there is, hour by hour or day by day."""
    asset, period = call.path["asset"], (call.query["period"] or "").upper()
    if asset not in ASSETS:
        raise NotFound("HTTP 404 Not Found", hint=f"there are statistics of {', '.join(ASSETS)}")
    if period not in ("DAY", "WEEK"):
        raise BadInput("Invalid period", hint="period=DAY, or period=WEEK with timezone=")
    zone = call.query["timezone"]
    if period == "WEEK" and asset == "lineage-events" and not zone:
        raise BadInput("Timezone must be specified for period 'WEEK'", hint="timezone=UTC")
    return answer(system, system.marquez().stats(asset, period, _zone(zone or "UTC")))


def _runs(system: Any, call: Call, direction: Direction) -> Reply:
    run = call.query["runId"]
    if not run:
        raise BadInput("query param runId must not be null", hint="runId= an OpenLineage run id")
    found = system.marquez().run_lineage(run, depth=call.query["depth"], direction=direction, max_nodes=call.query["max_nodes"])
    return answer(system, found)


def _node_id(call: Call) -> str:
    node_id: str | None = call.query["nodeId"]
    if not node_id:
        raise BadInput("query param nodeId must not be null", hint="nodeId=dataset:NAMESPACE:NAME or job:NAMESPACE:NAME")
    return node_id


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(f"{name[:80]!r} is not a timezone", hint="a name of the IANA database, for example Europe/Berlin") from None


_EVENTS = (
    Param(name="before", kind="time", about="events that took place before"),
    Param(name="after", kind="time", about="events that took place then or later"),
    Param(name="sortDirection", choices=("desc", "asc", "DESC", "ASC"), default="desc"),
    *PAGE,
)
_RUN = (Param(name="runId", about="OpenLineage run id", required=True, schema=SOME), DEPTH, NODES)

ROUTES = (
    Route(
        **READ,
        path="/api/v1/lineage",
        summary="The graph of jobs and datasets around a node",
        handler=lineage,
        query=(
            Param(name="nodeId", about="`dataset:NAMESPACE:NAME`, `job:NAMESPACE:NAME` or `run:ID`", required=True, schema=SOME),
            DEPTH,
            Param(name="direction", choices=("both", "up", "down"), default="both", about="`both` is Marquez's undirected walk"),
            NODES,
        ),
        about="From job to job over any dataset they share, as Marquez walks; with a direction only where its data came from or went.",
    ),
    Route(
        **READ,
        path="/api/v1/column-lineage",
        summary="From which columns a column is made",
        handler=column_lineage,
        query=(
            Param(
                name="nodeId",
                about="`datasetField:NAMESPACE:NAME:FIELD`, `dataset:…` or `job:…`, perhaps with `#VERSION`",
                required=True,
                schema=SOME,
            ),
            DEPTH,
            Param(name="withDownstream", kind="bool", default=False, about="also what is made from it"),
            NODES,
        ),
    ),
    Route(**READ, path="/api/v1/runlineage/upstream", summary="The runs that a run's data came from", handler=upstream, query=_RUN),
    Route(**READ, path="/api/v1/runlineage/downstream", summary="The runs that a run's data went to", handler=downstream, query=_RUN),
    Route(**READ, path="/api/v1/events/lineage", summary="The events as they were sent", handler=events, query=_EVENTS),
    Route(**READ, path="/api/v1/events", summary="The same, at the path that marquez-python asks", handler=all_events, query=_EVENTS),
    Route(
        **READ,
        path="/api/v1/search",
        summary="Jobs and datasets by a part of their name",
        handler=search,
        query=(
            Param(name="q", about="a part of the name; letters of either case are alike", required=True, schema={"pattern": r"\S"}),
            Param(name="filter", about="`JOB` or `DATASET`"),
            Param(name="sort", default="NAME", about="`NAME` or `UPDATE_AT`"),
            Param(name="limit", kind="int", default=10, minimum=0, maximum=MAX_LIMIT, about="most items in the answer"),
            Param(name="namespace", about="only in this namespace"),
            Param(name="before", kind="time", about="last spoken of before this day"),
            Param(name="after", kind="time", about="last spoken of after this day"),
        ),
    ),
    Route(
        **READ,
        path="/api/v1/stats/{asset}",
        summary="How much there is, by hour of the last day or by day of the last week",
        handler=stats,
        lists=True,
        query=(
            Param(name="period", about="`DAY` or `WEEK`"),
            Param(name="timezone", about="whose days a week has"),
        ),
        about=f"Statistics of {', '.join(ASSETS)}.",
    ),
)
