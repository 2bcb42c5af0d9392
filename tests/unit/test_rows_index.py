"""The row index: subject → rows → versions, and nothing of it after a forget."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from pathlib import Path

import pytest

from lineage.adapters.sqlite_rows import SqliteRowIndex
from lineage.errors import BadInput, NotFound, StoreUnavailable
from tests.support.scanner import scan


def ref(n: int) -> str:
    return hashlib.sha256(str(n).encode()).hexdigest()[:32]


@pytest.fixture
def index(tmp_path: Path):
    rows = SqliteRowIndex(tmp_path / "rows.db")
    yield rows
    rows.close()


def test_lookup_over_all_versions_and_epochs(index: SqliteRowIndex) -> None:
    index.replace("a", "1", [(ref(1), 1), (ref(2), 2)])
    index.replace("a", "2", [(ref(1), 1), (ref(1), 70_000), (ref(3), 3)])
    index.replace("b", "1", [(ref(9), 5)])
    assert index.lookup([ref(1)]) == {"a": [1, 70_000]}
    assert index.lookup([ref(1), ref(9), ref(1)]) == {"a": [1, 70_000], "b": [5]}
    assert index.lookup([ref(404)]) == {}
    assert index.lookup([]) == {}
    assert index.versions_with("a", [1]) == ["1", "2"]
    assert index.versions_with("a", [70_000, 2]) == ["1", "2"]
    assert index.versions_with("a", [3]) == ["2"]
    assert index.versions_with("a", [99]) == index.versions_with("nowhere", [1]) == []
    assert (index.count("a", "1"), index.count("a", "2")) == (2, 3)
    assert index.row_ids("a", "2") == [1, 3, 70_000]


def test_replace_again_sets_what_the_version_holds(index: SqliteRowIndex) -> None:
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


def test_rows_of_nobody_count_and_belong_to_none(index: SqliteRowIndex) -> None:
    index.replace("a", "1", [("", 1), (ref(1), 2)])
    assert index.count("a", "1") == 2
    assert index.versions_with("a", [1]) == ["1"]
    with pytest.raises(BadInput):
        index.lookup([""])


def test_drop_forgets_a_version_and_what_only_it_held(index: SqliteRowIndex) -> None:
    index.replace("a", "1", [(ref(1), 1), (ref(2), 2)])
    index.replace("a", "2", [(ref(1), 1)])
    index.drop("a", "1")
    index.drop("a", "1")
    assert index.lookup([ref(1)]) == {"a": [1]}
    assert index.lookup([ref(2)]) == {}
    with pytest.raises(NotFound):
        index.count("a", "1")


def test_forget_is_physical_and_counts_once(tmp_path: Path) -> None:
    index = SqliteRowIndex(tmp_path / "rows.db")
    rows = [(ref(n), n) for n in range(5000)]
    index.replace("a", "1", rows)
    index.replace("a", "2", rows[100:])
    gone = [bytes.fromhex(ref(n)) for n in range(90, 290)]
    assert not scan(tmp_path, gone).clean
    assert index.forget("a", range(90, 290)) == 200
    assert (tmp_path / "rows.db-wal").stat().st_size == 0
    assert scan(tmp_path, gone).hits == []
    assert not scan(tmp_path, [bytes.fromhex(ref(300))]).clean
    assert index.forget("a", range(90, 290)) == 0
    assert (index.count("a", "1"), index.count("a", "2")) == (4800, 4710)
    assert index.versions_with("a", range(90, 290)) == []
    assert index.lookup([ref(100)]) == {}
    assert index.forget("nowhere", [1]) == 0
    index.close()
    assert scan(tmp_path, gone).hits == []
    again = SqliteRowIndex(tmp_path / "rows.db")
    assert again.count("a", "2") == 4710
    again.close()


def test_only_references_are_taken_and_a_refusal_repeats_nothing(index: SqliteRowIndex) -> None:
    index.replace("a", "1", [(ref(1), 1)])
    for bad in ("applicant:17", ref(1).upper(), ref(1) + "0"):
        with pytest.raises(BadInput) as caught:
            index.replace("a", "1", [(ref(2), 2), (bad, 3)])
        assert bad not in str(caught.value)
    for bad_row in (-1, 2**63, True, "1"):
        with pytest.raises(BadInput, match="row id"):
            index.replace("a", "1", [(ref(2), bad_row)])
    assert index.row_ids("a", "1") == [1]
    assert index.lookup([ref(2)]) == {}


def test_a_stream_that_breaks_changes_nothing(index: SqliteRowIndex) -> None:
    index.replace("a", "1", [(ref(1), 1)])

    def broken():
        yield ref(2), 2
        raise RuntimeError("source went away")

    with pytest.raises(RuntimeError, match="went away"):
        index.replace("a", "1", broken())
    assert index.row_ids("a", "1") == [1]


def test_threads_see_whole_versions(index: SqliteRowIndex) -> None:
    index.replace("a", "1", [(ref(n), n) for n in range(100)])
    seen: list[int] = []

    def read() -> None:
        seen.extend(index.count("a", "1") for _ in range(50))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for size in (10, 200, 100):
        index.replace("a", "1", [(ref(n), n) for n in range(size)])
    for thread in threads:
        thread.join()
    assert len(seen) == 150
    assert set(seen) <= {100, 10, 200}


def test_membership_is_small(tmp_path: Path) -> None:
    index = SqliteRowIndex(tmp_path / "rows.db")
    for version in range(10):
        index.replace("a", str(version), ((("", n)) for n in range(70_000)))
    index.close()
    assert (tmp_path / "rows.db").stat().st_size < 100_000


def test_what_is_no_index_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "rows.db").write_bytes(b"not a database, by far " * 50)
    with pytest.raises(StoreUnavailable, match=r"rows\.db"):
        SqliteRowIndex(tmp_path / "rows.db")
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(StoreUnavailable, match="newer"):
        SqliteRowIndex(tmp_path / "newer.db")
