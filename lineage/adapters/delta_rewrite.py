"""Rows taken out of a Delta table by rewriting the files that hold one, as one commit of additions and removals.

The library's own deletion decodes a table twice, all columns of it, through a query engine; here the row ids of every file are
read, and the few files that are touched are written anew (Delta protocol, "Add File and Remove File"). The commit names files and
no condition. The library still numbers it, checks it against commits that came in between, and keeps the protocol.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lineage.adapters.parquet_codec import encoded, texts
from lineage.datasets import ROW_ID

__all__ = ["can_rewrite", "data_files", "rewrite_actions", "writer_properties"]

_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
"""A file beside the log whose name is spelled in one way only, in a log, a URI and a folder."""
_READERS = {"timestampNtz"}
_WRITERS = {"timestampNtz", "appendOnly", "invariants"}
"""Features of a table that say nothing of which rows a file shows."""


def can_rewrite(table: Any) -> bool:
    """Whether each file of the table shows exactly the rows and columns that are in it.

    Deletion vectors, column mapping, partitions, change data and generated values are the library's matter.
    """
    protocol, configuration = table.protocol(), table.metadata().configuration
    readers, writers = set(protocol.reader_features or ()), set(protocol.writer_features or ())
    return (
        (protocol.min_reader_version == 1 or (protocol.min_reader_version == 3 and readers <= _READERS))
        and (protocol.min_writer_version <= 2 or (protocol.min_writer_version == 7 and writers <= _WRITERS))
        and not table.metadata().partition_columns
        and configuration.get("delta.appendOnly", "false") != "true"
        and "delta.invariants" not in table.schema().to_json()
        and all(_PLAIN.fullmatch(path) for path in data_files(table))
    )


def rewrite_actions(
    table: Any, row_ids: Sequence[int], holding: Collection[str], read: Callable[[str], pa.Table], write: Callable[[str, bytes], None]
) -> list[Any]:
    """What a commit without the rows must add and remove; none when no file holds one. The new files are written.

    Args:
        table: a ``DeltaTable`` for which :func:`can_rewrite` holds.
        row_ids: the rows that go.
        holding: its files that hold one.
        read: decodes a data file by name.
        write: keeps a new data file.
    """
    from deltalake.transaction import AddAction, RemoveAction

    values, sizes, now = pa.array(row_ids, pa.int64()), data_files(table), time.time_ns() // 1_000_000
    actions: list[Any] = []
    for name in sorted(holding):
        before = read(name)
        rows = before.filter(pc.invert(pc.is_in(before.column(ROW_ID), value_set=values)))
        actions.append(RemoveAction(name, True, now, size=sizes[name], partition_values={}))
        if rows.num_rows:
            fresh, content = f"part-00000-{uuid.uuid4()}-c000.snappy.parquet", encoded(rows, "snappy").to_pybytes()
            write(fresh, content)
            actions.append(AddAction(fresh, len(content), {}, now, True, _statistics(rows)))
    return actions


def writer_properties(schema: pa.Schema) -> Any:
    """How the library writes a file, as :func:`lineage.adapters.parquet_codec.encoded` does."""
    from deltalake import ColumnProperties, WriterProperties

    return WriterProperties(
        compression="SNAPPY",
        default_column_properties=ColumnProperties(dictionary_enabled=False),
        column_properties={name: ColumnProperties(dictionary_enabled=True) for name in texts(schema)},
    )


def data_files(table: Any) -> dict[str, int]:
    """The files of a state by name, with their sizes in bytes."""
    added = pa.table(table.get_add_actions(flatten=True))
    return dict(zip(added["path"].to_pylist(), added["size_bytes"].to_pylist(), strict=True))


def _statistics(rows: pa.Table) -> str:
    """Of the row id alone: a least or largest value of any other column could name a person."""
    ends = pc.min_max(rows.column(ROW_ID)).as_py()
    body = {
        "numRecords": rows.num_rows,
        "minValues": {ROW_ID: ends["min"]},
        "maxValues": {ROW_ID: ends["max"]},
        "nullCount": {ROW_ID: rows.column(ROW_ID).null_count},
    }
    return json.dumps(body, separators=(",", ":"))
