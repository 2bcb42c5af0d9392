"""``govern incident``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from governance.cli.client import connect
from governance.cli.commands.collection import list_all
from governance.cli.output import emit_json, fields, say, when

__all__ = ["incident"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Ident = Annotated[str, typer.Argument(metavar="ID")]
ROUTE = "/api/v1/incidents"
incident = typer.Typer(
    help="Incidents on a prediction: traced, held, and a regression case for every later gate.", no_args_is_help=True, add_completion=False
)


@incident.command("open")
def open_incident(
    prediction: Annotated[str, typer.Option("--prediction", metavar="ID")],
    summary: Annotated[str, typer.Option(help="What happened; name no person.")],
    expect: Annotated[str, typer.Option(metavar="LABEL", help="The label the prediction should have had.")],
    as_json: Json = False,
) -> None:
    """Open an incident: its model version and record are held, and a regression case is kept."""
    with connect() as api:
        answer = api.post(ROUTE, {"prediction": prediction, "summary": summary, "expect": expect})
    if as_json:
        emit_json(answer)
        return
    _fields(answer)
    say(f"Next: govern report incident-trace {answer['id']}")


def _fields(item: dict[str, Any]) -> None:
    holds = [hold["asset"] if isinstance(hold, dict) else hold for hold in item.get("holds") or []]
    fields(
        [
            ("incident", item["id"]),
            ("state", item.get("state")),
            ("prediction", item.get("prediction")),
            ("model", f"{item['model']}@{item['version']}" if item.get("model") else None),
            ("expected", item.get("expect")),
            ("held", holds),
            ("regression case", item.get("case")),
        ]
    )


@incident.command("list")
def list_incidents(as_json: Json = False) -> None:
    """The incidents."""
    columns = ("incident", "state", "model", "version", "opened", "summary")
    list_all(ROUTE, "incidents", columns, _row, empty="No incidents.", as_json=as_json)


def _row(item: dict[str, Any]) -> tuple[Any, ...]:
    return item["id"], item.get("state"), item.get("model"), item.get("version"), when(item.get("opened_at")), item.get("summary")


@incident.command()
def show(ident: Ident, as_json: Json = False) -> None:
    """One incident with its trace."""
    from governance.cli.output import console
    from governance.cli.trace_view import trace_tree

    with connect() as api:
        answer = api.get(f"{ROUTE}/{ident}")
    if as_json:
        emit_json(answer)
        return
    _fields(answer)
    if answer.get("trace"):
        console().print(trace_tree(answer["trace"]))


@incident.command()
def close(
    ident: Ident,
    resolution: Annotated[str | None, typer.Option(help="How it ended.")] = None,
    as_json: Json = False,
) -> None:
    """Close an incident: its holds end, the regression case stays."""
    with connect() as api:
        answer = api.post(f"{ROUTE}/{ident}/close", {"resolution": resolution} if resolution else {})
    if as_json:
        emit_json(answer)
    else:
        say(f"incident {ident} is closed; its holds ended, its regression case stays")
