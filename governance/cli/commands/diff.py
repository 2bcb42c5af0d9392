"""``govern diff``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from governance.cli.client import connect
from governance.cli.commands.trace import AsOf, Json, KnownAt, Strict
from governance.cli.exits import GONE, Usage
from governance.cli.names import model_ref
from governance.cli.output import emit_json, say, short, table, when
from governance.cli.trace_gaps import completeness_line

__all__ = ["diff"]


def diff(  # noqa: PLR0917 - typer makes options of them; nobody calls it by position
    before: Annotated[str, typer.Argument(metavar="MODEL[@VERSION]")],
    after: Annotated[str | None, typer.Argument(metavar="MODEL@VERSION")] = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """What two versions of a model differ in: rows, data, code, parameters, environment, metrics, audits, decision."""
    name, old = model_ref(before, default="")
    other, new = model_ref(after, default="latest") if after is not None else (name, "")
    if other != name:
        raise Usage(f"both are versions of one model, and {name} is not {other}", hint=f"govern diff {name}@1 {name}@2")
    query = {"from": old or None, "to": new or None} if after is not None else {"to": old or None}
    with connect() as api:
        answer = api.get(f"/api/v1/models/{name}/diff", as_of=as_of, known_at=known_at, **query)
    if as_json:
        emit_json(answer)
    else:
        _show(answer)
    if strict and not answer["completeness"]["complete"]:
        raise typer.Exit(GONE)


def _show(answer: Mapping[str, Any]) -> None:
    old, new = answer["from"], answer["to"]
    say(f"{old['ref']} ({when(old['created'])}) → {new['ref']} ({when(new['created'])})")
    rows = [
        (
            entry["dataset"],
            entry["role"],
            _side(entry["from"], "version"),
            _side(entry["to"], "version"),
            _side(entry["from"], "rows"),
            _side(entry["to"], "rows"),
            _signed(entry["added"], "+"),
            _signed(entry["removed"], "−"),
            entry["basis"],
        )
        for entry in answer["rows"]["by_dataset"]
    ]
    columns = ("dataset", "role", "from", "to", "rows", "rows", "added", "removed", "known")
    table(columns, rows, empty="Neither training states what it read.", title="rows")
    changed = list(_changed(answer))
    table(("what", "from", "to"), changed, empty="Code, parameters, environment and data upstream are the same.", title="what else changed")
    metrics = [(row["metric"], row["from"], row["to"], row["delta"]) for row in answer["metrics"]]
    if metrics:
        table(("metric", "from", "to", "difference"), metrics, empty="", title="metrics")
    audits = [(row["audit"], row["from"], row["to"]) for row in answer["audits"]]
    if audits:
        table(("audit", "from", "to"), audits, empty="", title="audits")
    sides = [(side or {}).get("outcome") or "none" for side in (answer["decision"]["from"], answer["decision"]["to"])]
    say(f"decision: {sides[0]} → {sides[1]}")
    say(completeness_line(answer))


def _changed(answer: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name in ("job", "code", "environment_digest"):
        part = answer.get(name)
        if part and not part["same"]:
            yield name.replace("_digest", ""), _text(part["from"]), _text(part["to"])
    for part in ("params", "recipe", "environment", "tests"):
        found = answer.get(part) or {}
        for key, value in (found.get("removed") or {}).items():
            yield f"{part} {key}", _text(value), "-"
        for key, value in (found.get("added") or {}).items():
            yield f"{part} {key}", "-", _text(value)
        for key, value in (found.get("changed") or {}).items():
            yield f"{part} {key}", _text(value["from"]), _text(value["to"])
    for entry in answer.get("upstream_code") or []:
        yield f"code of {entry['job']}", _text(entry["from"]), _text(entry["to"])
    for how in ("removed", "added", "changed"):
        for entry in (answer.get("datasets") or {}).get(how) or []:
            yield f"data {entry['namespace']} {entry['name']}", _versions(entry["from"]), _versions(entry["to"])


def _versions(found: list[Any]) -> str:
    shown = [short(version, 10) if version is not None else "unknown" for version in found[:3]]
    return ", ".join(shown) + (f" and {len(found) - 3} more" if len(found) > 3 else "") or "-"


def _side(side: Mapping[str, Any] | None, name: str) -> Any:
    value = side[name] if side else None
    return short(value, 10) if name == "version" and value is not None else value


def _signed(count: Any, sign: str) -> str:
    return "?" if count is None else f"{sign}{count}" if count else "0"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(one) for one in value[:3]) or "-"
    if isinstance(value, Mapping):
        shown = value.get("version") or value.get("url") or value.get("digest")
        return short(shown) if shown else json.dumps(value, sort_keys=True, ensure_ascii=False)[:120]
    return "-" if value is None else short(value)
