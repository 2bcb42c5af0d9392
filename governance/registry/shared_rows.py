"""Rows that are about somebody else too: which they are, and what is left of them without one of their people.

Asked of the rows themselves and not of the index: the index knows references, and one person has a reference for each epoch, so that
after a rotation a row of one person could look like a row of two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from governance.registry.subject_keys import SharedRule, SubjectKey, people
from lineage.datasets import ROW_ID

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["filled", "shared_with", "without"]


def shared_with(
    keys: Sequence[SubjectKey], table: pa.Table, whose: Callable[[str], bool], *, kind: str
) -> tuple[dict[int, tuple[str, ...]], set[int]]:
    """Which rows of a table with row ids are about a person and about somebody else.

    Args:
        keys: the dataset's.
        table: its rows, with the columns of the keys.
        whose: whether a canonical identifier is the person's.
        kind: the dataset's.

    Returns:
        (row id of each such row → the columns that are about the person; the rows that are about the person and nobody else).
    """
    named = people(keys, table, kind=kind)
    known: dict[str, bool] = {}
    shared, own = {}, set()
    for at, row in enumerate(table[ROW_ID].to_pylist()):
        theirs: list[str] = []
        others = False
        for key, listed in zip(keys, named, strict=True):
            person = listed[at]
            if person is None:
                continue
            if person not in known:
                known[person] = whose(person)
            if known[person]:
                theirs += key.theirs
            else:
                others = True
        if theirs and others:
            shared[row] = tuple(theirs)
        elif theirs:
            own.add(row)
    return shared, own


def without(
    keys: Sequence[SubjectKey], rule: SharedRule, table: pa.Table, listed: Callable[[Sequence[str]], Collection[str]], *, kind: str
) -> tuple[pa.Table, int, int]:
    """A table that comes in, without the persons who must not come in again, by the dataset's rule for rows about others too.

    Args:
        keys: the dataset's.
        rule: what is done with a row that names somebody else as well.
        table: what comes in.
        listed: those of some canonical identifiers who must not come in again.
        kind: the dataset's.

    Returns:
        (what may be written, rows left out, rows of which columns were emptied).
    """
    import pyarrow as pa

    named = people(keys, table, kind=kind)
    away = listed(sorted({person for column in named for person in column if person is not None}))
    if not away:
        return table, 0, 0
    stays: list[bool] = []
    emptied: dict[str, list[bool]] = {name: [] for key in keys for name in key.theirs}
    for row in zip(*named, strict=True):
        hit = [person is not None and person in away for person in row]
        others = any(person is not None and person not in away for person in row)
        stays.append(not any(hit) or (others and rule.rule != "purge"))
        redacted = others and rule.rule == "redact"
        for key, is_hit in zip(keys, hit, strict=True):
            for name in key.theirs:
                emptied[name].append(is_hit and redacted)
    for name, mask in emptied.items():
        if any(mask):
            table = _emptied(table, name, mask)
    touched = sum(any(row) for row in zip(*emptied.values(), strict=True))
    return table.filter(pa.array(stays, pa.bool_())), len(stays) - sum(stays), touched


def filled(table: pa.Table, columns: Mapping[int, Sequence[str]]) -> tuple[int, int]:
    """Looks at redacted rows again.

    Args:
        table: rows with their ids.
        columns: row id → the columns of it that must be empty.

    Returns:
        (cells looked at, those that hold a value all the same).
    """
    looked = left = 0
    for at, row in enumerate(table[ROW_ID].to_pylist()):
        for name in columns.get(row, ()):
            looked += 1
            left += table[name][at].is_valid
    return looked, left


def _emptied(table: pa.Table, name: str, mask: Sequence[bool]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table[name]
    place = table.column_names.index(name)
    field = table.schema.field(name).with_nullable(True)
    return table.set_column(place, field, pc.if_else(pa.array(mask, pa.bool_()), pa.scalar(None, column.type), column))
