"""What is read of one person out of packed blocks is what the whole blocks say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.rows.packing import U64
from lineage.rows.person import gone_of, held, people_of
from lineage.rows.postings import Kind, cut, decode, tidy
from lineage.rows.spans import spans

# Few values and far apart ones, so that people share the first half of a reference, columns take every width, and bytes look alike.
HALF = st.sampled_from([0, 1, 255, 256, 257, 65_535, 2**40, 2**64 - 2])
ROW = st.one_of(st.integers(0, 600), st.integers(0, 2**62))
PEOPLE = st.lists(st.tuples(HALF, HALF, ROW, st.integers(0, 300)), min_size=1, max_size=40)
GONE = st.lists(st.tuples(st.sampled_from([0, 1, 256, 257, 65_535]), ROW, st.integers(0, 300)), min_size=1, max_size=40)


def columns(facts: list[tuple[int, ...]]) -> tuple[U64, ...]:
    return tidy(tuple(np.array(column, dtype=np.uint64) for column in zip(*facts, strict=True)))


@settings(max_examples=50)
@given(PEOPLE)
def test_a_person_in_a_block_is_what_the_block_says(facts: list[tuple[int, ...]]) -> None:
    for _, data in cut(Kind.PEOPLE, columns(facts)):
        rows = list(zip(*(column.tolist() for column in decode(Kind.PEOPLE, data)), strict=True))
        for high, low in {(high, low) for high, low, _, _ in facts} | {(3, 3), (2**64 - 1, 0)}:
            assert people_of(data, high, low) == [(row, event) for one, other, row, event in rows if (one, other) == (high, low)]


@settings(max_examples=50)
@given(GONE)
def test_what_went_under_a_hint_is_what_the_block_says(facts: list[tuple[int, ...]]) -> None:
    wanted = {row for _, row, _ in facts[::2]}
    for _, data in cut(Kind.GONE, columns(facts)):
        rows = list(zip(*(column.tolist() for column in decode(Kind.GONE, data)), strict=True))
        for hint in (0, 1, 2, 256, 257, 65_535):
            assert gone_of(data, hint, wanted) == [(row, at) for one, row, at in rows if one == hint and row in wanted]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(2, 30)), min_size=1, max_size=20),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 15)), max_size=10),
)
def test_spans_of_few_facts_are_those_of_many(people: list[tuple[int, int]], gone: list[tuple[int, int]]) -> None:
    joined = {(row, event >> 1) for row, event in people if event % 2 == 0}
    left = {(row, event >> 1) for row, event in people if event % 2}
    at_once = {(row, at) for row, at in joined if (row, at) in left | set(gone)}
    people = [(row, event) for row, event in people if (row, event >> 1) not in at_once]  # at one version nothing both comes and goes
    rows = {row for row, _ in people}

    def column(pairs: list[tuple[int, int]]) -> tuple[U64, U64]:
        table = np.array(sorted(set(pairs)), dtype=np.uint64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    came = [(row, event >> 1) for row, event in people if event % 2 == 0]
    went = [(row, event >> 1) for row, event in people if event % 2] + [(row, at) for row, at in gone if row in rows]
    expected = spans(column(came), column(went))
    assert sorted(held(people, gone)) == list(zip(expected.what.tolist(), expected.begin.tolist(), expected.end.tolist(), strict=True))


@pytest.mark.parametrize("cut_off", [0, 1, 20, 39, -1])
def test_bytes_that_are_no_block_are_refused(cut_off: int) -> None:
    for kind, read in (
        (Kind.PEOPLE, lambda data: people_of(data, 1, 1)),
        (Kind.GONE, lambda data: gone_of(data, 1, {1})),
    ):
        ((_, data),) = cut(kind, columns([(1, 1, 1, 1)[: kind.columns], (1, 1, 700, 2)[: kind.columns]]))
        read(data)
        with pytest.raises(ValueError, match="columns"):
            read(data[:cut_off])
        with pytest.raises(ValueError, match="columns"):
            read(data + b"x")
