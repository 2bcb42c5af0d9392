"""``govern ledger``."""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from governance.cli.client import Api, connect
from governance.cli.commands.redact import redact
from governance.cli.exits import SAID_NO, Usage
from governance.cli.output import emit_json, say

__all__ = ["ledger"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ledger = typer.Typer(
    help="The ledger: append-only, in one Merkle tree, with signed checkpoints.", no_args_is_help=True, add_completion=False
)
_PAGE = 500
ledger.command()(redact)


class Form(StrEnum):
    """What is exported."""

    ENTRIES = "entries"
    OPENLINEAGE = "openlineage"


@ledger.command()
def checkpoint(as_json: Json = False) -> None:
    """The signed checkpoint of the tree as it is now (a C2SP tlog-checkpoint note). Keep it: later ones must extend it."""
    with connect() as api:
        note = api.bytes("/api/v1/ledger/checkpoint").decode()
    if as_json:
        emit_json({"checkpoint": note})
    else:
        sys.stdout.write(note)


@ledger.command()
def fsck(as_json: Json = False) -> None:
    """Check every entry, the whole tree and every checkpoint again; exit 3 when a part does not match, and say which."""
    with connect() as api:
        answer = api.get("/api/v1/ledger/fsck")
    if as_json:
        emit_json(answer)
    elif answer["ok"]:
        say(f"The ledger is whole: {answer['size']} entries.")
    else:
        say(f"The ledger is NOT whole ({answer['size']} entries):")
        for problem in answer["problems"]:
            say(f"  - {problem}")
    if not answer["ok"]:
        raise typer.Exit(SAID_NO)


@ledger.command()
def prove(
    index: Annotated[int | None, typer.Option("--index", min=0, help="Prove that this entry is in the tree.")] = None,
    size: Annotated[int | None, typer.Option("--size", min=1, help="… in the tree of this size (default: now).")] = None,
    first: Annotated[int | None, typer.Option("--first", min=0, help="Prove that the tree of this size …")] = None,
    second: Annotated[int | None, typer.Option("--second", min=1, help="… was only extended to this one (default: now).")] = None,
) -> None:
    """An inclusion proof (--index) or a consistency proof (--first), as JSON (RFC 9162)."""
    if (index is None) == (first is None):
        raise Usage("give --index N for inclusion, or --first M for consistency", hint="govern ledger prove --index 0")
    with connect() as api:
        emit_json(api.get("/api/v1/ledger/proof", index=index, size=size, first=first, second=second))


@ledger.command()
def export(
    out: Annotated[str, typer.Argument(metavar="FILE|-", help="One JSON entry a line; - for standard output.")] = "-",
    start: Annotated[int, typer.Option(min=0, help="The first entry.")] = 0,
    form: Annotated[Form, typer.Option("--format", help="entries, or openlineage: the events alone, as they came in.")] = Form.ENTRIES,
    since: Annotated[str | None, typer.Option("--since", help="Only events whose time is this or later (openlineage).")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Only events whose time is earlier (openlineage).")] = None,
) -> None:
    """Every entry, in order, one a line; or the OpenLineage events, of all times or of a window."""
    if form is Form.ENTRIES and (since is not None or until is not None):
        raise Usage("--since and --until choose events", hint="govern ledger export --format openlineage --since TIME")
    if form is Form.OPENLINEAGE and start:
        raise Usage("--start counts entries; events are chosen by --since and --until", hint="govern ledger export --help")
    with connect() as api:

        def write(sink: int) -> int:
            return _export(api, start, sink) if form is Form.ENTRIES else _events(api, since, until, sink)

        if out == "-":
            write(sys.stdout.fileno())
            return
        half = Path(out).with_name(f".{Path(out).name}.part")
        try:
            with half.open("wb") as sink:
                count = write(sink.fileno())
            half.replace(out)
        finally:
            half.unlink(missing_ok=True)
    say(f"{count} {'entries' if form is Form.ENTRIES else 'events'} written to {out}")


def _events(api: Api, since: str | None, until: str | None, sink: int) -> int:
    """The events, a page at a time; what was destroyed is said on standard error, for the file cannot say it."""
    count, destroyed, cursor = 0, 0, None
    with os.fdopen(os.dup(sink), "wb") as file:
        while True:
            data, headers = api.file("/api/v1/export/openlineage", since=since, until=until, limit=_PAGE, cursor=cursor)
            file.write(data)
            count += int(data.count(b"\n"))
            destroyed += int(headers.get("govern-destroyed", "0"))
            cursor = headers.get("govern-next")
            if cursor is None:
                break
    if destroyed:
        sys.stderr.write(f"{destroyed} events are not exported: their payloads were destroyed\n")
    return count


def _export(api: Api, start: int, sink: int) -> int:
    count = 0
    with os.fdopen(os.dup(sink), "wb") as file:
        while True:
            page = api.get("/api/v1/ledger/entries", start=start + count, limit=_PAGE)
            for entry in page["entries"]:
                file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
            count += len(page["entries"])
            if not page["entries"] or start + count >= page["size"]:
                return count
