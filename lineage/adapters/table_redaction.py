"""Rows that stay without some of their values when they are purged, because they are about somebody else too.

The purge takes the old row away as it takes any; what stays of it is another row, with an id of its own. A committed row set names row
ids and says nothing of their values: under the old id nobody could show that a model was not trained on what the row said before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from lineage.adapters.dataset_catalog import Redacted
from lineage.datasets import ROW_ID
from lineage.errors import BadInput

__all__ = ["new_ids", "redacted_rows", "redactions"]


def redactions(
    dataset: str, redact: Mapping[int, Sequence[str]], held: Collection[int], names: Collection[str], first: int
) -> list[Redacted]:
    """What is to be done to the rows of the latest version, with new ids from ``first`` on.

    Raises:
        BadInput: a column that is none.
    """
    alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, columns in sorted(redact.items()):
        strange = sorted(set(columns) - set(names) | set(columns) & {ROW_ID})
        if strange:
            raise BadInput(f"{dataset}: {strange[0]!r} cannot be redacted, it is no column of the rows")
        if row in held:
            alike[tuple(sorted(set(columns)))].append(row)
    listed: list[Redacted] = []
    for columns, old in sorted(alike.items()):
        listed.append({"columns": list(columns), "old": old, "new": list(range(first, first + len(old)))})
        first += len(old)
    return listed


def new_ids(listed: Sequence[Redacted]) -> list[int]:
    """The row ids under which they stay."""
    return [row for one in listed for row in one["new"]]


def redacted_rows(before: pa.Table, listed: Sequence[Redacted]) -> pa.Table:
    """The rows as they stay, with their new ids: the columns empty, everything else as it was."""
    parts = []
    for one in listed:
        rows = before.filter(pc.is_in(before[ROW_ID], value_set=pa.array(one["old"], pa.int64()))).sort_by(ROW_ID)
        for name in one["columns"]:
            place = rows.column_names.index(name)
            rows = rows.set_column(place, rows.schema.field(name), pa.nulls(rows.num_rows, rows.schema.field(name).type))
        parts.append(rows.set_column(rows.column_names.index(ROW_ID), ROW_ID, pa.array(one["new"], pa.int64())))
    return pa.concat_tables(parts)
