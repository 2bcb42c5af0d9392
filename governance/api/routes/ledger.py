"""The append-only log: checkpoint, entries, proofs, check, and the privacy budgets it sums."""

from __future__ import annotations

from typing import Any

from governance.api.call import READERS, Call, Param, Reply, Route, json_reply, roles
from lineage.errors import BadInput

__all__ = ["ROUTES"]


def checkpoint(system: Any, _call: Call) -> Reply:
    """The signed note (C2SP tlog-checkpoint)."""
    return Reply(body=system.ledger.checkpoint_note().encode(), media="text/plain; charset=utf-8")


def entries(system: Any, call: Call) -> Reply:
    """Entries in order; ``next`` is the start of the following page."""
    query = call.query
    answer = system.ledger.entries_json(query["start"], query["limit"], kind=query["kind"])
    found = answer["entries"]
    full = len(found) == query["limit"]
    return json_reply({**answer, "next": found[-1]["index"] + 1 if full and found[-1]["index"] + 1 < answer["size"] else None})


def proof(system: Any, call: Call) -> Reply:
    """Inclusion of one entry, or consistency of two sizes."""
    query = call.query
    inclusion = query["index"] is not None
    consistency = query["first"] is not None or query["second"] is not None
    if inclusion == consistency or (query["size"] is not None and consistency):
        raise BadInput("ask for one proof", hint="index=&size= proves inclusion; first=&second= proves consistency")
    if consistency and (query["first"] is None or query["second"] is None):
        raise BadInput("a consistency proof needs two sizes", hint="give first= and second=")
    return json_reply(system.ledger.proof(index=query["index"], size=query["size"], first=query["first"], second=query["second"]))


def redact(system: Any, call: Call) -> Reply:
    """Taken out of events, in the ledger and then in the graph."""
    return json_reply(system.redactions.redact(call.value, actor=call.actor))


def fsck(system: Any, _call: Call) -> Reply:
    """Every leaf, the tree and the checkpoints, checked again."""
    return json_reply(system.ledger.fsck())


def budgets(system: Any, _call: Call) -> Reply:
    """Privacy spend by budget."""
    return json_reply(system.budgets.list())


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/ledger/checkpoint",
        summary="The signed checkpoint",
        roles=READERS,
        handler=checkpoint,
        gives="text/plain",
    ),
    Route(
        method="GET",
        path="/api/v1/ledger/entries",
        summary="Entries in order",
        roles=READERS,
        handler=entries,
        query=(
            Param(name="start", kind="int", default=0, about="index of the first entry"),
            Param(name="limit", kind="int", default=100, minimum=1, maximum=1000),
            Param(name="kind", about="only entries of this kind"),
        ),
    ),
    Route(
        method="GET",
        path="/api/v1/ledger/proof",
        summary="An inclusion or a consistency proof (RFC 9162)",
        roles=READERS,
        handler=proof,
        query=(
            Param(name="index", kind="int", about="entry to be proved"),
            Param(name="size", kind="int", about="tree size; the present one when left out"),
            Param(name="first", kind="int", about="smaller tree size"),
            Param(name="second", kind="int", about="larger tree size"),
        ),
    ),
    Route(
        method="POST",
        path="/api/v1/ledger/redactions",
        summary="Take out of events what must not be kept",
        roles=roles("privacy"),
        handler=redact,
        takes="json",
        body="NewRedaction",
        about="Each payload is destroyed with an entry that says what stands in its place; the leaves and every proof stay. Then the graph "
        "is made anew from the redacted form: `lag` of the lineage status says how far it is. Nothing is changed when one entry cannot be.",
    ),
    Route(method="GET", path="/api/v1/ledger/fsck", summary="Check the whole ledger again", roles=READERS, handler=fsck),
    Route(method="GET", path="/api/v1/budgets", summary="Privacy budgets and what was spent", roles=READERS, handler=budgets),
)
