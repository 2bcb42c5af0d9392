"""``govern trace`` and ``impact``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from governance.cli.client import Api, connect
from governance.cli.exits import GONE, Usage
from governance.cli.names import model_ref, read_subject
from governance.cli.output import console, emit_json, fields, say, short, table, write_file
from governance.cli.trace_view import completeness_line, trace_tree

__all__ = ["impact", "trace"]


class Format(StrEnum):
    """How an answer is shown."""

    TREE = "tree"
    JSON = "json"
    PDF = "pdf"


class Direction(StrEnum):
    """Towards the sources, or towards the uses."""

    UP = "up"
    DOWN = "down"


AsOf = Annotated[str | None, typer.Option("--as-of", help="As things were at this time (RFC 3339).")]
KnownAt = Annotated[str | None, typer.Option("--known-at", help="As was known at this time (RFC 3339).")]
Depth = Annotated[int | None, typer.Option("--depth", min=1, help="At most so many hops.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 4 when the answer is not complete.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def trace(  # noqa: PLR0917 - typer makes options of them; nobody calls it by position
    model: Annotated[str | None, typer.Argument(metavar="MODEL[@VERSION|@ALIAS]")] = None,
    prediction: Annotated[str | None, typer.Option("--prediction", metavar="ID")] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="ID")] = None,
    dataset: Annotated[tuple[str, str] | None, typer.Option("--dataset", metavar="NAMESPACE NAME")] = None,
    direction: Annotated[Direction, typer.Option(help="up: what made it; down: what it reached.")] = Direction.UP,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    depth: Depth = None,
    strict: Strict = False,
    form: Annotated[Format, typer.Option("--format", help="tree, json, or pdf (a signed paper).")] = Format.TREE,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the PDF is written.")] = None,
    as_json: Json = False,
) -> None:
    """What made a model version, a prediction, a run or a dataset: rows, code, parameters, approvals."""
    given = [thing for thing in (model, prediction, run, dataset) if thing is not None]
    if len(given) != 1:
        raise Usage("name one thing: MODEL, --prediction ID, --run ID or --dataset NAMESPACE NAME", hint="govern trace credit-risk")
    with connect() as api:
        if form is Format.PDF:
            _paper(api, model, prediction, out)
            return
        when = {"as_of": as_of, "known_at": known_at, "depth": depth}
        if prediction is not None and direction is Direction.UP and not any(when.values()):
            answer = api.get(f"/api/v1/predictions/{prediction}/trace")
        else:
            if model is not None:
                model_ref(model)
            namespace, name = dataset or (None, None)
            answer = api.get(
                "/api/v1/trace",
                model=model,
                prediction=prediction,
                run=run,
                namespace=namespace,
                name=name,
                direction=direction.value,
                **when,
            )
    _show(answer, as_json=as_json or form is Format.JSON, strict=strict)


def _show(answer: dict[str, Any], *, as_json: bool, strict: bool) -> None:
    if as_json:
        emit_json(answer)
    else:
        console().print(trace_tree(answer))
    if strict and not (answer.get("completeness") or {}).get("complete"):
        raise typer.Exit(GONE)


def _paper(api: Api, model: str | None, prediction: str | None, out: Path | None) -> None:
    if model is None and prediction is None:
        raise Usage("a paper is about a model or a prediction", hint="govern trace MODEL --format pdf")
    if model is not None:
        name, version = model_ref(model, default="")
        kind, subject, file = "model-trace", model, f"{name}{'-' + version if version else ''}-trace.pdf"
    else:
        kind, subject, file = "prediction-trace", str(prediction), f"prediction-{prediction}-trace.pdf"
    made = api.post("/api/v1/reports", {"kind": kind, "subject": subject})
    path = write_file(out or Path(file), api.bytes(f"/api/v1/reports/{made['id']}"))
    say(f"{path}  signed, ledger entry {made['ledger_index']}. Check it: govern verify {path} --keys KEYS")


def impact(  # noqa: PLR0917 - typer makes options of them; nobody calls it by position
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="FILE|-", help="A person, read from a file or standard input.")
    ] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", help="The dataset's namespace (default: this installation's).")] = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    depth: Depth = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """What a dataset, or a person's rows, reach: runs, model versions, live deployments."""
    if (dataset is None) == (subject is None):
        raise Usage("name a dataset, or give --subject FILE|-", hint="govern impact credit.train")
    if subject is not None and any((as_of, known_at, depth, namespace)):
        raise Usage("--as-of, --known-at, --depth and --namespace are about a dataset", hint="govern impact --subject FILE")
    with connect() as api:
        if subject is not None:
            answer = api.post("/api/v1/subjects:trace", read_subject(subject), once=False)
        else:
            where = namespace or f"govern://{api.get('/api/v1/keys/public')['installation']}"
            answer = api.get("/api/v1/trace", namespace=where, name=dataset, direction="down", as_of=as_of, known_at=known_at, depth=depth)
    if subject is None:
        _show(answer, as_json=as_json, strict=strict)
        return
    if as_json:
        emit_json(answer)
    else:
        _person(answer)
    if strict and not (answer.get("completeness") or {}).get("complete"):
        raise typer.Exit(GONE)


def _person(answer: dict[str, Any]) -> None:
    fields([("subject reference", short(answer.get("subject_ref"))), ("prediction records", answer.get("predictions", 0))])
    rows = [(item["dataset"], _count(item.get("rows")), item.get("versions")) for item in answer.get("datasets") or []]
    table(("dataset", "rows", "versions"), rows, empty="No dataset holds this person.")
    if answer.get("runs"):
        say(f"runs that read them: {len(answer['runs'])}")
    models = [(item["model"], item["version"], bool(item.get("live"))) for item in answer.get("models") or []]
    table(("model", "version", "live"), models, empty="No model version was made from this person's rows.")
    say(completeness_line(answer))


def _count(rows: Any) -> Any:
    return len(rows) if isinstance(rows, list) else rows
