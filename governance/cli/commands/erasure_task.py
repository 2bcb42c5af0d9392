"""``govern erasure task``: what owners of models and datasets elsewhere were asked, and their answers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from governance.cli.client import connect
from governance.cli.exits import Usage
from governance.cli.output import emit_json, fields, say, table, when

__all__ = ["task"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Ident = Annotated[str, typer.Argument(metavar="ID", help="As `govern erasure task list` lists it.")]
ROUTE: Final = "/api/v1/erasure-tasks"
task = typer.Typer(
    help="What lies elsewhere and rests on erased rows: asked of its owner, with a deadline, until the owner answers.",
    no_args_is_help=True,
    add_completion=False,
)


@task.command("list")
def list_tasks(
    request: Annotated[str | None, typer.Option(help="Only those of this erasure request.")] = None,
    state: Annotated[str | None, typer.Option(help="open, told, overdue, answered_done or answered_cannot.")] = None,
    as_json: Json = False,
) -> None:
    """The tasks with their owners and deadlines."""
    with connect() as api:
        answer = api.get(ROUTE, request=request, state=state)
    if as_json:
        emit_json(answer)
        return
    rows = [(one["id"], one["asset"], one["owner"], one["state"], when(one["due_at"]), one["error"]) for one in answer["tasks"]]
    table(("task", "asset", "owner", "state", "due", "trouble"), rows, empty="No owner was asked for anything.")


@task.command()
def show(ident: Ident, as_json: Json = False) -> None:
    """One task: what is asked, of whom, until when, and the answer."""
    with connect() as api:
        answer = api.get(f"{ROUTE}/{ident}")
    _show(answer, as_json=as_json)


@task.command("answer")
def answer_task(  # noqa: PLR0917 - typer hands them over by position
    ident: Ident,
    done: Annotated[bool, typer.Option("--done", help="It was done; needs --evidence.")] = False,
    cannot: Annotated[bool, typer.Option("--cannot", help="It cannot be done; needs --reason.")] = False,
    evidence: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What shows it: its SHA-256 is entered, the file stays with you.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why not, or what is to be known; name no person.")] = None,
    as_json: Json = False,
) -> None:
    """Answer for the owner. It is certified as the owner's word, never as a level.

    govern erasure task answer ID --done --evidence retrain.log

    govern erasure task answer ID --cannot --reason "the device is not connected"
    """
    hint = f"govern erasure task answer {ident} --done --evidence FILE, or --cannot --reason …"
    if done == cannot:
        raise Usage("say --done or --cannot", hint=hint)
    if (done and evidence is None) or (cannot and not reason):
        raise Usage("--done needs --evidence" if done else "--cannot needs --reason", hint=hint)
    body: dict[str, Any] = {"answer": "done" if done else "cannot"} | ({"reason": reason} if reason else {})
    if evidence is not None:
        body["evidence"] = _digest(evidence)
    with connect() as api:
        answer = api.post(f"{ROUTE}/{ident}/answer", body, once=False)
    _show(answer, as_json=as_json)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise Usage(f"--evidence: the file cannot be read ({error.strerror})", hint="give the path of a file") from error


def _show(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit_json(answer)
        return
    fields(
        [
            ("task", answer["id"]),
            ("request", answer["request"]),
            ("asset", answer["asset"]),
            ("asked", answer["asked"]["do"]),
            ("owner", f"{answer['owner']} ({answer['owner_basis']})"),
            ("state", answer["state"]),
            ("due", when(answer["due_at"])),
            ("told", when(answer["told_at"])),
            ("answered", when(answer["answered_at"])),
            ("evidence", answer["evidence"]),
            ("reason", answer["reason"]),
            ("trouble", answer["error"]),
        ]
    )
    for one in answer["asked"]["take"]:
        say(f"take   {one['dataset']}@{one['version']}: the version without the rows")
