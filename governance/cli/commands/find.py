"""``govern find`` and ``deployments``: what there is, and what served when."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from governance.cli.client import connect
from governance.cli.commands.trace import AsOf, Json, KnownAt
from governance.cli.output import emit_json, say, short, table, when

__all__ = ["deployments", "find"]


class Label(StrEnum):
    """What is looked for."""

    MODEL = "Model"
    DATASET = "Dataset"
    JOB = "Job"
    ALIAS = "DatasetAlias"
    DEPLOYMENT = "Deployment"
    FIELD = "Field"


def find(
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="A part of a name; or a run id, a digest, a commit.")] = None,
    label: Annotated[Label | None, typer.Option("--label", help="Only these.")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", help="Only in exactly this namespace.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 50,
    as_json: Json = False,
) -> None:
    """Models, datasets, jobs and columns whose name holds a text; a run, row set or commit by its whole identifier."""
    with connect() as api:
        answer = api.get("/api/v1/nodes", text=text, label=label.value if label else None, namespace=namespace, limit=limit)
    if as_json:
        emit_json(answer)
        return
    rows = [_row(node) for node in (*answer["exact"], *answer["nodes"])]
    table(("what", "namespace", "name", "look closer"), rows, empty="Nothing is named so: govern find lists what there is.")
    if answer["next"]:
        say(f"{answer['total']} in all; narrow it down with --label, --namespace or more of the name")


def _row(node: dict[str, Any]) -> tuple[str, Any, str, str]:
    props = node["props"]
    namespace, name = props.get("namespace"), str(props.get("name") or "")
    job = props.get("job")
    match node["label"]:
        case "Model":
            return "model", namespace, name, f"govern trace {name}"
        case "Dataset" | "DatasetAlias":
            return "dataset", namespace, name, f"govern impact {name} --namespace {namespace}"
        case "Job":
            return "job", namespace, name, f"govern trace --job {namespace} {name}"
        case "Field":
            told = f"govern trace --dataset {namespace} {props.get('dataset')} --column {name}"
            return "column", namespace, f"{props.get('dataset')}.{name}", told
        case "Run":
            ran = job["name"] if isinstance(job, dict) else props["run_id"]
            return "run", job["namespace"] if isinstance(job, dict) else None, ran, f"govern trace --run {props['run_id']}"
        case "Deployment":
            return "deployment", namespace, name, "govern deployments"
        case other:
            return other, namespace, name or short(props.get("digest") or props.get("version")), ""


def deployments(  # noqa: PLR0917 - typer makes options of them; nobody calls it by position
    model: Annotated[str | None, typer.Argument(help="A model; without it, all.")] = None,
    environment: Annotated[str | None, typer.Option("--in", metavar="ENV", help="Only in this environment.")] = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """What serves where, and since when; with --as-of what served then, with --known-at as it was known then."""
    with connect() as api:
        answer = api.get("/api/v1/deployments", model=model, environment=environment, as_of=as_of, known_at=known_at, limit=limit)
    if as_json:
        emit_json(answer)
        return
    rows = [
        (
            item["environment"] or (item.get("job") or {}).get("name"),
            f"{item['model']}@{short(item['version'], 10)}",
            when(item["active_from"]),
            when(item["active_to"]) if item["active_to"] is not None else "now",
            "released here" if item.get("own", True) else f"told by events of {(item.get('job') or {}).get('namespace')}",
        )
        for item in answer["deployments"]
    ]
    then = "".join(
        f" {words} {when(answer[name])}" for name, words in (("as_of", "as of"), ("known_at", "as known at")) if answer.get(name)
    )
    table(("environment", "version", "from", "until", "known from"), rows, empty=f"Nothing served{then}.", title=then.strip() or None)
    if answer.get("next"):
        say("there are more: --limit, or a MODEL")
