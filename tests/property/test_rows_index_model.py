"""The row index answers as sets in memory do, whatever is stated, extended, dropped, re-keyed and forgotten in which order."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.adapters import sql_rows_write
from lineage.adapters.sql_rows import SqlRowIndex
from lineage.adapters.sqlite_rows import SqliteRowIndex
from lineage.errors import Conflict
from tests.support.row_indexes import PlainRowIndex

# References that differ in the first half, in the second half only, and in the last bit; two share a hint.
REFS = [f"{n:032x}" for n in (0, 1, 2**64, 2**127, 2**127 + 1, 2**128 - 1)]
ROWS = st.one_of(st.integers(65_530, 65_542), st.sampled_from([0, 2**40, 2**63 - 1]))
PAIRS = st.lists(st.tuples(st.sampled_from([*REFS, ""]), ROWS), max_size=8)
DATASETS = st.sampled_from("ab")
VERSIONS = st.sampled_from("1234")


def same(index: SqlRowIndex, plain: PlainRowIndex) -> None:
    """Every answer of both, compared."""
    for refs in (*([ref] for ref in REFS), REFS):
        found = {one.dataset: (list(one.rows), list(one.versions)) for one in index.find(refs)}
        assert found == plain.find(refs)
        assert index.lookup(refs) == {name: rows for name, (rows, _) in plain.find(refs).items()}
    rows = [0, 65_535, 65_536, 2**40, 2**63 - 1]
    for dataset in "ab":
        assert index.versions(dataset) == plain.versions(dataset)
        for version in plain.versions(dataset):
            assert index.row_ids(dataset, version) == plain.row_ids(dataset, version)
            assert index.count(dataset, version) == len(plain.row_ids(dataset, version))
        for row in rows:
            assert index.versions_with(dataset, [row]) == plain.versions_with(dataset, [row])
        assert index.versions_with(dataset, rows) == plain.versions_with(dataset, rows)
        assert index.shared(dataset, range(65_530, 65_543)) == plain.shared(dataset, range(65_530, 65_543))


def step(index: SqlRowIndex, plain: PlainRowIndex, what: str, dataset: str, version: str, pairs: list[tuple[str, int]], seed: int) -> None:
    """One change, made to both."""
    if what == "replace":
        index.replace(dataset, version, pairs)
        plain.replace(dataset, version, pairs)
    elif what == "extend":
        base = (plain.versions(dataset) or ["none"])[-1 if seed % 4 else 0]
        removed = [row for _, row in pairs[::2]] + [65_535]
        try:
            plain.extend(dataset, version, base=base, rows=pairs[1:], removed=removed)
        except Conflict:
            with pytest.raises(Conflict):
                index.extend(dataset, version, base=base, rows=pairs[1:], removed=removed)
        else:
            index.extend(dataset, version, base=base, rows=pairs[1:], removed=removed)
    elif what == "drop":
        index.drop(dataset, version)
        plain.drop(dataset, version)
    elif what == "forget":
        rows = [row for _, row in pairs]
        assert index.forget(dataset, rows) == plain.forget(dataset, rows)
        assert index.forget(dataset, rows) == 0
    else:
        moves = {REFS[seed % 6]: REFS[(seed // 6) % 6]}
        moves = {old: new for old, new in moves.items() if old != new}
        assert index.rekey(dataset, list(moves.items())) == plain.rekey(dataset, moves)


STEPS = st.lists(
    st.tuples(st.sampled_from(["replace", "replace", "extend", "drop", "forget", "rekey"]), DATASETS, VERSIONS, PAIRS, st.integers(0, 35)),
    min_size=1,
    max_size=14,
)


@given(STEPS)
@settings(max_examples=15, deadline=None)
def test_as_sets(steps: list[tuple[str, str, str, list[tuple[str, int]], int]]) -> None:
    plain = PlainRowIndex()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql_rows_write, "_MERGE", 3)  # so that small histories are merged too
        index = SqliteRowIndex(Path(folder) / "rows.db")
        for given_step in steps:
            step(index, plain, *given_step)
        same(index, plain)
        index.close()
        again = SqliteRowIndex(Path(folder) / "rows.db")
        same(again, plain)
        again.close()


FIRST, LAST = "0" * 32, "f" * 32


@pytest.mark.parametrize("end", [("replace", "a", "1", [], 0), ("drop", "a", "1", [], 0)], ids=["emptied", "dropped"])
@pytest.mark.parametrize(
    "between", [[], [("replace", "a", "3", [], 0), ("drop", "a", "3", [], 0)]], ids=["at once", "after a version without it"]
)
def test_who_was_joined_to_a_row_in_a_version_that_is_gone_has_it_no_more(tmp_path: Path, between: list, end: tuple) -> None:
    """Found as it were, the row of somebody else would be erased."""
    plain, index = PlainRowIndex(), SqliteRowIndex(tmp_path / "rows.db")
    joined = ("replace", "a", "1", [(FIRST, 5), (LAST, 5)], 0)
    for given_step in [("replace", "a", "2", [(FIRST, 5)], 0), *between, joined, end]:
        step(index, plain, *given_step)
    same(index, plain)
    assert index.find([LAST]) == []
    index.close()


@given(STEPS)
@settings(max_examples=4, deadline=None)
def check(index: SqlRowIndex, steps: list[tuple[str, str, str, list[tuple[str, int]], int]]) -> None:
    plain = PlainRowIndex()
    for dataset in "ab":
        for version in index.versions(dataset):
            index.drop(dataset, version)
    for given_step in steps:
        step(index, plain, *given_step)
    same(index, plain)


def test_as_sets_in_postgres(postgres_uri: str) -> None:
    from lineage.adapters.postgres_rows import PostgresRowIndex

    index = PostgresRowIndex(postgres_uri)
    check(index)
    index.close()


@pytest.mark.slow
def test_as_sets_at_every_step_of_many_histories() -> None:
    @given(STEPS)
    @settings(max_examples=300, deadline=None)
    def run(steps: list[tuple[str, str, str, list[tuple[str, int]], int]]) -> None:
        plain = PlainRowIndex()
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sql_rows_write, "_MERGE", 2)
            index = SqliteRowIndex(Path(folder) / "rows.db")
            for given_step in steps:
                step(index, plain, *given_step)
                same(index, plain)
            index.close()

    run()
