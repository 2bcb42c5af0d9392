"""``govern report`` and ``verify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from governance.cli.client import connect
from governance.cli.exits import Usage
from governance.cli.output import emit_json, fields, say, table, when, write_file
from lineage.errors import BadInput

if TYPE_CHECKING:
    from reports.verify import TrustedKeys

__all__ = ["report", "verify"]

KINDS = ("model-trace", "prediction-trace", "incident-trace", "dataset-impact")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def report(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"{', '.join(KINDS)}, or list.")],
    subject: Annotated[str | None, typer.Argument(metavar="REF", help="MODEL[@VERSION], a prediction id or an incident id.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the PDF is written (default: KIND-REF.pdf).")] = None,
    as_json: Json = False,
) -> None:
    """Issue a signed paper, enter it in the ledger and save it; `govern report list` shows those issued."""
    if kind == "list":
        _list(as_json=as_json)
        return
    if kind not in KINDS:
        raise Usage(f"{kind!r} is not a kind of paper", hint=f"one of {', '.join(KINDS)}; a certificate: govern erasure certificate ID")
    if subject is None:
        raise Usage(f"{kind} is about something", hint=f"govern report {kind} {'credit-risk@1' if kind == 'model-trace' else 'ID'}")
    with connect() as api:
        made = api.post("/api/v1/reports", {"kind": kind, "subject": subject})
        path = write_file(out or Path(f"{kind}-{_plain(subject)}.pdf"), api.bytes(f"/api/v1/reports/{made['id']}"))
    if as_json:
        emit_json({**made, "file": str(path)})
    else:
        say(f"{path}  signed, ledger entry {made['ledger_index']}. Check it: govern verify {path} --keys KEYS")


def _list(*, as_json: bool) -> None:
    with connect() as api:
        answer = api.get("/api/v1/reports")
    if as_json:
        emit_json(answer)
        return
    rows = [
        (item["id"], item.get("kind"), item.get("subject"), when(item.get("created_at")), str(item.get("sha256", ""))[:12])
        for item in answer["reports"]
    ]
    table(("report", "kind", "about", "issued", "sha256"), rows, empty="No papers yet: govern report model-trace MODEL")


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    keys: Annotated[
        Path | None,
        typer.Option("--keys", help="The installation's public keys (govern keys public -o FILE), got elsewhere than the paper."),
    ] = None,
    proofs: Annotated[
        list[Path] | None,
        typer.Option(
            "--proofs", metavar="FILE", help="A file of proofs that a certificate names by its digest; may be given again and again."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a paper offline: intact, complete, trusted, anchored; four verdicts, and what could not be checked.

    Exit 0: all four hold. 3: something is broken. 5: valid, but the signer is not one you trust (or no --keys). 6: valid, not anchored.
    """
    from reports.verify import verify as check

    result = check(_read(file), _keys(keys) if keys else None, proofs=[_read(one) for one in proofs or ()])
    if as_json:
        emit_json(result.to_json())
    else:
        words = {True: "yes", False: "NO", None: "not known"}
        fields((name, words[getattr(result, name)]) for name in ("intact", "complete", "trusted", "anchored"))
        say("")
        for sentence in result.sentences:
            say(sentence)
        if result.not_checked:
            say("\nNot checked:")
            for sentence in result.not_checked:
                say(f"  - {sentence}")
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}", hint="govern verify FILE --keys KEYS") from error


def _keys(file: Path) -> TrustedKeys:
    from reports.verify import TrustedKeys

    try:
        body = json.loads(_read(file))
    except ValueError as error:
        raise BadInput(f"{file} holds no public keys: it is not JSON", hint="make it with: govern keys public -o FILE") from error
    if not isinstance(body, dict):
        raise BadInput(f"{file} holds no public keys", hint="make it with: govern keys public -o FILE")
    return TrustedKeys.from_json(body)


def _plain(subject: str) -> str:
    """What a paper is about, as a part of a file's name."""
    return "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in subject)
