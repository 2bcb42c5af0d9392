"""A dossier as JSON and back, and the canonical bytes that are signed (RFC 8785).

Numbers: RFC 8785 knows only IEEE doubles, so an integer beyond 2**53 - 1 (every time in nanoseconds) is written as a string of
digits. ``as_of`` is always such a string and is read back as an integer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from lineage.errors import BadInput
from reports.model import Basis, Block, Dossier, Drawing, Fact, Facts, Note, Section, Table

__all__ = ["SCHEMA", "dossier_from_json", "dossier_to_json", "evidence_bytes", "normal", "parse_evidence"]

SCHEMA = "govern.dossier/1"
"""Format of the evidence; a reader refuses another one."""

_LARGEST = 2**53 - 1


def dossier_to_json(dossier: Dossier) -> dict[str, Any]:
    """The dossier as plain JSON values.

    Raises:
        BadInput: a value that JSON cannot hold (NaN, infinity, bytes…), naming its place.
    """
    return {
        "schema": SCHEMA,
        "kind": dossier.kind,
        "title": dossier.title,
        "subject": dossier.subject,
        "verdict": dossier.verdict,
        "tone": dossier.tone,
        "as_of": str(dossier.as_of),
        "installation": dossier.installation,
        "generator": dossier.generator,
        "sections": [
            {"title": section.title, "blocks": [_block(block, f"sections[{i}].blocks[{j}]") for j, block in enumerate(section.blocks)]}
            for i, section in enumerate(dossier.sections)
        ],
        "limits": list(dossier.limits),
        "data": _plain(dossier.data, "data"),
    }


def dossier_from_json(value: Any) -> Dossier:
    """The dossier that :func:`dossier_to_json` wrote.

    Raises:
        BadInput: not a dossier of format :data:`SCHEMA`; the message names the first wrong place.
    """
    if not isinstance(value, Mapping):
        raise BadInput(f"a dossier is a JSON object, not {type(value).__name__}")
    if value.get("schema") != SCHEMA:
        raise BadInput(f"the evidence has format {value.get('schema')!r}; this version of Govern reads {SCHEMA!r}")
    try:
        return Dossier(
            kind=_text(value["kind"], "kind"),
            title=_text(value["title"], "title"),
            subject=_text(value["subject"], "subject"),
            verdict=_text(value["verdict"], "verdict"),
            tone=_text(value["tone"], "tone"),
            as_of=int(_text(value["as_of"], "as_of")),
            installation=_text(value["installation"], "installation"),
            generator=_text(value["generator"], "generator"),
            sections=tuple(
                Section(
                    title=_text(section["title"], f"sections[{i}].title"),
                    blocks=tuple(_unblock(block, f"sections[{i}].blocks[{j}]") for j, block in enumerate(section["blocks"])),
                )
                for i, section in enumerate(value["sections"])
            ),
            limits=tuple(_text(limit, f"limits[{i}]") for i, limit in enumerate(value["limits"])),
            data=dict(value["data"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"not a dossier: {type(error).__name__} {error}") from error


def evidence_bytes(dossier: Dossier) -> bytes:
    """The canonical JSON (RFC 8785) of the dossier: what is hashed, entered in the ledger, signed and attached.

    Raises:
        BadInput: a value that canonical JSON cannot hold.
    """
    import rfc8785

    try:
        return rfc8785.dumps(dossier_to_json(dossier))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise BadInput(f"the dossier of {dossier.subject} cannot be written as canonical JSON: {error}") from error


def parse_evidence(data: bytes) -> Dossier:
    """The dossier in canonical evidence bytes.

    Raises:
        BadInput: not JSON, not canonical (RFC 8785), or not a dossier.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the evidence is not JSON: {error}") from error
    dossier = dossier_from_json(value)
    if evidence_bytes(dossier) != data:
        raise BadInput("the evidence is not in canonical form (RFC 8785)")
    return dossier


def normal(dossier: Dossier) -> Dossier:
    """The dossier as a reader of its evidence sees it (1.0 becomes 1, a large integer its digits); rendering starts from this."""
    return parse_evidence(evidence_bytes(dossier))


# ── blocks ──────────────────────────────────────────────────────────────────────────────────────
def _block(block: Block, place: str) -> dict[str, Any]:
    match block:
        case Facts(items=items):
            return {
                "block": "facts",
                "items": [
                    {
                        "label": fact.label,
                        "value": _plain(fact.value, f"{place}.items[{i}]"),
                        "basis": fact.basis.value,
                        "source": fact.source,
                    }
                    for i, fact in enumerate(items)
                ],
            }
        case Table():
            return {
                "block": "table",
                "columns": list(block.columns),
                "rows": [[_plain(cell, f"{place}.rows[{i}]") for cell in row] for i, row in enumerate(block.rows)],
                "basis": block.basis.value,
                "caption": block.caption,
                "total": block.total,
            }
        case Drawing():
            return {
                "block": "drawing",
                "nodes": [list(node) for node in block.nodes],
                "edges": [list(edge) for edge in block.edges],
                "caption": block.caption,
            }
        case Note():
            return {"block": "note", "text": block.text, "tone": block.tone}


def _unblock(value: Mapping[str, Any], place: str) -> Block:
    match value["block"]:
        case "facts":
            return Facts(
                items=tuple(
                    Fact(
                        label=_text(item["label"], place),
                        value=item["value"],
                        basis=Basis(item["basis"]),
                        source=_text(item["source"], place),
                    )
                    for item in value["items"]
                )
            )
        case "table":
            return Table(
                columns=tuple(_text(column, place) for column in value["columns"]),
                rows=tuple(tuple(row) for row in value["rows"]),
                basis=Basis(value["basis"]),
                caption=_text(value["caption"], place),
                total=value["total"],
            )
        case "drawing":
            return Drawing(
                nodes=tuple(_triple(node, place) for node in value["nodes"]),
                edges=tuple(_triple(edge, place) for edge in value["edges"]),
                caption=_text(value["caption"], place),
            )
        case "note":
            return Note(text=_text(value["text"], place), tone=_text(value["tone"], place))
        case other:
            raise ValueError(f"{place} is of unknown kind {other!r}")


def _triple(value: Any, place: str) -> tuple[str, str, str]:
    first, second, third = value
    return _text(first, place), _text(second, place), _text(third, place)


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{place} must be text, not {type(value).__name__}")
    return value


def _plain(value: Any, place: str) -> Any:
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) <= _LARGEST else str(value)
        case float():
            if not math.isfinite(value):
                raise BadInput(f"{place} is {value}, which JSON cannot hold")
            return value
        case Mapping():
            return {str(key): _plain(item, f"{place}.{key}") for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, f"{place}[{i}]") for i, item in enumerate(value)]
        case _:
            raise BadInput(f"{place} holds a {type(value).__name__}, which JSON cannot hold")
