"""``govern erasure intake``: many requests from a file, sent in parts, each row with its own answer."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Annotated, Any, Final

import typer

from governance.cli.client import Api, connect
from governance.cli.exits import Usage
from governance.cli.output import emit_json, say, table
from lineage.errors import BadInput

__all__ = ["intake"]

ROUTE: Final = "/api/v1/erasure-requests/batch"
TOGETHER: Final = 500
_FORMS: Final = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "json"}
_SHOWN: Final = 50
_MOST_JSON: Final = 8 * 1024 * 1024


def intake(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="CSV, lines of JSON, or a JSON array; - is standard input.")],
    form: Annotated[str | None, typer.Option("--format", help="csv, ndjson or json; else as the file's name ends.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which rows can be used; nothing is entered.")] = False,
    key: Annotated[
        str | None, typer.Option(help="Name of this intake: the same file under the same name again enters nothing twice.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every row's answer as a line of JSON.")] = False,
) -> None:
    """Enter a file of requests: columns type, value, perhaps regulation, ground and key. Wrong rows are named by line; the others go on.

    Nothing of the file is kept. Exit 1 when a row was refused.
    """
    form = form or _FORMS.get(Path(file).suffix)
    if form not in ("csv", "ndjson", "json"):
        raise Usage(f"{Path(file).name}: which form is it?", hint="--format csv, ndjson or json")
    name = key or secrets.token_hex(8)
    counts = dict.fromkeys(("rows", "entered", "known", "refused", "usable"), 0)
    refused: list[dict[str, Any]] = []
    with connect() as api, _opened(file) as source:
        for answer in _sent(api, source, form, name=name, dry_run=dry_run):
            for what, count in answer["summary"].items():
                counts[what] += count
            for row in answer["rows"]:
                if as_json:
                    sys.stdout.write(json.dumps(row) + "\n")
                elif row["status"] == "refused" and len(refused) < _SHOWN:
                    refused.append(row)
    if as_json:
        emit_json({"dry_run": dry_run, "key": name, "summary": counts})
    else:
        if refused:
            table(("line", "why it cannot be used"), [(row["line"], row["reason"]) for row in refused], empty="")
            if counts["refused"] > len(refused):
                say(f"… and {counts['refused'] - len(refused)} more: --json lists all")
        done = f"{counts['usable']} can be used" if dry_run else f"{counts['entered']} entered, {counts['known']} known before"
        say(f"{counts['rows']} rows: {done}, {counts['refused']} refused")
        if not dry_run:
            say(f"Again after a break: govern erasure intake {file} --key {name}")
    if counts["refused"]:
        raise typer.Exit(1)


def _opened(file: str) -> Any:
    if file == "-":
        return nullcontext(sys.stdin.buffer)
    if not Path(file).is_file():
        raise Usage(f"there is no file {file}", hint="name a file, or - for standard input")
    return Path(file).open("rb")


def _sent(api: Api, source: IO[bytes], form: str, *, name: str, dry_run: bool) -> Iterator[dict[str, Any]]:
    """The answers to the parts of a file, each row's line as it is in the file."""
    from governance.erasure.bulk import Row, lines_of, rows_of

    if form == "json":
        raw = source.read(_MOST_JSON + 1)
        if len(raw) > _MOST_JSON:
            raise BadInput("a JSON array of more than 8 MiB is not read whole", hint="write lines of JSON, and --format ndjson")
        source_rows: Iterable[Row] = rows_of([raw], form)
    else:
        source_rows = rows_of(lines_of(source), form)
    part: list[Row] = []
    for row in source_rows:
        part.append(row)
        if len(part) >= TOGETHER:
            yield _part(api, part, name=name, dry_run=dry_run)
            part = []
    if part:
        yield _part(api, part, name=name, dry_run=dry_run)


def _part(api: Api, part: list[Any], *, name: str, dry_run: bool) -> dict[str, Any]:
    """One body of lines of JSON. A row without a key of its own gets one from the intake's name and its line, not from what it holds."""
    usable = [row for row in part if row.body is not None]
    lines = [json.dumps({"key": f"{name}.{row.line}", **row.body}) for row in usable]
    answer: dict[str, Any] = {"summary": dict.fromkeys(("rows", "entered", "known", "refused", "usable"), 0), "rows": []}
    if lines:
        sent = "\n".join(lines).encode()
        answer = api.send("POST", ROUTE, sent, "application/x-ndjson", **({"dry_run": "true"} if dry_run else {}))
        for told in answer["rows"]:
            told["line"] = usable[told["line"] - 1].line
    faults = [{"line": row.line, "status": "refused", "id": None, "reason": row.fault} for row in part if row.body is None]
    answer["summary"]["rows"] += len(faults)
    answer["summary"]["refused"] += len(faults)
    return answer | {"rows": sorted([*answer["rows"], *faults], key=lambda told: told["line"])}
