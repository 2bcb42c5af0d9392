"""``govern lineage retain``: the payloads of old events are destroyed, the proofs and the graph stay."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from governance.cli.client import Api, connect
from governance.cli.exits import Usage
from governance.cli.output import emit_json, fields, say, when
from governance.cli.progress import bar
from lineage.errors import GovernError

__all__ = ["retain"]

_PAUSE = 0.2


def retain(
    older_than: Annotated[str, typer.Option("--older-than", metavar="AGE", help="A number and s, m, h, d or w: 90d.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be destroyed, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Destroy the payloads of events recorded longer ago than AGE, once a signed snapshot of the graph holds what they said.

    Leaves, headers and proofs stay, and so do events that could not be folded. What is destroyed cannot be exported or replayed again.
    """
    with connect() as api:
        would = api.get("/api/v1/lineage/retain", older_than=older_than)["would"]
        if dry_run:
            _show(would, as_json=as_json)
            return
        if would["events"] and not yes:
            _ask(would)
        with bar("retain") as seen:
            answer = _done(api, older_than, seen)
    _show(answer, as_json=as_json)


def _ask(would: dict[str, Any]) -> None:
    question = f"Destroy the payloads of {would['events']:,} events ({would['bytes']:,} bytes)? They cannot be brought back."
    if not sys.stdin.isatty():
        raise Usage(question, hint="add --yes, or look first with --dry-run")
    typer.confirm(question, abort=True, err=True)


def _done(api: Api, older_than: str, seen: Any) -> dict[str, Any]:
    """Begin a run and wait for its end; when this command ends early the server goes on."""
    run = api.post("/api/v1/lineage/retain", older_than=older_than)["run"]
    while run["state"] == "running":
        seen({"progress": {"done": 0, "total": None, "what": "a snapshot, then payloads"}})
        time.sleep(_PAUSE)
        run = api.get("/api/v1/lineage/retain")["run"]
    if run["state"] == "failed":
        raise GovernError(run["error"]["detail"], hint=run["error"]["hint"])
    answer: dict[str, Any] = run["answer"]
    return answer


def _show(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit_json(answer)
        return
    snapshot = answer["snapshot"]
    rows = [("recorded before", when(answer["recorded_before"])), ("events", answer["events"]), ("bytes", answer["bytes"])]
    rows.append(("dead letters kept", answer["dead_letters_kept"]))
    if snapshot is not None:
        rows += [("snapshot", "a new one" if snapshot["new"] else "the one that is there"), ("stands for entries", snapshot["position"])]
        rows += [(name, snapshot[name]) for name in ("sha256", "graph_digest") if name in snapshot]
    fields(rows)
    if answer["dry_run"]:
        say("Nothing was changed.")
