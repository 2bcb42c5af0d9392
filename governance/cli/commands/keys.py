"""``govern keys``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from governance.cli.client import connect
from governance.cli.exits import Usage
from governance.cli.output import emit_json, fields, say, table, when, write_file

__all__ = ["keys"]

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
    """The epoch keys under which persons are found; new references are made under the first."""
    with connect() as api:
        answer = api.get("/api/v1/keys/epochs")
    if as_json:
        emit_json(answer)
    else:
        table(("epoch", "use"), [(name, "newest" if not at else "found, not used") for at, name in enumerate(answer["epochs"])], empty="")


@keys.command()
def destroy(
    epoch: Annotated[str, typer.Argument(metavar="epoch-N")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Destroy an old epoch key for ever: nobody can tell any more whom a reference made under it meant.

    Prediction records that name their person by it stay and are found by no later request. Proofs, papers and the suppression list are
    not touched. Copies of the key that were made elsewhere must be destroyed too: they are no part of a backup made by `govern backup`.
    """
    if not yes:
        question = f"Destroy {epoch}? What was referred to under it can never be linked to a person again; nothing brings it back."
        if not sys.stdin.isatty():
            raise Usage(question, hint=f"govern keys destroy {epoch} --yes")
        typer.confirm(question, abort=True, err=True)
    with connect() as api:
        answer = api.delete(f"/api/v1/keys/epochs/{epoch}")
    if as_json:
        emit_json(answer)
    else:
        say(f"{epoch} is destroyed (ledger entry {answer['entry']}); epochs that live: {', '.join(answer['living'])}")
