"""``govern ingest``, ``lineage`` and ``models``."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from governance.cli.client import Api, connect
from governance.cli.commands.rebuild import rebuild
from governance.cli.commands.retain import retain
from governance.cli.exits import ERROR, Usage
from governance.cli.output import emit_json, fields, say, table
from governance.cli.progress import bar
from governance.cli.sending import batches, send
from governance.cli.sources import events

__all__ = ["ingest", "lineage", "models"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

lineage = typer.Typer(help="The lineage store.", no_args_is_help=True, add_completion=False)


def ingest(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|DIR|URL|-",
            help="One event a line, JSON, or a JSON list; plain or gzip; any fsspec URL; or a topic, kafka://HOST:PORT/TOPIC?group=NAME.",
        ),
    ],
    until_end: Annotated[bool, typer.Option("--until-end", help="Of a topic: stop where it ends now, instead of following it.")] = False,
    patience: Annotated[
        float | None, typer.Option("--patience", min=0, help="Of a topic: seconds that brokers or server may be away (60).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send recorded OpenLineage events; what is refused is named with its place, and the exit code is 1."""
    if source.startswith("kafka://"):
        from governance.cli.kafka.command import follow

        with connect() as api:
            follow(source, api, until_end=until_end, patience=60.0 if patience is None else patience, as_json=as_json)
        return
    if until_end or patience is not None:
        raise Usage(
            "--until-end and --patience are for a topic; a file ends by itself", hint="govern ingest kafka://HOST:PORT/TOPIC --until-end"
        )
    received = 0
    refused: list[dict[str, str]] = []
    with connect() as api, bar("ingest") as seen:
        for batch in batches(events(source)):
            received += len(batch)
            refused += send(api, batch)
            seen({"progress": {"done": received, "what": f"{received} events"}})
    if as_json:
        emit_json({"received": received, "accepted": received - len(refused), "refused": refused})
    else:
        say(f"{received - len(refused)} of {received} events accepted")
        for item in refused:
            sys.stderr.write(f"refused: {item['place']}: {item['reason']}\n")
    if refused:
        raise typer.Exit(ERROR)


@lineage.command()
def status(
    digest: Annotated[bool, typer.Option("--digest", help="Read the whole graph for its digest, however large it is.")] = False,
    as_json: Json = False,
) -> None:
    """Events, lag, dead letters, rate and size of the graph; its digest when it is small."""
    with connect() as api:
        answer = api.get("/api/v1/lineage/status", digest="true" if digest else None)
    if as_json:
        emit_json(answer)
    else:
        fields((name.replace("_", " "), value) for name, value in answer.items())


@lineage.command("dead-letters")
def dead_letters(as_json: Json = False) -> None:
    """Events that were taken but could not be folded, with the reason."""
    with connect() as api:
        answer = api.get("/api/v1/lineage/dead-letters")
    if as_json:
        emit_json(answer)
        return
    letters = answer["dead_letters"]
    columns = list(letters[0]) if letters else ["index", "reason"]
    table(columns, [[letter.get(column) for column in columns] for letter in letters], empty="No dead letters.")


@lineage.command()
def replay(
    start: Annotated[int | None, typer.Option("--from", min=0, help="Fold every event from this ledger index on again.")] = None,
    as_json: Json = False,
) -> None:
    """Fold dead letters again, after an upgrade that reads more; the exit code is 1 while some stay dead."""
    with connect() as api:
        answer = api.post("/api/v1/lineage/replay" if start is None else f"/api/v1/lineage/replay?from={start}")
    if as_json:
        emit_json(answer)
    else:
        say(f"{answer['folded']} of {answer['tried']} events folded, {answer['dead']} dead")
    if answer["dead"]:
        raise typer.Exit(ERROR)


lineage.command("rebuild")(rebuild)
lineage.command("retain")(retain)


def models(name: Annotated[str | None, typer.Argument(help="A model; without it, all models.")] = None, as_json: Json = False) -> None:
    """List the models, or the versions of one."""
    with connect() as api:
        answer: Any = _one(api, name) if name else api.get("/api/v1/models")
    if as_json:
        emit_json(answer)
    elif name:
        aliases: dict[int, list[str]] = {}
        for alias, number in (answer.get("aliases") or {}).items():
            aliases.setdefault(number, []).append(alias)
        rows = [
            (item["version"], item["status"], aliases.get(item["version"], []), item["artifact"]["digest"][:19] + "…")
            for item in answer["versions"]
        ]
        table(("version", "status", "alias", "artifact"), rows, empty=f"{name} has no version yet: govern train {name}", title=name)
    else:
        rows = [
            (item["name"], item["latest"], [f"{alias}→{number}" for alias, number in (item["aliases"] or {}).items()], item["purpose"])
            for item in answer["models"]
        ]
        table(("model", "latest", "aliases", "purpose"), rows, empty="No models yet: govern train MODEL, in a folder with a govern.yaml.")


def _one(api: Api, name: str) -> Any:
    return api.get(f"/api/v1/models/{name}")
