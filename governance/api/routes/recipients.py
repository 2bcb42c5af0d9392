"""Recipients of data, and the notices they get when an erasure purged what they were given."""

from __future__ import annotations

from typing import Any, Final

from governance.api.call import Call, Reply, Route, json_reply, roles

__all__ = ["ROUTES"]

PRIVACY: Final = roles("privacy")
SEE: Final = roles("privacy", "auditor")
ALL: Final = "/api/v1/recipients"
TASKS: Final = "/api/v1/erasure-requests/{id}/tasks"


def add(system: Any, call: Call) -> Reply:
    """A new recipient."""
    answer = system.recipients.add(call.value, actor=call.actor)
    return json_reply(answer, 201, Location=f"{ALL}/{answer['id']}")


def listed(system: Any, _call: Call) -> Reply:
    """Every recipient."""
    return json_reply(system.recipients.list())


def remove(system: Any, call: Call) -> Reply:
    """No longer a recipient."""
    return json_reply(system.recipients.remove(call.path["id"], actor=call.actor))


def tasks(system: Any, call: Call) -> Reply:
    """Who was told of one request, and who is to be."""
    system.erasures.get(call.path["id"])
    return json_reply(system.recipients.tasks(call.path["id"]))


def acknowledge(system: Any, call: Call) -> Reply:
    """The recipient followed."""
    return json_reply(system.recipients.acknowledge(call.path["id"], call.path["task"], call.value, actor=call.actor))


def excuse(system: Any, call: Call) -> Reply:
    """It cannot be told, or not reasonably."""
    return json_reply(system.recipients.excuse(call.path["id"], call.path["task"], call.value, actor=call.actor))


ROUTES = (
    Route(
        method="POST",
        path=ALL,
        summary="Declare who was given a dataset or a model",
        roles=PRIVACY,
        handler=add,
        takes="json",
        body="NewRecipient",
        status=201,
        about="With a URL it is told by a signed message (its secret is in this answer alone), without one by a person.",
    ),
    Route(method="GET", path=ALL, summary="List the recipients", roles=SEE, handler=listed),
    Route(method="DELETE", path=f"{ALL}/{{id}}", summary="Tell a recipient nothing more", roles=PRIVACY, handler=remove),
    Route(method="GET", path=TASKS, summary="Which recipients were told of the erasure, and which are to be", roles=SEE, handler=tasks),
    Route(
        method="POST",
        path=f"{TASKS}/{{task}}/acknowledge",
        summary="A recipient said that it followed",
        roles=PRIVACY,
        handler=acknowledge,
        takes="json",
        body="AcknowledgeNotice",
    ),
    Route(
        method="POST",
        path=f"{TASKS}/{{task}}/excuse",
        summary="Telling a recipient is impossible or disproportionate, with the ground",
        roles=PRIVACY,
        handler=excuse,
        takes="json",
        body="ExcuseNotice",
    ),
)
