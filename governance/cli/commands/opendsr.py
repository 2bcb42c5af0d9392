"""``govern opendsr``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from governance.cli.client import connect
from governance.cli.commands.collection import list_all, remove_one
from governance.cli.exits import Usage
from governance.cli.output import emit_json, fields_once, when

__all__ = ["opendsr"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ROUTE = "/api/v1/opendsr/controllers"
opendsr = typer.Typer(
    help="Controllers that send erasure requests by machine (OpenDSR 2.0) to /opendsr/v2.", no_args_is_help=True, add_completion=False
)


@opendsr.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The organisation; not a person.")],
    identity: Annotated[
        list[str],
        typer.Option("--identity", help="OPENDSR_TYPE=TYPE: what it sends and what that is here, e.g. controller_customer_id=applicant."),
    ],
    callback: Annotated[list[str] | None, typer.Option("--callback", help="URL that its requests may name; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Add a controller; its key is shown once and opens the OpenDSR routes alone."""
    identities = {}
    for pair in identity:
        theirs, sign, ours = pair.partition("=")
        if not (theirs and sign and ours):
            raise Usage(f"{pair!r} is not OPENDSR_TYPE=TYPE", hint="for example --identity email=email")
        identities[theirs] = ours
    with connect() as api:
        answer = api.post(ROUTE, {"name": name, "identities": identities, "callbacks": callback or []})
    if as_json:
        emit_json(answer)
        return
    fields_once([("controller", answer["id"]), ("callbacks", answer["callbacks"]), ("api key", answer["api_key"])])


@opendsr.command("list")
def list_controllers(as_json: Json = False) -> None:
    """The controllers: what they send, where they are told."""
    columns = ("id", "name", "identities", "callbacks", "added", "state")
    list_all(ROUTE, "controllers", columns, _row, empty="No controllers.", as_json=as_json)


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    identities = [f"{theirs}={ours}" for theirs, ours in one["identities"].items()]
    state = "removed" if one["removed_at"] else "may send"
    return one["id"], one["name"], identities, one["callbacks"], when(one["created_at"]), state


@opendsr.command()
def remove(ident: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """Its key is revoked and its callbacks end; what it asked for goes on."""
    remove_one(f"{ROUTE}/{ident}", f"controller {ident} is removed", as_json=as_json)
