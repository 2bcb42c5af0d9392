"""Which bucket a row belongs to: a keyed hash of its subject key, so that one person's rows lie in one file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

__all__ = ["bucket_count", "buckets"]

_MOST = 4096


def bucket_count(rows: int, rows_per_file: int) -> int:
    """The power of two that puts about ``rows_per_file`` rows in a bucket, at most 4096.

    >>> bucket_count(0, 8192), bucket_count(8193, 8192), bucket_count(5_000_000, 8192)
    (1, 2, 1024)
    """
    wanted = -(-rows // rows_per_file)
    return min(_MOST, 1 << max(0, wanted - 1).bit_length())


def buckets(rows: pa.Table, column: str | None, count: int, key: bytes) -> Iterator[tuple[int, pa.Table]]:
    """(bucket, its rows in the order given) for each bucket that has rows.

    Args:
        rows: any table.
        column: whose values are hashed; ``None`` cuts the table into equal runs.
        count: number of buckets.
        key: secret of the hash (BLAKE2b), so that a file's number says nothing about a value.
    """
    if column is None:
        size = max(1, -(-rows.num_rows // count))
        for number in range(count):
            if part := rows.slice(number * size, size):
                yield number, part
        return
    chosen = _numbers(rows.column(column), count, key)
    order = np.argsort(chosen, kind="stable")
    ends = np.searchsorted(chosen[order], np.arange(count + 1))
    ordered = rows.take(pa.array(order))
    for number in range(count):
        first, last = int(ends[number]), int(ends[number + 1])
        if last > first:
            yield number, ordered.slice(first, last - first)


def _numbers(values: pa.ChunkedArray, count: int, key: bytes) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The bucket of each value; each distinct value is hashed once."""
    encoded = values.combine_chunks().dictionary_encode(null_encoding="encode")
    hashed = [
        int.from_bytes(hashlib.blake2b(repr(value).encode(), key=key, digest_size=8).digest(), "big") % count
        for value in encoded.dictionary.to_pylist()
    ]
    chosen: np.ndarray[tuple[int], np.dtype[np.int64]] = np.array(hashed, np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
    return chosen
