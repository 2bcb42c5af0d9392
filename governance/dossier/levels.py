"""The level that each asset of an erasure reached, and the headline over them (design: levels are per asset).

A level is printed only as high as what stands beside it shows: a purge without a residual scan is L0, a successor whose row set was not
shown to exclude the rows is no L2, a model that nobody reproduced is no L3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from governance.dossier.facts import at, items, mapping, scrub, text, whole

__all__ = ["AssetLevel", "asset_level", "asset_levels", "headline"]

_LEVEL = re.compile(r"^[lL]?([0-4])$")
_KEPT = {"retained", "held"}
_ALTERED = {"purge", "delete", "retrain", "retire", "destroy", "withdraw", "forget"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetLevel:
    """What is said about one asset."""

    id: str
    kind: str
    found: int | None
    action: str
    status: str
    level: int | None
    """0 to 4; ``None`` where no level applies or none is shown."""
    word: str
    """``L1``, ``nothing found``, ``retained``, ``held``, ``not reachable``, ``pending``, ``failed``, ``not shown``."""
    reason: str
    counts: bool
    """Whether it enters the headline: it held something and was not retained."""


def asset_level(asset: Mapping[str, Any], successors: Sequence[Any], subject_type: str = "") -> AssetLevel:
    """The level of one asset of an erasure request, lowered to what is shown."""
    status = (text(asset.get("status")) or "not recorded").lower()
    action = (text(asset.get("action")) or "not recorded").lower()
    found = whole(asset.get("found"))
    reason = scrub(str(asset.get("reason") or ""), subject_type)
    level: int | None = None
    counts = True
    if found == 0 and action not in _ALTERED:
        word, counts = "nothing found", False
    elif status in _KEPT:
        word, counts = status, False
    elif action == "retain":
        word, counts = "retained", False
    elif status in {"pending", "failed", "running", "not recorded"}:
        word = "not done" if status == "not recorded" else status
    elif "not_reachable" in str(asset.get("level") or "").replace(" ", "_").lower():
        word = "not reachable"
    else:
        level = _claimed(asset.get("level"))
        if level is not None:
            level, lowered = _shown(asset, level, successors)
            reason = "; ".join(part for part in (reason, lowered) if part)
        elif found == 0:
            counts = False
        word = "nothing found" if not counts else "not shown" if level is None else f"L{level}"
    return AssetLevel(
        id=text(asset.get("id"), subject_type) or "not named",
        kind=text(asset.get("kind")) or "—",
        found=found,
        action=action,
        status=status,
        level=level,
        word=word,
        reason=reason,
        counts=counts,
    )


def asset_levels(request: Mapping[str, Any]) -> list[AssetLevel]:
    """Every asset of the request with its level, in the request's order.

    Before anything was done the plan's assets stand here, all pending.
    """
    assets = items(request.get("assets")) or items(at(request, "plan", "assets"))
    subject_type = str(request.get("subject_type") or "")
    return [asset_level(mapping(asset), items(request.get("successors")), subject_type) for asset in assets]


def headline(levels: Sequence[AssetLevel]) -> int | None:
    """The lowest level over what was not retained; ``None`` when nothing counts, or some asset has none."""
    counted = [asset for asset in levels if asset.counts]
    if not counted or any(asset.level is None for asset in counted):
        return None
    return min(asset.level for asset in counted if asset.level is not None)


def _claimed(level: Any) -> int | None:
    match = _LEVEL.match(str(level).strip()) if level is not None and not isinstance(level, bool) else None
    return int(match.group(1)) if match else None


def _shown(asset: Mapping[str, Any], level: int, successors: Sequence[Any]) -> tuple[int, str]:
    """The level as far as it is shown, and why it was lowered."""
    kind = str(asset.get("kind") or "")
    if kind == "dataset" and level >= 1:
        residual = whole(at(asset, "detail", "residual_rows"))
        if residual is None:
            return 0, "lowered to L0: no residual scan is recorded"
        if residual > 0:
            return 0, f"lowered to L0: the residual scan still found {residual} rows"
        if unpurged := at(asset, "detail", "unpurged"):
            return 0, f"lowered to L0: the store cannot purge: {unpurged}"
        if whole(at(asset, "detail", "shared", "kept")) and whole(at(asset, "detail", "shared", "cells_left")) != 0:
            return 0, "lowered to L0: rows about somebody else stay, and the emptied columns were not found empty"
        return min(level, 1), ""
    if kind == "model" and level >= 2:
        successor = _successor(asset, successors)
        if successor is None:
            return (2, "") if level == 2 else (2, "lowered to L2: no successor that could be reproduced is named")
        if successor.get("excluded") is not True:
            return 1, "lowered to L1: the successor’s row set was not shown to exclude the rows"
        if level >= 3 and successor.get("reproduced") is not True:
            return 2, "lowered to L2: the successor was not reproduced"
        if level >= 4 and not mapping(successor.get("shortcut")):
            return 3, "lowered to L3: it was trained as a whole, there was no shortcut to compare"
    return level, ""


def _successor(asset: Mapping[str, Any], successors: Sequence[Any]) -> Mapping[str, Any] | None:
    ident = str(asset.get("id") or "").removeprefix("model:")
    for successor in successors:
        one = mapping(successor)
        before = str(one.get("predecessor") or "")
        if before and ident in {before, f"{one.get('model')}@{before}"}:
            return one
    return None
