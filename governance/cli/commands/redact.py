"""``govern ledger redact``: what must not be kept is taken out of events, in the ledger and in the graph."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from governance.cli.client import connect
from governance.cli.commands.rebuild import follow
from governance.cli.exits import Usage
from governance.cli.output import emit_json, say
from governance.cli.progress import bar

__all__ = ["redact"]


def redact(
    indexes: Annotated[list[int], typer.Argument(metavar="INDEX…", min=0, help="Ledger entries of kind openlineage.")],
    reason: Annotated[str, typer.Option(help="Why, for the ledger; name no person.")],
    *,
    field: Annotated[list[str] | None, typer.Option("--field", metavar="POINTER", help="A JSON pointer; may be repeated.")] = None,
    text: Annotated[
        str | None, typer.Option("--text", metavar="FILE|-", help="A file (or -) with the text to replace wherever it stands.")
    ] = None,
    instead: Annotated[str | None, typer.Option("--as", metavar="TEXT", help="What takes the place (default: ***); names need it.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take out of events what must not be kept, for example a person's name in SQL or in a path.

    The payload is destroyed, an entry says what stands in its place, every proof holds; then the graph is made anew from that form.
    Examples: govern ledger redact 17 --field /job/facets/sql/query --reason "literal in SQL";
    echo anna@example.org | govern ledger redact 17 18 --text - --as person-1 --reason "name in a path".
    """
    body: dict[str, Any] = {"entries": indexes, "fields": field or [], "reason": reason}
    if text is not None:
        body["text"] = _read(text)
    if instead is not None:
        body["instead"] = instead
    if not field and text is None:
        raise Usage("say what is to be redacted: --field POINTER or --text FILE|-", hint="govern ledger redact --help")
    if not yes:
        _ask(len(indexes))
    with connect() as api, bar("redact") as seen:
        answer = api.post("/api/v1/ledger/redactions", body)
        graph = follow(api, seen, api.get("/api/v1/lineage/status", digest="false")["entries"])
    if as_json:
        emit_json({**answer, "rebuild": graph})
        return
    for item in answer["redacted"]:
        how = f"{item['places']} place(s) redacted, said by entry {item['by']}" if item["by"] is not None else "was redacted before"
        say(f"entry {item['entry']}: {how}")
    say(f"The graph was made anew from {graph['entries']} entries; {answer['snapshots_deleted']} snapshot(s) of it were deleted.")


def _read(source: str) -> str:
    """The text, from a file or standard input: an argument would stand in the shell's history and in the list of processes."""
    if source == "-":
        found = sys.stdin.read()
    elif Path(source).is_file():
        found = Path(source).read_text(encoding="utf-8")
    else:
        raise Usage("the text is read from a file or from - (standard input), and there is no such file", hint="pipe it to --text -")
    found = found.removesuffix("\n")
    if not found:
        raise Usage("the text is empty", hint="give the text as it stands in the event")
    return found


def _ask(count: int) -> None:
    question = f"Destroy what {count} event(s) said there? It cannot be brought back."
    if not sys.stdin.isatty():
        raise Usage(question, hint="add --yes; look first with: govern ledger export")
    typer.confirm(question, abort=True, err=True)
