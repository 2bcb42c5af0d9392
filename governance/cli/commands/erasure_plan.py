"""``govern erasure plan``: what a request would do, before anyone approves it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from governance.cli.client import connect
from governance.cli.output import emit_json, fields, say, table, when

__all__ = ["plan"]


def plan(
    ident: Annotated[str, typer.Argument(metavar="ID")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What would be purged and retrained, when it would end, and what it would cost; before the approval, or as it stands."""
    with connect() as api:
        answer: dict[str, Any] = api.get(f"/api/v1/erasure-requests/{ident}/plan")
    if as_json:
        emit_json(answer)
        return
    done = answer["progress"]
    fields(
        [
            ("request", answer["request"]),
            ("state", answer["state"]),
            ("due", when(answer["due_at"])),
            ("expected end", when(answer["eta"])),
            ("in time", "yes" if answer["in_time"] else "no"),
            ("retraining", f"{answer['seconds']} s"),
            ("done", f"{done['done']} of {done['total']} assets, {done['worked_on']} more worked on and to be looked at again"),
        ]
    )
    rows = [
        (
            f"{item['model']}@{','.join(map(str, item['versions']))}",
            when(item["at"]),
            item["because"],
            f"{item['seconds']} s",
            item["with_requests"],
        )
        for item in answer["retrain"]
    ]
    table(("retrain", "at", "because", "takes", "other requests"), rows, empty="No model is to be retrained.")
    for item in answer["retrain"]:
        if item.get("strategy") == "replay" and item.get("expected_fraction") is not None:
            share = f"{item['expected_fraction']:.0%}"
            say(f"{item['model']}: strategy replay; for this request alone {share} of a full training is expected to be done again.")
    listed = [
        (action, item["asset"], item["found"], item["status"])
        for action in ("purge", "retire", "destroy", "notify", "review", "retained")
        for item in answer[action]
    ]
    table(("what", "asset", "found", "status"), listed, empty="Nothing is to be erased.")
    say(f"In {answer['nothing']} more place(s) nothing was found.")
    for alert in answer["alerts"]:
        say(f"{alert['kind']}: {alert['model']}: {alert['detail']}")
