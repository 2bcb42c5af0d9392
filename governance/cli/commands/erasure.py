"""``govern erasure``: requests from receipt to certificate."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from governance.cli.client import Api, connect
from governance.cli.commands.backup import export_suppression
from governance.cli.commands.erasure_disgorge import disgorge
from governance.cli.commands.erasure_intake import intake
from governance.cli.commands.erasure_lift import lift, lift_line
from governance.cli.commands.erasure_plan import plan
from governance.cli.commands.erasure_task import task
from governance.cli.exits import ERROR, GONE, SAID_NO, Usage
from governance.cli.names import read_secret, read_subject
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


erasure.command()(plan)


@erasure.command()
def request(  # noqa: PLR0917 - typer hands them over by position
    subject: Annotated[str, typer.Option("--subject", metavar="FILE|-", help='A file (or -) with {"type": …, "value": …} or type:value.')],
    regulation: Annotated[str, typer.Option(help="The law whose clock runs.")] = "GDPR",
    ground: Annotated[str, typer.Option(help="The ground the person states.")] = "Art. 17(1)",
    contact: Annotated[
        str | None, typer.Option("--contact", metavar="FILE|-", help="A file (or -) with the person's e-mail address; kept encrypted.")
    ] = None,
    received: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it reached you, if before now: the clock runs from then.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Enter a request. Nothing is done before the person's identity is verified.

    Neither the person nor the address is an argument, which would stay in the shell's history:

        echo applicant:17 > person.txt; echo name@example.org > contact.txt
        govern erasure request --subject person.txt --contact contact.txt --received 2026-11-02T09:00:00+01:00
    """
    if subject == "-" == contact:
        raise Usage("--subject and --contact cannot both be read from -", hint="put one of them into a file")
    body: dict[str, Any] = {"subject": read_subject(subject), "regulation": regulation, "ground": ground}
    if contact is not None:
        body["contact"] = {"channel": "email", "address": read_secret(contact, "--contact")}
    if received is not None:
        body["received"] = received
    with connect() as api:
        answer = api.post(ROUTE, body)
    if as_json:
        emit_json(answer)
        return
    fields([("request", answer["id"]), ("state", answer["state"]), ("due", when(answer.get("due_at")))])
    if contact is not None:
        say(f"Next: govern erasure challenge {answer['id']} --method code   (sends a one-time code)")
    else:
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
    for clock in answer.get("clocks") or []:
        say(f"clock    {_clock(clock)}")
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
        "in_review": f"govern erasure approve {answer['id']}   (with a key that neither requested nor verified)",
        "awaiting_decision": f"govern erasure decide {answer['id']} keep|withdraw|release",
        "completed": f"govern erasure certificate {answer['id']}",
        "completed_partial": f"govern erasure certificate {answer['id']}",
    }
    if answer.get("lift"):
        say(f"lift    {lift_line(answer['lift'])}")
    if answer["state"] in nexts:
        say(f"Next: {nexts[answer['state']]}")


def _clock(clock: dict[str, Any]) -> str:
    """One clock in a line: which, by when, how far, and on what it rests."""
    if clock["stopped_at"] is not None:
        how = "done late" if clock["late"] else "done in time"
    elif clock["suspended_since"] is not None:
        how = f"stands still since {when(clock['suspended_since'])}"
    else:
        how = "OVERDUE" if clock["late"] else f"{clock['percent']} % passed"
    more = ", extended" if clock["extended"] else ""
    return f"{clock['rule']}: by {clock['due_day']} ({clock['zone']}), {how}{more}; {clock['basis']}: {clock['source']}"


def _act(ident: str, verb: str, body: dict[str, Any], *, as_json: bool) -> None:
    with connect() as api:
        answer = api.post(f"{ROUTE}/{ident}/{verb}", {name: value for name, value in body.items() if value is not None})
    if as_json:
        emit_json(answer)
    else:
        _show(answer, as_json=False)


@erasure.command()
def challenge(
    ident: Ident,
    method: Annotated[
        str, typer.Option(metavar="code|oidc|ask", help="A one-time code to the contact, a login, or another proof.")
    ] = "code",
    note: Annotated[str | None, typer.Option(help="What was asked for (ask); name no person.")] = None,
    as_json: Json = False,
) -> None:
    """Ask the person to show who they are. Where the law says so, the clock stands still until it is answered.

    govern erasure challenge ID --method code

    govern erasure challenge ID --method ask --note "copy of a document, by letter"
    """
    if method not in ("code", "oidc", "ask"):
        raise Usage(f"{method!r} is not code, oidc or ask", hint=f"govern erasure challenge {ident} --method code")
    with connect() as api:
        answer = api.post(f"{ROUTE}/{ident}/challenge", {"method": method} | ({"note": note} if note else {}))
    if as_json:
        emit_json(answer)
        return
    asked = answer.get("challenge") or {}
    fields([("request", ident), ("asked", asked.get("method")), ("good until", when(asked.get("expires_at")))])
    if method == "oidc":
        say(f"nonce   {asked['nonce']}")
    nexts = {"code": "--code FILE|-   (within 15 minutes)", "oidc": "--id-token FILE|-", "ask": "--method METHOD --verifier NAME"}
    say(f"Next: govern erasure verify {ident} {nexts[method]}")


@erasure.command()
def verify(  # noqa: PLR0917 - typer hands them over by position
    ident: Ident,
    method: Annotated[str | None, typer.Option(help="How the identity was checked.")] = None,
    verifier: Annotated[str | None, typer.Option(help="Who checked it.")] = None,
    code: Annotated[str | None, typer.Option("--code", metavar="FILE|-", help="A file (or -) with the one-time code.")] = None,
    id_token: Annotated[str | None, typer.Option("--id-token", metavar="FILE|-", help="A file (or -) with the ID token.")] = None,
    as_json: Json = False,
) -> None:
    """Verify the person's identity; the scope is then searched and frozen.

    By the code that was sent, by a login, or by the word of whoever checked:

        echo "1234 5678" | govern erasure verify ID --code -
        govern erasure verify ID --method "identity card" --verifier "front desk"
    """
    given = [name for name, value in (("--code", code), ("--id-token", id_token), ("--method", method)) if value is not None]
    if len(given) != 1 or (method is not None) != (verifier is not None):
        raise Usage(
            "give --code, --id-token, or --method with --verifier; one of them",
            hint=f"govern erasure verify {ident} --method … --verifier …",
        )
    if code is not None:
        body: dict[str, Any] = {"code": read_secret(code, "--code")}
    elif id_token is not None:
        body = {"id_token": read_secret(id_token, "--id-token")}
    else:
        body = {"method": method, "verifier": verifier}
    _act(ident, "verify", body, as_json=as_json)


@erasure.command()
def acknowledge(ident: Ident, how: Annotated[str, typer.Option(help="By which way: letter, telephone …")], as_json: Json = False) -> None:
    """Say that the receipt was confirmed to the person, where no message did it."""
    _act(ident, "acknowledge", {"how": how}, as_json=as_json)


@erasure.command()
def approve(
    ident: Ident,
    note: Annotated[str | None, typer.Option()] = None,
    retain: Annotated[
        list[str] | None, typer.Option("--retain", metavar="ASSET=GROUND", help="Approve without this asset, on a ground of the law pack.")
    ] = None,
    reasons: Annotated[str | None, typer.Option(help="Why these assets are retained; name no person.")] = None,
    as_json: Json = False,
) -> None:
    """Approve, with a key that neither entered the request nor verified the identity; the work starts.

    govern erasure approve ID

    govern erasure approve ID --retain dataset:invoices=art-17-3-b --reasons "commercial law: ten years"
    """
    refuse = []
    for item in retain or []:
        asset, equals, ground = item.rpartition("=")
        if not (equals and asset and ground):
            raise Usage(f"--retain {item!r} is not ASSET=GROUND", hint="govern erasure packs lists the grounds")
        refuse.append({"asset": asset, "ground": ground} | ({"reasons": reasons} if reasons else {}))
    _act(ident, "approve", {"note": note, "refuse": refuse or None}, as_json=as_json)


@erasure.command()
def refuse(
    ident: Ident,
    ground: Annotated[str, typer.Option(help="A ground of the law pack, e.g. art-17-3-b; govern erasure packs lists them.")],
    reasons: Annotated[str | None, typer.Option(help="The reasons in plain words; name no person.")] = None,
    notice: Annotated[str | None, typer.Option(help="What the person was told already; without it the law pack's words are used.")] = None,
    as_json: Json = False,
) -> None:
    """Refuse, with the ground and the notice to the person."""
    _act(ident, "refuse", {"ground": ground, "reasons": reasons, "notice": notice}, as_json=as_json)


@erasure.command()
def hold(  # noqa: PLR0917 - typer hands them over by position
    ident: Ident,
    assets: Annotated[list[str], typer.Argument(metavar="ASSET…", help="Asset ids, as `govern erasure show` lists them.")],
    ground: Annotated[str, typer.Option(help="Why they must be kept for now.")],
    review: Annotated[str, typer.Option(help="When the hold must be looked at again (RFC 3339).")],
    until: Annotated[str | None, typer.Option(help="When the hold ends by itself (RFC 3339).")] = None,
    as_json: Json = False,
) -> None:
    """Keep assets for now, with ground and day of review; all others proceed."""
    _act(ident, "hold", {"assets": assets, "ground": ground, "review": review, "until": until}, as_json=as_json)


@erasure.command()
def release(
    ident: Ident,
    assets: Annotated[list[str], typer.Argument(metavar="ASSET…", help="Asset ids that this request holds.")],
    reason: Annotated[str | None, typer.Option(help="Why they need not be kept any more.")] = None,
    as_json: Json = False,
) -> None:
    """End the hold of assets; what waited for them is queued again by itself."""
    _act(ident, "release", {"assets": assets, "reason": reason}, as_json=as_json)


@erasure.command()
def packs(
    check: Annotated[Path | None, typer.Option("--check", metavar="FILE", help="Check a law pack of your own, without a home.")] = None,
    as_json: Json = False,
) -> None:
    """The law packs: clocks with their sources, grounds for a refusal."""
    if check is not None:
        from governance.erasure.law import parse_pack

        try:
            pack = parse_pack(check.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise Usage(f"{check} cannot be read ({type(error).__name__})", hint="give the path of a YAML file") from error
        say(f"{check}: {pack.id} version {pack.version}, {pack.status}, from {pack.effective_from}; {pack.digest}")
        return
    with connect() as api:
        answer = api.get("/api/v1/law-packs")
    if as_json:
        emit_json(answer)
        return
    rows = [
        (f"{pack['pack']} {pack['version']}", pack["status"], pack["effective_from"], name, rule["basis"], rule["source"])
        for pack in answer["packs"]
        for name, rule in pack["rules"].items()
    ]
    table(("pack", "status", "from", "clock", "basis", "source"), rows, empty="No law packs.")
    for pack in answer["packs"]:
        table(
            ("ground", "article", "says"),
            [(ground, law["article"], law["says"]) for ground, law in pack["grounds"].items()],
            empty="No grounds.",
            title=f"{pack['pack']} {pack['version']}: grounds",
        )
        table(
            ("ground", "article", "says"),
            [(ground, law["article"], law["says"]) for ground, law in pack.get("lifts", {}).items()],
            empty="",
            title=f"{pack['pack']} {pack['version']}: grounds to lift a suppression",
        )


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
    proofs: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also save the files of proofs that it names there: of very many rows it does not carry them."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the dossier as JSON in place of the PDF.")] = False,
) -> None:
    """Save the signed certificate."""
    with connect() as api:
        if as_json:
            emit_json(json.loads(api.bytes(f"{ROUTE}/{ident}/certificate", format="json")))
            return
        path = write_file(out or Path(f"erasure-{ident}.pdf"), api.bytes(f"{ROUTE}/{ident}/certificate"))
        files = _proof_files(api, ident, proofs) if proofs is not None else []
    say(f"{path}  Check it: govern verify {path} --keys KEYS{''.join(f' --proofs {one}' for one in files)}")


def _proof_files(api: Api, ident: str, folder: Path) -> list[Path]:
    """The files of proofs that the certificate names, each written under the beginning of its digest."""
    dossier = json.loads(api.bytes(f"{ROUTE}/{ident}/certificate", format="json"))
    listed = [one for made in dossier["data"]["successors"] for one in made["non_membership"]]
    digests = sorted({one["file"]["digest"].removeprefix("sha256:") for one in listed if one.get("file")})
    return [write_file(folder / f"{digest[:16]}.proofs", api.bytes(f"{ROUTE}/{ident}/proofs/{digest}")) for digest in digests]


erasure.command()(lift)
erasure.command()(intake)
erasure.command()(disgorge)
erasure.command("export-suppression")(export_suppression)
erasure.add_typer(task, name="task")
