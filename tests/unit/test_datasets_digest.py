"""The digest of rows tells apart what is different, and nothing else."""

from __future__ import annotations

import datetime as dt
import decimal
import math

import pyarrow as pa
import pytest

from lineage.datasets import dataset_digest, row_hashes
from lineage.errors import BadInput


def one(value: object, kind: pa.DataType) -> str:
    return dataset_digest(pa.table({"v": pa.array([value], kind)}))


def test_values_that_look_alike_differ() -> None:
    digests = [
        one(None, pa.string()),
        one("", pa.string()),
        one("0", pa.string()),
        one(b"", pa.binary()),
        one(b"0", pa.binary()),
        one(0, pa.int64()),
        one(0, pa.int32()),
        one(False, pa.bool_()),
        one(0.0, pa.float64()),
        one(-0.0, pa.float64()),
        one(math.nan, pa.float64()),
        one(None, pa.float64()),
        one(None, pa.null()),
        one([], pa.list_(pa.int64())),
        one([None], pa.list_(pa.int64())),
        one(None, pa.list_(pa.int64())),
        one({"a": None}, pa.struct([("a", pa.int64())])),
        one(None, pa.struct([("a", pa.int64())])),
        one(decimal.Decimal("0.0"), pa.decimal128(4, 1)),
        one(dt.datetime(1970, 1, 1), pa.timestamp("us")),
        one(dt.datetime(1970, 1, 1), pa.timestamp("ns")),
        one(dt.date(1970, 1, 1), pa.date32()),
    ]
    assert len(set(digests)) == len(digests)


def test_row_hashes_keep_null_and_text_apart_and_do_not_run_together() -> None:
    hashes = row_hashes(pa.table({"a": ["x", "xy", None, ""], "b": ["yz", "z", "", None]}))
    assert len(set(hashes)) == 4


def test_storage_details_do_not_matter() -> None:
    plain = pa.table({"b": ["x", "y", "x"], "a": pa.array([1, 2, 3], pa.int64())})
    same = pa.table(
        {
            "a": pa.chunked_array([[1], [2, 3]], pa.int64()),
            "b": pa.array(["x", "y", "x"], pa.large_string()).dictionary_encode(),
        }
    )
    assert dataset_digest(plain) == dataset_digest(same)


def test_row_id_orders_the_rows_and_is_not_hashed() -> None:
    ordered = pa.table({"govern_row_id": pa.array([5, 9], pa.int64()), "v": ["a", "b"]})
    shuffled = pa.table({"govern_row_id": pa.array([9, 5], pa.int64()), "v": ["b", "a"]})
    swapped = pa.table({"govern_row_id": pa.array([9, 5], pa.int64()), "v": ["a", "b"]})
    assert dataset_digest(ordered) == dataset_digest(shuffled) == dataset_digest(pa.table({"v": ["a", "b"]}))
    assert dataset_digest(ordered) != dataset_digest(swapped)


def test_names_rows_and_counts_matter() -> None:
    base = pa.table({"v": ["a", "b"]})
    others = [pa.table({"w": ["a", "b"]}), pa.table({"v": ["a"]}), pa.table({"v": ["a", "b", "b"]}), base.slice(0, 0)]
    assert len({dataset_digest(t) for t in [base, *others]}) == 5


def test_times_inside_lists_are_the_times_outside() -> None:
    inside = row_hashes(pa.table({"v": pa.array([[dt.date(2026, 1, 2)]], pa.list_(pa.date32()))}))
    other = row_hashes(pa.table({"v": pa.array([[dt.date(2026, 1, 3)]], pa.list_(pa.date32()))}))
    assert inside != other


def test_what_has_no_canonical_form_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="column m"):
        dataset_digest(pa.table({"m": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))}))
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(BadInput, match="two columns"):
        dataset_digest(twice)
