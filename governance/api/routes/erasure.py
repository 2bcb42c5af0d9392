"""Erasure requests: received, verified, approved by a second key, executed, certified; and the law packs they rest on."""

from __future__ import annotations

from collections.abc import Sequence
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
    body = dict(call.value)
    received = body.pop("received", None)
    if received is not None:
        body["received_at"] = nanoseconds(str(received), "received")
    answer = system.erasures.request(body, actor=call.actor, idempotency=call.idempotency)
    return json_reply(answer, 201, Location=f"/api/v1/erasure-requests/{answer['id']}")


def listed(system: Any, call: Call) -> Reply:
    """Every request."""
    return json_reply(page(system.erasures.list(state=call.query["state"]), "requests", call.query))


def one(system: Any, call: Call) -> Reply:
    """State, history, plan and assets of a request."""
    return json_reply(system.erasures.get(call.path["id"]))


def packs(system: Any, _call: Call) -> Reply:
    """The law packs: rules with their sources, grounds."""
    return json_reply(system.erasures.packs())


def challenge(system: Any, call: Call) -> Reply:
    """The person is asked to show who they are."""
    return json_reply(system.erasures.challenge(call.path["id"], call.value, actor=call.actor))


def acknowledge(system: Any, call: Call) -> Reply:
    """The receipt was confirmed."""
    return json_reply(system.erasures.acknowledge(call.path["id"], call.value, actor=call.actor))


def verify(system: Any, call: Call) -> Reply:
    """The identity is shown, or was checked."""
    return json_reply(system.erasures.verify(call.path["id"], call.value, actor=call.actor))


def approve(system: Any, call: Call) -> Reply:
    """Approved, whole or in part, by another key than those that requested and verified."""
    return json_reply(system.erasures.approve(call.path["id"], call.value, actor=call.actor))


def refuse(system: Any, call: Call) -> Reply:
    """Refused with a ground."""
    return json_reply(system.erasures.refuse(call.path["id"], call.value, actor=call.actor))


def hold(system: Any, call: Call) -> Reply:
    """Some assets are kept for now."""
    ident, body = call.path["id"], call.value
    review, until = body.get("review"), body.get("until")
    given: dict[str, Any] = {"ground": body["ground"], "review_at": None if review is None else nanoseconds(str(review), "review")}
    if until is not None:
        given["until"] = nanoseconds(str(until), "until")
    answer = None
    for asset in _unknown_first(system, ident, body["assets"]):
        answer = system.erasures.hold(ident, {"asset": asset, **given}, actor=call.actor)
    return json_reply(answer)


def release(system: Any, call: Call) -> Reply:
    """Holds end; what waited goes on."""
    ident, body = call.path["id"], call.value
    answer = None
    for asset in _unknown_first(system, ident, body["assets"]):
        answer = system.erasures.release(ident, {"asset": asset, "reason": body.get("reason")}, actor=call.actor)
    return json_reply(answer)


def _unknown_first(system: Any, ident: str, assets: Sequence[str]) -> list[str]:
    """Each asset once; what the request does not have comes first: it is refused before any other is changed."""
    known = {asset["id"] for asset in system.erasures.get(ident).get("assets", ())}
    return sorted(dict.fromkeys(assets), key=lambda asset: asset in known)


def extend(system: Any, call: Call) -> Reply:
    """More time, with a reason."""
    return json_reply(system.erasures.extend(call.path["id"], call.value, actor=call.actor))


def withdraw(system: Any, call: Call) -> Reply:
    """Taken back by the person."""
    return json_reply(system.erasures.withdraw(call.path["id"], call.value, actor=call.actor))


def decide(system: Any, call: Call) -> Reply:
    """What becomes of a model whose successor failed its gate, or of a request that failed."""
    return json_reply(system.erasures.decide(call.path["id"], call.value, actor=call.actor))


def lift(system: Any, call: Call) -> Reply:
    """Somebody asks that a person who was erased may come back."""
    return json_reply(system.erasures.lift(call.path["id"], call.value, actor=call.actor))


def lift_approve(system: Any, call: Call) -> Reply:
    """Another key agrees, and the person is suppressed no more."""
    return json_reply(system.erasures.lift_approve(call.path["id"], call.value, actor=call.actor))


def certificate(system: Any, call: Call) -> Reply:
    """The signed paper, or the facts it shows."""
    if call.query["format"] == "json":
        return json_reply(system.erasures.dossier(call.path["id"]))
    name = f'inline; filename="erasure-{call.path["id"][:64]}.pdf"'
    return Reply(body=system.erasures.certificate(call.path["id"]), media="application/pdf", headers={"Content-Disposition": name})


def proofs(system: Any, call: Call) -> Reply:
    """A file of proofs that the certificate names."""
    file = system.erasures.proofs(call.path["id"], f"sha256:{call.path['sha256']}")
    name = f'attachment; filename="{call.path["sha256"][:16]}.proofs"'
    return Reply(body=file, media="application/octet-stream", headers={"Content-Disposition": name})


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
        pool="intake",
        about="The person is turned into a keyed reference at the door; nothing is erased before verification and approval. Beyond a rate "
        "of the key or of the server it is 429 with `Retry-After`, and nothing of it was kept.",
    ),
    Route(
        method="GET",
        path="/api/v1/erasure-requests",
        summary="List the requests",
        roles=SEE,
        handler=listed,
        query=(Param(name="state", about="only those in this state"), *PAGING),
    ),
    Route(method="GET", path=ONE, summary="One request with its clocks, plan, assets and history", roles=SEE, handler=one),
    _step("acknowledge", "Record that the receipt was confirmed", acknowledge, "Acknowledge"),
    _step(
        "challenge",
        "Ask the person to show who they are",
        challenge,
        "Challenge",
        about="A one-time code to the contact, the nonce of a login, or another proof. Where the law says so, the clock stands still from "
        "the question to its answer.",
    ),
    _step("verify", "Verify the identity: a code, an ID token, or somebody's word", verify, "Verify", works=True),
    _step(
        "approve",
        "Approve, whole or in part, by another key than those that requested and verified",
        approve,
        "Approve",
        works=True,
        about="Assets under `refuse` are retained, each on a ground of the law pack; the others are erased.",
    ),
    _step("refuse", "Refuse, with a ground and a notice", refuse, "Refuse"),
    _step("release", "End the hold of some assets", release, "ReleaseAssets", works=True, about="What waited for them is queued again."),
    _step("hold", "Keep some assets for now", hold, "HoldAssets", about="Per asset, never per person; with a ground and a day of review."),
    _step("extend", "Extend the deadline, with a reason", extend, "Extend"),
    _step("withdraw", "Take the request back", withdraw, "Withdraw"),
    _step("decide", "Decide on a model whose successor failed its gate, or try again", decide, "Decide", works=True),
    _step(
        "lift",
        "Ask that a person who was erased may be taken in again",
        lift,
        "Lift",
        about="For who comes back after the erasure was done. Nothing changes before another key approves. Refused while a request about "
        "the person is under way.",
    ),
    _step(
        "lift/approve",
        "Lift the suppression, by another key than the one that asked",
        lift_approve,
        "ApproveLift",
        about="Rows and predictions about the person are taken in from now on. What was erased stays erased, in restored backups too.",
    ),
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
    Route(
        method="GET",
        path=f"{ONE}/proofs/{{sha256}}",
        summary="A file of proofs that the certificate names by its digest",
        roles=SEE,
        handler=proofs,
        gives="application/octet-stream",
        about="Of very many rows the certificate carries no proofs but the digests of files that show that the successors were trained "
        "without them. A file is made anew from the committed row sets, and is the same to the last byte; `govern verify` reads it.",
    ),
    Route(method="GET", path="/api/v1/law-packs", summary="The law packs: rules with sources, grounds", roles=SEE, handler=packs),
)
