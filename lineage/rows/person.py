"""One person's facts read out of packed blocks, and folded: some ten numbers, for which the columns of a block are not spelled out.

A block of a thousand facts becomes arrays in a tenth of a millisecond, and a person lies in one of each segment. What is wanted of it is
found in the packed bytes as they are. :mod:`lineage.rows.postings` and :mod:`lineage.rows.spans` do the same for whole blocks.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Collection, Iterable
from itertools import accumulate
from typing import Final

from lineage.rows.spans import OPEN

__all__ = ["Fact", "gone_of", "held", "people_of"]

Fact = tuple[int, int]
"""(row, event or version)."""

_WORDS: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
_PEOPLE, _GONE = 6, 3
_HEADS: Final = {count: struct.Struct("<B" + count * "IBQ") for count in (_PEOPLE, _GONE)}
_END: Final = int(OPEN)


_Column = tuple[int, int, int, int]
"""Where a column lies in its block, how many values it has, how wide they are, and the smallest (:mod:`lineage.rows.packing`)."""


def _told(data: bytes, count: int) -> tuple[int, ...]:
    """The head of a block: count, then size, width and smallest value of each column."""
    head = _HEADS[count]
    if len(data) < head.size or data[0] != count:
        raise ValueError(f"{len(data)} bytes are not {count} packed columns")
    told = head.unpack_from(data)
    whole = head.size + told[1] * told[2] + told[4] * told[5] + told[7] * told[8]
    if count == _PEOPLE:
        whole += told[10] * told[11] + told[13] * told[14] + told[16] * told[17]
    if whole != len(data):
        raise ValueError(f"{len(data)} bytes are not packed columns: {whole} are told of")
    return told


def _columns(told: tuple[int, ...], at: int) -> list[_Column]:
    """All columns; made for the block where a person is, for in most nobody is found."""
    columns = []
    for number in range(1, len(told), 3):
        size, width, low = told[number : number + 3]
        columns.append((at, size, width, low))
        at += size * width
    return columns


def _some(data: bytes, column: _Column, begin: int, end: int) -> list[int]:
    """The values from place ``begin`` and before ``end``."""
    at, _, width, low = column
    if not width:
        return [low] * (end - begin)
    at += begin * width
    if word := _WORDS.get(width):
        return [low + value for value in struct.unpack_from(f"<{end - begin}{word}", data, at)]
    read = int.from_bytes
    return [low + read(data[place : place + width], "little") for place in range(at, at + (end - begin) * width, width)]


def _sum(data: bytes, column: _Column, end: int) -> int:
    """The sum of the values before place ``end``."""
    at, _, width, low = column
    return low * end + sum(data[at : at + end]) if width == 1 else sum(_some(data, column, 0, end))


def _found(data: bytes, column: _Column, value: int) -> tuple[int, int]:
    """(first place, place after the last) of a value in a sorted column; equal where it is not there."""
    at, size, width, low = column
    above = value - low
    if above < 0 or above >> (8 * width):
        return 0, 0
    if not width:
        return 0, size
    wanted, end = above.to_bytes(width, "little"), at + size * width
    first = data.find(wanted, at, end)
    while first >= 0 and (first - at) % width:  # the bytes of two neighbours that look like it
        first = data.find(wanted, first + 1, end)
    if first < 0:
        return 0, 0
    after = first + width
    while after < end and data.startswith(wanted, after):
        after += width
    return (first - at) // width, (after - at) // width


def people_of(data: bytes, high: int, low: int) -> list[Fact]:
    """(row, event) of one person in a PEOPLE block.

    Raises:
        ValueError: these bytes are no such block.
    """
    told, begins = _told(data, _PEOPLE), _HEADS[_PEOPLE].size
    begin, end = _found(data, (begins, told[1], told[2], told[3]), high)
    if begin == end:
        return []
    _, lows, counts, firsts, steps, events = _columns(told, begins)
    for at in range(begin, end):
        if _some(data, lows, at, at + 1)[0] != low:
            continue
        start, (count,) = _sum(data, counts, at), _some(data, counts, at, at + 1)
        rows = list(accumulate(_some(data, steps, start - at, start - at + count - 1), initial=_some(data, firsts, at, at + 1)[0]))
        return list(zip(rows, _some(data, events, start, start + count), strict=True))
    return []


def gone_of(data: bytes, hint: int, rows: Collection[int]) -> list[Fact]:
    """(row, version) of those of the rows that a GONE block tells of under a hint.

    Raises:
        ValueError: these bytes are no such block.
    """
    told, begins = _told(data, _GONE), _HEADS[_GONE].size
    begin, end = _found(data, (begins, told[1], told[2], told[3]), hint)
    if begin == end:
        return []
    _, whose, versions = _columns(told, begins)
    places = [place for place, row in enumerate(_some(data, whose, begin, end)) if row in rows]
    return [(_some(data, whose, begin + at, begin + at + 1)[0], _some(data, versions, begin + at, begin + at + 1)[0]) for at in places]


def held(people: Iterable[Fact], gone: Iterable[Fact]) -> list[tuple[int, int, int]]:
    """(row, begin, end) of the spans of versions in which each row was held and the person's; as :func:`lineage.rows.spans.spans`.

    Args:
        people: (row, event): joined at version ``event // 2``, or parted from it where the event is odd.
        gone: (row, version) at which the row went.
    """
    facts: dict[int, set[tuple[int, bool]]] = defaultdict(set)
    for row, event in people:
        facts[row].add((event >> 1, not event & 1))
    for row, version in gone:
        if row in facts:
            facts[row].add((version, False))
    found = []
    for row, known in facts.items():
        begin = -1
        for version, there in sorted(known):
            if there and begin < 0:
                begin = version
            elif not there and begin >= 0:
                found.append((row, begin, version))
                begin = -1
        if begin >= 0:
            found.append((row, begin, _END))
    return found
