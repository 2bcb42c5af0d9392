"""The backups that may still hold what was erased, as the ledger knows them: when they were made, until when they stay, what covers them.

A backup cannot be reached after it was made. What keeps an erased person out is its restore, which serves nobody before a list of what was
erased is replayed (:mod:`governance.erasure.replay`), and the day by which it is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.dossier.facts import computed, gap, items, mapping, text, when, whole
from reports.model import Block, Fact, Facts, Note, Table

__all__ = ["copies_blocks", "copies_data"]

_MOST = 100
_COVER = (
    "Restored, none of them serves anybody before what was erased since is erased in it again, from a signed list that was exported after "
    "this erasure (govern erasure export-suppression, govern restore --replay). A list from before it does not know this request."
)
_MAY = "Backups that were made before the rows were gone, and may hold them. None was searched or changed."
_NONE = "The ledger knows of no backup that was made before the rows were gone. Copies made by other means are not known to it."


def copies_blocks(request: Mapping[str, Any]) -> tuple[Block, ...]:
    """What is known of backups; a gap where nobody asked."""
    if "copies" not in request:
        return (Facts(items=(gap("Backups known to the ledger", "nobody asked the ledger for them"),)),)
    known = mapping(request["copies"])
    listed = [mapping(one) for one in items(known.get("backups"))]
    covered = computed("Covered by", _covered(known), "the lists that a restore replays", missing="it is not recorded from which entry on")
    if not listed:
        return (Note(text=_NONE, tone="plain"),)
    rows = tuple((text(one.get("id")) or "—", when(one.get("made_at")) or "—", when(one.get("until")) or "—", _is(one)) for one in listed)
    table = Table(columns=("Backup", "Made", "To be deleted by", "Is"), rows=rows[:_MOST], total=len(rows), caption=_MAY)
    return (table, Facts(items=(_count(listed), covered)), Note(text=_COVER, tone="plain"))


def copies_data(request: Mapping[str, Any]) -> dict[str, Any] | None:
    """The same for machines, by named keys alone; ``None`` where nobody asked."""
    if "copies" not in request:
        return None
    known = mapping(request["copies"])
    fields = ("id", "made_at", "until", "size", "deleted_at")
    return {
        "covered_from": whole(known.get("covered_from")),
        "backups": [{name: mapping(one).get(name) for name in fields} for one in items(known.get("backups"))],
    }


def _count(listed: list[Mapping[str, Any]]) -> Fact:
    there = sum(one.get("deleted_at") is None for one in listed)
    return computed("Backups that may hold the rows", there, "nobody has said yet that they are deleted")


def _covered(known: Mapping[str, Any]) -> str | None:
    start = whole(known.get("covered_from"))
    return None if start is None else f"every list that was exported from ledger entry {start} on"


def _is(one: Mapping[str, Any]) -> str:
    deleted = when(one.get("deleted_at"))
    return f"said to be deleted, {deleted}" if deleted else "kept"
