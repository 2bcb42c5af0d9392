"""What changes the row index: versions are stated, rows are forgotten, references are re-keyed; each in one transaction of the caller.

A version writes a segment with what it changes against the one before it, so a version that changes a hundredth writes about a
hundredth. Eight segments of one order of magnitude are merged into one, which bounds the blocks that a look-up reads: at most seven in
each power of eight.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from lineage.adapters.sql_rows_read import Facts, Reader, hint_ranges
from lineage.adapters.sql_rows_tables import block, dataset, segment, unsigned, version
from lineage.errors import Conflict
from lineage.rows.packing import U64
from lineage.rows.postings import Columns, Kind, empty, hints, join, key, nobody, sorted_people, tidy
from lineage.rows.spans import last_before, spans
from lineage.rows.stated import Stated, row_number

__all__ = ["Writer"]

_MERGE = 4
"""Segments of one power of eight that are merged into one."""
_PART = 4_000_000
"""PEOPLE facts that are compared at a time: some hundred bytes of memory each."""

People = tuple[U64, U64, U64]
"""(high, low, row)."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a version changes against another: people joined to and parted from rows, rows of nobody that came, rows that went."""

    joined: list[People]
    parted: list[People]
    alone: U64
    went: U64
    rows: int
    """How many the new version holds."""

    @property
    def nothing(self) -> bool:
        """Whether both are the same."""
        return not (any(part[0].size for part in (*self.joined, *self.parted)) or self.alone.size or self.went.size)


class Writer(Reader):
    """Writes, inside the caller's transaction, of which there is one at a time."""

    # ── versions ────────────────────────────────────────────────────────────────────────────────
    def replace(self, name: str, wanted: str, stated: Stated) -> None:
        """State a whole version."""
        of = self._intern(name)
        known = self.versions(of)
        for ordinal, found, _ in known:
            if found == wanted:
                if self._against(of, ordinal, stated).nothing:
                    return
                self.drop(name, wanted)
                known = self.versions(of)
                break
        latest = self._ordinals(of)
        self._append(of, wanted, self._against(of, latest, stated))

    def extend(self, name: str, wanted: str, base: str, stated: Stated, removed: Sequence[int]) -> None:
        """State a version by what changes against the last one, whose name is ``base``."""
        of = self._intern(name)
        known = self.versions(of)
        if not known or known[-1][1] != base:
            last = known[-1][1] if known else "none"
            raise Conflict(f"the last indexed version of {name} is {last}, not {base}", hint=f"state {name}@{wanted} whole")
        if any(found == wanted for _, found, _ in known):
            raise Conflict(f"{name}@{wanted} is indexed already", hint=f"state {name}@{wanted} whole")
        here = np.unique(np.concatenate([stated.row, stated.nobody]))
        went = np.setdiff1d(np.unique(unsigned([row_number(row) for row in removed])), here, assume_unique=True)
        facts = self.facts(of, np.union1d(here, went))
        there = facts.spans.at(self._ordinals(of))
        old = np.intersect1d(here, there, assume_unique=True)
        new_people = _people(sorted_people(stated.high, stated.low, stated.row, 0))
        present = self._present(self.people(of, _about(facts, old)), facts, self._ordinals(of)) if old.size else _no_people()
        gone = np.intersect1d(went, there, assume_unique=True)
        change = Change(
            joined=[_without(new_people, present)],
            parted=[_without(_of_rows(present, old), new_people)],
            alone=np.setdiff1d(stated.nobody, there, assume_unique=True),
            went=gone,
            rows=known[-1][2] + int(here.size - old.size) - int(gone.size),
        )
        self._append(of, wanted, change)

    def _against(self, of: int, ordinal: int, stated: Stated) -> Change:
        """What ``stated`` changes against the state at a version."""
        here = np.unique(np.concatenate([stated.row, stated.nobody]))
        numbers = [number for number, _ in self.blocks.segments(of)]
        if not numbers:
            return Change(list(_parts(stated, here.size)), [], stated.nobody, here[:0], int(here.size))
        facts = self.all_facts(of)
        there = facts.spans.at(ordinal)
        joined, parted = [], []
        bounds = _bounds(max(stated.row.size, facts.rows[0].size))
        for low, high in bounds:
            mine = (stated.high >= np.uint64(low)) & (stated.high <= np.uint64(high))
            new = _people(sorted_people(stated.high[mine], stated.low[mine], stated.row[mine], 0))
            known = self.blocks.all(numbers, Kind.PEOPLE, key(Kind.PEOPLE, low, 0, 0), key(Kind.PEOPLE, high, 2**64 - 1, 2**64 - 1))
            within = (known[0] >= np.uint64(low)) & (known[0] <= np.uint64(high))
            present = self._present(tuple(column[within] for column in known), facts, ordinal)
            joined.append(_without(new, present))
            parted.append(_without(_of_rows(present, here), new))
        return Change(
            joined=joined,
            parted=parted,
            alone=np.setdiff1d(stated.nobody, there, assume_unique=True),
            went=np.setdiff1d(there, here, assume_unique=True),
            rows=int(here.size),
        )

    def _present(self, known: Columns, facts: Facts, ordinal: int) -> People:
        """Who is joined to which row at a version."""
        early = known[3] < np.uint64(2 * (ordinal + 1))
        high, low, row, event = tidy(tuple(column[early] for column in known))
        last = np.ones(row.size, dtype=bool)
        last[:-1] = (high[1:] != high[:-1]) | (low[1:] != low[:-1]) | (row[1:] != row[:-1])
        high, low, row, event = high[last], low[last], row[last], event[last]
        went = last_before((facts.gone[1], facts.gone[2]), row, ordinal)
        there = ((event & np.uint64(1)) == 0) & ((event >> np.uint64(1)) > went)
        return high[there], low[there], row[there]

    def _append(self, of: int, wanted: str, change: Change) -> None:
        ordinal = self._next(of)
        joined = [sorted_people(*part, 2 * ordinal) for part in change.joined]
        people = join(Kind.PEOPLE, joined)
        if any(part[0].size for part in change.parted):
            people = tidy(join(Kind.PEOPLE, [people, *(sorted_people(*part, 2 * ordinal + 1) for part in change.parted)]))
        row = np.concatenate([*(part[2] for part in joined), change.alone])
        hint = np.concatenate([*(hints(part[0]) for part in joined), nobody(change.alone)])
        came = _sorted_rows(row, hint, ordinal)
        gone = self._going(of, change.went, ordinal)
        self.connection.execute(sa.insert(version).values(dataset=of, ordinal=ordinal, name=wanted, rows=change.rows))
        self.blocks.add(of, {Kind.PEOPLE: people, Kind.ROWS: came, Kind.GONE: gone})
        self._merge(of)

    def _going(self, of: int, went: U64, ordinal: int) -> Columns:
        """The GONE facts of rows: one at each place where a fact of their people lies."""
        if not went.size:
            return empty(Kind.GONE)
        known = self.facts(of, went).rows
        return tidy((known[1], known[0], np.full(known[0].size, ordinal, dtype=np.uint64)))

    def _merge(self, of: int) -> None:
        orders: dict[int, list[int]] = defaultdict(list)
        for number, facts in self.blocks.segments(of):
            orders[(max(facts, 1).bit_length() - 1) // 3].append(number)
        for _, numbers in sorted(orders.items()):
            if len(numbers) >= _MERGE:
                made = {kind: tidy(self.blocks.all(numbers, kind)) for kind in Kind}
                self.blocks.remove(numbers)
                self.blocks.add(of, made)
                self._merge(of)
                return

    # ── forgetting ──────────────────────────────────────────────────────────────────────────────
    def forget(self, name: str, row_ids: Sequence[int]) -> int:
        """Take every fact about the rows out of every block; returns how many (person, row) pairs went."""
        of = self.dataset(name)
        rows = np.unique(unsigned([row_number(row) for row in row_ids]))
        return 0 if of is None or not rows.size else self._forget(of, rows)

    def _forget(self, of: int, rows: U64) -> int:
        facts = self.facts(of, rows)
        if not facts.rows[0].size:
            return 0
        held = facts.spans
        for ordinal, _, count in self.versions(of):
            less = int(held.at(ordinal).size)
            if less:
                where = (version.c.dataset == of, version.c.ordinal == ordinal)
                self.connection.execute(sa.update(version).where(*where).values(rows=count - less))
        pairs = []
        row_ranges = [(key(Kind.ROWS, int(row)),) * 2 for row in rows]
        for number, _ in self.blocks.segments(of):
            pairs += self.blocks.strike(
                number, Kind.PEOPLE, hint_ranges(Kind.PEOPLE, facts.rows[1]), lambda columns: np.isin(columns[2], rows)
            )
            self.blocks.strike(number, Kind.ROWS, row_ranges, lambda columns: np.isin(columns[0], rows))
            self.blocks.strike(number, Kind.GONE, hint_ranges(Kind.GONE, facts.rows[1]), lambda columns: np.isin(columns[1], rows))
        self._sweep(of)
        people = join(Kind.PEOPLE, pairs)
        return int(tidy(people[:3])[0].size)

    def drop(self, name: str, wanted: str) -> bool:
        """Forget a version, the rows that no other one holds, and who was joined to a row in no other one."""
        of = self.dataset(name)
        known = self.versions(of) if of is not None else []
        found = [ordinal for ordinal, one, _ in known if one == wanted]
        if of is None or not found:
            return False
        self.connection.execute(sa.delete(version).where(version.c.dataset == of, version.c.ordinal == found[0]))
        left = [ordinal for ordinal, _, _ in known if ordinal != found[0]]
        facts = self.all_facts(of)
        held = facts.spans
        kept = np.unique(held.what[held.within(left)])
        lost = np.setdiff1d(np.unique(facts.rows[0]), kept, assume_unique=True)
        if lost.size:
            self._forget(of, lost)
        suspects = [_changed_hands(facts)]
        for number, _ in self.blocks.segments(of):
            for _, columns in list(self.blocks.near(number, Kind.PEOPLE, _EVERYTHING)):
                suspects.append(columns[2][(columns[3] & np.uint64(1)) == 1])
        rows = np.intersect1d(np.concatenate(suspects), kept)
        if rows.size:
            self._part_rows(of, rows, left)
        return True

    def _part_rows(self, of: int, rows: U64, left: list[int]) -> None:
        """Forget who was joined to one of the rows in none of the versions that are left: somebody else took the row over."""
        facts = self.facts(of, rows)
        people = tidy(self.people(of, facts))
        if not people[0].size:
            return
        who = np.stack(people[:3], axis=1)
        pairs, what = np.unique(who, axis=0, return_inverse=True)
        what = what.reshape(-1).astype(np.uint64)
        parted = (people[3] & np.uint64(1)) == 1
        of_row = np.argsort(pairs[:, 2], kind="stable")
        begins, ends = (pairs[of_row, 2].searchsorted(facts.gone[1], side) for side in ("left", "right"))
        went = [what[parted]]
        when = [people[3][parted] >> np.uint64(1)]
        for begin, end, at in zip(begins, ends, facts.gone[2], strict=True):
            went.append(of_row[begin:end].astype(np.uint64))
            when.append(np.full(end - begin, at, dtype=np.uint64))
        held = spans((what[~parted], people[3][~parted] >> np.uint64(1)), (np.concatenate(went), np.concatenate(when)))
        kept = np.unique(held.what[held.within(left)])
        lost = pairs[np.setdiff1d(np.arange(len(pairs), dtype=np.uint64), kept, assume_unique=True).astype(np.intp)]
        for number, _ in self.blocks.segments(of):
            for high, low, row in lost.tolist():
                one = (key(Kind.PEOPLE, high, low, row),) * 2
                self.blocks.strike(
                    number,
                    Kind.PEOPLE,
                    [one],
                    lambda c, h=high, lo=low, r=row: (c[0] == np.uint64(h)) & (c[1] == np.uint64(lo)) & (c[2] == np.uint64(r)),  # type: ignore[misc]
                )

    # ── re-keying ───────────────────────────────────────────────────────────────────────────────
    def rekey(self, name: str, old: Columns, new: Columns) -> tuple[int, int]:
        """Put new references in place of old ones throughout a dataset; when rows were held stays as it is.

        Args:
            name: the dataset.
            old: (high, low) of the references to replace.
            new: as many that take their place.

        Returns:
            (pairs of person and row that were moved, pairs left under a reference that is neither replaced nor one of the new ones).
        """
        of = self.dataset(name)
        numbers = [number for number, _ in self.blocks.segments(of)] if of is not None else []
        if of is None or not numbers:
            return 0, 0
        high, low, row, event = self.blocks.all(numbers, Kind.PEOPLE)
        order = np.lexsort((old[1], old[0]))
        at = _place((old[0][order], old[1][order]), (high, low))
        moves = at >= 0
        stays = order[at[moves]]
        moves[moves] = (new[0][stays] != high[moves]) | (new[1][stays] != low[moves])
        known = np.lexsort((new[1], new[0]))
        done = _place((new[0][known], new[1][known]), (high, low)) >= 0
        left = int(tidy((high[~moves & ~done], low[~moves & ~done], row[~moves & ~done]))[0].size)
        moved = int(tidy((high[moves], low[moves], row[moves]))[0].size)
        if not moved:
            return 0, left
        target = order[at[moves]]
        high[moves], low[moves] = new[0][target], new[1][target]
        people = tidy((high, low, row, event))
        facts = self.all_facts(of)
        self.blocks.remove(numbers)
        self.blocks.add(of, {Kind.PEOPLE: people, **_rows_and_gone(people, facts)})
        return moved, left

    # ── names ───────────────────────────────────────────────────────────────────────────────────
    def _intern(self, name: str) -> int:
        found = self.dataset(name)
        if found is not None:
            return found
        made = self.connection.execute(sa.insert(dataset).values(name=name, ordinals=0)).inserted_primary_key
        assert made is not None
        return int(made[0])

    def _ordinals(self, of: int) -> int:
        return int(self.connection.execute(sa.select(dataset.c.ordinals).where(dataset.c.id == of)).scalar_one())

    def _next(self, of: int) -> int:
        ordinal = self._ordinals(of) + 1
        self.connection.execute(sa.update(dataset).where(dataset.c.id == of).values(ordinals=ordinal))
        return ordinal

    def _sweep(self, of: int) -> None:
        """Delete segments that hold no block any more."""
        full = sa.select(block.c.id).where(block.c.segment == segment.c.id).exists()
        self.connection.execute(sa.delete(segment).where(segment.c.dataset == of, ~full))


_EVERYTHING = [(key(Kind.PEOPLE, 0, 0, 0), key(Kind.PEOPLE, 2**64 - 1, 2**64 - 1, 2**64 - 1))]


def _bounds(facts: int) -> list[tuple[int, int]]:
    """Ranges of the first 64 bits, each with at most some millions of the facts."""
    bits = max(0, (facts // _PART).bit_length())
    step = 2 ** (64 - bits)
    return [(at * step, (at + 1) * step - 1) for at in range(2**bits)]


def _parts(stated: Stated, rows: int) -> list[People]:
    """What is stated, range by range, so that each is sorted in little memory."""
    bounds = _bounds(max(rows, stated.row.size))
    if len(bounds) == 1:
        return [(stated.high, stated.low, stated.row)]
    found = []
    for low, high in bounds:
        mine = (stated.high >= np.uint64(low)) & (stated.high <= np.uint64(high))
        found.append((stated.high[mine], stated.low[mine], stated.row[mine]))
    return found


def _changed_hands(facts: Facts) -> U64:
    """The rows that may have been other people's in other versions: they came at several of them, for whom they were joined to, or went."""
    came = np.unique(np.stack([facts.rows[0], facts.rows[2]], axis=1), axis=0)
    rows, times = np.unique(came[:, 0], return_counts=True)
    return np.concatenate([rows[times > 1], facts.gone[1]])


def _sorted_rows(row: U64, hint: U64, ordinal: int) -> Columns:
    """ROWS facts of one version. Row and hint fit one number, and sorting numbers takes a tenth of the time of sorting pairs."""
    if row.size and int(row.max()) < 1 << 48:
        both = (row << np.uint64(16)) | hint
        if not (both[1:] > both[:-1]).all():
            both.sort()
            both = both[np.concatenate([[True], both[1:] != both[:-1]])]
        row, hint = both >> np.uint64(16), both & np.uint64(0xFFFF)
    else:
        row, hint = tidy((row, hint))
    return row, hint, np.full(row.size, ordinal, dtype=np.uint64)


def _rows_and_gone(people: Columns, facts: Facts) -> dict[Kind, Columns]:
    """ROWS and GONE with the hints of these people; when rows came and went is as ``facts`` say."""
    row, hint = tidy((people[2], hints(people[0])))
    came = tidy((facts.rows[0], facts.rows[2]))
    gone = tidy((facts.gone[1], facts.gone[2]))
    made = {}
    for kind, (what, at) in ((Kind.ROWS, came), (Kind.GONE, gone)):
        begin, end = row.searchsorted(what), row.searchsorted(what, "right")
        count = np.maximum(end - begin, 1)
        each = np.repeat(what, count)
        place = np.arange(each.size) - np.repeat(np.cumsum(count) - count, count) + np.repeat(begin, count)
        owned = np.repeat(end > begin, count)
        marks = nobody(each)
        marks[owned] = hint[place[owned]]
        when = np.repeat(at, count)
        made[kind] = tidy((each, marks, when) if kind is Kind.ROWS else (marks, each, when))
    return made


def _people(columns: Columns) -> People:
    """The pairs of PEOPLE facts."""
    high, low, row, _ = columns
    return high, low, row


def _no_people() -> People:
    none = np.empty(0, dtype=np.uint64)
    return none, none, none


def _of_rows(people: People, rows: U64) -> People:
    """Those about the given rows (sorted, each once)."""
    if not rows.size or not people[2].size:
        return people[0][:0], people[1][:0], people[2][:0]
    at = np.minimum(rows.searchsorted(people[2]), rows.size - 1)
    mine = rows[at] == people[2]
    return people[0][mine], people[1][mine], people[2][mine]


def _about(facts: Facts, rows: U64) -> Facts:
    """The facts about the given rows."""
    return Facts(
        tuple(column[np.isin(facts.rows[0], rows)] for column in facts.rows),
        tuple(column[np.isin(facts.gone[1], rows)] for column in facts.gone),
    )


def _without(people: People, others: People) -> People:
    """The people that are not among others; both without repetitions."""
    if not people[0].size or not others[0].size:
        return people
    columns = tuple(np.concatenate(pair) for pair in zip(people, others, strict=True))
    which = np.concatenate([np.zeros(people[0].size, dtype=np.uint64), np.ones(others[0].size, dtype=np.uint64)])
    order = np.lexsort((which, *columns[::-1]))
    high, low, row, which = (column[order] for column in (*columns, which))
    same = np.zeros(high.size, dtype=bool)
    same[:-1] = (high[1:] == high[:-1]) & (low[1:] == low[:-1]) & (row[1:] == row[:-1])
    mine = (which == 0) & ~same
    return high[mine], low[mine], row[mine]


def _place(sorted_refs: tuple[U64, U64], refs: tuple[U64, U64]) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """For each reference its place among sorted ones, -1 where it is not."""
    table = np.empty(sorted_refs[0].size, dtype=[("high", ">u8"), ("low", ">u8")])
    table["high"], table["low"] = sorted_refs
    wanted = np.empty(refs[0].size, dtype=table.dtype)
    wanted["high"], wanted["low"] = refs
    if not table.size:
        return np.full(wanted.size, -1, dtype=np.intp)
    keys, asked = table.view("S16"), wanted.view("S16")
    at = np.minimum(keys.searchsorted(asked), table.size - 1)
    return np.where(table[at] == wanted, at, -1)
