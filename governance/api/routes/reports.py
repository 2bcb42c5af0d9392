"""Papers: made on request, signed, entered in the ledger."""

from __future__ import annotations

from typing import Any

from governance.api.call import READERS, Call, Reply, Route, json_reply
from governance.api.paging import PAGING, page
from governance.api.times import nanoseconds

__all__ = ["ROUTES"]


def create(system: Any, call: Call) -> Reply:
    """Make a paper."""
    times = {name: nanoseconds(str(call.value[name]), name) for name in ("as_of", "known_at") if call.value.get(name) is not None}
    answer = system.reports.create({**call.value, **times}, actor=call.actor, idempotency=call.idempotency)
    return json_reply(answer, 201, Location=f"/api/v1/reports/{answer['id']}")


def listed(system: Any, call: Call) -> Reply:
    """Every paper."""
    return json_reply(page(system.reports.list(), "reports", call.query))


def pdf(system: Any, call: Call) -> Reply:
    """The paper itself."""
    name = f'inline; filename="{call.path["id"][:64]}.pdf"'
    return Reply(body=system.reports.pdf(call.path["id"]), media="application/pdf", headers={"Content-Disposition": name})


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/reports",
        summary="Make a signed report",
        roles=READERS,
        handler=create,
        takes="json",
        body="NewReport",
        status=201,
        idempotent=True,
    ),
    Route(method="GET", path="/api/v1/reports", summary="List the reports", roles=READERS, handler=listed, query=PAGING),
    Route(method="GET", path="/api/v1/reports/{id}", summary="A report as PDF", roles=READERS, handler=pdf, gives="application/pdf"),
)
