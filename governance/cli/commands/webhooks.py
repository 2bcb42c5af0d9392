"""``govern webhooks``."""

from __future__ import annotations

from operator import itemgetter
from typing import Annotated, Any

import typer

from governance.cli.client import connect
from governance.cli.commands.collection import list_all, remove_one
from governance.cli.output import emit_json, fields, fields_once, say, table, when

__all__ = ["webhooks"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Ident = Annotated[str, typer.Argument(metavar="ID")]
ROUTE = "/api/v1/webhooks"
webhooks = typer.Typer(
    help="Endpoints that are told of events, signed as Standard Webhooks says; what does not arrive is tried again for days.",
    no_args_is_help=True,
    add_completion=False,
)


@webhooks.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where messages are posted; https.")],
    events: Annotated[list[str], typer.Option("--events", help="'erasure.*', gate.decided, or '*'; may be repeated.")],
    scheme: Annotated[str, typer.Option(help="v1: HMAC-SHA256 with a shared secret; v1a: Ed25519, the endpoint gets a public key.")] = "v1",
    as_json: Json = False,
) -> None:
    """Add an endpoint; its secret is shown once. It hears of what happens from now on."""
    with connect() as api:
        answer = api.post(ROUTE, {"url": url, "events": events, "scheme": scheme})
    if as_json:
        emit_json(answer)
        return
    fields_once([("webhook", answer["id"]), ("events", answer["events"]), ("secret" if scheme == "v1" else "public key", answer["secret"])])


@webhooks.command("list")
def list_webhooks(as_json: Json = False) -> None:
    """The endpoints: where, what, in which state, how much waits."""
    columns = ("id", "kind", "url", "events", "state", "waiting", "given up", "last trouble")
    members = itemgetter("id", "kind", "url", "events", "state", "waiting", "dead", "error")
    list_all(ROUTE, "webhooks", columns, members, empty="No webhooks.", as_json=as_json)


@webhooks.command()
def show(ident: Ident, as_json: Json = False) -> None:
    """One endpoint with the messages that wait and those that were given up."""
    with connect() as api:
        answer = api.get(f"{ROUTE}/{ident}")
    _show(answer, as_json=as_json)


def _show(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit_json(answer)
        return
    fields(
        [
            ("webhook", answer["id"]),
            ("url", answer["url"]),
            ("state", answer["state"]),
            ("last delivery", when(answer["delivered_at"])),
            ("failed attempts", answer["attempts"]),
            ("next attempt", when(answer["next_at"] or None)),
            ("last trouble", answer["error"]),
            ("waiting", answer["waiting"]),
            ("given up", answer["dead"]),
        ]
    )
    for title in ("waiting", "dead"):
        rows = [(one["id"], one["type"], when(one["at"]), one["error"]) for one in answer[f"{title}_messages"]]
        if rows:
            table(("message", "event", "of", "trouble"), rows, empty="", title="given up" if title == "dead" else title)
    if answer["state"] == "disabled":
        say(f"Next: govern webhooks resume {answer['id']}")
    elif answer["dead"]:
        say(f"Next: govern webhooks replay {answer['id']}")


@webhooks.command()
def remove(ident: Ident, as_json: Json = False) -> None:
    """Remove an endpoint; what waits for it is dropped, its key destroyed."""
    remove_one(f"{ROUTE}/{ident}", f"webhook {ident} is removed", as_json=as_json)


@webhooks.command()
def rotate(ident: Ident, as_json: Json = False) -> None:
    """A new secret, shown once; for a day messages carry the old signature too."""
    with connect() as api:
        answer = api.post(f"{ROUTE}/{ident}/rotate", once=False)
    if as_json:
        emit_json(answer)
    else:
        fields_once([("webhook", answer["id"]), ("secret", answer["secret"])])


@webhooks.command()
def resume(ident: Ident, as_json: Json = False) -> None:
    """Send to a disabled endpoint again: all that waits, in order."""
    with connect() as api:
        answer = api.post(f"{ROUTE}/{ident}/resume", once=False)
    _show(answer, as_json=as_json)


@webhooks.command()
def replay(ident: Ident, as_json: Json = False) -> None:
    """Send again what the endpoint refused until it was given up."""
    with connect() as api:
        answer = api.post(f"{ROUTE}/{ident}/replay", once=False)
    if as_json:
        emit_json(answer)
    else:
        say(f"{answer['replayed']} message(s) are sent again")
