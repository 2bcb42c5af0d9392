"""API keys, and the public keys that papers are verified with."""

from __future__ import annotations

from typing import Any

from governance.api.call import ADMIN, OPEN, Call, Reply, Route, json_reply, roles

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


def epochs(system: Any, _call: Call) -> Reply:
    """The living epoch keys, the newest first."""
    return json_reply({"epochs": system.shredding.living()})


def destroy(system: Any, call: Call) -> Reply:
    """An epoch key that is no more."""
    return json_reply(system.shredding.destroy(call.path["name"], actor=call.actor))


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
    Route(
        method="GET",
        path="/api/v1/keys/epochs",
        summary="The epoch keys under which persons are found",
        roles=roles("privacy"),
        handler=epochs,
    ),
    Route(
        method="DELETE",
        path="/api/v1/keys/epochs/{name}",
        summary="Destroy an old epoch key: what was referred to under it can be linked to nobody any more",
        roles=ADMIN,
        handler=destroy,
        about="Refused for the newest epoch, while erasure requests are open, and while rows are indexed under no newer epoch. Proofs and "
        "the suppression list are not touched.",
    ),
)
