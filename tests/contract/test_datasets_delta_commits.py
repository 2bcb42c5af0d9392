"""A deletion in Delta Lake is one commit of files added and removed: what it says, and whom it gives way to."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from lineage.adapters import delta_dataset, parquet_dataset
from lineage.adapters.delta_rewrite import can_rewrite
from lineage.adapters.table_dataset import TableDataset
from tests.support.dataset_stores import open_table

SENTINEL = "Sentinel-Qqx-4712"


def people(*names: str) -> pa.Table:
    return pa.table({"who": pa.array(range(len(names)), pa.int64()), "v": pa.array(list(names), pa.string())})


def shown(ds: TableDataset, version: str = "latest") -> dict[int, str]:
    table = ds.read(version).to_pydict()
    return dict(zip(table["govern_row_id"], table["v"], strict=True))


def folder(tmp_path: Path) -> str:
    return str(tmp_path / "datasets" / "d" / "delta")


def during_the_rewrite(monkeypatch: pytest.MonkeyPatch, act: Any) -> list[int]:
    """Run ``act`` once, after the files were written anew and before they are committed; the attempts, as they are made."""
    real, calls = delta_dataset.rewrite_actions, []

    def overtaken(*given: Any) -> list[Any]:
        actions = real(*given)
        calls.append(len(actions))
        if len(calls) == 1:
            act()
        return actions

    monkeypatch.setattr(delta_dataset, "rewrite_actions", overtaken)
    return calls


def test_the_commit_names_files_and_no_condition_and_statistics_of_the_row_id_alone(tmp_path: Path) -> None:
    ds = open_table("delta", tmp_path)
    ds.write(people("a", SENTINEL, "c"))
    ds.delete([2])
    log = max(Path(folder(tmp_path), "_delta_log").glob("*.json"))
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    assert [len([a for a in actions if kind in a]) for kind in ("add", "remove")] == [1, 1]
    assert "predicate" not in log.read_text()
    stats = json.loads(next(a["add"]["stats"] for a in actions if "add" in a))
    assert stats == {
        "numRecords": 2, "minValues": {"govern_row_id": 1}, "maxValues": {"govern_row_id": 3}, "nullCount": {"govern_row_id": 0},
    }  # fmt: skip
    assert shown(ds) == {1: "a", 3: "c"}
    assert DeltaTable(folder(tmp_path)).to_pyarrow_table().num_rows == 2  # what any other reader sees


def test_rows_that_another_program_appends_meanwhile_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = open_table("delta", tmp_path)
    ds.write(people("a", SENTINEL, "c"))
    more = people("late")  # without row ids
    calls = during_the_rewrite(monkeypatch, lambda: write_deltalake(folder(tmp_path), more, mode="append", schema_mode="merge"))
    report = ds.purge([2], request="er-1")
    assert (report.residual_rows, len(calls)) == (0, 1)
    assert sorted(shown(ds).values()) == ["a", "c", "late"]
    assert {row: v for row, v in shown(ds).items() if v != "late"} == {1: "a", 3: "c"}


def test_a_file_that_another_program_rewrites_meanwhile_is_not_brought_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = open_table("delta", tmp_path)
    ds.write(people("a", SENTINEL, "c"))
    calls = during_the_rewrite(monkeypatch, lambda: DeltaTable(folder(tmp_path)).delete("govern_row_id = 3"))
    report = ds.purge([2], request="er-1")
    assert len(calls) == 2, "the commit that would have brought row 3 back must lose"
    assert report.residual_rows == 0
    assert shown(ds) == {1: "a"}


def test_it_bites_a_commit_that_is_not_checked_would_bring_the_row_back(tmp_path: Path) -> None:
    ds = open_table("delta", tmp_path)
    ds.write(people("a", "b", "c"))
    where = folder(tmp_path)
    before = DeltaTable(where)
    name = Path(before.file_uris()[0]).name
    kept = pq.read_table(Path(where, name)).slice(0, 1)
    DeltaTable(where).delete("govern_row_id = 3")
    write_deltalake(where, kept.append_column("x", [["y"]]).drop(["x"]), mode="append")  # an addition alone is not checked
    assert DeltaTable(where).to_pyarrow_table()["govern_row_id"].to_pylist().count(1) == 2


@pytest.mark.parametrize(
    ("change", "plain"),
    [
        ({}, True),
        ({"delta.enableChangeDataFeed": "true"}, False),
        ({"delta.appendOnly": "true"}, False),
    ],
)
def test_what_files_alone_do_not_tell_is_left_to_the_library(tmp_path: Path, change: dict[str, str], *, plain: bool) -> None:
    where = str(tmp_path / "t")
    rows = pa.table({"govern_row_id": [1, 2], "at": [datetime(2026, 1, 1), datetime(2026, 1, 2)]})
    write_deltalake(where, rows, configuration=change or None)
    assert can_rewrite(DeltaTable(where)) is plain


def test_a_partitioned_table_is_left_to_the_library(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "t"), pa.table({"govern_row_id": [1, 2], "p": ["x", "y"]}), partition_by=["p"])
    assert not can_rewrite(DeltaTable(str(tmp_path / "t")))


def test_a_table_with_change_data_still_loses_the_row(tmp_path: Path) -> None:
    ds = open_table("delta", tmp_path)
    ds.write(people("a", SENTINEL, "c"))
    DeltaTable(folder(tmp_path)).alter.set_table_properties({"delta.enableChangeDataFeed": "true"})
    ds.scan()
    ds.delete([2])
    assert sorted(shown(ds).values()) == ["a", "c"]


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_versions_written_before_numbers_lost_their_dictionaries_open_and_are_purged(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = open_table(kind, tmp_path, sort_by="who")
    with monkeypatch.context() as before:
        before.setattr(delta_dataset, "writer_properties", lambda _: None)
        before.setattr(parquet_dataset, "encoded", _as_before)
        first = ds.write(people("a", SENTINEL, "c"))
        second = ds.write(people("d"), mode="append")
    assert shown(ds, first.version) == {1: "a", 2: SENTINEL, 3: "c"}
    report = ds.purge([2], request="er-1")
    assert report.versions_removed == (first.version, second.version)
    assert report.residual_rows == 0
    assert shown(ds) == {1: "a", 3: "c", 4: "d"}


def test_files_that_the_library_rewrote_are_rewritten_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = open_table("delta", tmp_path)
    ds.write(people("a", SENTINEL, "c", "d"))
    with monkeypatch.context() as before:
        before.setattr(delta_dataset, "can_rewrite", lambda _: False)
        ds.delete([4])
    report = ds.purge([2], request="er-1")
    assert report.residual_rows == 0
    assert shown(ds) == {1: "a", 3: "c"}


def _as_before(rows: pa.Table, compression: str) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression=compression)
    return sink.getvalue()
