"""``govern recipients``: who was given data, and is told that they are erased."""

from __future__ import annotations

from operator import itemgetter
from typing import Annotated, Any

import typer

from governance.cli.client import connect
from governance.cli.commands.collection import list_all, remove_one
from governance.cli.output import emit_json, fields, fields_once, say, table, when

__all__ = ["recipients"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Request = Annotated[str, typer.Argument(metavar="ID", help="An erasure request.")]
Task = Annotated[str, typer.Argument(metavar="TASK", help="As `govern recipients tasks ID` lists it.")]
ROUTE = "/api/v1/recipients"
REQUESTS = "/api/v1/erasure-requests"
recipients = typer.Typer(
    help="Who was given a dataset or a model, and is told when an erasure purges it (GDPR Art. 19).",
    no_args_is_help=True,
    add_completion=False,
)


@recipients.command()
def add(  # noqa: PLR0917 - typer hands them over by position
    name: Annotated[str, typer.Argument(metavar="NAME", help="The organisation; not a person.")],
    role: Annotated[str, typer.Option(help="processor, controller, joint_controller, service_provider, contractor, third_party or owner.")],
    asset: Annotated[
        list[str],
        typer.Option(
            "--asset", help="dataset:NAME or model:NAME; of an owner owner:KIND:NAME, namespace:NAMESPACE or owner:*; repeatable."
        ),
    ],
    url: Annotated[str | None, typer.Option(help="Where it is told by a signed message; without it a person tells it.")] = None,
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Of an owner: id of an API key that answers its tasks; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Declare a recipient: each completed purge of one of its assets makes a task."""
    body = {"name": name, "role": role, "assets": asset, "url": url, "keys": key or None}
    with connect() as api:
        answer = api.post(ROUTE, {key: value for key, value in body.items() if value is not None})
    if as_json:
        emit_json(answer)
        return
    fields([("recipient", answer["id"]), ("assets", answer["assets"]), ("told by", answer["via"])])
    if answer.get("secret"):
        fields_once([("secret", answer["secret"])])


@recipients.command("list")
def list_recipients(as_json: Json = False) -> None:
    """Who has what, and how many notices are open."""
    columns, members = ("id", "name", "role", "assets", "told by", "open"), itemgetter("id", "name", "role", "assets", "via", "open")
    list_all(ROUTE, "recipients", columns, members, empty="No recipients.", as_json=as_json)


@recipients.command()
def remove(ident: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """It is told nothing more; what it was told stays on the requests."""
    remove_one(f"{ROUTE}/{ident}", f"recipient {ident} is removed", as_json=as_json)


@recipients.command()
def tasks(ident: Request, as_json: Json = False) -> None:
    """Which recipients were told of the erasure, which answered, and which are still to be told."""
    with connect() as api:
        answer = api.get(f"{REQUESTS}/{ident}/tasks")
    if as_json:
        emit_json(answer)
        return
    rows = [_row(task) for task in answer["tasks"]]
    table(
        ("task", "recipient", "asset", "state", "told", "acknowledged", "trouble"), rows, empty="Nobody was to be told so far.",
    )  # fmt: skip
    if any(task["state"] == "pending" and task["via"] == "manual" for task in answer["tasks"]):
        say(f"Next: tell them, then govern recipients acknowledge {ident} TASK")
    if any(task["state"] == "undelivered" for task in answer["tasks"]):
        say("Next: govern webhooks list   (then resume or replay)")


def _row(task: dict[str, Any]) -> tuple[Any, ...]:
    trouble = task["error"] or (f"{task['excuse']}: {task['ground']}" if task["excuse"] else None)
    return (
        task["id"],
        task["name"],
        task["asset"],
        task["state"],
        when(task["told_at"]),
        when(task["acknowledged_at"]),
        trouble,
    )


@recipients.command()
def acknowledge(
    ident: Request,
    task: Task,
    reference: Annotated[str | None, typer.Option(help="Number of the letter or ticket; no name.")] = None,
    as_json: Json = False,
) -> None:
    """The recipient said that it followed."""
    _end(ident, task, "acknowledge", {"reference": reference} if reference else {}, as_json=as_json)


@recipients.command()
def excuse(
    ident: Request,
    task: Task,
    why: Annotated[str, typer.Option("--excuse", help="impossible or disproportionate.")],
    ground: Annotated[str, typer.Option(help="What makes it so; name no person.")],
    as_json: Json = False,
) -> None:
    """The recipient cannot be told, or only with disproportionate effort (GDPR Art. 19)."""
    _end(ident, task, "excuse", {"excuse": why, "ground": ground}, as_json=as_json)


def _end(ident: str, task: str, verb: str, body: dict[str, Any], *, as_json: bool) -> None:
    with connect() as api:
        answer = api.post(f"{REQUESTS}/{ident}/tasks/{task}/{verb}", body, once=False)
    if as_json:
        emit_json(answer)
    else:
        say(f"task {task} is {answer['state']}")
