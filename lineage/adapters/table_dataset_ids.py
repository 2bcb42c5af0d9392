"""Which rows are rows that were there before, and keep their ids: in a replacing write, and in what another program committed."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

import pyarrow as pa

from lineage.datasets import ROW_ID, row_hashes

__all__ = ["RowIds", "claimed_row_ids", "keep_row_ids"]

RowIds = list[int | None]
"""One entry per new row: the id it keeps, or ``None`` for a new one."""


def keep_row_ids(before: pa.Table, after: pa.Table, key: str) -> RowIds:
    """The id that each row of ``after`` keeps from ``before``, matched on the values of ``key``.

    Among rows of one key value, a row with equal content is matched first, so that dropping one of a person's rows does not
    move the others' ids; the rest are matched in row order. A null key is matched with nothing.
    """
    kept: RowIds = [None] * after.num_rows
    if key not in before.column_names:
        return kept
    olds = list(zip(before.column(ROW_ID).to_pylist(), _keys(before, key), row_hashes(before), strict=True))
    news = list(zip(_keys(after, key), row_hashes(after), strict=True))
    same: dict[tuple[bytes | None, bytes], deque[int]] = defaultdict(deque)
    for row_id, value, content in olds:
        same[value, content].append(row_id)
    used: set[int] = set()
    for at, (value, content) in enumerate(news):
        if value is not None and same[value, content]:
            row_id = same[value, content].popleft()
            kept[at] = row_id
            used.add(row_id)
    rest: dict[bytes | None, deque[int]] = defaultdict(deque)
    for row_id, value, _ in olds:
        if row_id not in used:
            rest[value].append(row_id)
    for at, (value, _) in enumerate(news):
        if value is not None and kept[at] is None and rest[value]:
            kept[at] = rest[value].popleft()
    return kept


def claimed_row_ids(claimed: Sequence[int | None], content: Sequence[bytes], known: pa.Table | None) -> RowIds:
    """The id that each row keeps of the ids it came with: one of ``known``, and each once.

    Args:
        claimed: the ids in the rows; any program may have written them.
        content: the rows' hashes, in the same order.
        known: rows whose ids are genuine. Of several rows that claim one id, the one that says what the known row says keeps it,
            else the first.
    """
    kept: RowIds = [None] * len(claimed)
    if known is None:
        return kept
    genuine = dict(zip(known.column(ROW_ID).to_pylist(), row_hashes(known), strict=True))
    used: set[int] = set()
    for unchanged in (True, False):
        for at, row_id in enumerate(claimed):
            if row_id is not None and row_id in genuine and row_id not in used and (not unchanged or genuine[row_id] == content[at]):
                kept[at] = row_id
                used.add(row_id)
    return kept


def _keys(table: pa.Table, key: str) -> list[bytes | None]:
    """The key values as canonical hashes, so that any type can be a key; ``None`` for null."""
    column = table.column(key)
    return [None if null else value for null, value in zip(column.is_null().to_pylist(), row_hashes(table.select([key])), strict=True)]
