"""``govern erasure``: requests from receipt to certificate."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from governance.cli.client import Api, connect
from governance.cli.exits import ERROR, GONE, SAID_NO, Usage
from governance.cli.names import read_subject
from governance.cli.output import emit_json, fields, say, table, when, write_file
from governance.cli.progress import bar

__all__ = ["erasure"]

Ident = Annotated[str, typer.Argument(metavar="ID")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ROUTE = "/api/v1/erasure-requests"
END: dict[str, int] = {
    "completed": 0,
    "completed_partial": GONE,
    "awaiting_decision": SAID_NO,
    "failed": ERROR,
    "refused": SAID_NO,
    "withdrawn": 0,
    "expired": ERROR,
}
"""States in which nothing goes on by itself, and the exit code of ``show --wait`` there."""

erasure = typer.Typer(
    help="Erase a person: from data, models and predictions, with a signed certificate.", no_args_is_help=True, add_completion=False
)


@erasure.command()
def request(
    subject: Annotated[str, typer.Option("--subject", metavar="FILE|-", help='A file (or -) with {"type": …, "value": …} or type:value.')],
    regulation: Annotated[str, typer.Option(help="The law whose clock runs.")] = "GDPR",
    ground: Annotated[str, typer.Option(help="The ground the person states.")] = "Art. 17(1)",
    as_json: Json = False,
) -> None:
    """Enter a request. Nothing is done before the person's identity is verified."""
    body = {"subject": read_subject(subject), "regulation": regulation, "ground": ground}
    with connect() as api:
        answer = api.post(ROUTE, body)
    if as_json:
        emit_json(answer)
        return
    fields([("request", answer["id"]), ("state", answer["state"]), ("due", when(answer.get("due_at")))])
    say(f"Next: govern erasure verify {answer['id']} --method METHOD --verifier NAME")


@erasure.command("list")
def list_requests(state: Annotated[str | None, typer.Option(help="Only requests in this state.")] = None, as_json: Json = False) -> None:
    """The requests with their states and deadlines."""
    with connect() as api:
        answer = api.get(ROUTE, state=state)
    if as_json:
        emit_json(answer)
        return
    items: list[dict[str, Any]] = next((value for value in answer.values() if isinstance(value, list)), [])
    rows = [(item["id"], item["state"], when(item.get("created_at")), when(item.get("due_at"))) for item in items]
    table(("request", "state", "received", "due"), rows, empty="No erasure requests.")


@erasure.command()
def show(
    ident: Ident,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until nothing goes on by itself; the exit code says how it ended.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that --wait waits.")] = 3600.0,
    as_json: Json = False,
) -> None:
    """One request: state, deadline, what happens to each asset and at which level."""
    with connect() as api:
        answer = _wait(api, ident, timeout) if wait else api.get(f"{ROUTE}/{ident}")
    _show(answer, as_json=as_json)
    if wait and (code := END.get(answer["state"], GONE)):
        raise typer.Exit(code)


def _wait(api: Api, ident: str, timeout: float) -> dict[str, Any]:
    pause, end = 0.1, time.monotonic() + timeout
    with bar(f"erasure {ident}") as seen:
        while True:
            answer: dict[str, Any] = api.get(f"{ROUTE}/{ident}")
            seen(answer)
            if answer["state"] in END or time.monotonic() > end:
                return answer
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)


def _show(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit_json(answer)
        return
    fields([("request", answer["id"]), ("state", answer["state"]), ("due", when(answer.get("due_at"))), ("ground", answer.get("ground"))])
    rows = [
        (item["id"], item.get("found"), item.get("action"), item.get("status"), item.get("level"), item.get("reason"))
        for item in answer.get("assets") or []
    ]
    table(("asset", "found", "action", "status", "level", "reason"), rows, empty="Nothing was searched yet.")
    error = answer.get("error")
    if error:
        say(f"error: {error.get('detail', error) if isinstance(error, dict) else error}")
    nexts = {
        "identity_pending": f"govern erasure verify {answer['id']} --method METHOD --verifier NAME",
        "in_review": f"govern erasure approve {answer['id']}   (with another key than the requester's)",
        "awaiting_decision": f"govern erasure decide {answer['id']} keep|withdraw|release",
        "completed": f"govern erasure certificate {answer['id']}",
        "completed_partial": f"govern erasure certificate {answer['id']}",
    }
    if answer["state"] in nexts:
        say(f"Next: {nexts[answer['state']]}")


def _act(ident: str, verb: str, body: dict[str, Any], *, as_json: bool) -> None:
    with connect() as api:
        answer = api.post(f"{ROUTE}/{ident}/{verb}", {name: value for name, value in body.items() if value is not None})
    if as_json:
        emit_json(answer)
    else:
        _show(answer, as_json=False)


@erasure.command()
def verify(
    ident: Ident,
    method: Annotated[str, typer.Option(help="How the identity was checked.")],
    verifier: Annotated[str, typer.Option(help="Who checked it.")],
    as_json: Json = False,
) -> None:
    """Say that the person's identity is verified; the scope is then searched and frozen."""
    _act(ident, "verify", {"method": method, "verifier": verifier}, as_json=as_json)


@erasure.command()
def approve(ident: Ident, note: Annotated[str | None, typer.Option()] = None, as_json: Json = False) -> None:
    """Approve, with another key than the requester's; the work starts."""
    _act(ident, "approve", {"note": note}, as_json=as_json)


@erasure.command()
def refuse(
    ident: Ident,
    ground: Annotated[str, typer.Option(help="The ground of the refusal.")],
    notice: Annotated[str, typer.Option(help="What the person is told.")],
    as_json: Json = False,
) -> None:
    """Refuse, with the ground and the notice to the person."""
    _act(ident, "refuse", {"ground": ground, "notice": notice}, as_json=as_json)


@erasure.command()
def hold(
    ident: Ident,
    assets: Annotated[list[str], typer.Argument(metavar="ASSET…", help="Asset ids, as `govern erasure show` lists them.")],
    ground: Annotated[str, typer.Option(help="Why they must be kept for now.")],
    review: Annotated[str, typer.Option(help="When the hold must be looked at again (RFC 3339).")],
    as_json: Json = False,
) -> None:
    """Keep assets for now, with ground and day of review; all others proceed."""
    _act(ident, "hold", {"assets": assets, "ground": ground, "review": review}, as_json=as_json)


@erasure.command()
def extend(ident: Ident, reason: Annotated[str, typer.Option(help="The reason the person was told.")], as_json: Json = False) -> None:
    """Extend the deadline once, as the law allows."""
    _act(ident, "extend", {"reason": reason}, as_json=as_json)


@erasure.command()
def withdraw(ident: Ident, reason: Annotated[str | None, typer.Option()] = None, as_json: Json = False) -> None:
    """The person takes the request back; possible until something was destroyed."""
    _act(ident, "withdraw", {"reason": reason}, as_json=as_json)


@erasure.command()
def decide(
    ident: Ident,
    action: Annotated[str, typer.Argument(metavar="keep|withdraw|release|retry")],
    reason: Annotated[str | None, typer.Option()] = None,
    as_json: Json = False,
) -> None:
    """Decide what serves when a successor failed its gate."""
    if action not in ("keep", "withdraw", "release", "retry"):
        raise Usage(f"{action!r} is not keep, withdraw, release or retry", hint=f"govern erasure decide {ident} withdraw")
    _act(ident, "decide", {"action": action, "reason": reason}, as_json=as_json)


@erasure.command()
def certificate(
    ident: Ident,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where it is written (default: erasure-ID.pdf).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the dossier as JSON in place of the PDF.")] = False,
) -> None:
    """Save the signed certificate."""
    with connect() as api:
        if as_json:
            emit_json(json.loads(api.bytes(f"{ROUTE}/{ident}/certificate", format="json")))
            return
        path = write_file(out or Path(f"erasure-{ident}.pdf"), api.bytes(f"{ROUTE}/{ident}/certificate"))
    say(f"{path}  Check it: govern verify {path} --keys KEYS")
