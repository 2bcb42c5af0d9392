"""What the owners of things elsewhere were asked, and what they answered: their word, never a level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.dossier.facts import items, mapping, text, when
from reports.model import Basis, Block, Table

__all__ = ["owner_blocks", "owner_tasks"]

_MOST = 200
_KEPT = ("id", "asset", "owner", "owner_basis", "state", "due_at", "told_at", "answered_at", "evidence")
_ANSWERED = {"answered_done": "says that it was done", "answered_cannot": "cannot"}


def owner_blocks(request: Mapping[str, Any]) -> tuple[Block, ...]:
    """The tasks of a request as a table; nothing where it has none."""
    tasks = [mapping(one) for one in items(request.get("tasks"))]
    if not tasks:
        return ()
    rows = tuple(
        (
            text(one.get("asset")) or "—",
            text(one.get("owner")) or "—",
            when(one.get("due_at")) or "—",
            when(one.get("told_at")) or "—",
            _ANSWERED.get(str(one.get("state")), (text(one.get("state")) or "not recorded").replace("_", " "))
            + (", told here by an officer" if one.get("answered_as") == "officer" else ""),
            text(one.get("evidence")) or text(one.get("reason")) or text(one.get("error")) or "—",
        )
        for one in tasks[:_MOST]
    )
    caption = (
        "What lies elsewhere was asked of its owners. An answer is its owner’s word, not checked by Govern; evidence is named by digest."
    )
    columns = ("Asset", "Owner", "Due", "Told", "Answer", "Evidence, reason or trouble")
    return (Table(columns=columns, rows=rows, total=len(tasks), caption=caption, basis=Basis.DECLARED),)


def owner_tasks(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same for the machine-readable part; named keys only."""
    return [
        {key: one.get(key) for key in _KEPT} | ({"answered_as": text(one["answered_as"])} if one.get("answered_as") else {})
        for one in map(mapping, items(request.get("tasks")))
    ]
