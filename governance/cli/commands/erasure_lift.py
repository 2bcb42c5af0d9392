"""``govern erasure lift``: somebody who was erased comes back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from governance.cli.client import connect
from governance.cli.exits import Usage
from governance.cli.output import emit_json, fields, say, when

__all__ = ["lift", "lift_line"]


def lift(  # noqa: PLR0917 - typer hands them over by position
    ident: Annotated[str, typer.Argument(metavar="ID", help="The request under which the person was erased.")],
    ground: Annotated[str | None, typer.Option(help="A ground of the law pack, e.g. art-6-1-b; govern erasure packs lists them.")] = None,
    reasons: Annotated[str | None, typer.Option(help="How the person showed that they want it; name no person.")] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Agree, with another key than the one that asked.")] = False,
    note: Annotated[str | None, typer.Option(help="Kept beside the approval.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take a person off the suppression list who was erased and comes back. One key asks, another approves.

    What was erased stays erased, in restored backups too; what the person gives from now on is taken in.

    govern erasure lift ID --ground art-6-1-b --reasons "new contract, signed at the front desk"

    govern erasure lift ID --approve
    """
    if approve == (ground is not None or reasons is not None):
        raise Usage("ask with --ground and --reasons, or agree with --approve", hint=f"govern erasure lift {ident} --ground … --reasons …")
    if not approve and not (ground and reasons):
        raise Usage("a lift needs its ground and its reasons", hint=f"govern erasure lift {ident} --ground … --reasons …")
    path = f"/api/v1/erasure-requests/{ident}/lift"
    with connect() as api:
        if approve:
            answer = api.post(f"{path}/approve", {"note": note} if note else {})
        else:
            answer = api.post(path, {"ground": ground, "reasons": reasons})
    if as_json:
        emit_json(answer)
        return
    fields([("request", answer["id"]), ("lift", lift_line(answer["lift"]))])
    if not approve:
        say(f"Next: govern erasure lift {ident} --approve   (with another privacy key)")


def lift_line(body: dict[str, Any]) -> str:
    """One line on a lift: the ground, and how far it is."""
    approved = body.get("approved")
    how = f"lifted {when(approved['at'])}" if approved else f"asked {when(body['asked']['at'])}, waits for another key"
    return f"{body['ground']} ({body['article']}): {how}"
