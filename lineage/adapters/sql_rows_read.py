"""What the row index answers, over one connection in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from lineage.adapters.sql_rows_tables import Blocks, dataset, unsigned, version
from lineage.errors import NotFound
from lineage.rows.packing import U64
from lineage.rows.postings import Columns, Kind, join, key
from lineage.rows.spans import Spans, spans
from lineage.rows.stated import row_number

__all__ = ["Facts", "Reader"]

_MAX = 2**64 - 1
_HINT = 48


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of some rows: when they came, when they went, and where their people's facts lie."""

    rows: Columns
    gone: Columns

    @property
    def spans(self) -> Spans:
        """When each row was held."""
        return spans((self.rows[0], self.rows[2]), (self.gone[1], self.gone[2]))


class Reader:
    """Reads; the adapter's write side uses it too."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.blocks = Blocks(connection)

    # ── names ───────────────────────────────────────────────────────────────────────────────────
    def dataset(self, name: str) -> int | None:
        """The dataset's number."""
        return self.connection.execute(sa.select(dataset.c.id).where(dataset.c.name == name)).scalar()

    def versions(self, of: int) -> list[tuple[int, str, int]]:
        """(ordinal, name, rows) of the dataset's versions, in the order in which they were indexed."""
        asked = sa.select(version.c.ordinal, version.c.name, version.c.rows).where(version.c.dataset == of).order_by(version.c.ordinal)
        return [(ordinal, name, rows) for ordinal, name, rows in self.connection.execute(asked)]

    def version(self, name: str, wanted: str) -> tuple[int, int, int]:
        """(dataset, ordinal, rows) of a version; raises ``NotFound``."""
        of = self.dataset(name)
        for ordinal, found, rows in self.versions(of) if of is not None else ():
            if found == wanted and of is not None:
                return of, ordinal, rows
        raise NotFound(f"the row index does not know {name}@{wanted}", hint=f"govern dataset versions {name}")

    # ── rows ────────────────────────────────────────────────────────────────────────────────────
    def facts(self, of: int, rows: U64) -> Facts:
        """What is known of the given rows (sorted, each once)."""
        ranges = [(key(Kind.ROWS, int(row)),) * 2 for row in rows]
        numbers = [number for number, _ in self.blocks.segments(of)]
        held, gone = [], []
        for number in numbers:
            for _, columns in self.blocks.near(number, Kind.ROWS, ranges):
                held.append(_only(columns, columns[0], rows))
        known = join(Kind.ROWS, held)
        for number in numbers:
            for _, columns in self.blocks.near(number, Kind.GONE, hint_ranges(Kind.GONE, known[1])):
                gone.append(_only(columns, columns[1], rows))
        return Facts(known, join(Kind.GONE, gone))

    def all_facts(self, of: int) -> Facts:
        """What is known of every row of a dataset: tens of bytes each, in memory."""
        numbers = [number for number, _ in self.blocks.segments(of)]
        return Facts(self.blocks.all(numbers, Kind.ROWS), self.blocks.all(numbers, Kind.GONE))

    def people(self, of: int, facts: Facts) -> Columns:
        """The PEOPLE facts of the rows that ``facts`` tell of."""
        rows = np.unique(facts.rows[0])
        found = []
        for number, _ in self.blocks.segments(of):
            for _, columns in self.blocks.near(number, Kind.PEOPLE, hint_ranges(Kind.PEOPLE, facts.rows[1])):
                found.append(_only(columns, columns[2], rows))
        return join(Kind.PEOPLE, found)

    def versions_with(self, name: str, row_ids: Sequence[int]) -> list[str]:
        """The versions that hold one of the rows."""
        of = self.dataset(name)
        rows = np.unique(unsigned([row_number(row) for row in row_ids]))
        if of is None or not rows.size:
            return []
        held = self.facts(of, rows).spans
        pairs = set(zip(held.begin.tolist(), held.end.tolist(), strict=True))
        return _covered(pairs, [(ordinal, found) for ordinal, found, _ in self.versions(of)])

    def row_ids(self, name: str, wanted: str) -> list[int]:
        """The rows that a version holds."""
        of, ordinal, _ = self.version(name, wanted)
        found: list[int] = self.all_facts(of).spans.at(ordinal).tolist()
        return found

    def shared(self, name: str, row_ids: Sequence[int]) -> list[int]:
        """Those of the rows that were ever joined to more than one reference."""
        of = self.dataset(name)
        rows = np.unique(unsigned([row_number(row) for row in row_ids]))
        if of is None or not rows.size:
            return []
        high, low, row, _ = self.people(of, self.facts(of, rows))
        pairs = np.unique(np.stack([row, high, low], axis=1), axis=0)
        found, counts = np.unique(pairs[:, 0], return_counts=True)
        several: list[int] = found[counts > 1].tolist()
        return several


def hint_ranges(kind: Kind, hints: U64) -> list[tuple[bytes, bytes]]:
    """Where the facts with these hints lie in PEOPLE or GONE."""
    if kind is Kind.PEOPLE:
        top = (1 << _HINT) - 1
        return [
            (key(kind, int(hint) << _HINT, 0, 0), key(kind, (int(hint) << _HINT) | top, _MAX, _MAX)) for hint in np.unique(hints).tolist()
        ]
    return [(key(kind, int(hint), 0), key(kind, int(hint), _MAX)) for hint in np.unique(hints).tolist()]


def _only(columns: Columns, column: U64, rows: U64) -> Columns:
    """The facts about the given rows (sorted, each once)."""
    if not rows.size:
        return tuple(each[:0] for each in columns)
    at = np.minimum(rows.searchsorted(column), rows.size - 1)
    mine = rows[at] == column
    return tuple(each[mine] for each in columns)


def _covered(held: set[tuple[int, int]], versions: list[tuple[int, str]]) -> list[str]:
    """The versions that lie in one of the (begin, end) spans."""
    return [name for ordinal, name in versions if any(begin <= ordinal < end for begin, end in held)]
