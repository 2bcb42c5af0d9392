"""What only a landing file does: line numbers, states that are not kept, a file that others write."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lineage.adapters.lines_dataset import LinesDataset
from lineage.errors import BadInput, Conflict, Gone, NotFound
from tests.support.rows_keys import MemoryKeys, TickingClock
from tests.support.scanner import scan


def make(tmp_path: Path, content: bytes | None = None) -> LinesDataset:
    path = tmp_path / "landing" / "german.data"
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return LinesDataset(path, tmp_path / "datasets", "credit.raw", keys=MemoryKeys(), clock=TickingClock())


def test_a_scan_makes_a_version_only_when_lines_changed(tmp_path: Path) -> None:
    ds = make(tmp_path, b"A11 6\nA12 48\n\n  \nA14 12\n")
    first = ds.scan()
    assert (first.version, first.rows) == ("1", 3)
    assert ds.read("1").to_pydict() == {"govern_row_id": [1, 2, 5], "line": ["A11 6", "A12 48", "A14 12"]}
    assert ds.scan() == first
    make(tmp_path, b"A11 6\r\nA12 48\r\n\r\n\r\nA14 12")
    assert ds.scan() == first
    make(tmp_path, b"A11 6\nA12 49\n\n\nA14 12\n")
    second = ds.scan()
    assert (second.version, second.row_set) == ("2", first.row_set)
    with pytest.raises(Gone, match="no longer holds"):
        ds.read("1")
    assert [v.gone for v in ds.versions()] == [False, False]


def test_an_earlier_state_is_read_while_the_file_only_grew(tmp_path: Path) -> None:
    ds = make(tmp_path, b"a\nb\n")
    ds.scan()
    make(tmp_path, b"a\nb\nc\n")
    with pytest.raises(Conflict, match="changed since"):
        make(tmp_path, b"a\nx\n").read("latest")
    make(tmp_path, b"a\nb\nc\n").scan()
    assert (ds.count("1"), ds.count("2")) == (2, 3)


def test_purge_empties_the_line_and_moves_no_other(tmp_path: Path) -> None:
    ds = make(tmp_path, b"one\r\nSentinel-Qqx\r\nthree\r\nlast")
    path = tmp_path / "landing" / "german.data"
    path.chmod(0o640)
    first = ds.scan()
    report = ds.purge([2], request="er-1")
    assert path.read_bytes() == b"one\r\n\r\nthree\r\nlast"
    assert path.stat().st_mode & 0o777 == 0o640
    assert (report.rows_deleted, report.versions_removed, report.residual_rows) == (1, ("1",), 0)
    assert (report.new_version.version, report.new_version.rows) == ("2", 3)
    assert ds.row_ids("2") == [1, 3, 4]
    with pytest.raises(Gone, match="er-1"):
        ds.read(first.version)
    assert scan(tmp_path, [b"Sentinel-Qqx"]).clean


def test_lines_that_were_never_scanned_are_known_before_a_purge(tmp_path: Path) -> None:
    ds = make(tmp_path, b"a\nb\n")
    ds.scan()
    make(tmp_path, b"a\nb\nc\n")
    report = ds.purge([3], request="er-1")
    assert (report.rows_deleted, report.versions_removed) == (1, ("2",))
    assert ds.read("latest").column("line").to_pylist() == ["a", "b"]
    assert [(v.version, v.gone) for v in ds.versions()] == [("1", False), ("2", True), ("3", False)]


def test_a_restored_backup_raises_nobody(tmp_path: Path) -> None:
    ds = make(tmp_path, b"a\nb\nc\n")
    ds.scan()
    ds.purge([2], request="er-1")
    make(tmp_path, b"a\nb\nc\n")
    with pytest.raises(Conflict, match=r"line 2 .* was erased"):
        ds.scan()
    assert ds.residual_scan([2]) == (1, 1)
    assert ds.purge([2], request="er-1").residual_rows == 1
    again = ds.purge([2], request="er-2")
    assert (again.rows_deleted, again.residual_rows) == (1, 0)
    assert ds.scan() == ds.latest()
    assert ds.read("latest").column("line").to_pylist() == ["a", "c"]


def test_whoever_appends_during_the_purge_keeps_their_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = make(tmp_path, b"a\nb\n")
    ds.scan()
    path = tmp_path / "landing" / "german.data"
    read, reads = ds._bytes, []

    def racing() -> bytes:
        data = read()
        reads.append(data)
        if len(reads) == 2:  # the purge has read what it will change
            with path.open("ab") as file:
                file.write(b"c\n")
        return data

    monkeypatch.setattr(ds, "_bytes", racing)
    ds.purge([1], request="er-1")
    assert path.read_bytes() == b"\nb\nc\n"


def test_a_temporary_file_of_a_crash_is_removed(tmp_path: Path) -> None:
    ds = make(tmp_path, b"a\n")
    left = tmp_path / "landing" / ".german.data.govern-tmp"
    left.write_bytes(b"Sentinel-Qqx")
    ds.scan()
    assert not left.exists()


def test_clear_errors(tmp_path: Path) -> None:
    ds = make(tmp_path)
    with pytest.raises(NotFound, match=r"german\.data"):
        ds.scan()
    make(tmp_path, b"ok\ncaf\xe9\n")
    with pytest.raises(BadInput, match=r"line 2 .* UTF-8"):
        ds.scan()
    make(tmp_path, b"ok\n")
    with pytest.raises(NotFound, match="never scanned"):
        ds.purge([1], request="er-1")
    ds.scan()
    for bad in (["x\ny"], [""], [None], ["  "]):
        with pytest.raises(BadInput, match="row 1"):
            ds.write(pa.table({"line": pa.array(bad, pa.string())}))
    with pytest.raises(BadInput, match="landing file"):
        ds.write(pa.table({"line": ["x"]}), mode="replace")


def test_an_append_after_a_last_line_without_its_break(tmp_path: Path) -> None:
    ds = make(tmp_path, b"a")
    ds.write(pa.table({"line": ["b", "c"]}))
    assert (tmp_path / "landing" / "german.data").read_bytes() == b"a\nb\nc\n"
    assert [v.rows for v in ds.versions()] == [1, 3]
