"""What every table adapter promises beyond the port's common ground: kept ids, deletion apart from purge, others' commits, damage."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lineage.adapters import dataset_catalog
from lineage.adapters.table_dataset import TableDataset
from lineage.adapters.table_store import Moved
from lineage.errors import BadInput, Conflict, Gone, NotFound, StoreUnavailable, Tampered
from tests.support.dataset_stores import TABLES, open_table
from tests.support.scanner import scan

SENTINEL = "Sentinel-Qqx-4711"


@pytest.fixture(params=TABLES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def people(*rows: tuple[int | None, str]) -> pa.Table:
    return pa.table({"who": pa.array([w for w, _ in rows], pa.int64()), "v": pa.array([v for _, v in rows], pa.string())})


def as_rows(ds: TableDataset, version: str = "latest") -> list[tuple[int, int | None, str]]:
    table = ds.read(version).to_pydict()
    return list(zip(table["govern_row_id"], table["who"], table["v"], strict=True))


def foreign_append(ds: TableDataset, rows: pa.Table) -> None:
    """Another program appends to the table with the library alone; the Parquet store has no other writers."""
    folder = ds._store._files.access().uri  # type: ignore[attr-defined]
    if folder.endswith(".lance"):
        import lance

        lance.write_dataset(rows, folder, mode="append")
    else:
        from deltalake import write_deltalake

        write_deltalake(folder, rows, mode="append", schema_mode="merge")


def test_replace_keeps_the_ids_of_known_keys(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path, sort_by="who")
    first = ds.write(people((1, "a"), (2, "b"), (3, "c")))
    ds.write(people((4, "d"), (3, "changed"), (1, "a")), key="who")
    assert as_rows(ds) == [(1, 1, "a"), (3, 3, "changed"), (4, 4, "d")]
    assert as_rows(ds, first.version) == [(1, 1, "a"), (2, 2, "b"), (3, 3, "c")]


def test_delete_hides_and_purge_removes(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path)
    first = ds.write(people((1, "a"), (2, SENTINEL)))
    second = ds.delete([2, 77])
    assert as_rows(ds) == [(1, 1, "a")]
    assert second.rows == 1
    assert ds.delete([2]) == second
    # Logical only: the older version still shows the row, and the scan says so.
    assert as_rows(ds, first.version)[1] == (2, 2, SENTINEL)
    assert ds.residual_scan([2])[0] == 1
    assert not scan(tmp_path, [SENTINEL.encode()]).clean
    report = ds.purge([2], request="er-1")
    assert (report.versions_removed, report.new_version, report.residual_rows) == ((first.version,), second, 0)
    assert (report.bytes_rewritten, report.unpurged) == (0, None)
    assert scan(tmp_path, [SENTINEL.encode()]).clean
    with pytest.raises(Gone):
        ds.read(first.version)


def test_nothing_to_delete_from(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path)
    for ask in (lambda: ds.delete([1]), ds.scan):
        with pytest.raises(NotFound, match="nothing was ever written"):
            ask()
    with pytest.raises(BadInput, match="row id"):
        ds.delete([-1])


def test_values_and_types_survive(kind: str, tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": pa.array(["", None, "ü"], pa.string()),
            "cat": pa.array(["a", None, "a"]).dictionary_encode(),
            "n": pa.array([0, None, 2**62], pa.int64()),
            "small": pa.array([0, None, 255], pa.uint8()),
            "f": pa.array([0.0, None, float("inf")], pa.float64()),
            "t": pa.array([0, None, 1], pa.timestamp("us", tz="UTC")),
            "l": pa.array([[], None, [1, None]], pa.list_(pa.int32())),
            "e": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
            "b": pa.array([b"", None, b"\0"], pa.binary()),
            "s": pa.array([{"x": 1}, None, {"x": None}], pa.struct([("x", pa.int32())])),
        }
    )
    ds = open_table(kind, tmp_path)
    info = ds.write(table)
    back = ds.read(info.version)
    assert back.column_names == ["govern_row_id", *table.column_names]
    for name in table.column_names:
        assert back.column(name).to_pylist() == table.column(name).to_pylist(), name
    assert ds.write(table, mode="append").rows == 6
    purged = ds.purge([1, 6], request="er-1")
    assert purged.new_version.rows == 4
    assert ds.read("latest").column("e").to_pylist() == [None, [3.0, 4.0], [1.0, 2.0], None]


def test_an_empty_table_is_a_version(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path, sort_by="who")
    info = ds.write(people())
    assert (info.rows, ds.count(info.version), ds.read("latest").num_rows) == (0, 0, 0)
    assert ds.write(people((1, "a")), mode="append").rows == 1
    assert as_rows(ds) == [(1, 1, "a")]


def test_append_wants_the_same_columns(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path)
    info = ds.write(people((1, "a")))
    with pytest.raises(BadInput, match="who"):
        ds.write(pa.table({"who": ["1"], "v": ["a"]}), mode="append")
    with pytest.raises(BadInput, match="extra"):
        ds.write(people((1, "a")).append_column("extra", pa.array([1])), mode="append")
    with pytest.raises(BadInput, match="m: "):
        ds.write(pa.table({"who": [1], "m": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}))
    assert ds.latest() == info
    swapped = people((2, "b")).select(["v", "who"])
    assert ds.write(swapped, mode="append").rows == 2
    assert as_rows(ds) == [(1, 1, "a"), (2, 2, "b")]


@pytest.mark.parametrize("kind", ["lance", "delta"])
def test_what_another_program_appended_is_taken_in_and_loses_nothing(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path)
    first = ds.write(people((1, "a"), (2, SENTINEL)))
    assert ds.scan() == first
    foreign_append(ds, people((3, "theirs")).append_column("govern_row_id", pa.array([None], pa.int64())))
    taken = open_table(kind, tmp_path).scan()
    assert taken.version != first.version
    assert as_rows(ds) == [(1, 1, "a"), (2, 2, SENTINEL), (3, 3, "theirs")]
    # An id that another program made up, or repeats, is not believed; the row gets its own.
    foreign_append(ds, people((4, "d"), (5, "e")).append_column("govern_row_id", pa.array([9, 1], pa.int64())))
    report = ds.purge([2], request="er-1")
    assert as_rows(ds) == [(1, 1, "a"), (3, 3, "theirs"), (10, 4, "d"), (11, 5, "e")]
    assert set(report.versions_removed) >= {first.version, taken.version}
    assert report.residual_rows == 0
    assert scan(tmp_path, [SENTINEL.encode()]).clean


@pytest.mark.parametrize("kind", ["lance", "delta"])
def test_a_commit_in_the_middle_of_a_purge_is_kept(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = open_table(kind, tmp_path)
    ds.write(people((1, "a"), (2, SENTINEL)))
    real, calls = ds._store.without, []

    def overtaken(row_ids: list[int]) -> int:
        calls.append(row_ids)
        if len(calls) == 1:
            foreign_append(ds, people((3, "theirs")).append_column("govern_row_id", pa.array([None], pa.int64())))
            raise Moved("a concurrent transaction was committed first")
        return real(row_ids)

    monkeypatch.setattr(ds._store, "without", overtaken)
    report = ds.purge([2], request="er-1")
    assert len(calls) == 2
    assert (report.rows_deleted, report.residual_rows) == (1, 0)
    assert as_rows(ds) == [(1, 1, "a"), (3, 3, "theirs")]
    assert scan(tmp_path, [SENTINEL.encode()]).clean


def test_a_purge_that_is_always_overtaken_ends_and_is_finished_later(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = open_table(kind, tmp_path)
    ds.write(people((1, "a"), (2, SENTINEL)))

    def overtaken(_: list[int]) -> int:
        raise Moved("always")

    with monkeypatch.context() as patch:
        patch.setattr(ds._store, "without", overtaken)
        with pytest.raises(Conflict, match="faster") as caught:
            ds.purge([2], request="er-1")
    assert caught.value.hint
    again = open_table(kind, tmp_path)
    assert as_rows(again) == [(1, 1, "a")]
    assert again.purge([2], request="er-1").rows_deleted == 1
    assert scan(tmp_path, [SENTINEL.encode()]).clean


@pytest.mark.parametrize("kind", ["lance", "delta"])
def test_a_write_that_is_overtaken_says_so_and_drops_nothing(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = open_table(kind, tmp_path)
    ds.write(people((1, "a")))

    def overtaken(*_: Any, **__: Any) -> int:
        foreign_append(ds, people((3, "theirs")).append_column("govern_row_id", pa.array([None], pa.int64())))
        raise Moved("a concurrent transaction was committed first")

    with monkeypatch.context() as patch:
        patch.setattr(ds._store, "put", overtaken)
        with pytest.raises(Conflict, match="same moment") as caught:
            ds.write(people((2, "b")), mode="append")
    assert caught.value.hint
    ds.write(people((2, "b")), mode="append")
    assert [row[1:] for row in as_rows(ds)] == [(1, "a"), (3, "theirs"), (2, "b")]


def full_disk(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["without", *(pytest.param(step, marks=pytest.mark.slow) for step in ("put", "keep_only", "catalog"))])
def test_a_disk_that_fills_loses_nothing(kind: str, step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = open_table(kind, tmp_path)
    first = ds.write(people((1, "a"), (2, SENTINEL)))
    with monkeypatch.context() as patch:
        if step == "catalog":
            patch.setattr(dataset_catalog, "write_atomic", full_disk)
        else:
            patch.setattr(ds._store, step, full_disk)
        act = (lambda: ds.write(people((3, "c")), mode="append")) if step == "put" else (lambda: ds.purge([2], request="er-1"))
        with pytest.raises(StoreUnavailable, match="No space") as caught:
            act()
        assert caught.value.hint
    again = open_table(kind, tmp_path)
    if step in {"put", "catalog"}:
        assert again.versions() == [first]
        assert as_rows(again) == [(1, 1, "a"), (2, 2, SENTINEL)]
    report = again.purge([2], request="er-1")
    assert (report.rows_deleted, report.versions_removed, report.residual_rows) == (1, (first.version,), 0)
    assert as_rows(again) == [(1, 1, "a")]
    assert scan(tmp_path, [SENTINEL.encode()]).clean


def test_a_state_that_is_not_on_disk_is_named(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path)
    ds.write(people((1, "a")))
    folder = next(p for p in (tmp_path / "datasets" / "d").iterdir() if p.is_dir())
    folder.rename(tmp_path / "moved away")
    folder.mkdir()
    with pytest.raises(Tampered, match=r"not on disk|is not there"):
        open_table(kind, tmp_path).read("latest")


@pytest.mark.slow
def test_clustering_by_subject_rewrites_few_files(kind: str, tmp_path: Path) -> None:
    rows = 40_000
    shuffled = [(i * 7919) % rows for i in range(rows)]
    table = pa.table({"who": pa.array([s // 4 for s in shuffled], pa.int64()), "v": [f"value {s * s} of {s}" * 3 for s in shuffled]})
    ds = open_table(kind, tmp_path, sort_by="who")
    info = ds.write(table)
    assert ds.read(info.version).column("who").to_pylist() == table.column("who").to_pylist()
    before = ds._store.files()
    of_one = [i + 1 for i, s in enumerate(shuffled) if s // 4 == 77]
    report = ds.purge(of_one, request="er-1")
    after = ds._store.files()
    assert len(before) >= 3
    assert len(set(before) & set(after)) == len(before) - 1
    assert 0 < report.bytes_rewritten < sum(before.values()) / 2
    assert (report.new_version.rows, report.residual_rows) == (rows - 4, 0)
