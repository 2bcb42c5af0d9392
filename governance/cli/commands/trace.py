"""``govern trace`` and ``impact``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from governance.cli.client import Api, connect
from governance.cli.exits import GONE, Usage
from governance.cli.names import model_ref, read_subject
from governance.cli.output import console, emit_json, fields, say, short, table, write_file
from governance.cli.trace_gaps import completeness_line
from governance.cli.trace_view import trace_tree

__all__ = ["AsOf", "Json", "KnownAt", "Strict", "impact", "trace"]


class Format(StrEnum):
    """How an answer is shown."""

    TREE = "tree"
    JSON = "json"
    DOT = "dot"
    SVG = "svg"
    PROV = "prov"
    OPENLINEAGE = "openlineage"
    PDF = "pdf"


class Direction(StrEnum):
    """Towards the sources, or towards the uses."""

    UP = "up"
    DOWN = "down"


AsOf = Annotated[str | None, typer.Option("--as-of", help="As things were at this time (RFC 3339, or a day).")]
KnownAt = Annotated[str | None, typer.Option("--known-at", help="As Govern knew it at this time (RFC 3339, or a day).")]
Depth = Annotated[int | None, typer.Option("--depth", min=1, help="At most so many hops.")]
MaxNodes = Annotated[int | None, typer.Option("--max-nodes", min=1, help="Cut the walk there (20 000); the answer says so.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 4 when the answer is not complete.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Form = Annotated[
    Format, typer.Option("--format", help="tree, json, dot, svg, prov (W3C PROV-JSON), openlineage (the events), or pdf (a signed paper).")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where the file is written (dot, svg, prov, openlineage: else printed).")]


def trace(  # noqa: PLR0917 - typer makes options of them; nobody calls it by position
    model: Annotated[str | None, typer.Argument(metavar="MODEL[@VERSION|@ALIAS]")] = None,
    prediction: Annotated[str | None, typer.Option("--prediction", metavar="ID")] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="ID")] = None,
    dataset: Annotated[tuple[str, str] | None, typer.Option("--dataset", metavar="NAMESPACE NAME")] = None,
    column: Annotated[str | None, typer.Option("--column", metavar="NAME", help="A column of --dataset: walk column lineage.")] = None,
    job: Annotated[tuple[str, str] | None, typer.Option("--job", metavar="NAMESPACE NAME", help="A job, by its latest runs.")] = None,
    direction: Annotated[Direction, typer.Option(help="up: what made it; down: what it reached.")] = Direction.UP,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    depth: Depth = None,
    max_nodes: MaxNodes = None,
    strict: Strict = False,
    form: Form = Format.TREE,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """What made a model version, a prediction, a run, a dataset, a column or a job: rows, code, parameters, approvals."""
    given = [thing for thing in (model, prediction, run, dataset, job) if thing is not None]
    if len(given) != 1:
        raise Usage(
            "name one thing: MODEL, --prediction ID, --run ID, --dataset NAMESPACE NAME or --job NAMESPACE NAME",
            hint="govern trace credit-risk",
        )
    if column is not None and dataset is None:
        raise Usage("a column is one of a dataset", hint="govern trace --dataset NAMESPACE NAME --column COLUMN")
    if model is not None:
        model_ref(model)
    when = {"as_of": as_of, "known_at": known_at, "depth": depth, "max_nodes": max_nodes}
    query = {
        "model": model,
        "prediction": prediction,
        "run": run,
        "namespace": dataset[0] if dataset else None,
        "name": dataset[1] if dataset else None,
        "column": column,
        "job_namespace": job[0] if job else None,
        "job": job[1] if job else None,
        "direction": direction.value,
        **when,
    }
    with connect() as api:
        if form is Format.PDF:
            _paper(api, model, prediction, out, {"as_of": as_of, "known_at": known_at})
        elif form not in {Format.TREE, Format.JSON}:
            _file(api, form, query, out, strict=strict)
        else:
            plain = prediction is not None and direction is Direction.UP and not any(when.values())
            answer = api.get(f"/api/v1/predictions/{prediction}/trace") if plain else api.get("/api/v1/trace", **query)
            _show(answer, as_json=as_json or form is Format.JSON, strict=strict)


def _show(answer: dict[str, Any], *, as_json: bool, strict: bool) -> None:
    if as_json:
        emit_json(answer)
    else:
        console().print(trace_tree(answer))
    if strict and not (answer.get("completeness") or {}).get("complete"):
        raise typer.Exit(GONE)


def _file(api: Api, form: Format, query: dict[str, Any], out: Path | None, *, strict: bool) -> None:
    """A trace in a format of others: into a file, or onto standard output as it is."""
    data, headers = api.file("/api/v1/trace", format=form.value, **query)
    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        say(f"{write_file(out, data)}  {len(data)} bytes, {'complete' if headers.get('govern-complete') == 'true' else 'NOT complete'}")
    if strict and headers.get("govern-complete") != "true":
        raise typer.Exit(GONE)


def _paper(api: Api, model: str | None, prediction: str | None, out: Path | None, times: dict[str, str | None]) -> None:
    if model is None and prediction is None:
        raise Usage("a paper is about a model, a prediction or (govern impact) a dataset", hint="govern trace MODEL --format pdf")
    if model is not None:
        name, version = model_ref(model, default="")
        kind, subject, file = "model-trace", model, f"{name}{'-' + version if version else ''}-trace.pdf"
    else:
        if any(times.values()):
            raise Usage("the paper of a prediction is about that moment: it takes no --as-of and no --known-at")
        kind, subject, file = "prediction-trace", str(prediction), f"prediction-{prediction}-trace.pdf"
    _issue(api, kind, subject, out or Path(file), times)


def _issue(api: Api, kind: str, subject: str, out: Path, times: dict[str, str | None]) -> None:
    asked = {"kind": kind, "subject": subject} | {name: value for name, value in times.items() if value is not None}
    made = api.post("/api/v1/reports", asked)
    path = write_file(out, api.bytes(f"/api/v1/reports/{made['id']}"))
    say(f"{path}  signed, ledger entry {made['ledger_index']}. Check it: govern verify {path} --keys KEYS")


def impact(  # noqa: PLR0917 - typer makes options of them; nobody calls it by position
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="FILE|-", help="A person, read from a file or standard input.")
    ] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", help="The dataset's namespace (default: this installation's).")] = None,
    column: Annotated[str | None, typer.Option("--column", metavar="NAME", help="Only what this column of it reaches.")] = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    depth: Depth = None,
    max_nodes: MaxNodes = None,
    strict: Strict = False,
    form: Form = Format.TREE,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """What a dataset, a column of it, or a person's rows reach: runs, model versions, live deployments."""
    if (dataset is None) == (subject is None):
        raise Usage("name a dataset, or give --subject FILE|-", hint="govern impact credit.train")
    if subject is not None and (any((as_of, known_at, depth, max_nodes, namespace, column)) or form not in {Format.TREE, Format.JSON}):
        raise Usage(
            "times, limits and formats are about a dataset; of a person there is tree and json", hint="govern impact --subject FILE"
        )
    with connect() as api:
        if subject is not None:
            _of_person(api.post("/api/v1/subjects:trace", read_subject(subject), once=False), as_json or form is Format.JSON, strict)
            return
        where = namespace or f"govern://{api.get('/api/v1/keys/public')['installation']}"
        query: dict[str, Any] = {
            "namespace": where,
            "name": dataset,
            "column": column,
            "direction": "down",
            "as_of": as_of,
            "known_at": known_at,
        }
        bounds = {"depth": depth, "max_nodes": max_nodes}
        if form is Format.PDF:
            _issue(
                api,
                "dataset-impact",
                f"{where} {dataset}",
                out or Path(f"{_plain(dataset)}-impact.pdf"),
                {"as_of": as_of, "known_at": known_at},
            )
        elif form not in {Format.TREE, Format.JSON}:
            _file(api, form, query | bounds, out, strict=strict)
        else:
            _show(api.get("/api/v1/trace", **query, **bounds), as_json=as_json or form is Format.JSON, strict=strict)


def _plain(name: str | None) -> str:
    return "".join(letter if letter.isalnum() or letter in "-._" else "-" for letter in str(name)).strip("-.") or "dataset"


def _of_person(answer: dict[str, Any], as_json: bool, strict: bool) -> None:
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
