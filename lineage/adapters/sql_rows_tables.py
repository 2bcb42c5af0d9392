"""The tables of the row index, and reading and writing their packed blocks: one SQLAlchemy Core code for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import sqlalchemy as sa

from lineage.errors import Tampered
from lineage.rows.packing import U64
from lineage.rows.postings import Columns, Kind, cut, decode, join

__all__ = [
    "SCHEMA_VERSION",
    "Blocks",
    "Ranges",
    "block",
    "dataset",
    "decoded",
    "meta",
    "metadata",
    "segment",
    "unsigned",
    "version",
]

SCHEMA_VERSION: Final = 2
"""Of these tables; 1 was one row for each posting, on SQLite only."""

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")

metadata = sa.MetaData()

meta = sa.Table("rows_meta", metadata, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", _BIG, nullable=False))

dataset = sa.Table(
    "rows_dataset",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("ordinals", sa.Integer, nullable=False),
)
"""``ordinals``: how many were ever given to a version; none is given twice."""

version = sa.Table(
    "rows_version",
    metadata,
    sa.Column("dataset", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("rows", _BIG, nullable=False),
    sa.UniqueConstraint("dataset", "name"),
)

segment = sa.Table(
    "rows_segment",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("dataset", sa.Integer, nullable=False, index=True),
    sa.Column("facts", _BIG, nullable=False),
)
"""What one change wrote, or several merged; ``facts``: how many it was made of."""

block = sa.Table(
    "rows_block",
    metadata,
    sa.Column("id", _BIG, primary_key=True),
    sa.Column("segment", sa.Integer, nullable=False),
    sa.Column("kind", sa.SmallInteger, nullable=False),
    sa.Column("first", sa.LargeBinary, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("segment", "kind", "first"),
)
"""Sorted facts, packed (:mod:`lineage.rows.postings`); ``first`` is the sorting key of the first of them."""

# Random references do not compress; PostgreSQL need not try at every block.
_PLAIN = "ALTER TABLE rows_block ALTER COLUMN data SET STORAGE EXTERNAL"
sa.event.listen(block, "after_create", sa.DDL(_PLAIN).execute_if(dialect="postgresql"))  # type: ignore[no-untyped-call]

Ranges = Sequence[tuple[bytes, bytes]]
"""Sorted (low, high) pairs of sorting keys, both included."""

_AT_ONCE = 2_000
"""Blocks inserted by one ``executemany``: some megabytes."""
_SEEKS = 16
"""Ranges up to which each is sought by itself; beyond, the keys of all blocks are read first."""


def _floor(kind: sa.ColumnElement[int], low: sa.ColumnElement[bytes], of: sa.ColumnElement[int]) -> sa.ColumnElement[bytes]:
    """The first key of the block in which ``low`` lies or would lie; ``low`` itself where no block begins before."""
    inner = block.alias()
    found = (
        sa.select(inner.c.first)
        .where(inner.c.segment == of, inner.c.kind == kind, inner.c.first <= low)
        .order_by(inner.c.first.desc())
        .limit(1)
        .scalar_subquery()
    )
    return sa.func.coalesce(found, low)


# Statements are made once: making one costs ten times what running it does.
_SEGMENT, _KIND = sa.bindparam("in_segment", type_=sa.Integer), sa.bindparam("of_kind", type_=sa.SmallInteger)
_LOW, _HIGH = sa.bindparam("low", type_=sa.LargeBinary), sa.bindparam("high", type_=sa.LargeBinary)
_HERE = (block.c.segment == _SEGMENT, block.c.kind == _KIND)
_BETWEEN = (block.c.first >= _floor(_KIND, _LOW, _SEGMENT), block.c.first <= _HIGH)
_NEAR = sa.select(block.c.id).where(*_HERE, *_BETWEEN)
_KEYS = sa.select(block.c.first, block.c.id).where(*_HERE).order_by(block.c.first)
_ALL = sa.select(block.c.data).where(*_HERE).order_by(block.c.first)
_SOME = _ALL.where(*_BETWEEN)
_DATA = sa.select(block.c.data).where(block.c.id == sa.bindparam("ident"))
_DELETE = sa.delete(block).where(block.c.id == sa.bindparam("ident"))


class Blocks:
    """The blocks of all segments, over one connection in one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def segments(self, of: int) -> list[tuple[int, int]]:
        """(segment, how many facts it was made of) of a dataset."""
        rows = self._connection.execute(sa.select(segment.c.id, segment.c.facts).where(segment.c.dataset == of).order_by(segment.c.id))
        return [(number, facts) for number, facts in rows]

    def add(self, of: int, tables: dict[Kind, Columns]) -> None:
        """A new segment of sorted facts; none where there is nothing to keep."""
        facts = sum(columns[0].size for columns in tables.values())
        if not facts:
            return
        made = self._connection.execute(sa.insert(segment).values(dataset=of, facts=facts)).inserted_primary_key
        assert made is not None
        for kind, columns in tables.items():
            self._insert(int(made[0]), kind, columns)

    def _insert(self, number: int, kind: Kind, columns: Columns) -> None:
        waiting = []
        for first, data in cut(kind, columns):
            waiting.append({"segment": number, "kind": int(kind), "first": first, "data": data})
            if len(waiting) == _AT_ONCE:
                self._connection.execute(sa.insert(block), waiting)
                waiting.clear()
        if waiting:
            self._connection.execute(sa.insert(block), waiting)

    def remove(self, numbers: Sequence[int]) -> None:
        """Delete whole segments."""
        for number in numbers:
            self._connection.execute(sa.delete(block).where(block.c.segment == number))
            self._connection.execute(sa.delete(segment).where(segment.c.id == number))

    def near(self, number: int, kind: Kind, ranges: Ranges) -> Iterator[tuple[int, Columns]]:
        """(block id, its facts) of each block of a segment that may hold a fact in one of the ranges, each once."""
        for ident in self._wanted(number, kind, ranges):
            yield ident, decoded(kind, self._connection.execute(_DATA, {"ident": ident}).scalar_one())

    def _wanted(self, number: int, kind: Kind, ranges: Ranges) -> list[int]:
        here = {"in_segment": number, "of_kind": int(kind)}
        wanted: dict[int, None] = {}
        if len(ranges) <= _SEEKS:
            for low, high in ranges:
                wanted |= dict.fromkeys(self._connection.execute(_NEAR, here | {"low": low, "high": high}).scalars())
            return list(wanted)
        keys = self._connection.execute(_KEYS, here).all()
        at = 0
        for low, high in ranges:
            while at + 1 < len(keys) and keys[at + 1][0] <= low:
                at += 1
            to = at
            while to < len(keys) and keys[to][0] <= high:
                wanted[keys[to][1]] = None
                to += 1
        return list(wanted)

    def all(self, numbers: Sequence[int], kind: Kind, low: bytes | None = None, high: bytes | None = None) -> Columns:
        """Every fact of the segments in blocks that may hold a key from ``low`` to ``high``; neither sorted nor without repetitions."""
        parts = []
        for number in numbers:
            here = {"in_segment": number, "of_kind": int(kind)}
            if low is None or high is None:
                found = self._connection.execute(_ALL, here)
            else:
                found = self._connection.execute(_SOME, here | {"low": low, "high": high})
            parts += [decoded(kind, data) for data in found.scalars()]
        return join(kind, parts)

    def raw(self, number: int, kind: Kind, low: bytes, high: bytes) -> list[bytes]:
        """The blocks of a segment that may hold a key from ``low`` to ``high``, as they are kept."""
        found = self._connection.execute(_SOME, {"in_segment": number, "of_kind": int(kind), "low": low, "high": high})
        return [bytes(data) for data in found.scalars()]

    def strike(
        self, number: int, kind: Kind, ranges: Ranges, struck: Callable[[Columns], np.ndarray[tuple[int], np.dtype[np.bool_]]]
    ) -> list[Columns]:
        """Take the facts for which ``struck`` is true out of the blocks near the ranges; returns them."""
        taken = []
        for ident, columns in list(self.near(number, kind, ranges)):
            out = struck(columns)
            if not out.any():
                continue
            taken.append(tuple(column[out] for column in columns))
            left = tuple(column[~out] for column in columns)
            self._connection.execute(_DELETE, {"ident": ident})
            if left[0].size:
                self._insert(number, kind, left)
        return taken


def decoded(kind: Kind, data: bytes) -> Columns:
    """The facts of a block.

    Raises:
        Tampered: the bytes are none.
    """
    try:
        return decode(kind, bytes(data))
    except (ValueError, IndexError) as error:
        raise Tampered(
            f"a block of the row index is damaged: {error}", hint="restore it from a backup, or index the datasets anew"
        ) from error


def unsigned(values: Sequence[int]) -> U64:
    """Whole numbers as a column."""
    return np.array(values, dtype=np.uint64)
