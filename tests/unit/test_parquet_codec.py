"""What a deletion reads of Parquet files: each once, every row found, none invented."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.adapters.parquet_codec import Holders, decoded, encoded, found_in


def chunked(*parts: list[int]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(part, pa.int64()) for part in parts], pa.int64())


@settings(max_examples=50)
@given(
    files=st.lists(st.lists(st.lists(st.integers(0, 60), max_size=6), max_size=3), max_size=70),
    wanted=st.sets(st.integers(0, 80), max_size=12),
)
def test_found_in_is_what_looking_at_each_file_finds(files: list[list[list[int]]], wanted: set[int]) -> None:
    named = [(str(number), chunked(*parts)) for number, parts in enumerate(files)]
    expected = {name: [row for row in ids.to_pylist() if row in wanted] for name, ids in named}
    assert dict(found_in(named, pa.array(sorted(wanted), pa.int64()))) == {name: rows for name, rows in expected.items() if rows}


def test_a_file_is_decoded_once_and_only_for_the_rows_that_were_asked_about() -> None:
    held, asked = {"a": [1, 2], "b": [3], "c": [2, 9]}, []

    def ids(name: str) -> pa.ChunkedArray:
        asked.append(name)
        return chunked(held[name])

    holders = Holders([2, 3])
    assert holders.among(["a", "b"], ids) == {"a": {2}, "b": {3}}
    assert holders.among(["a", "c"], ids) == {"a": {2}, "c": {2}}
    assert asked == ["a", "b", "c"]
    assert holders.covers([3])
    assert not holders.covers([3, 9])


def test_a_file_says_what_was_written_and_keeps_dictionaries_for_texts_alone() -> None:
    rows = pa.table({"n": [1, 1, None], "v": ["x", "x", None], "f": [0.5, float("inf"), None], "l": [[1], [], None]})
    content = encoded(rows.replace_schema_metadata({"who": "a person"}), "zstd")
    assert decoded(pa.BufferReader(content)).equals(rows)
    assert decoded(pa.BufferReader(content)).schema.metadata is None
    group = pq.ParquetFile(pa.BufferReader(content)).metadata.row_group(0)
    assert [group.column(at).has_dictionary_page for at in range(4)] == [False, True, False, False]


def test_a_damaged_file_is_refused_and_a_column_that_is_not_there_gives_none() -> None:
    content = encoded(pa.table({"n": [1]}), "zstd").to_pybytes()
    assert decoded(pa.BufferReader(content), ["govern_row_id"]).num_columns == 0
    with pytest.raises((pa.ArrowInvalid, OSError)):
        decoded(pa.BufferReader(content[:-7]))
