"""The traps of versioned stores, each twice: the adapter's guard, and the raw library used as its manual shows, which leaves the rows.

A guard that nobody ever saw needed is a belief; so beside each test of an adapter stands the same erasure without it.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lineage.adapters.sqlite_rows import SqliteRowIndex
from lineage.errors import Gone, Incomplete
from tests.support.dataset_stores import TABLES, open_table
from tests.support.scanner import scan

SENTINEL = "Sentinel-Qqx-4711"
ERASED = 2


@pytest.fixture(params=TABLES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def people() -> pa.Table:
    return pa.table({"who": ["Anna-Aa-0001", SENTINEL, "Zoe-Zz-9999"], "v": [1, 2, 3]})


def with_ids(rows: pa.Table) -> pa.Table:
    return rows.add_column(0, "govern_row_id", pa.array(range(1, rows.num_rows + 1), pa.int64()))


def data_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in {".parquet", ".lance"} and "_delta_log" not in p.parts)


def decoded_ids(path: Path) -> list[int]:
    """The row ids that a data file holds, deletion files and logs left aside."""
    if path.suffix == ".parquet":
        return list(pq.ParquetFile(path).read(columns=["govern_row_id"]).column(0).to_pylist())
    from lance.file import LanceFileReader

    return list(LanceFileReader(str(path), columns=["govern_row_id"]).read_all().to_table().column(0).to_pylist())


def physically_there(folder: Path) -> bool:
    return any(ERASED in decoded_ids(path) for path in data_files(folder))


# ── the raw libraries, as one would use them ────────────────────────────────────────────────────
def raw_write(kind: str, folder: Path, rows: pa.Table) -> None:
    if kind == "lance":
        import lance

        lance.write_dataset(rows, str(folder), mode="append" if folder.exists() else "create")
    elif kind == "delta":
        from deltalake import write_deltalake

        write_deltalake(str(folder), rows, mode="append")
    else:
        folder.mkdir(exist_ok=True)
        pq.write_table(rows, folder / f"{len(list(folder.iterdir()))}.parquet")


def raw_delete(kind: str, folder: Path, condition: str) -> None:
    """A deletion by SQL condition; for plain Parquet the rewrite beside the old file that stands for it."""
    if kind == "lance":
        import lance

        lance.dataset(str(folder)).delete(condition)
    elif kind == "delta":
        from deltalake import DeltaTable

        DeltaTable(str(folder)).delete(condition)
    else:
        rows = pq.read_table(folder)
        raw_write(kind, folder, rows.filter(pc.not_equal(rows.column("govern_row_id"), ERASED)))


def raw_cleanup(kind: str, folder: Path) -> None:
    """The library's own cleanup with nothing kept."""
    if kind == "lance":
        import lance

        lance.dataset(str(folder)).cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
    elif kind == "delta":
        from deltalake import DeltaTable

        DeltaTable(str(folder)).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    else:
        for path in sorted(folder.iterdir())[:-1]:
            path.unlink()


# ── 1 · the log and the statistics repeat identifiers ───────────────────────────────────────────
def test_1_no_log_names_the_erased(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path, sort_by="who")
    ds.write(people())
    ds.write(people().slice(0, 1), mode="append")
    ds.purge([ERASED], request="er-1")
    report = scan(tmp_path, [SENTINEL.encode()])
    assert report.clean, report
    assert ds.residual_scan([ERASED])[0] == 0


@pytest.mark.parametrize("how", ["condition", "statistics"])
def test_1_bites_delta(how: str, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    raw_write("delta", folder, with_ids(people()))
    raw_delete("delta", folder, f"who = '{SENTINEL}'" if how == "condition" else "govern_row_id = 2")
    raw_cleanup("delta", folder)
    assert not physically_there(folder)
    log = [json.loads(line) for path in sorted((folder / "_delta_log").glob("*.json")) for line in path.read_text().splitlines()]
    said = [entry["commitInfo"] for entry in log if "commitInfo" in entry] if how == "condition" else [e["add"] for e in log if "add" in e]
    if how == "condition":
        assert SENTINEL in json.dumps(said)
    else:  # the deleted row lay between the least and the largest name, which are persons too
        assert "Zoe-Zz-9999" in json.dumps(said)


def test_1_bites_lance(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    raw_write("lance", folder, with_ids(people()))
    raw_delete("lance", folder, f"who = '{SENTINEL}'")
    assert any(SENTINEL.encode() in path.read_bytes() for path in (folder / "_transactions").iterdir())


def test_1_bites_parquet(tmp_path: Path) -> None:
    """Folders by value are the usual layout: the name stays when the file in it is gone."""
    pq.write_to_dataset(with_ids(people()), tmp_path / "raw", partition_cols=["who"])
    for path in (tmp_path / "raw" / f"who={SENTINEL}").iterdir():
        path.unlink()
    assert not scan(tmp_path, [SENTINEL.encode()]).clean


def test_1_a_log_that_another_writer_filled_is_no_pass(tmp_path: Path) -> None:
    ds = open_table("delta", tmp_path)
    ds.write(people())
    raw_delete("delta", tmp_path / "datasets" / "d" / "delta", f"who = '{SENTINEL}'")
    with pytest.raises(Incomplete, match="condition on values"):
        ds.residual_scan([ERASED])
    ds.scan()
    assert ds.purge([ERASED], request="er-1").residual_rows == 0
    assert scan(tmp_path, [SENTINEL.encode()]).clean
    other = open_table("lance", tmp_path, "e")
    other.write(people())
    raw_delete("lance", tmp_path / "datasets" / "e" / "data.lance", f"who = '{SENTINEL}'")
    with pytest.raises(Incomplete, match="condition on values"):
        other.residual_scan([ERASED])
    other.scan()
    assert other.purge([ERASED], request="er-1").residual_rows == 0
    assert scan(tmp_path, [SENTINEL.encode()]).clean


# ── 2 · compaction and vacuum do nothing by default ─────────────────────────────────────────────
def many() -> pa.Table:
    return pa.table({"who": [f"person-{n:05}" for n in range(1000)], "v": range(1000)})


def test_2_a_small_deletion_is_written_out(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path)
    ds.write(many())
    report = ds.purge([ERASED], request="er-1")
    assert report.bytes_rewritten > 0
    assert not physically_there(tmp_path)


def test_2_bites(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    raw_write(kind, folder, with_ids(many()))
    raw_delete(kind, folder, "govern_row_id = 2")
    if kind == "lance":
        import lance

        lance.dataset(str(folder)).optimize.compact_files()
        raw_cleanup(kind, folder)
    elif kind == "delta":
        from deltalake import DeltaTable

        DeltaTable(str(folder)).optimize.compact()
        DeltaTable(str(folder)).vacuum(dry_run=False)  # keeps a week of files
    assert physically_there(folder)


def test_2_bites_when_the_adapters_own_cleanup_is_left_out(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = open_table(kind, tmp_path)
    ds.write(people())
    monkeypatch.setattr(ds._store, "keep_only", lambda _: None)
    if kind == "lance":  # Lance's way to the new state leaves a deletion file too, which alone is no pass
        with pytest.raises(Incomplete, match="_deletions"):
            ds.purge([ERASED], request="er-1")
        assert physically_there(tmp_path)
    else:
        assert ds.purge([ERASED], request="er-1").residual_rows == 1


# ── 3 · pins keep what must go, and cleanups take what must stay ────────────────────────────────
def test_3_a_tag_does_not_keep_the_rows(tmp_path: Path) -> None:
    import lance

    ds = open_table("lance", tmp_path)
    ds.write(people())
    folder = tmp_path / "datasets" / "d" / "data.lance"
    lance.dataset(str(folder)).tags.create("training-2026", 1)
    assert ds.pins() == {"training-2026": "1"}
    report = ds.purge([ERASED], request="er-1")
    assert report.residual_rows == 0
    assert ds.pins() == {"training-2026": report.new_version.version}


def test_3_bites_lance(tmp_path: Path) -> None:
    import lance

    folder = tmp_path / "raw"
    raw_write("lance", folder, with_ids(people()))
    lance.dataset(str(folder)).tags.create("training-2026", 1)
    raw_delete("lance", folder, "govern_row_id = 2")
    lance.dataset(str(folder)).optimize.compact_files(materialize_deletions_threshold=0.0)
    with pytest.raises(OSError, match=r"(?i)tagged"):
        raw_cleanup("lance", folder)
    assert physically_there(folder)


def test_3_a_version_without_the_row_survives(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path)
    older = ds.write(people().slice(0, 1))
    ds.write(people(), key="who")
    after = ds.write(people(), key="who")
    assert ds.purge([ERASED], request="er-1").versions_removed == ("2", after.version)
    assert ds.read(older.version).column("who").to_pylist() == ["Anna-Aa-0001"]
    with pytest.raises(Gone):
        ds.read("2")


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_3_bites_delta_and_parquet(kind: str, tmp_path: Path) -> None:
    """A cleanup that knows the newest state alone takes a pinned older one with it, though that never held the row."""
    folder = tmp_path / "raw"
    raw_write(kind, folder, with_ids(people().slice(0, 1)))
    older = data_files(folder)[0]
    if kind == "delta":
        from deltalake import DeltaTable, write_deltalake

        write_deltalake(str(folder), with_ids(people()), mode="overwrite")
        raw_cleanup(kind, folder)
        with pytest.raises(FileNotFoundError):
            DeltaTable(str(folder), version=0).to_pyarrow_table()
    else:
        raw_write(kind, folder, with_ids(people()))
        raw_cleanup(kind, folder)
    assert not older.exists()


# ── 4 · files that no version lists ─────────────────────────────────────────────────────────────
def test_4_an_orphan_file_is_found_and_goes(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path)
    ds.write(people())
    there = data_files(tmp_path)[0]
    name = "00000099-0000.parquet" if kind == "parquet" else f"orphan{there.suffix}"
    orphan = there.with_name(name)
    shutil.copy(there, orphan)
    assert ds.residual_scan([ERASED])[0] == 2
    report = ds.purge([ERASED], request="er-1")
    assert (report.residual_rows, orphan.exists()) == (0, False)


def test_4_bites(kind: str, tmp_path: Path) -> None:
    """Orphans of a writer that died: the default cleanups do not look at them."""
    folder = tmp_path / "raw"
    raw_write(kind, folder, with_ids(people()))
    there = data_files(folder)[0]
    orphan = there.with_name(f"orphan{there.suffix}")
    shutil.copy(there, orphan)
    if kind == "parquet":
        there.unlink()  # the file that the manifest listed is gone, and the row is not
    else:
        raw_delete(kind, folder, "govern_row_id = 2")
        if kind == "lance":
            import lance

            lance.dataset(str(folder)).cleanup_old_versions(older_than=timedelta(0))
        else:
            raw_cleanup(kind, folder)
    assert orphan.exists()
    assert ERASED in decoded_ids(orphan)


# ── 5 · a deletion file is no deletion ──────────────────────────────────────────────────────────
def test_5_no_state_rests_on_a_deletion_file(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path)
    ds.write(many())
    ds.delete([ERASED])
    before = set(data_files(tmp_path))
    ds.purge([ERASED], request="er-1")
    assert not physically_there(tmp_path)
    assert set(data_files(tmp_path)) < before  # nothing new had to be written: the deletion already was physical in its state
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and ("_deletions" in path.parts or path.suffix == ".bin")]


@pytest.mark.parametrize(
    ("kind", "place"), [("lance", "_deletions/0-1-2.arrow"), ("delta", "deletion_vector_1.bin"), ("parquet", "data/1-deletes.parquet")]
)
def test_5_a_deletion_file_is_named_and_no_pass(kind: str, place: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path)
    ds.write(people())
    folder = next(p for p in (tmp_path / "datasets" / "d").iterdir() if p.is_dir())
    path = folder / place
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"deleted: 2")
    with pytest.raises(Incomplete, match=re.escape(path.name)) as caught:
        ds.residual_scan([ERASED])
    assert caught.value.hint


def test_5_bites_lance(tmp_path: Path) -> None:
    import lance

    folder = tmp_path / "raw"
    raw_write("lance", folder, with_ids(many()))
    raw_delete("lance", folder, "govern_row_id = 2")
    assert ERASED not in lance.dataset(str(folder)).to_table().column("govern_row_id").to_pylist()
    assert physically_there(folder)
    assert list((folder / "_deletions").iterdir())


# ── 6 · SQLite keeps what it deleted ────────────────────────────────────────────────────────────
def test_6_what_is_kept_beside_the_data_holds_no_erased_reference(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path)
    info = ds.write(people())
    index = SqliteRowIndex(tmp_path / "rows.db")
    try:
        references = [f"{n:02x}" * 16 for n in (17, 34, 51)]
        index.replace("d", info.version, list(zip(references, [1, 2, 3], strict=True)))
        ds.purge([ERASED], request="er-1")
        index.forget("d", [ERASED])
    finally:
        index.close()
    held = b"".join(path.read_bytes() for path in tmp_path.glob("rows.db*"))
    assert references[1].encode() not in held
    assert bytes.fromhex(references[1]) not in held
    assert SENTINEL not in (tmp_path / "datasets" / "d" / "catalog.json").read_text()


def test_6_bites(tmp_path: Path) -> None:
    references = [f"{n:04x}" * 8 for n in range(200)]
    db = sqlite3.connect(tmp_path / "plain.db")
    db.execute("PRAGMA secure_delete = OFF")
    db.execute("CREATE TABLE posting (ref TEXT PRIMARY KEY)")
    db.executemany("INSERT INTO posting VALUES (?)", [(ref,) for ref in references])
    db.commit()
    db.execute("DELETE FROM posting")
    db.commit()
    db.close()
    data = (tmp_path / "plain.db").read_bytes()
    assert sum(ref.encode() in data for ref in references) == len(references)


# ── 7 · a search for bytes is no verifier ───────────────────────────────────────────────────────
def numbers() -> pa.Table:
    return pa.table({"phone": pa.array([4_915_112_345_678 + n * 1_000_003 for n in range(5000)], pa.int64())})


def test_7_the_residual_scan_decodes(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path)
    ds.write(numbers())
    ds.delete([ERASED])
    found, files = ds.residual_scan([ERASED])
    assert found == 1
    assert files >= 3  # data of both states, and what lists them


def test_7_bites(kind: str, tmp_path: Path) -> None:
    """The number is there, in every file type; nobody finds it by its digits."""
    ds = open_table(kind, tmp_path)
    ds.write(numbers())
    number = numbers().column(0)[ERASED - 1].as_py()
    assert physically_there(tmp_path)
    assert not any(str(number).encode() in path.read_bytes() for path in data_files(tmp_path))
    compressed = tmp_path / "plain.parquet"
    pq.write_table(numbers(), compressed, compression="zstd")
    assert number.to_bytes(8, "little") not in compressed.read_bytes()


def test_7_what_cannot_be_decoded_is_no_pass(kind: str, tmp_path: Path) -> None:
    ds = open_table(kind, tmp_path)
    ds.write(people())
    there = data_files(tmp_path)[0]
    for name, content in ((f"stray{there.suffix}", b"PAR1 not really"), ("note.txt", b"x")):
        stray = there.with_name(name)
        stray.write_bytes(content)
        with pytest.raises(Exception, match=r"stray|note\.txt|00000") as caught:
            ds.residual_scan([ERASED])
        assert type(caught.value).__module__ == "lineage.errors"
        stray.unlink()


def test_7_a_dictionary_does_not_keep_a_filtered_value(kind: str, tmp_path: Path) -> None:
    """Arrow's filtered dictionary arrays keep every value; the adapters unpack them before they are written."""
    ds = open_table(kind, tmp_path)
    ds.write(pa.table({"who": people().column("who").dictionary_encode(), "v": [1, 2, 3]}))
    ds.purge([ERASED], request="er-1")
    assert scan(tmp_path, [SENTINEL.encode()]).clean


def test_7_bites_dictionaries(tmp_path: Path) -> None:
    rows = with_ids(people()).set_column(1, "who", people().column("who").dictionary_encode())
    kept = rows.filter(pc.not_equal(rows.column("govern_row_id"), ERASED))
    pq.write_table(kept, tmp_path / "raw.parquet", compression="none")
    assert SENTINEL.encode() in (tmp_path / "raw.parquet").read_bytes()
