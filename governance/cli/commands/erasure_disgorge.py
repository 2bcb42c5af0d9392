"""``govern erasure disgorge``: an order to erase a dataset and all that descends from it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from governance.cli.client import connect
from governance.cli.exits import Usage
from governance.cli.output import emit_json, fields, say, table, when

__all__ = ["disgorge"]


def disgorge(  # noqa: PLR0917 - typer hands them over by position
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A registered dataset.")],
    ground: Annotated[str, typer.Option(help="Why; name no person.")],
    reference: Annotated[str, typer.Option(help="The number of the order.")],
    due: Annotated[str, typer.Option(metavar="TIME", help="By when it has to be carried out.")],
    version: Annotated[str | None, typer.Option(help="One of its versions; without it all of them.")] = None,
    models: Annotated[
        str,
        typer.Option(metavar="retrain|retire", help="Models in service: trained again where rows are left to train on; or all retired."),
    ] = "retrain",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only the plan; nothing is entered.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Erase a dataset and all that descends from it: derived data, model versions, deployments, whoever the rows are about.

    Nothing is erased before another key approves it:

        govern erasure disgorge scraped.faces --ground "no consent" --reference C-4743 --due 2027-01-31 --dry-run
        govern erasure disgorge scraped.faces --ground "no consent" --reference C-4743 --due 2027-01-31
        govern erasure approve ID
    """
    if models not in ("retrain", "retire"):
        raise Usage(f"{models!r} is not retrain or retire", hint="--models retire")
    body: dict[str, Any] = {"dataset": dataset, "ground": ground, "reference": reference, "due": due, "models": models}
    body |= ({"version": version} if version is not None else {}) | ({"dry_run": True} if dry_run else {})
    with connect() as api:
        answer: dict[str, Any] = api.post("/api/v1/disgorgements", body)
    if as_json:
        emit_json(answer)
        return
    order = answer["order"]
    fields(
        [
            ("order", order["reference"]),
            ("dataset", order["dataset"] + (f"@{order['version']}" if order["version"] else ", every version")),
            ("due", when(order["due_at"])),
            ("request", answer.get("id")),
            ("state", answer.get("state", "a dry run: nothing was entered")),
        ]
    )
    work = [item for item in answer["assets"] if item["action"] != "none"]
    rows = [(item["action"], item["id"], item["found"], ", ".join(item["detail"].get("environments", ()))) for item in work]
    table(("what", "asset", "rows", "serves in"), rows, empty="Nothing descends from it.")
    say(f"In {len(answer['assets']) - len(work)} more place(s) nothing was found.")
    if not dry_run:
        say(f"Next: govern erasure approve {answer['id']}   (with a key that did not enter it)")
