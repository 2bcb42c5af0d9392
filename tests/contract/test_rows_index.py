"""What every row index promises: subject → rows → versions, written by what changes, and nothing of a row after a forget."""

from __future__ import annotations

import hashlib
import threading

import numpy as np
import pytest
import sqlalchemy as sa

from lineage.adapters import sql_rows_tables as tables
from lineage.adapters.sql_rows import SqlRowIndex
from lineage.errors import BadInput, Conflict, NotFound
from lineage.model import OwnedRows, SubjectRows
from lineage.rows.postings import Kind, decode


def ref(n: int) -> str:
    return hashlib.sha256(str(n).encode()).hexdigest()[:32]


def batch(people: range, rows: range) -> OwnedRows:
    return OwnedRows(b"".join(bytes.fromhex(ref(n)) for n in people), np.array(rows, dtype=np.int64))


def kept(index: SqlRowIndex) -> dict[Kind, list]:
    """Every fact that the tables hold, decoded."""
    facts: dict[Kind, list] = {kind: [] for kind in Kind}
    with index._place.read() as connection:
        for kind, first, data in connection.execute(sa.select(tables.block.c.kind, tables.block.c.first, tables.block.c.data)):
            columns = decode(Kind(kind), bytes(data))
            found = list(zip(*(column.tolist() for column in columns), strict=True))
            assert found == sorted(found)
            assert first == tables.cut.__globals__["key"](Kind(kind), *found[0][: -1 if kind != Kind.ROWS else 1])
            facts[Kind(kind)] += found
    return facts


def written(index: SqlRowIndex) -> int:
    """Bytes of all blocks."""
    with index._place.read() as connection:
        return connection.execute(sa.select(sa.func.coalesce(sa.func.sum(sa.func.length(tables.block.c.data)), 0))).scalar_one()


def test_a_subjects_rows_and_versions_over_all_epochs(rows_index: SqlRowIndex) -> None:
    index = rows_index
    index.replace("a", "1", [(ref(1), 1), (ref(2), 2)])
    index.replace("a", "2", [(ref(1), 1), (ref(1), 70_000), (ref(3), 3)])
    index.replace("b", "1", [(ref(9), 5)])
    assert index.lookup([ref(1)]) == {"a": [1, 70_000]}
    assert index.lookup([ref(1), ref(9), ref(1)]) == {"a": [1, 70_000], "b": [5]}
    assert index.find([ref(2), ref(9)]) == [
        SubjectRows(dataset="a", rows=(2,), versions=("1",)),
        SubjectRows(dataset="b", rows=(5,), versions=("1",)),
    ]
    assert index.find([ref(404)]) == []
    assert index.lookup([]) == {}
    assert index.versions_with("a", [1]) == ["1", "2"]
    assert index.versions_with("a", [70_000, 2]) == ["1", "2"]
    assert index.versions_with("a", [3]) == ["2"]
    assert index.versions_with("a", [99]) == index.versions_with("nowhere", [1]) == index.versions_with("a", []) == []
    assert (index.count("a", "1"), index.count("a", "2")) == (2, 3)
    assert index.row_ids("a", "2") == [1, 3, 70_000]
    assert (index.versions("a"), index.versions("nowhere")) == (["1", "2"], [])


def test_stating_a_version_again_sets_what_it_holds(rows_index: SqlRowIndex) -> None:
    index = rows_index
    index.replace("a", "1", [(ref(1), 1), (ref(2), 2)])
    index.replace("a", "1", [(ref(2), 2), (ref(3), 3)])
    assert index.lookup([ref(1)]) == {}
    assert index.lookup([ref(2)]) == {"a": [2]}
    assert index.row_ids("a", "1") == [2, 3]
    index.replace("a", "2", [(ref(2), 2)])
    index.replace("a", "1", [])
    assert index.lookup([ref(2)]) == {"a": [2]}
    assert index.lookup([ref(3)]) == {}
    assert index.count("a", "1") == 0


def test_the_same_again_writes_nothing(rows_index: SqlRowIndex) -> None:
    index = rows_index
    rows = [(ref(n), n) for n in range(100)]
    index.replace("a", "1", rows)
    index.replace("a", "2", rows[1:])
    before = kept(index)
    index.replace("a", "2", reversed(rows[1:]))
    index.replace("a", "1", [*rows, *rows])
    assert kept(index) == before
    assert index.versions("a") == ["1", "2"]


def test_a_version_that_changes_a_hundredth_writes_about_a_hundredth(rows_index: SqlRowIndex) -> None:
    index, count = rows_index, 60_000
    index.replace("a", "0", [batch(range(count), range(count))])
    whole = written(index)
    changed = range(0, count, 100)
    left = [row for row in range(count) if row % 100]
    new = batch(range(count, count + len(changed)), range(count, count + len(changed)))
    index.extend("a", "1", base="0", rows=[new], removed=list(changed))
    first = written(index) - whole
    assert 0 < first < 0.04 * whole
    old = OwnedRows(b"".join(bytes.fromhex(ref(row)) for row in left), np.array(left, dtype=np.int64))
    index.replace("a", "2", [old, new])
    assert written(index) == whole + first, "stated whole, and the same"
    assert index.count("a", "2") == index.count("a", "1") == count
    assert index.row_ids("a", "1") == index.row_ids("a", "2") == [*left, *new.rows.tolist()]
    assert index.find([ref(100)]) == [SubjectRows(dataset="a", rows=(100,), versions=("0",))]
    assert index.find([ref(101)]) == [SubjectRows(dataset="a", rows=(101,), versions=("0", "1", "2"))]
    assert index.find([ref(count)]) == [SubjectRows(dataset="a", rows=(count,), versions=("1", "2"))]


def test_many_versions_stay_a_few_segments(rows_index: SqlRowIndex) -> None:
    index = rows_index
    index.replace("a", "0", [(ref(n), n) for n in range(2000)])
    for version in range(1, 41):
        index.extend(
            "a", str(version), base=str(version - 1), rows=[(ref(n), 2000 + 20 * version + n) for n in range(20)], removed=[version]
        )
    with index._place.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.segment)).scalar_one() <= 14
    assert index.find([ref(7)])[0].versions == tuple(map(str, range(41)))
    assert index.versions_with("a", [7]) == list(map(str, range(7)))
    assert index.count("a", "40") == 2000 + 20 * 40 - 40


def test_a_version_is_extended_from_the_last_one_only(rows_index: SqlRowIndex) -> None:
    index = rows_index
    with pytest.raises(Conflict, match="none"):
        index.extend("a", "1", base="0", rows=[(ref(1), 1)])
    index.replace("a", "1", [(ref(1), 1), (ref(2), 2)])
    index.extend("a", "2", base="1", rows=[(ref(3), 3)], removed=[2, 99])
    with pytest.raises(Conflict, match="last indexed version of a is 2"):
        index.extend("a", "3", base="1", rows=[])
    with pytest.raises(Conflict, match="indexed already"):
        index.extend("a", "2", base="2", rows=[])
    assert index.row_ids("a", "2") == [1, 3]
    assert index.versions_with("a", [2]) == ["1"]


def test_a_row_that_leaves_and_returns_is_held_when_it_is(rows_index: SqlRowIndex) -> None:
    index = rows_index
    for version, rows in (("1", [1, 2]), ("2", [2]), ("3", [1, 2]), ("4", [2])):
        index.replace("a", version, [(ref(row), row) for row in rows])
    assert index.find([ref(1)]) == [SubjectRows(dataset="a", rows=(1,), versions=("1", "3"))]
    assert index.versions_with("a", [1]) == ["1", "3"]
    assert [index.count("a", version) for version in "1234"] == [2, 1, 2, 1]


def test_a_row_about_two_people_belongs_to_both(rows_index: SqlRowIndex) -> None:
    index = rows_index
    index.replace("a", "1", [(ref(1), 1), (ref(2), 1), (ref(1), 2)])
    assert index.count("a", "1") == 2
    assert index.lookup([ref(1)]) == {"a": [1, 2]}
    assert index.lookup([ref(2)]) == {"a": [1]}
    assert index.shared("a", [1, 2, 3]) == [1]
    assert index.shared("nowhere", [1]) == []
    assert index.forget("a", [1]) == 2
    assert index.lookup([ref(2)]) == {}
    assert index.lookup([ref(1)]) == {"a": [2]}


def test_a_row_that_somebody_takes_over_stays_theirs_in_the_versions_that_said_so(rows_index: SqlRowIndex) -> None:
    index = rows_index
    index.replace("a", "1", [(ref(1), 5), (ref(3), 6)])
    index.extend("a", "2", base="1", rows=[(ref(2), 5)])
    assert index.find([ref(1)]) == [SubjectRows(dataset="a", rows=(5,), versions=("1",))]
    assert index.find([ref(2)]) == [SubjectRows(dataset="a", rows=(5,), versions=("2",))]
    index.drop("a", "1")
    assert index.find([ref(1)]) == []
    assert index.find([ref(2)]) == [SubjectRows(dataset="a", rows=(5,), versions=("2",))]
    assert {(high, low) for high, low, _, _ in kept(index)[Kind.PEOPLE]} == {(int(ref(n)[:16], 16), int(ref(n)[16:], 16)) for n in (2, 3)}


def test_rows_of_nobody_count_and_belong_to_none(rows_index: SqlRowIndex) -> None:
    index = rows_index
    index.replace("a", "1", [("", 1), (ref(1), 2)])
    assert index.count("a", "1") == 2
    assert index.versions_with("a", [1]) == ["1"]
    index.replace("a", "2", [(ref(1), 2)])
    assert index.versions_with("a", [1]) == ["1"]
    with pytest.raises(BadInput):
        index.lookup([""])


def test_drop_forgets_a_version_and_what_only_it_held(rows_index: SqlRowIndex) -> None:
    index = rows_index
    index.replace("a", "1", [(ref(1), 1), (ref(2), 2)])
    index.replace("a", "2", [(ref(1), 1)])
    index.drop("a", "1")
    index.drop("a", "1")
    assert index.lookup([ref(1)]) == {"a": [1]}
    assert index.lookup([ref(2)]) == {}
    assert {row for _, _, row, _ in kept(index)[Kind.PEOPLE]} == {1}
    with pytest.raises(NotFound):
        index.count("a", "1")


def test_forgetting_leaves_no_fact_of_the_rows_and_every_other_one(rows_index: SqlRowIndex) -> None:
    index = rows_index
    rows = [(ref(n), n) for n in range(5000)]
    index.replace("a", "1", rows)
    index.replace("a", "2", rows[100:])
    assert index.forget("a", range(90, 290)) == 200
    facts = kept(index)
    assert {row for _, _, row, _ in facts[Kind.PEOPLE]} == {n for n in range(5000) if not 90 <= n < 290}
    assert {row for row, _, _ in facts[Kind.ROWS]} == {n for n in range(5000) if not 90 <= n < 290}
    assert {row for _, row, _ in facts[Kind.GONE]} == set(range(90))
    assert index.forget("a", range(90, 290)) == 0
    assert (index.count("a", "1"), index.count("a", "2")) == (4800, 4710)
    assert index.versions_with("a", range(90, 290)) == []
    assert index.lookup([ref(100)]) == {}
    assert index.lookup([ref(300)]) == {"a": [300]}
    assert index.forget("nowhere", [1]) == 0


def test_rekeying_moves_every_posting_and_says_what_it_could_not(rows_index: SqlRowIndex) -> None:
    index = rows_index
    index.replace("a", "1", [(ref(1), 1), (ref(2), 2), (ref(3), 3), ("", 4)])
    index.replace("a", "2", [(ref(1), 1), (ref(3), 3), ("", 4)])
    before = [index.row_ids("a", version) for version in "12"]
    moves = [(ref(1), ref(101)), (ref(2), ref(102))]
    assert index.rekey("a", moves) == (2, 1)
    assert index.rekey("a", moves) == (0, 1)
    assert index.lookup([ref(1), ref(2)]) == {}
    assert index.find([ref(101)]) == [SubjectRows(dataset="a", rows=(1,), versions=("1", "2"))]
    assert index.find([ref(102)]) == [SubjectRows(dataset="a", rows=(2,), versions=("1",))]
    assert index.find([ref(3)]) == [SubjectRows(dataset="a", rows=(3,), versions=("1", "2"))]
    assert [index.row_ids("a", version) for version in "12"] == before
    assert index.versions_with("a", [2]) == ["1"]
    assert index.forget("a", [2, 4]) == 1
    assert index.rekey("a", [*moves, (ref(3), ref(103))]) == (1, 0)
    assert index.rekey("nowhere", moves) == (0, 0)
    with pytest.raises(BadInput, match="two different ones"):
        index.rekey("a", [(ref(1), ref(2)), (ref(1), ref(3))])
    with pytest.raises(BadInput):
        index.rekey("a", [("ada@example.org", ref(1))])


def test_only_references_are_taken_and_a_refusal_repeats_nothing(rows_index: SqlRowIndex) -> None:
    index = rows_index
    index.replace("a", "1", [(ref(1), 1)])
    for bad in ("applicant:17", ref(1).upper(), ref(1) + "0"):
        with pytest.raises(BadInput) as caught:
            index.replace("a", "1", [(ref(2), 2), (bad, 3)])
        assert bad not in str(caught.value)
    for bad_row in (-1, 2**63, True, "1"):
        with pytest.raises(BadInput, match="row id"):
            index.replace("a", "1", [(ref(2), bad_row)])
    for wrong in (OwnedRows(b"x" * 17, np.array([1])), OwnedRows(b"x" * 16, np.array([1.0])), OwnedRows(b"x" * 16, np.array([-1]))):
        with pytest.raises(BadInput, match="batch"):
            index.replace("a", "1", [wrong])
    assert index.row_ids("a", "1") == [1]
    assert index.lookup([ref(2)]) == {}


def test_a_stream_that_breaks_changes_nothing(rows_index: SqlRowIndex) -> None:
    index = rows_index
    index.replace("a", "1", [(ref(1), 1)])

    def broken():
        yield ref(2), 2
        raise RuntimeError("source went away")

    with pytest.raises(RuntimeError, match="went away"):
        index.replace("a", "1", broken())
    assert index.row_ids("a", "1") == [1]


def test_threads_see_whole_versions(rows_index: SqlRowIndex) -> None:
    index = rows_index
    index.replace("a", "1", [(ref(n), n) for n in range(100)])
    seen: list[tuple[int, ...]] = []

    def read() -> None:
        seen.extend(index.find([ref(0), ref(9), ref(199)])[0].rows for _ in range(30))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for size in (10, 200, 100):
        index.replace("a", "1", [(ref(n), n) for n in range(size)])
    for thread in threads:
        thread.join()
    assert len(seen) == 90
    assert set(seen) <= {(0, 9), (0, 9, 199)}
