"""``govern keys``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from governance.cli.client import Api, connect
from governance.cli.exits import GONE, Usage
from governance.cli.output import emit_json, fields, say, table, when, write_file
from governance.cli.progress import bar

__all__ = ["keys"]

EPOCHS = "/api/v1/keys/epochs"
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
keys = typer.Typer(help="API keys, and the public keys that papers are verified with.", no_args_is_help=True, add_completion=False)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")] = "key",
    role: Annotated[
        list[str] | None, typer.Option("--role", help="ingest, predict, engineer, privacy, auditor or admin; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an API key; it is shown once, only its hash is stored."""
    if not role:
        raise Usage("a key needs a role", hint="govern keys create NAME --role ingest|predict|engineer|privacy|auditor|admin")
    with connect() as api:
        answer = api.post("/api/v1/keys", {"name": name, "roles": role})
    if as_json:
        emit_json(answer)
    else:
        fields([("id", answer["id"]), ("roles", answer.get("roles", role)), ("api key", answer["api_key"])])
        say("Keep it now: it is not shown again.")


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """The API keys: who, which roles, since when."""
    with connect() as api:
        answer = api.get("/api/v1/keys")
    if as_json:
        emit_json(answer)
        return
    rows = [
        (key["id"], key["name"], key["roles"], when(key.get("created_at")), "revoked" if key.get("revoked_at") else "valid")
        for key in answer["keys"]
    ]
    table(("id", "name", "roles", "created", "state"), rows, empty="No keys.")


@keys.command()
def revoke(ident: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """Make a key worthless, at once."""
    with connect() as api:
        answer = api.delete(f"/api/v1/keys/{ident}")
    if as_json:
        emit_json(answer)
    else:
        say(f"key {ident} is revoked")


@keys.command()
def public(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write them to this file.")] = None,
    as_json: Json = False,
) -> None:
    """The public keys, for `govern verify --keys FILE` on another machine."""
    import json

    with connect() as api:
        answer = api.get("/api/v1/keys/public")
    if out is not None:
        write_file(out, (json.dumps(answer, indent=2) + "\n").encode())
    if as_json or out is None:
        emit_json(answer)
    else:
        say(f"public keys of {answer['installation']} written to {out}")


@keys.command()
def epochs(as_json: Json = False) -> None:
    """The epoch keys under which persons are found; new references are made under the first. What still needs an older one."""
    with connect() as api:
        answer = api.get(EPOCHS)
    if as_json:
        emit_json(answer)
        return
    rows = [
        (one["epoch"], "newest" if not at else "found, not used", one["predictions"], one["requests"])
        for at, one in enumerate(answer["use"])
    ]
    table(("epoch", "use", "predictions", "open requests"), rows, empty="")
    if answer["rekeyed"]:
        _told(answer["rekeyed"])


@keys.command()
def rotate(
    family: Annotated[str, typer.Argument(metavar="epoch", help="Only epochs are rotated.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until everything is re-keyed.")] = True,
    as_json: Json = False,
) -> None:
    """Make a new epoch key: persons are referred to under it from now on, and what is indexed under older ones is re-keyed.

    The server goes on serving. Open requests find what comes in under the new epoch; older epochs live until they are destroyed.

    govern keys rotate epoch --dry-run

    govern keys rotate epoch
    """
    if family != "epoch":
        raise Usage(f"keys of the kind {family[:80]!r} are not rotated here", hint="govern keys rotate epoch; govern webhooks rotate ID")
    with connect() as api:
        if dry_run:
            _planned(api.get(f"{EPOCHS}/plan"), as_json=as_json)
            return
        _work(api, EPOCHS, wait=wait, as_json=as_json)


@keys.command()
def rekey(
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until everything is re-keyed.")] = True,
    as_json: Json = False,
) -> None:
    """Re-key again what still lies under an older epoch: a store that was away is there again. Moves nothing twice."""
    with connect() as api:
        _work(api, f"{EPOCHS}/rekey", wait=wait, as_json=as_json)


def _work(api: Api, path: str, *, wait: bool, as_json: bool) -> None:
    """Begin, and wait for the end; exit 4 when something is left under an older epoch."""
    begun = api.post(path, None)
    if not wait:
        if as_json:
            emit_json(begun)
        else:
            say(f"{begun['epoch']} is the newest epoch; re-keying goes on as operation {begun['operation']}")
            say("Next: govern keys epochs")
        return
    with bar(f"re-keying to {begun['epoch']}") as seen:
        result = api.wait(begun["operation"], seen=seen)["result"]
    if as_json:
        emit_json({"operation": begun["operation"], "living": begun["living"], **result})
    else:
        say(f"{begun['epoch']} is the newest epoch; epochs that live: {', '.join(begun['living'])}")
        _told(result)
    if result["predictions"]["left"] or any(one["left"] != 0 for one in result["datasets"]):
        raise typer.Exit(GONE)


def _told(result: dict[str, Any]) -> None:
    """What a re-keying moved, and what it could not and why."""
    rows = [(one["dataset"], one["moved"], one["predictions"], "?" if one["left"] is None else one["left"]) for one in result["datasets"]]
    table(("dataset", "rows moved", "predictions moved", "left"), rows, empty="No datasets.", title=f"re-keyed to {result['epoch']}")
    for one in [*result["datasets"], {"dataset": "predictions", **result["predictions"]}]:
        if one["why"]:
            say(f"{one['dataset']}: {one['why']}")


def _planned(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit_json(answer)
        return
    say(f"would make {answer['epoch']} after {answer['before']}; nothing was changed")
    rows = [(one["dataset"], one["persons"], one["rows"], one["unreadable"]) for one in answer["datasets"]]
    table(("dataset", "persons", "rows", "in no readable version"), rows, empty="No datasets.")
    for one in answer["datasets"]:
        if one["why"]:
            say(f"{one['dataset']}: {one['why']}")
    named = answer["predictions"]
    say(f"{named['named']} prediction record(s) name a person, {named['unknown']} of them one whom no dataset names")


@keys.command()
def destroy(
    epoch: Annotated[str, typer.Argument(metavar="epoch-N")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    unlink_predictions: Annotated[
        bool,
        typer.Option("--unlink-predictions", help="Predictions whose person only this epoch names become those of unknown persons."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Destroy an old epoch key for ever: nobody can tell any more whom a reference made under it meant.

    Refused while something is found by it alone: rows, predictions, an open request. Proofs, papers and the suppression list are not
    touched. Copies of the key that were made elsewhere must be destroyed too: they are no part of a backup made by `govern backup`.
    """
    if not yes:
        question = f"Destroy {epoch}? What was referred to under it can never be linked to a person again; nothing brings it back."
        if not sys.stdin.isatty():
            raise Usage(question, hint=f"govern keys destroy {epoch} --yes")
        typer.confirm(question, abort=True, err=True)
    with connect() as api:
        answer = api.delete(f"{EPOCHS}/{epoch}", **({"unlink_predictions": "true"} if unlink_predictions else {}))
    if as_json:
        emit_json(answer)
    else:
        say(f"{epoch} is destroyed (ledger entry {answer['entry']}); epochs that live: {', '.join(answer['living'])}")
