"""What a row index keeps, as sorted columns of whole numbers, and the blocks they are cut into.

Three tables of facts, each sorted by its columns and free of repetitions:

====== ================================ ===========================================================================================
kind   columns                          says
====== ================================ ===========================================================================================
PEOPLE high, low, row, event            the person with this 128-bit reference was joined to the row at version ``event // 2`` (even
                                        event) or parted from it (odd)
ROWS   row, hint, version               the row is held from this version on; ``hint`` is the first 16 bits of a person's reference
GONE   hint, row, version               the row is not held from this version on
====== ================================ ===========================================================================================

PEOPLE answers for a person by one seek. ROWS answers for a row at two bytes each: the hint says where in PEOPLE and GONE its facts lie,
and is never an answer by itself. A version is its ordinal; facts are never changed when a version is added, only joined.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import TypeAlias

import numpy as np

from lineage.rows.packing import U64, pack, unpack

__all__ = ["Columns", "Kind", "cut", "decode", "empty", "hints", "join", "key", "nobody", "sorted_people", "tidy"]

Columns: TypeAlias = tuple[U64, ...]

HINT_BITS = 16
_SIZES = {1: 1024, 2: 4096, 3: 1024}
_KEYS = {1: struct.Struct(">QQQ"), 2: struct.Struct(">Q"), 3: struct.Struct(">HQ")}


class Kind(IntEnum):
    """A table of facts."""

    PEOPLE = 1
    ROWS = 2
    GONE = 3

    @property
    def columns(self) -> int:
        """How many there are."""
        return 4 if self is Kind.PEOPLE else 3


def hints(high: U64) -> U64:
    """The first 16 bits of references."""
    return high >> np.uint64(64 - HINT_BITS)


def nobody(row: U64) -> U64:
    """The hints of rows of whom nobody is known: spread over all, so that their facts do not pile up in one place."""
    return row & np.uint64((1 << HINT_BITS) - 1)


def key(kind: Kind, *parts: int) -> bytes:
    """The sorting key of a fact: its columns but the last, as bytes that compare as they do."""
    return _KEYS[kind].pack(*parts)


def empty(kind: Kind) -> Columns:
    """No facts."""
    return tuple(np.empty(0, dtype=np.uint64) for _ in range(kind.columns))


def join(kind: Kind, parts: Sequence[Columns]) -> Columns:
    """The facts of all parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True)) if parts else empty(kind)


def tidy(columns: Columns) -> Columns:
    """Sorted by the columns, without repetitions."""
    if columns[0].size == 0:
        return columns
    order = np.lexsort(columns[::-1])
    columns = tuple(column[order] for column in columns)
    new = np.zeros(columns[0].size, dtype=bool)
    new[0] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return columns if new.all() else tuple(column[new] for column in columns)


def sorted_people(high: U64, low: U64, row: U64, event: int) -> Columns:
    """:func:`tidy` of PEOPLE facts of one event; a tenth of the time where the first 64 bits tell the people apart, as they do."""
    events = np.full(row.size, event, dtype=np.uint64)
    if row.size == 0:
        return (high, low, row, events)
    order = np.argsort(high)
    high, low, row = high[order], low[order], row[order]
    new = np.empty(row.size, dtype=bool)
    new[0] = True
    new[1:] = high[1:] != high[:-1]
    if not (low[1:][~new[1:]] == low[:-1][~new[1:]]).all():
        return tidy((high, low, row, events))
    person = np.cumsum(new, dtype=np.uint64)
    bits = int(row.max()).bit_length()
    if int(person[-1]).bit_length() + bits > 64:
        return tidy((high, low, row, events))
    both = (person << np.uint64(bits)) | row if bits else person
    both.sort()
    fresh = np.empty(row.size, dtype=bool)
    fresh[0] = True
    fresh[1:] = both[1:] != both[:-1]
    row = both & np.uint64((1 << bits) - 1)
    return (high, low, row, events) if fresh.all() else (high[fresh], low[fresh], row[fresh], events[fresh])


def cut(kind: Kind, columns: Columns) -> Iterator[tuple[bytes, bytes]]:
    """(sorting key of the first fact, packed facts) of each block of sorted facts; facts of one key stay together."""
    size, total, start = _SIZES[kind], columns[0].size, 0
    keyed = columns[: 3 if kind is Kind.PEOPLE else 1 if kind is Kind.ROWS else 2]
    while start < total:
        end = min(start + size, total)
        while end < total and all(column[end] == column[end - 1] for column in keyed):
            end += 1
        part = tuple(column[start:end] for column in columns)
        yield key(kind, *(int(column[0]) for column in part[: len(keyed)])), _encoded(kind, part)
        start = end


def _encoded(kind: Kind, part: Columns) -> bytes:
    if kind is Kind.PEOPLE:
        high, low, row, event = part
        first = np.empty(row.size, dtype=bool)
        first[0] = True
        first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        starts = np.flatnonzero(first)
        counts = np.diff(np.append(starts, row.size)).astype(np.uint64)
        steps = np.diff(row, prepend=np.uint64(0))[~first]
        return pack(high[starts], low[starts], counts, row[starts], steps, event)
    if kind is Kind.ROWS:
        row, hint, version = part
        return pack(row[:1], np.diff(row), hint, version)
    return pack(*part)


def decode(kind: Kind, data: bytes) -> Columns:
    """The facts of a block; raises ``ValueError`` for bytes that are none."""
    columns = unpack(data)
    if kind is Kind.PEOPLE:
        high, low, counts, firsts, steps, event = columns
        repeats = counts.astype(np.intp)
        ends = np.cumsum(repeats)
        starts = ends - repeats
        moved = np.empty(event.size, dtype=np.uint64)
        later = np.ones(event.size, dtype=bool)
        later[starts] = False
        moved[later] = steps
        moved[starts] = firsts
        run = np.cumsum(moved)
        row = run - np.repeat(run[starts] - firsts, repeats)
        return np.repeat(high, repeats), np.repeat(low, repeats), row, event
    if kind is Kind.ROWS:
        first, steps, hint, version = columns
        row = np.empty(hint.size, dtype=np.uint64)
        row[0], row[1:] = first[0], steps
        return np.cumsum(row), hint, version
    hint, row, version = columns
    return hint, row, version
