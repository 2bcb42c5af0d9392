"""Encoding whole columns gives the same bytes as encoding value by value, for every type, with nulls, in any chunks."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.datasets import _digest, _merkle, commitments, dataset_digest, row_hashes, row_set, row_set_digest
from lineage.hashing import short_sha256
from tests.support.rows_keys import MemoryKeys

KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "bool": (pa.bool_(), st.booleans()),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "int8": (pa.int8(), st.integers(-128, 127)),
    "float64": (pa.float64(), st.floats() | st.sampled_from([0.0, -0.0, math.nan, -math.nan])),
    "float32": (pa.float32(), st.floats(width=32)),
    "text": (pa.string(), st.text(max_size=6)),
    "large": (pa.large_string(), st.text(max_size=6)),
    "bytes": (pa.binary(), st.binary(max_size=6)),
    "ns": (pa.timestamp("ns"), st.integers(-(2**62), 2**62)),
    "date": (pa.date32(), st.integers(-10_000, 10_000)),
    "duration": (pa.duration("us"), st.integers(-(2**50), 2**50)),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(0, 6))
    columns = {}
    for name in draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4, unique=True)):
        kind, values = KINDS[name]
        column = pa.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind)
        cut = draw(st.integers(0, rows))
        columns[name] = pa.chunked_array([column.slice(0, cut), column.slice(cut)], kind)
    return pa.table(columns)


@given(tables())
@settings(max_examples=50, deadline=None)
def test_columns_are_encoded_as_their_values_are(table: pa.Table) -> None:
    found = row_hashes(table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_digest, "pieces", lambda _column: None)
        assert row_hashes(table) == found
    assert len(found) == table.num_rows


def test_a_wrong_encoding_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above bites: one tag that differs changes every hash."""
    table = pa.table({"a": pa.array([1, 2], pa.int64())})
    right = row_hashes(table)
    monkeypatch.setattr("lineage.datasets._columns.INT", b"\x7f")
    assert not set(row_hashes(table)) & set(right)


def test_the_digest_of_these_rows_never_changes() -> None:
    """Digests stand in ledgers and certificates."""
    table = pa.table(
        {
            "n": pa.array([1, None, -3], pa.int64()),
            "t": pa.array(["a", "", None]),
            "f": pa.array([0.5, math.nan, None], pa.float32()),
            "b": pa.array([True, None, False]),
            "l": pa.array([[1], None, []], pa.list_(pa.int32())),
        }
    )
    assert dataset_digest(table) == "sha256:d987f40fd7d4cbf94fa4207dd85e41c53647930380bff729c229b8f74181976b"
    assert row_set(MemoryKeys(), "d", [3, 1, 2]).digest == "rs1:9bfdbb3ea5177fa4002d07ec72f36cfaef267f0f7a17536957fab63663f7a587"


@given(st.integers(0, 40))
def test_a_packed_tree_has_the_same_root(count: int) -> None:
    leaves = [_merkle.leaf_hash(bytes([n])) for n in range(count)]
    packed = _merkle.packed_leaf_hashes([b"\x00" + bytes([n]) for n in range(count)], mean=2)
    assert _merkle.unpacked(packed) == leaves
    assert _merkle.packed_root(packed) == _merkle.Tree(leaves).root


@given(st.binary(max_size=2000))
def test_short_hashes_are_sha256(data: bytes) -> None:
    assert short_sha256(data).digest() == hashlib.sha256(data).digest()
    assert _merkle.packed_leaf_hashes([data], mean=len(data)) == hashlib.sha256(data).digest()


@given(st.sets(st.integers(0, 2**63 - 1), max_size=50))
@settings(max_examples=50)
def test_commitments_are_sorted_and_their_root_is_the_row_set(row_ids: set[int]) -> None:
    keys = MemoryKeys()
    listed = commitments(keys, "d", row_ids)
    assert listed == sorted(keys.hmac("rowset", b"d\x00" + n.to_bytes(8, "big")) for n in row_ids)
    assert row_set(keys, "d", row_ids).digest == row_set_digest(listed)


def test_commitments_that_begin_alike_are_sorted_by_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = MemoryKeys()
    alike = [b"\x01" * 8 + bytes([n]) * 24 for n in (9, 3, 255, 0)]
    monkeypatch.setattr(keys, "hmacs", lambda _name, messages: [alike[message[-1]] for message in messages], raising=False)
    assert commitments(keys, "d", range(4)) == sorted(alike)
