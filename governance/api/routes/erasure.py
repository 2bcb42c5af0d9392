"""Erasure requests: received, verified, approved by a second key, executed, certified."""

from __future__ import annotations

from typing import Any, Final

from governance.api.call import Call, Param, Reply, Route, json_reply, roles
from governance.api.paging import PAGING, page
from governance.api.times import nanoseconds

__all__ = ["ROUTES"]

PRIVACY: Final = roles("privacy")
SEE: Final = roles("privacy", "auditor")
ONE: Final = "/api/v1/erasure-requests/{id}"


def request(system: Any, call: Call) -> Reply:
    """A new request; it triggers nothing before it is verified and approved."""
    answer = system.erasures.request(call.value, actor=call.actor, idempotency=call.idempotency)
    return json_reply(answer, 201, Location=f"/api/v1/erasure-requests/{answer['id']}")


def listed(system: Any, call: Call) -> Reply:
    """Every request."""
    return json_reply(page(system.erasures.list(state=call.query["state"]), "requests", call.query))


def one(system: Any, call: Call) -> Reply:
    """State, history, plan and assets of a request."""
    return json_reply(system.erasures.get(call.path["id"]))


def verify(system: Any, call: Call) -> Reply:
    """The identity was checked."""
    return json_reply(system.erasures.verify(call.path["id"], call.value, actor=call.actor))


def approve(system: Any, call: Call) -> Reply:
    """Approved, by another key than the requester's."""
    return json_reply(system.erasures.approve(call.path["id"], call.value, actor=call.actor))


def refuse(system: Any, call: Call) -> Reply:
    """Refused with a ground."""
    return json_reply(system.erasures.refuse(call.path["id"], call.value, actor=call.actor))


def hold(system: Any, call: Call) -> Reply:
    """Some assets are kept for now."""
    ident, body = call.path["id"], call.value
    review = body.get("review")
    given = {"ground": body["ground"], "review_at": None if review is None else nanoseconds(str(review), "review")}
    answer = system.erasures.get(ident)
    known = {asset["id"] for asset in answer.get("assets", ())}
    # What the request does not have comes first: it is refused before any other is held.
    for asset in sorted(dict.fromkeys(body["assets"]), key=lambda asset: asset in known):
        answer = system.erasures.hold(ident, {"asset": asset, **given}, actor=call.actor)
    return json_reply(answer)


def extend(system: Any, call: Call) -> Reply:
    """More time, with a reason."""
    return json_reply(system.erasures.extend(call.path["id"], call.value, actor=call.actor))


def withdraw(system: Any, call: Call) -> Reply:
    """Taken back by the person."""
    return json_reply(system.erasures.withdraw(call.path["id"], call.value, actor=call.actor))


def decide(system: Any, call: Call) -> Reply:
    """What becomes of a model whose successor failed its gate, or of a request that failed."""
    return json_reply(system.erasures.decide(call.path["id"], call.value, actor=call.actor))


def certificate(system: Any, call: Call) -> Reply:
    """The signed paper, or the facts it shows."""
    if call.query["format"] == "json":
        return json_reply(system.erasures.dossier(call.path["id"]))
    name = f'inline; filename="erasure-{call.path["id"][:64]}.pdf"'
    return Reply(body=system.erasures.certificate(call.path["id"]), media="application/pdf", headers={"Content-Disposition": name})


def _step(name: str, summary: str, handler: Any, body: str, *, works: bool = False, about: str = "") -> Route:
    return Route(
        method="POST",
        path=f"{ONE}/{name}",
        summary=summary,
        roles=PRIVACY,
        handler=handler,
        takes="json",
        body=body,
        works=works,
        about=about,
    )


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/erasure-requests",
        summary="Receive a request for erasure",
        roles=PRIVACY,
        handler=request,
        takes="json",
        body="NewErasure",
        status=201,
        idempotent=True,
        about="The person is turned into a keyed reference at the door; nothing is erased before verification and approval.",
    ),
    Route(
        method="GET",
        path="/api/v1/erasure-requests",
        summary="List the requests",
        roles=SEE,
        handler=listed,
        query=(Param(name="state", about="only those in this state"), *PAGING),
    ),
    Route(method="GET", path=ONE, summary="One request with its plan, assets and history", roles=SEE, handler=one),
    _step("verify", "Record that the person's identity was checked", verify, "Verify", works=True),
    _step("approve", "Approve, by another key than the requester's", approve, "Approve", works=True),
    _step("refuse", "Refuse, with a ground and a notice", refuse, "Refuse"),
    _step("hold", "Keep some assets for now", hold, "HoldAssets", about="Per asset, never per person; with a ground and a day of review."),
    _step("extend", "Extend the deadline, with a reason", extend, "Extend"),
    _step("withdraw", "Take the request back", withdraw, "Withdraw"),
    _step("decide", "Decide on a model whose successor failed its gate, or try again", decide, "Decide", works=True),
    Route(
        method="GET",
        path=f"{ONE}/certificate",
        summary="The signed certificate",
        roles=SEE,
        handler=certificate,
        query=(Param(name="format", choices=("pdf", "json"), default="pdf"),),
        gives="application/pdf",
        gives_also=("application/json",),
    ),
)
