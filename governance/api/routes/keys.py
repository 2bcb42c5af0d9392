"""API keys, and the public keys that papers are verified with."""

from __future__ import annotations

from typing import Any

from governance.api.call import ADMIN, OPEN, Call, Reply, Route, json_reply

__all__ = ["ROUTES"]


def public(system: Any, _call: Call) -> Reply:
    """The public keys of this installation."""
    return json_reply(system.keys.public())


def create(system: Any, call: Call) -> Reply:
    """A new key, shown once."""
    return json_reply(system.keys.create(call.value["name"], call.value["roles"], actor=call.actor), 201)


def listed(system: Any, _call: Call) -> Reply:
    """Every key, without its secret."""
    return json_reply(system.keys.list())


def revoke(system: Any, call: Call) -> Reply:
    """A key that works no longer."""
    return json_reply(system.keys.revoke(call.path["id"], actor=call.actor))


ROUTES = (
    Route(
        method="GET",
        path="/api/v1/keys/public",
        summary="The public keys that verify our papers and checkpoints",
        roles=OPEN,
        handler=public,
    ),
    Route(
        method="POST",
        path="/api/v1/keys",
        summary="Create an API key",
        roles=ADMIN,
        handler=create,
        takes="json",
        body="NewKey",
        status=201,
        about="The key is in this answer and nowhere else; only its hash is stored.",
    ),
    Route(method="GET", path="/api/v1/keys", summary="List the API keys", roles=ADMIN, handler=listed),
    Route(method="DELETE", path="/api/v1/keys/{id}", summary="Revoke an API key", roles=ADMIN, handler=revoke),
)
