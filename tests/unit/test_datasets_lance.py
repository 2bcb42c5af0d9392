"""What only the Lance adapter does: kept ids, clustering, physical rewriting, recovery."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from lineage.adapters.lance_dataset import LanceDataset
from lineage.errors import BadInput, Incomplete, StoreUnavailable, Tampered
from tests.support.rows_keys import MemoryKeys, TickingClock
from tests.support.scanner import scan


def make(root: Path, name: str = "d", sort_by: str | None = None) -> LanceDataset:
    return LanceDataset(root, name, keys=MemoryKeys(), clock=TickingClock(), sort_by=sort_by)


def people(*rows: tuple[int | None, str]) -> pa.Table:
    return pa.table({"who": pa.array([w for w, _ in rows], pa.int64()), "v": pa.array([v for _, v in rows], pa.string())})


def as_rows(ds: LanceDataset, version: str = "latest") -> list[tuple[int, int | None, str]]:
    table = ds.read(version).to_pydict()
    return list(zip(table["govern_row_id"], table["who"], table["v"], strict=True))


def test_replace_keeps_the_ids_of_known_keys(tmp_path: Path) -> None:
    ds = make(tmp_path)
    first = ds.write(people((1, "a"), (2, "b"), (3, "c")))
    second = ds.write(people((4, "d"), (3, "changed"), (1, "a")), key="who")
    assert as_rows(ds) == [(1, 1, "a"), (3, 3, "changed"), (4, 4, "d")]
    assert as_rows(ds, first.version) == [(1, 1, "a"), (2, 2, "b"), (3, 3, "c")]
    assert first.digest != second.digest
    same = ds.write(people((3, "changed"), (1, "a"), (4, "d")), key="who")
    assert (same.digest, same.row_set) == (second.digest, second.row_set)


def test_replace_without_a_key_mints_anew_and_a_returning_key_is_new(tmp_path: Path) -> None:
    ds = make(tmp_path)
    a = ds.write(people((1, "a"), (2, "b")))
    b = ds.write(people((1, "a"), (2, "b")))
    assert ds.row_ids(b.version) == [3, 4]
    assert a.digest == b.digest
    assert a.row_set.digest != b.row_set.digest
    ds.write(people((1, "a")), key="who")
    ds.write(people((1, "a"), (2, "b")), key="who")
    assert as_rows(ds) == [(3, 1, "a"), (5, 2, "b")]


def test_rows_of_one_key_are_matched_by_content_first(tmp_path: Path) -> None:
    ds = make(tmp_path)
    ds.write(people((7, "x"), (7, "y"), (7, "z"), (None, "n")))
    ds.write(people((7, "z"), (7, "new"), (None, "n"), (7, "x")), key="who")
    assert as_rows(ds) == [(1, 7, "x"), (2, 7, "new"), (3, 7, "z"), (5, None, "n")]


def test_values_and_types_survive(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": pa.array(["", None, "ü"], pa.string()),
            "cat": pa.array(["a", None, "a"]).dictionary_encode(),
            "n": pa.array([0, None, 2**62], pa.int64()),
            "f": pa.array([0.0, None, float("inf")], pa.float64()),
            "t": pa.array([0, None, 1], pa.timestamp("ns", tz="UTC")),
            "l": pa.array([[], None, [1, None]], pa.list_(pa.int32())),
            "b": pa.array([b"", None, b"\0"], pa.binary()),
        }
    )
    ds = make(tmp_path)
    info = ds.write(table)
    back = ds.read(info.version)
    assert back.column_names == ["govern_row_id", *table.column_names]
    for name in table.column_names:
        assert back.column(name).to_pylist() == table.column(name).to_pylist(), name
    assert ds.read(info.version, ["n", "text"]).column_names == ["govern_row_id", "n", "text"]


def test_an_empty_table_is_a_version(tmp_path: Path) -> None:
    ds = make(tmp_path)
    info = ds.write(people())
    assert (info.rows, ds.count(info.version), ds.read("latest").num_rows) == (0, 0, 0)
    assert ds.write(people((1, "a")), mode="append").rows == 1


def test_clustering_by_subject_rewrites_few_files(tmp_path: Path) -> None:
    rows = 40_000
    shuffled = [(i * 7919) % rows for i in range(rows)]
    table = pa.table({"who": pa.array([s // 4 for s in shuffled], pa.int64()), "v": [f"v{s}" for s in shuffled]})
    ds = make(tmp_path, sort_by="who")
    info = ds.write(table)
    assert ds.read(info.version).column("who").to_pylist() == table.column("who").to_pylist()
    before = ds._store.files()
    assert len(before) == 5
    of_one = [i + 1 for i, s in enumerate(shuffled) if s // 4 == 77]
    assert len(of_one) == 4
    report = ds.purge(of_one, request="er-1")
    after = ds._store.files()
    assert len(set(before) & set(after)) == 4
    assert 0 < report.bytes_rewritten < sum(before.values()) / 2
    assert (report.new_version.rows, report.residual_rows) == (rows - 4, 0)
    assert report.files_scanned == 5 + 3  # the data; the manifest, its hint and the transaction


def test_purge_is_physical_in_every_version_and_spares_the_others(tmp_path: Path) -> None:
    ds = make(tmp_path)
    v1 = ds.write(people((1, "person-one"), (2, "person-two")))
    v2 = ds.write(people((1, "person-one"), (2, "person-two"), (3, "Sentinel-Qqx")), key="who")
    v3 = ds.write(people((1, "person-one"), (4, "person-four")), key="who")
    v4 = ds.write(people((5, "person-five")), mode="append")
    assert ds.versions_with([3]) == [v2.version]
    assert not scan(tmp_path, [b"Sentinel-Qqx"]).clean
    report = ds.purge([3], request="er-1")
    assert report.versions_removed == (v2.version,)
    assert report.new_version == v4
    assert (report.rows_deleted, report.residual_rows, report.bytes_rewritten) == (1, 0, 0)
    assert scan(tmp_path, [b"Sentinel-Qqx"]).clean
    assert [v.version for v in ds.versions() if not v.gone] == [v1.version, v3.version, v4.version]
    assert as_rows(ds, v1.version) == [(1, 1, "person-one"), (2, 2, "person-two")]
    second = ds.purge([1], request="er-2")
    assert second.versions_removed == (v1.version, v3.version, v4.version)
    report = scan(tmp_path, [b"person-one", b"person-two"])
    assert report.clean, report
    assert not scan(tmp_path, [b"person-five"]).clean
    assert [v.gone for v in ds.versions()] == [True, True, True, True, False]
    with pytest.raises(Tampered, match="not on disk"):
        ds._store.schema(int(v1.version))


def test_a_file_that_no_version_needs_is_found_by_the_residual_scan(tmp_path: Path) -> None:
    ds = make(tmp_path)
    ds.write(people((1, "a"), (2, "b")))
    data = tmp_path / "d" / "data.lance" / "data"
    copy = tmp_path / "copy.lance"
    shutil.copy(next(data.iterdir()), copy)
    ds.purge([2], request="er-1")
    assert ds.residual_scan([2]) == (0, 1 + 3)
    shutil.copy(copy, data / "restored.lance")
    assert ds.residual_scan([2]) == (1, 2 + 3)
    assert ds.purge([2], request="er-1").residual_rows == 1
    (data / "note.txt").write_text("x")
    with pytest.raises(Incomplete, match=r"note\.txt"):
        ds.residual_scan([2])


def test_append_wants_the_same_columns(tmp_path: Path) -> None:
    ds = make(tmp_path)
    ds.write(people((1, "a")))
    with pytest.raises(BadInput, match="who"):
        ds.write(pa.table({"who": ["1"], "v": ["a"]}), mode="append")
    with pytest.raises(BadInput, match="extra"):
        ds.write(people((1, "a")).append_column("extra", pa.array([1])), mode="append")
    swapped = people((2, "b")).select(["v", "who"])
    assert ds.write(swapped, mode="append").rows == 2
    assert as_rows(ds) == [(1, 1, "a"), (2, 2, "b")]


def test_bad_writes_leave_the_last_version(tmp_path: Path) -> None:
    ds = make(tmp_path, sort_by="who")
    info = ds.write(people((1, "a")))
    for bad in (
        lambda: ds.write(people((1, "a")).append_column("govern_row_id", pa.array([1]))),
        lambda: ds.write(people((1, "a")), key="absent"),
        lambda: ds.write(people((1, "a")), mode="append", key="who"),
        lambda: ds.write(pa.table({"v": ["a"]})),
        lambda: ds.write(pa.table({"who": [1], "m": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))})),
    ):
        with pytest.raises(BadInput):
            bad()
    assert ds.latest() == info


def test_a_write_that_fails_half_way_did_not_happen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = make(tmp_path)
    first = ds.write(people((1, "a")))

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ds, "_record", broken)  # Lance has committed, the catalog has not
        with pytest.raises(OSError, match="No space"):
            ds.write(people((2, "Sentinel-Qqx")), mode="append")
    assert not scan(tmp_path, [b"Sentinel-Qqx"]).clean
    again = make(tmp_path)
    assert again.latest() == first
    assert as_rows(again) == [(1, 1, "a")]
    assert scan(tmp_path, [b"Sentinel-Qqx"]).clean
    again.write(people((3, "c")), mode="append")
    assert as_rows(again) == [(1, 1, "a"), (3, 3, "c")]
    assert as_rows(again, first.version) == [(1, 1, "a")]


def test_a_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lance

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    ds = make(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(lance, "write_dataset", full)
        with pytest.raises(StoreUnavailable, match="No space") as caught:
            ds.write(people((1, "a")))
        assert caught.value.hint
    assert ds.latest() is None
    ds.write(people((1, "a")))
    assert as_rows(ds) == [(2, 1, "a")]


@pytest.mark.parametrize("damage", ["", "{", '{"schema":1}', '{"schema":1,"versions":3}', "[]"])
def test_a_damaged_catalog_is_named(tmp_path: Path, damage: str) -> None:
    ds = make(tmp_path)
    ds.write(people((1, "a")))
    (tmp_path / "d" / "catalog.json").write_text(damage)
    with pytest.raises(Tampered, match=r"catalog\.json"):
        ds.latest()


def test_a_foreign_or_newer_catalog_is_refused(tmp_path: Path) -> None:
    make(tmp_path).write(people((1, "a")))
    (tmp_path / "e").mkdir()
    catalog = tmp_path / "d" / "catalog.json"
    shutil.copy(catalog, tmp_path / "e" / "catalog.json")
    with pytest.raises(Tampered, match="not of 'e'"):
        make(tmp_path, "e").latest()
    body = json.loads(catalog.read_text())
    catalog.write_text(json.dumps({**body, "schema": 99}))
    with pytest.raises(StoreUnavailable, match="newer"):
        make(tmp_path).latest()


def test_the_catalog_holds_no_value_of_a_row(tmp_path: Path) -> None:
    ds = make(tmp_path)
    ds.write(people((4711, "Sentinel-Qqx")))
    ds.purge([1], request="er-1")
    text = (tmp_path / "d" / "catalog.json").read_text()
    assert "Sentinel" not in text
    assert "4711" not in text
    assert json.loads(text)["pending"] is None


@pytest.mark.parametrize(("merged_below", "replaced"), [(32, 1), (64, 3)])
def test_a_later_purge_leaves_alone_what_an_earlier_one_made_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, merged_below: int, replaced: int
) -> None:
    """At half the size of a fragment only the touched one is written anew; at its whole size (64) those of the earlier one are too."""
    monkeypatch.setattr("lineage.adapters.lance_dataset._ROWS_PER_FILE", 64)
    monkeypatch.setattr("lineage.adapters.lance_dataset._MERGED_BELOW", merged_below)
    ds = make(tmp_path, sort_by="who")
    ds.write(pa.table({"who": pa.array(range(640), pa.int64())}))
    ds.purge([1, 129], request="er-1")
    before = set(ds._store.files())
    ds.purge([321], request="er-2")
    assert len(before) == 10
    assert len(before - set(ds._store.files())) == replaced
