"""``govern policy`` and ``budget``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from governance.cli.client import connect
from governance.cli.output import emit_json, fields, table
from lineage.errors import NotFound

__all__ = ["budget", "policy"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
policy = typer.Typer(help="Policies.", no_args_is_help=True, add_completion=False)
budget = typer.Typer(help="Privacy budgets.", no_args_is_help=True, add_completion=False)


@policy.callback()
@budget.callback()
def _group() -> None:
    """Keeps a group with one command a group."""


@policy.command()
def check(file: Annotated[Path, typer.Argument(metavar="FILE")], as_json: Json = False) -> None:
    """Read a policy as the server would; names the line of everything that is wrong."""
    from governance.policy import parse_policy

    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}", hint="govern policy check FILE") from error
    parsed = parse_policy(text)
    if as_json:
        emit_json({"ok": True, "digest": parsed.digest, "policy": parsed.to_json()})
        return
    fields([("policy", f"{parsed.name} {parsed.version}"), ("digest", parsed.digest), ("gates", len(parsed.gates))])


@budget.command()
def show(model: Annotated[str | None, typer.Argument(help="Only this model.")] = None, as_json: Json = False) -> None:
    """What differentially private trainings have spent, and what they may."""
    with connect() as api:
        answer = api.get("/api/v1/budgets")
    chosen = [item for item in answer["budgets"] if model is None or item["model"] == model]
    if as_json:
        emit_json({**answer, "budgets": chosen})
        return
    rows = []
    for item in chosen:
        limit = item.get("limit") or {}
        rows.append(
            (
                item["model"],
                item["dataset"],
                item["epsilon"],
                limit.get("epsilon", "no limit"),
                item["delta"],
                len(item.get("spends") or []),
            )
        )
    table(("model", "dataset", "epsilon spent", "epsilon limit", "delta spent", "trainings"), rows, empty="No privacy budget was spent.")
