"""One Parquet file of rows: how it is written, and what a deletion reads of it.

Only texts are written by a dictionary. A number that is in a file once or twice gains nothing by one, and looking each up costs more
than half of what writing a file costs; what repeats, the compression finds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = ["Holders", "decoded", "encoded", "found_in", "texts"]

_FILES_AT_ONCE = 64
"""Files whose row ids are compared together: a set of wanted ids is prepared once for all of them."""


def texts(schema: pa.Schema) -> list[str]:
    """The columns that are written by a dictionary."""
    kinds = pa.types
    tests = (kinds.is_string, kinds.is_large_string, kinds.is_string_view, kinds.is_binary, kinds.is_large_binary, kinds.is_binary_view)
    return [field.name for field in schema if any(test(field.type) for test in tests)]


def encoded(rows: pa.Table, compression: str) -> pa.Buffer:
    """The rows as one Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression=compression, use_dictionary=texts(rows.schema))
    buffer: pa.Buffer = sink.getvalue()
    return buffer


def decoded(file: Any, columns: list[str] | None = None) -> pa.Table:
    """These columns (``None``: all) of a file, without metadata; of columns that it lacks it gives none. It is closed.

    Raises:
        pyarrow.ArrowInvalid, OSError: it is no whole Parquet file.
    """
    with file, pq.ParquetFile(file) as reader:
        return reader.read(columns=columns, use_threads=False).replace_schema_metadata()


def found_in(files: Iterable[tuple[str, pa.ChunkedArray]], row_ids: pa.Array) -> Iterator[tuple[str, list[int]]]:
    """(name, those of the rows that it holds) for each file that holds one.

    Args:
        files: name and row ids of each, decoded when it is asked for.
        row_ids: the wanted ones, int64.
    """
    rest = iter(files)
    while some := list(islice(rest, _FILES_AT_ONCE)):
        chunks = [chunk for _, ids in some for chunk in ids.chunks]
        hits = pc.is_in(pa.chunked_array(chunks, pa.int64()), value_set=row_ids)
        if not pc.any(hits).as_py():
            continue
        at = 0
        for name, ids in some:
            held = ids.filter(hits.slice(at, len(ids))).to_pylist()
            at += len(ids)
            if held:
                yield name, held


class Holders:
    """Which files hold some rows, each file decoded once.

    It is kept from the moment when a purge asks what each state holds to the moment when it deletes, and no longer: until then a
    file's name stands for one content. The proof that nothing is left reads every file again.

    Args:
        row_ids: the rows.
    """

    def __init__(self, row_ids: Collection[int]) -> None:
        self._values = pa.array(sorted(row_ids), pa.int64())
        self._wanted = frozenset(row_ids)
        self._known: dict[str, frozenset[int]] = {}

    def covers(self, row_ids: Collection[int]) -> bool:
        """Whether it was asked about each of these rows."""
        return self._wanted.issuperset(row_ids)

    def among(self, names: Iterable[str], ids: Callable[[str], pa.ChunkedArray]) -> Mapping[str, frozenset[int]]:
        """Those of the files that hold one of the rows, and which; ``ids`` decodes the row ids of a file that was not asked about yet."""
        names = list(names)
        new = [name for name in names if name not in self._known]
        found = dict(found_in(((name, ids(name)) for name in new), self._values))
        self._known.update((name, frozenset(found.get(name, ()))) for name in new)
        return {name: self._known[name] for name in names if self._known[name]}
