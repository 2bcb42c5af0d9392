"""What became of rows that are about somebody else too: a table of the certificate, and the same in its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from governance.dossier.facts import at, items, mapping, plural, text, whole
from reports.model import Table

__all__ = ["shared_facts", "shared_table"]


def shared_facts(detail: Mapping[str, Any]) -> dict[str, Any]:
    """The same by named keys: rule, counts and names of columns, never a value."""
    if not mapping(detail.get("shared")):
        return {}
    counts = {key: whole(at(detail, "shared", key)) for key in ("rows", "kept", "cells", "cells_left")}
    columns = [text(one) for one in items(at(detail, "shared", "columns"))]
    return {"shared": {"rule": text(at(detail, "shared", "rule")), "columns": columns, **counts}}


def shared_table(assets: Sequence[Mapping[str, Any]]) -> tuple[Table, ...]:
    """One line for each dataset with such rows; nothing where there are none."""
    rows = []
    for asset in assets:
        shared = mapping(at(asset, "detail", "shared"))
        if shared:
            name = text(at(asset, "detail", "dataset")) or text(asset.get("id")) or "—"
            rows.append((name, text(shared.get("rule")) or "not recorded", whole(shared.get("rows")), _said(asset, shared)))
    if not rows:
        return ()
    caption = (
        "Rows about somebody else too, and the rule that was registered for them. What stays of a redacted row has a row id of its own."
    )
    return (Table(columns=("Dataset", "Rule", "Rows", "What was done, and what shows it"), rows=tuple(rows), caption=caption),)


def _said(asset: Mapping[str, Any], shared: Mapping[str, Any]) -> str:
    rule = text(shared.get("rule"))
    if rule == "retain":
        return f"retained: {text(at(asset, 'detail', 'reason')) or 'no ground is recorded'}"
    if asset.get("status") != "done":
        return f"planned; the dataset is {text(asset.get('status')) or 'not recorded'}"
    if rule == "purge":
        return "purged with the others, for everybody in them; the residual scan covers them"
    kept, cells, left = (whole(shared.get(key)) for key in ("kept", "cells", "cells_left"))
    if not kept:
        return "purged: no present version held them"
    columns = ", ".join(text(one) or "—" for one in items(shared.get("columns")))
    done = f"the old rows purged; {plural(kept, 'row stays', 'rows stay')} without {columns}"
    if cells is None or left is None:
        return f"{done}; the emptied cells were not read again"
    return f"{done}; {plural(cells, 'emptied cell was', 'emptied cells were')} read again, {left} held a value"
