"""``govern ingest``, ``lineage`` and ``models``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from governance.cli.client import Api, connect
from governance.cli.exits import ERROR, Usage
from governance.cli.output import emit_json, fields, say, table

__all__ = ["ingest", "lineage", "models"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_BATCH_EVENTS, _BATCH_BYTES = 200, 16 * 1024 * 1024

lineage = typer.Typer(help="The lineage store.", no_args_is_help=True, add_completion=False)


def ingest(
    source: Annotated[str, typer.Argument(metavar="FILE|DIR|-", help="JSON, a JSON list, or one event a line.")], as_json: Json = False
) -> None:
    """Send recorded OpenLineage events; what the server refuses is named with its place, and the exit code is 1."""
    received, refused = 0, []
    with connect() as api:
        for batch in _batches(_events(source)):
            answer = api.send("POST", "/api/v1/lineage/batch", b"[" + b",".join(raw for _, raw in batch) + b"]", "application/json")
            received += len(batch)
            refused += [{"place": batch[item["index"]][0], "reason": item["reason"]} for item in answer.get("failed_events") or []]
    if as_json:
        emit_json({"received": received, "accepted": received - len(refused), "refused": refused})
    else:
        say(f"{received - len(refused)} of {received} events accepted")
        for item in refused:
            sys.stderr.write(f"refused: {item['place']}: {item['reason']}\n")
    if refused:
        raise typer.Exit(ERROR)


def _events(source: str) -> Iterator[tuple[str, bytes]]:
    """(place, one event as JSON bytes); the bytes of the file are kept where a line is an event."""
    if source == "-":
        yield from _split("standard input", sys.stdin.buffer.read())
        return
    path = Path(source)
    if path.is_dir():
        found = sorted(item for item in path.rglob("*") if item.suffix in {".json", ".jsonl", ".ndjson"} and item.is_file())
        if not found:
            raise Usage(f"there is no .json, .jsonl or .ndjson file in {path}", hint="govern ingest FILE")
        for item in found:
            yield from _split(str(item), item.read_bytes())
    elif path.is_file():
        yield from _split(source, path.read_bytes())
    else:
        raise Usage(f"there is no file or folder {source}", hint="govern ingest FILE, or - for standard input")


def _split(place: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        whole = json.loads(data)
    except ValueError:
        lines = [(number, line) for number, line in enumerate(data.splitlines(), start=1) if line.strip()]
        for number, line in lines:
            try:
                json.loads(line)
            except ValueError as error:
                raise Usage(
                    f"{place} is neither one JSON document nor one event a line: line {number}: {error}",
                    hint="nothing of this file was sent",
                ) from error
        yield from ((f"{place}:{number}", line) for number, line in lines)
        return
    if isinstance(whole, list):
        yield from ((f"{place}[{index}]", json.dumps(event).encode()) for index, event in enumerate(whole))
    else:
        yield place, data


def _batches(events: Iterator[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    batch: list[tuple[str, bytes]] = []
    size = 0
    for event in events:
        if batch and (len(batch) >= _BATCH_EVENTS or size + len(event[1]) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += len(event[1])
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
        answer = api.post("/api/v1/lineage/replay", **{"from": start})
    if as_json:
        emit_json(answer)
    else:
        say(f"{answer['folded']} of {answer['tried']} events folded, {answer['dead']} dead")
    if answer["dead"]:
        raise typer.Exit(ERROR)


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
