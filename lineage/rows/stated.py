"""What a caller states about rows, one by one or many at once: checked, and gathered into columns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lineage.errors import BadInput
from lineage.model import OwnedRows, StatedRow

if TYPE_CHECKING:
    from lineage.rows.packing import U64

__all__ = ["Stated", "gathered", "ref_numbers", "row_number"]

_REF = re.compile(r"[0-9a-f]{32}")
_BATCH = 50_000


@dataclass(frozen=True, slots=True)
class Stated:
    """Gathered: (high, low, row) for each person of a row, and the rows of whom nobody is known. Not sorted."""

    high: U64
    low: U64
    row: U64
    nobody: U64


def gathered(rows: Iterable[StatedRow]) -> Stated:
    """Everything that is stated, as columns: 24 bytes for each person of a row.

    Raises:
        BadInput: a reference that is none, or a row id that is no int64 ≥ 0. The message never repeats a reference.
    """
    import numpy as np

    parts: list[tuple[U64, U64, U64]] = []
    alone: list[int] = []
    refs: list[str] = []
    theirs: list[int] = []

    def flush() -> None:
        if refs:
            parts.append(_batch(OwnedRows(bytes.fromhex("".join(refs)), np.array(theirs, dtype=np.int64))))
            refs.clear()
            theirs.clear()

    for item in rows:
        if isinstance(item, OwnedRows):
            parts.append(_batch(item))
            continue
        ref, row = item
        if ref:
            refs.append(_checked(ref))
            theirs.append(row_number(row))
        else:
            alone.append(row_number(row))
        if len(refs) >= _BATCH:
            flush()
    flush()
    empty = np.empty(0, dtype=np.uint64)
    high, low, whose = (np.concatenate(column) for column in zip(*parts, strict=True)) if parts else (empty, empty, empty)
    return Stated(high, low, whose, np.unique(np.array(alone, dtype=np.uint64)))


def _batch(batch: OwnedRows) -> tuple[U64, U64, U64]:
    import numpy as np

    if batch.rows.dtype != np.int64 or batch.rows.ndim != 1 or len(batch.refs) != 16 * batch.rows.size:
        raise BadInput("a batch of rows needs as many references of 16 bytes as row ids of 64 bits", hint="see lineage.model.OwnedRows")
    if batch.rows.size and int(batch.rows.min()) < 0:
        raise BadInput("a batch of rows holds a negative row id")
    both = np.frombuffer(batch.refs, dtype=">u8").reshape(-1, 2).astype(np.uint64)
    return both[:, 0].copy(), both[:, 1].copy(), batch.rows.astype(np.uint64)


def row_number(row: int) -> int:
    """The row id; raises ``BadInput`` when it is none."""
    if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < 2**63:
        raise BadInput(f"row id {row!r} is not an integer from 0 to 2^63 - 1")
    return row


def ref_numbers(ref: str) -> tuple[int, int]:
    """A reference as two numbers of 64 bits; raises ``BadInput`` when it is none, without repeating it."""
    _checked(ref)
    return int(ref[:16], 16), int(ref[16:], 16)


def _checked(ref: str) -> str:
    if not isinstance(ref, str) or not _REF.fullmatch(ref):
        # The value is not repeated: it may be an identifier that somebody forgot to turn into a reference.
        raise BadInput("a subject reference is 32 lower case hex characters; this is something else", hint="use lineage.rows.subject_ref")
    return ref
