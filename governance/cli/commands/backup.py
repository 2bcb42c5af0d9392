"""``govern backup``, ``govern restore`` and ``govern erasure export-suppression``."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from governance.cli.client import Api, connect, home_path
from governance.cli.exits import Usage
from governance.cli.output import emit_json, fields, say, table, when
from governance.cli.table import version
from lineage.errors import BadInput, Conflict, GovernError

__all__ = ["backup", "export_suppression", "restore"]

LIST = "/api/v1/suppression-list"


def backup(
    target: Annotated[Path | None, typer.Argument(metavar="DIR|FILE.tar", help="What is made; there must be nothing yet.")] = None,
    keep: Annotated[str, typer.Option(metavar="AGE", help="When it is to be deleted: 30d; at most 730d.")] = "30d",
    listed: Annotated[bool, typer.Option("--list", help="Show the backups that were made, and make none.")] = False,
    deleted: Annotated[str | None, typer.Option("--deleted", metavar="ID", help="Say that every copy of a backup is deleted.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Copy the home, while it serves too, without its keys; say in the ledger that there is a copy, and until when.

    Beside it lies TARGET.suppression.json, the list of what was erased so far: a newer one of these makes an older backup safe to restore.
    Run it on the machine of the home (GOVERN_HOME), as its user; while a server owns it set GOVERN_URL and GOVERN_API_KEY (an admin's) too.
    """
    if listed or deleted is not None:
        _told(deleted, as_json=as_json)
        return
    if target is None:
        raise Usage("say where the backup goes", hint="govern backup /backups/govern-2026-11-21.tar")
    from governance.wiring.backups import make_backup
    from lineage.retention.age import age

    where = home_path().absolute()
    kept = age(keep, "--keep")
    beside = target.with_name(f"{target.name}.suppression.json")
    if beside.exists():
        raise Conflict(f"{beside} is there already", hint="name another file")
    with connect() as api:
        _must_be_of(api, where)
        note = api.bytes("/api/v1/ledger/checkpoint").decode()
        manifest = make_backup(where, target, keep=kept, checkpoint=note, generator=f"Govern {version()}")
        try:
            held = sum(one["size"] for one in manifest["files"].values())
            entered = {"id": manifest["backup"], "made_at": manifest["made_at"], "until": manifest["until"], "bytes": held}
            api.post("/api/v1/backups", entered | {name: manifest["ledger"][name] for name in ("size", "root")})
            _write_private(beside, api.bytes(LIST))
        except GovernError:
            _remove(target)  # a copy of which the ledger knows nothing must not be there
            raise
    if as_json:
        emit_json({**{name: value for name, value in manifest.items() if name != "files"}, "files": len(manifest["files"]), "bytes": held})
        return
    fields(
        [
            ("backup", target),
            ("holds", f"{len(manifest['files'])} files, {held:,} bytes: ledger, graph, datasets, index, predictions, models, papers"),
            ("does not hold", "keys (keep a copy of HOME/keys elsewhere), what runs at this moment"),
            ("ledger", f"{manifest['ledger']['size']} entries"),
            ("made", when(manifest["made_at"])),
            ("delete by", when(manifest["until"])),
            ("erased so far", beside),
        ]
    )
    say("What is erased from now on is in this backup until it is deleted. Restore it with a list that is as new as possible.")


def _must_be_of(api: Api, home: Path) -> None:
    """The server that answers must be the one of the home that is copied."""
    described = home / "govern.json"
    if not described.is_file():
        raise BadInput(f"{home} is no home", hint="set GOVERN_HOME, and run this on the machine where it lies")
    there, here = api.get("/api/v1/keys/public")["installation"], json.loads(described.read_text())["installation"]
    if there != here:
        raise BadInput(f"{home} is installation {here}, and {api.where} is {there}", hint="set GOVERN_URL or GOVERN_HOME to the other one")


def _told(deleted: str | None, *, as_json: bool) -> None:
    with connect() as api:
        if deleted is not None:
            api.post(f"/api/v1/backups/{deleted}/deleted")
        answer = api.get("/api/v1/backups")
    if as_json:
        emit_json(answer)
        return
    rows = [
        (one["id"], when(one["made_at"]), when(one["until"]), "deleted" if one["deleted_at"] else "OVERDUE" if one["overdue"] else "kept")
        for one in answer["backups"]
    ]
    table(("backup", "made", "delete by", "state"), rows, empty="No backups were told to this ledger.")


def restore(
    source: Annotated[Path | None, typer.Argument(metavar="BACKUP", help="What govern backup made; without it: go on.")] = None,
    into: Annotated[Path | None, typer.Option("--into", metavar="HOME", help="The folder of the new home; there must be nothing.")] = None,
    keys: Annotated[Path | None, typer.Option("--keys", metavar="DIR", help="The kept folder `keys` of the installation.")] = None,
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="LIST", help="What was erased: the newest list of govern erasure export-suppression.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """A home from a backup. It serves nobody before everything that was erased since was erased again (exit 4 until then).

    Rows, predictions and models of erased persons go; API keys that were revoked stay revoked. An interrupted restore is gone on with by
    the same command.
    """
    if into is None:
        raise Usage("say where the home is made", hint="govern restore BACKUP --into HOME --keys DIR --replay LIST")
    from governance.wiring.backups import restore as restored

    def seen(what: str) -> None:
        sys.stderr.write(f"{what} …\n")

    told = restored(into.absolute(), source=source, keys=keys, replay=replay, seen=seen)
    if as_json:
        emit_json(told)
        return
    fields(
        [
            ("home", told["home"]),
            ("backup made", when(told["backup_made_at"])),
            ("erased up to", when(told["list_made_at"])),
            ("requests", told["requests"]),
            ("rows erased again", sum(told["rows"].values())),
            ("predictions erased again", told["predictions"]),
            ("models destroyed", told["versions"]),
            ("taken out of service", told["withdrawn"]),
            ("API keys revoked again", len(told["keys_revoked"])),
        ]
    )
    if told["fork"]:
        say(
            f"The ledger goes on after entry {told['fork']['common'] - 1}; {told['fork']['lost']} later ones of the former are lost. "
            f"Checkpoints and papers from after that are of another history (entry {told['entry']} says so)."
        )
    say(f"What was erased after {when(told['list_made_at'])} is not in the list: enter these requests again.")
    say(f"Next: govern serve --home {told['home']}")


def export_suppression(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Where it is written, for its owner only.")],
) -> None:
    """Write the signed list of what was erased: a restored backup replays it. Keep the newest apart from the home."""
    with connect() as api:
        _write_private(target, api.bytes(LIST))
    say(f"{target}  Keep it where the backups are; it holds references, no identifiers.")


def _write_private(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, for its owner only."""
    half = path.with_name(f".{path.name}.part")
    try:
        with os.fdopen(os.open(half, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def _remove(target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
