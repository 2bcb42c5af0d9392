"""``govern ingest``, ``lineage`` and ``models``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from governance.cli.client import Api, connect
from governance.cli.commands.rebuild import rebuild
from governance.cli.exits import ERROR
from governance.cli.output import emit_json, fields, say, table
from governance.cli.progress import bar
from governance.cli.sources import Found, events
from lineage.errors import StoreUnavailable

__all__ = ["ingest", "lineage", "models"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_BATCH_EVENTS, _BATCH_BYTES = 200, 960 * 1024
_WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds between the attempts to send a batch to a busy server."""

lineage = typer.Typer(help="The lineage store.", no_args_is_help=True, add_completion=False)


def ingest(
    source: Annotated[
        str, typer.Argument(metavar="FILE|DIR|URL|-", help="One event a line, JSON, or a JSON list; plain or gzip; any fsspec URL.")
    ],
    as_json: Json = False,
) -> None:
    """Send recorded OpenLineage events; what is refused is named with its place, and the exit code is 1."""
    received = 0
    refused: list[dict[str, str]] = []
    with connect() as api, bar("ingest") as seen:
        for batch in _batches(events(source)):
            received += len(batch)
            refused += [{"place": found.place, "reason": found.fault} for found in batch if found.fault]
            sent = [found for found in batch if not found.fault]
            answer = _send(api, [found.raw for found in sent]) if sent else {}
            refused += [{"place": sent[item["index"]].place, "reason": item["reason"]} for item in answer.get("failed_events") or []]
            seen({"progress": {"done": received, "what": f"{received} events"}})
    if as_json:
        emit_json({"received": received, "accepted": received - len(refused), "refused": refused})
    else:
        say(f"{received - len(refused)} of {received} events accepted")
        for item in refused:
            sys.stderr.write(f"refused: {item['place']}: {item['reason']}\n")
    if refused:
        raise typer.Exit(ERROR)


def _send(api: Api, raws: list[bytes]) -> Any:
    """The answer to a batch; a server that says it is busy is asked again. An event that was taken already is acknowledged again."""
    for wait in _WAITS:
        try:
            return api.send("POST", "/api/v1/lineage/batch", b"[" + b",".join(raws) + b"]", "application/json")
        except StoreUnavailable:
            if not os.environ.get("GOVERN_URL"):
                raise
            time.sleep(wait)
    return api.send("POST", "/api/v1/lineage/batch", b"[" + b",".join(raws) + b"]", "application/json")


def _batches(found: Iterator[Found]) -> Iterator[list[Found]]:
    batch: list[Found] = []
    size = 0
    for one in found:
        if batch and (len(batch) >= _BATCH_EVENTS or size + len(one.raw) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += len(one.raw)
    if batch:
        yield batch


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
