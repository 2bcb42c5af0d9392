"""API keys, and the public keys that papers are verified with."""

from __future__ import annotations

from typing import Any

from governance.api.call import ADMIN, OPEN, Call, Param, Reply, Route, json_reply, roles

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
    """The living epoch keys, the newest first, and what needs each."""
    return json_reply(system.shredding.epochs())


def plan(system: Any, _call: Call) -> Reply:
    """What a rotation would do."""
    return json_reply(system.rotation.plan())


def rotate(system: Any, call: Call) -> Reply:
    """A new epoch, and the work of re-keying begun."""
    return _begun(system.rotation.rotate(actor=call.actor, idempotency=call.idempotency))


def rekey(system: Any, call: Call) -> Reply:
    """The work of re-keying begun again."""
    return _begun(system.rotation.rekey(actor=call.actor, idempotency=call.idempotency))


def _begun(answer: dict[str, Any]) -> Reply:
    return json_reply(answer, 202, Location=f"/api/v1/operations/{answer['operation']}")


def destroy(system: Any, call: Call) -> Reply:
    """An epoch key that is no more."""
    unlink = bool(call.query["unlink_predictions"])
    return json_reply(system.shredding.destroy(call.path["name"], actor=call.actor, unlink=unlink))


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
        about="`use` says what only an epoch finds: predictions, open requests. `rekeyed` is the result of the last re-keying.",
    ),
    Route(
        method="GET",
        path="/api/v1/keys/epochs/plan",
        summary="What a rotation of the epoch would do",
        roles=ADMIN,
        handler=plan,
        about="Nothing is changed. Counts rows and persons of each dataset, and what could not be re-keyed, with the reason.",
    ),
    Route(
        method="POST",
        path="/api/v1/keys/epochs",
        summary="Rotate the epoch: a new key, and everything indexed under older ones re-keyed",
        roles=ADMIN,
        handler=rotate,
        status=202,
        idempotent=True,
        works=True,
        about="New references are made under the new key at once; rows, predictions and requests may come in meanwhile. The operation's "
        "result says what was moved, and what could not be and why. One at a time.",
    ),
    Route(
        method="POST",
        path="/api/v1/keys/epochs/rekey",
        summary="Re-key again what still lies under an older epoch",
        roles=ADMIN,
        handler=rekey,
        status=202,
        idempotent=True,
        works=True,
        about="For what a rotation could not reach: a store that was away. Moves nothing twice.",
    ),
    Route(
        method="DELETE",
        path="/api/v1/keys/epochs/{name}",
        summary="Destroy an old epoch key: what was referred to under it can be linked to nobody any more",
        roles=ADMIN,
        handler=destroy,
        query=(
            Param(
                name="unlink_predictions",
                kind="bool",
                default=False,
                about="predictions whose person only this epoch names count as predictions about unknown persons from then on",
            ),
        ),
        about="Refused for the newest epoch and while something is found by it alone: an open erasure request, indexed rows, predictions "
        "(unless they are unlinked). Proofs and the suppression list are not touched.",
    ),
)
