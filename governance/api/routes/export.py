"""OpenLineage out: the events as they came in, a page of lines at a time."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from governance.api.call import READERS, Call, Param, Reply, Route
from governance.api.paging import PAGING

__all__ = ["ROUTES"]


def openlineage(system: Any, call: Call) -> Reply:
    """One event a line."""
    query = call.query
    page = system.answers.events(**query)
    headers = {"Govern-Destroyed": str(page.destroyed)}
    if page.next is not None:
        more = {name: query[name] for name in ("since", "until", "limit") if query[name] is not None} | {"cursor": page.next}
        headers |= {"Govern-Next": page.next, "Link": f'<?{urlencode(more)}>; rel="next"'}
    return Reply(body=b"".join(line + b"\n" for line in page.lines), media="application/x-ndjson", headers=headers)


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/export/openlineage",
        summary="The OpenLineage events of the ledger, or of a time window, as NDJSON",
        roles=READERS,
        handler=openlineage,
        gives="application/x-ndjson",
        query=(
            Param(name="since", kind="time", about="only events whose time is this or later"),
            Param(name="until", kind="time", about="only events whose time is earlier"),
            *PAGING,
        ),
        about=(
            "Events in ledger order, or of a window in the order of their times. `Govern-Next` is the cursor of the next page (also in "
            "`Link`), `Govern-Destroyed` counts events whose payload was destroyed. Sent to an empty home they give the same graph."
        ),
    ),
)
