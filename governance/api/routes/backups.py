"""Backups that were made of this home, and the signed list of what was erased, which a restored one replays."""

from __future__ import annotations

from typing import Any

from governance.api.call import ADMIN, READERS, Call, Reply, Route, json_reply, roles

__all__ = ["ROUTES"]


def made(system: Any, call: Call) -> Reply:
    """A backup that there is from now on."""
    return json_reply(system.backups.made(call.value, actor=call.actor), 201)


def listed(system: Any, _call: Call) -> Reply:
    """Every backup that was told."""
    return json_reply(system.backups.list())


def deleted(system: Any, call: Call) -> Reply:
    """A backup that there is no more."""
    return json_reply(system.backups.deleted(call.path["id"], actor=call.actor))


def suppression(system: Any, _call: Call) -> Reply:
    """Everything that was erased."""
    return Reply(body=system.erased.export())


ROUTES = (
    Route(
        method="POST",
        path="/api/v1/backups",
        summary="Enter a backup that was made",
        roles=ADMIN,
        handler=made,
        takes="json",
        body="NewBackup",
        status=201,
        about="`govern backup` copies the files itself, on the machine of the home, and says so here.",
    ),
    Route(
        method="GET",
        path="/api/v1/backups",
        summary="The backups that were made, and whether they should be deleted by now",
        roles=READERS,
        handler=listed,
    ),
    Route(
        method="POST",
        path="/api/v1/backups/{id}/deleted",
        summary="Say that every copy of a backup is deleted",
        roles=ADMIN,
        handler=deleted,
    ),
    Route(
        method="GET",
        path="/api/v1/suppression-list",
        summary="The signed list of what was erased, for a restored backup to replay",
        roles=roles("privacy"),
        handler=suppression,
        about="Holds references, keyed hashes and ids, no identifier of a person; pseudonyms are personal data still.",
    ),
)
