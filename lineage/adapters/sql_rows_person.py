"""A person's rows and versions in the row index: two statements, and some ten numbers of a few blocks.

The statements are compiled once for each kind of database and given to its driver as text, inside the transaction that SQLAlchemy began:
with two statements of microseconds each, what it does around them cost more than they did.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from lineage.adapters.sql_rows_tables import Blocks, block, dataset, segment, version
from lineage.errors import Tampered
from lineage.model import SubjectRows
from lineage.rows.person import Fact, gone_of, held, people_of
from lineage.rows.postings import Kind, key
from lineage.rows.stated import ref_numbers

__all__ = ["find"]

_MAX = 2**64 - 1
_HINT = 48


def find(connection: sa.Connection, refs: Sequence[str]) -> list[SubjectRows]:
    """Every dataset with rows of the person, by name: the rows over all versions, and the versions that hold one of them."""
    rows: dict[int, set[int]] = defaultdict(set)
    spans: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for ref in dict.fromkeys(refs):
        for of, theirs in _spans(connection, *ref_numbers(ref)).items():
            for row, begin, end in theirs:
                rows[of].add(row)
                spans[of].add((begin, end))
    answer = []
    for of, found in rows.items():
        name, versions = _named(connection, of)
        answer.append(SubjectRows(dataset=name, rows=tuple(sorted(found)), versions=tuple(_covered(spans[of], versions))))
    return sorted(answer, key=lambda one: one.dataset)


def _spans(connection: sa.Connection, high: int, low: int) -> dict[int, list[tuple[int, int, int]]]:
    """Dataset → (row, begin, end): when each row of the person was held and theirs."""
    people: dict[int, list[Fact]] = defaultdict(list)
    gone: dict[int, list[bytes]] = defaultdict(list)
    try:
        for of, kind, data in _blocks(connection, high, low):
            if kind == Kind.GONE:
                gone[of].append(data)
            elif facts := people_of(data, high, low):
                people[of] += facts
        answer = {}
        for of, facts in people.items():
            rows = {row for row, _ in facts}
            answer[of] = held(facts, [fact for data in gone[of] for fact in gone_of(data, high >> _HINT, rows)])
    except (ValueError, IndexError) as error:
        raise Tampered(f"a block of the row index is damaged: {error}", hint="index the datasets anew") from error
    return answer


def _blocks(connection: sa.Connection, high: int, low: int) -> Iterator[tuple[int, int, bytes]]:
    """(dataset, kind, block) that may hold facts of the person, or that rows near theirs went; mostly one of each in a segment."""
    bounds = {
        "person_low": key(Kind.PEOPLE, high, low, 0),
        "person_high": key(Kind.PEOPLE, high, low, _MAX),
        "hint_low": key(Kind.GONE, high >> _HINT, 0),
        "hint_high": key(Kind.GONE, high >> _HINT, _MAX),
    }
    for number, of, kind, first, data in _asked(connection, "person", bounds):
        least, most = ("person_low", "person_high") if kind == Kind.PEOPLE else ("hint_low", "hint_high")
        if bytes(first) <= bounds[least]:
            yield of, kind, bytes(data)
            continue
        for each in Blocks(connection).raw(number, Kind(kind), bounds[least], bounds[most]):  # they begin in a block before
            yield of, kind, each


def _named(connection: sa.Connection, of: int) -> tuple[str, list[tuple[int, str]]]:
    """A dataset's name, and (ordinal, name) of its versions in the order in which they were indexed."""
    listed = _asked(connection, "names", {"of": of})
    return listed[0][0], [(ordinal, name) for _, ordinal, name in listed if ordinal is not None]


def _covered(spans: set[tuple[int, int]], versions: list[tuple[int, str]]) -> list[str]:
    """The versions that lie in one of the (begin, end) spans."""
    ordinals = [ordinal for ordinal, _ in versions]
    there: set[int] = set()
    for begin, end in spans:
        there.update(range(bisect_left(ordinals, begin), bisect_left(ordinals, end)))
    return [versions[place][1] for place in sorted(there)]


def _statement_of_person() -> sa.CompoundSelect[int, int, int, bytes, bytes]:
    """The last block of each segment that may hold a person's facts, and that for their hint: one statement, one trip to a server.

    The block is named by its id, found by itself in each segment: a range of keys makes PostgreSQL read every block before it.
    """

    def one(kind: Kind, most: str) -> sa.Select[int, int, int, bytes, bytes]:
        number: sa.ColumnElement[int] = sa.literal_column(str(int(kind)), sa.SmallInteger)
        inner = block.alias()
        last = (
            sa.select(inner.c.id)
            .where(inner.c.segment == segment.c.id, inner.c.kind == number, inner.c.first <= sa.bindparam(most, type_=sa.LargeBinary))
            .order_by(inner.c.first.desc())
            .limit(sa.literal_column("1"))
            .scalar_subquery()
        )
        return sa.select(segment.c.id, segment.c.dataset, block.c.kind, block.c.first, block.c.data).join_from(
            segment, block, block.c.id == last
        )

    return sa.union_all(one(Kind.PEOPLE, "person_high"), one(Kind.GONE, "hint_high"))


_STATEMENTS: Mapping[str, sa.Executable] = {
    "person": _statement_of_person(),
    "names": sa.select(dataset.c.name, version.c.ordinal, version.c.name)
    .select_from(dataset.outerjoin(version, version.c.dataset == dataset.c.id))
    .where(dataset.c.id == sa.bindparam("of", type_=sa.Integer))
    .order_by(version.c.ordinal),
}
_COMPILED: dict[tuple[str, str], tuple[str, list[str] | None, Mapping[str, Any]]] = {}


def _asked(connection: sa.Connection, name: str, given: Mapping[str, Any]) -> Sequence[Any]:
    """What a statement answers. Its text is the same for every connection to one kind of database, so it is made once."""
    known = _COMPILED.get((connection.dialect.name, name))
    if known is None:
        compiled = _STATEMENTS[name].compile(dialect=connection.dialect)  # type: ignore[attr-defined]
        known = _COMPILED[connection.dialect.name, name] = (str(compiled), compiled.positiontup, compiled.params)
    text, order, own = known
    values = {one: given.get(one, default) for one, default in own.items()}
    cursor = connection.connection.cursor()
    try:
        cursor.execute(text, tuple(values[one] for one in order) if order is not None else values)
        return cursor.fetchall()
    except connection.dialect.loaded_dbapi.Error as error:
        raise sa.exc.DBAPIError.instance(text, None, error, connection.dialect.loaded_dbapi.Error, hide_parameters=True) from error
    finally:
        cursor.close()
