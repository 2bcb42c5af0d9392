"""What every VersionedDataset promises, over the adapters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from lineage.datasets import dataset_digest, row_set
from lineage.errors import BadInput, Gone, NotFound
from lineage.ports import VersionedDataset
from tests.support.dataset_stores import KINDS, open_dataset
from tests.support.rows_keys import MemoryKeys

Make = Callable[[], VersionedDataset]


def rows(*values: str) -> pa.Table:
    return pa.table({"line": list(values)})


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Opens the same dataset each time."""
    return lambda: open_dataset(request.param, tmp_path, "credit.rows")


def test_append_makes_versions_that_stay_readable(make: Make) -> None:
    ds = make()
    before = len(ds.versions())
    first = ds.write(rows("a", "b"), mode="append")
    second = ds.write(rows("c"), mode="append")
    assert first.version != second.version
    assert ds.read(first.version).to_pydict() == {"govern_row_id": [1, 2], "line": ["a", "b"]}
    assert ds.read("latest").to_pydict() == {"govern_row_id": [1, 2, 3], "line": ["a", "b", "c"]}
    assert ds.read(second.version, ["govern_row_id"]).column_names == ["govern_row_id"]
    assert (ds.count(first.version), ds.count(second.version)) == (2, 3)
    assert ds.row_ids(second.version) == [1, 2, 3]
    assert ds.latest() == second
    live = [v for v in ds.versions() if v.rows]
    assert [v.version for v in live] == [first.version, second.version]
    assert len(ds.versions()) >= before
    assert second.digest == dataset_digest(rows("a", "b", "c"))
    assert second.row_set == row_set(MemoryKeys(), "credit.rows", [1, 2, 3])
    assert first.created_at < second.created_at
    assert make().versions() == ds.versions()


def test_purge_takes_the_versions_that_held_the_row_and_no_other(make: Make) -> None:
    ds = make()
    first = ds.write(rows("a", "b"), mode="append")
    second = ds.write(rows("c"), mode="append")
    report = ds.purge([3], request="er-1")
    assert report.rows_deleted == 1
    assert report.versions_removed == (second.version,)
    assert report.residual_rows == 0
    assert report.files_scanned >= 1
    assert ds.read(first.version).column("line").to_pylist() == ["a", "b"]
    assert ds.read("latest").to_pydict() == {"govern_row_id": [1, 2], "line": ["a", "b"]}
    assert report.new_version == ds.latest()
    assert report.new_version.version not in {first.version, second.version}
    tombstone = next(v for v in ds.versions() if v.version == second.version)
    assert (tombstone.gone, tombstone.request) == (True, "er-1")
    assert (tombstone.rows, tombstone.digest, tombstone.row_set) == (second.rows, second.digest, second.row_set)
    for ask in (ds.read, ds.count, ds.row_ids):
        with pytest.raises(Gone, match="er-1"):
            ask(second.version)
    assert make().versions() == ds.versions()


def test_purge_again_changes_nothing_and_says_the_same(make: Make) -> None:
    ds = make()
    ds.write(rows("a", "b", "c"), mode="append")
    first = ds.purge([2], request="er-1")
    assert first.bytes_rewritten > 0
    assert make().purge([2], request="er-1") == first
    again = ds.purge([2], request="er-2")
    assert (again.rows_deleted, again.versions_removed, again.bytes_rewritten, again.residual_rows) == (0, (), 0, 0)
    assert again.new_version == first.new_version
    assert ds.residual_scan([2])[0] == 0
    assert ds.residual_scan([1, 3])[0] == 2


def test_row_ids_are_never_used_again(make: Make) -> None:
    ds = make()
    ds.write(rows("a", "b"), mode="append")
    ds.purge([2], request="er-1")
    ds.write(rows("c"), mode="append")
    assert ds.read("latest").to_pydict() == {"govern_row_id": [1, 3], "line": ["a", "c"]}


def test_all_rows_can_go(make: Make) -> None:
    ds = make()
    ds.write(rows("a", "b"), mode="append")
    report = ds.purge([1, 2], request="er-1")
    assert (report.rows_deleted, report.new_version.rows, report.residual_rows) == (2, 0, 0)
    assert ds.read("latest").num_rows == 0
    ds.write(rows("c"), mode="append")
    assert ds.read("latest").to_pydict() == {"govern_row_id": [3], "line": ["c"]}


def test_unknown_rows_and_versions(make: Make) -> None:
    ds = make()
    with pytest.raises(NotFound):
        ds.read("latest")
    with pytest.raises(NotFound):
        ds.purge([1], request="er-1")
    assert make().pins() == {}
    assert make().cannot_purge() is None
    info = ds.write(rows("a"), mode="append")
    report = ds.purge([77], request="er-1")
    assert (report.rows_deleted, report.versions_removed, report.new_version) == (0, (), info)
    with pytest.raises(NotFound, match="no version 'x'"):
        ds.read("x")
    with pytest.raises(NotFound, match="no column"):
        ds.read("latest", ["secret"])


def test_bad_input_changes_nothing(make: Make) -> None:
    ds = make()
    info = ds.write(rows("a"), mode="append")
    for bad in (pa.table({}), pa.table({"govern_row_id": [1]}), pa.table({"other": [1]})):
        with pytest.raises(BadInput):
            ds.write(bad, mode="append")
    with pytest.raises(BadInput, match="merge"):
        ds.write(rows("b"), mode="merge")
    for ids in ([-1], [True], ["1"]):
        with pytest.raises(BadInput, match="row id"):
            ds.purge(ids, request="er-1")
    with pytest.raises(BadInput, match="request"):
        ds.purge([1], request="")
    assert ds.latest() == info
    assert ds.read("latest").num_rows == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a\x00b"])
def test_names_that_are_no_folder_are_refused(tmp_path: Path, kind: str, name: str) -> None:
    with pytest.raises(BadInput, match="dataset name"):
        open_dataset(kind, tmp_path, name)
