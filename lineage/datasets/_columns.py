"""A column's values in the canonical encoding of :mod:`lineage.datasets._digest`, made by Arrow and numpy and not value by value.

The bytes are those of the value-by-value encoders, which tests hold them to. A column is given as pieces, arrays of binary values
without nulls, which one after the other are the encoded values: a tag with a length, and the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["BOOL", "BYTES", "DECIMAL", "FLOAT", "INT", "LIST", "NULL", "STRUCT", "TEXT", "joined", "pieces"]

NULL, BOOL, INT, FLOAT, TEXT, BYTES, LIST, STRUCT, DECIMAL = (bytes([n]) for n in range(9))
"""The tags with which a value begins."""


def pieces(column: pa.ChunkedArray) -> list[pa.Array] | None:
    """The encoded values of a column; ``None`` for a type whose values must be encoded one by one (lists, structs, decimals)."""
    import pyarrow as pa
    from pyarrow import types

    kind = column.type
    if types.is_temporal(kind) and not types.is_interval(kind):
        column = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).cast(pa.int64())
        kind = pa.int64()
    if types.is_boolean(kind):
        return [_with_nulls(column, _fixed(BOOL, _numbers(column, pa.uint8())))]
    if types.is_integer(kind):
        return _sized(INT, column.cast(pa.string()))
    if types.is_float32(kind) or types.is_float64(kind):
        return [_with_nulls(column, _fixed(FLOAT, _floats(column)))]
    if types.is_string(kind) or types.is_large_string(kind):
        return _sized(TEXT, column)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return _sized(BYTES, column)
    return None


def joined(start: bytes, columns: list[list[pa.Array]]) -> tuple[list[bytes], int]:
    """Each row's pieces put together after ``start``, and the bytes of all rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    given = [pa.scalar(start, pa.large_binary()), *(piece for column in columns for piece in column)]
    rows = pc.binary_join_element_wise(*given, pa.scalar(b"", pa.large_binary()))
    return rows.to_pylist(), int(pc.sum(pc.binary_length(rows)).as_py() or 0)


def _sized(tag: bytes, column: pa.ChunkedArray) -> list[pa.Array]:
    import pyarrow as pa
    import pyarrow.compute as pc

    data = _one(column.cast(pa.large_binary()))  # a part of a column can be larger than 32-bit offsets reach
    filled = data.fill_null(b"")
    return [_with_nulls(column, _fixed(tag, pc.binary_length(filled).to_numpy(zero_copy_only=False).astype(">i8"))), filled]


def _floats(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Big-endian doubles, every NaN the same one."""
    import numpy as np

    values = _numbers(column, None).astype(np.float64)
    values[np.isnan(values)] = np.nan
    return values.astype(">f8")


def _numbers(column: pa.ChunkedArray, kind: pa.DataType | None) -> np.ndarray[Any, Any]:
    filled = _one(column if kind is None else column.cast(kind)).fill_null(0)
    found: np.ndarray[Any, Any] = filled.to_numpy(zero_copy_only=False)
    return found


def _fixed(tag: bytes, values: np.ndarray[Any, Any]) -> pa.Array:
    """The tag and a number of fixed width, for each number, as binary values over one buffer."""
    import numpy as np
    import pyarrow as pa

    width = 1 + values.dtype.itemsize
    rows = np.empty((len(values), width), np.uint8)
    rows[:, 0] = tag[0]
    rows[:, 1:] = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), width - 1)
    offsets = np.arange(0, (len(values) + 1) * width, width, dtype=np.int64)
    return pa.Array.from_buffers(pa.large_binary(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(rows)])


def _with_nulls(column: pa.ChunkedArray, encoded: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not column.null_count:
        return encoded
    return pc.if_else(_one(column.is_null()), pa.scalar(NULL, pa.large_binary()), encoded)


def _one(column: pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa

    chunks = column.combine_chunks()
    return chunks if isinstance(chunks, pa.Array) else pa.concat_arrays(chunks.chunks)
