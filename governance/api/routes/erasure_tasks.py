"""Tasks of owners: what lies elsewhere and rests on erased rows, asked, and answered."""

from __future__ import annotations

from typing import Any, Final

from governance.api.call import Call, Param, Reply, Route, json_reply, roles
from governance.api.paging import PAGING, page

__all__ = ["ROUTES"]

SEE: Final = roles("engineer", "privacy", "auditor")
ANSWER: Final = roles("engineer", "privacy")
OFFICER: Final = roles("privacy")
"""Who may answer for any owner; of the others a key that is the owner's."""
ALL: Final = "/api/v1/erasure-tasks"


def listed(system: Any, call: Call) -> Reply:
    """Every task."""
    found = system.tasks.list(request=call.query["request"], state=call.query["state"])
    return json_reply(page(found, "tasks", call.query))


def one(system: Any, call: Call) -> Reply:
    """One task."""
    return json_reply(system.tasks.get(call.path["id"]))


def answer(system: Any, call: Call) -> Reply:
    """The owner's word."""
    officer = not OFFICER.isdisjoint(call.who.roles)
    return json_reply(system.tasks.answer(call.path["id"], call.value, actor=call.actor, officer=officer))


ROUTES = (
    Route(
        method="GET",
        path=ALL,
        summary="What was asked of owners of models and datasets elsewhere",
        roles=SEE,
        handler=listed,
        query=(
            Param(name="request", about="only those of this erasure request"),
            Param(name="state", choices=("open", "told", "overdue", "answered_done", "answered_cannot"), about="only those in this state"),
            *PAGING,
        ),
    ),
    Route(method="GET", path=f"{ALL}/{{id}}", summary="One task of an owner", roles=SEE, handler=one),
    Route(
        method="POST",
        path=f"{ALL}/{{id}}/answer",
        summary="An owner answers: done, with the digest of its evidence, or cannot, with the reason",
        roles=ANSWER,
        handler=answer,
        takes="json",
        body="AnswerTask",
        works=True,
        about="An answer is the owner's word: it is certified as such and never raises the asset above `not_reachable`. A key of the role "
        "`engineer` answers if it was declared as one of the owner's, of the role `privacy` for any owner, and the certificate says so. "
        "The key that approved the request may not answer `done`.",
    ),
)
