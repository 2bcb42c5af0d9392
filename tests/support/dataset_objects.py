"""Table datasets in a bucket, by kind, and what the bucket really holds of them: every object version, decoded without the adapters."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lineage.adapters.delta_dataset import DeltaDataset
from lineage.adapters.lance_dataset import LanceDataset
from lineage.adapters.object_files import files_at
from lineage.adapters.parquet_dataset import ParquetDataset
from lineage.adapters.table_dataset import TableDataset
from tests.support.rows_keys import MemoryKeys, TickingClock
from tests.support.s3 import Bucket

__all__ = ["data_objects", "held_ids", "open_at", "present_ids"]

_CLASSES = {"lance": LanceDataset, "delta": DeltaDataset, "parquet": ParquetDataset}


def open_at(kind: str, root: Path, url: str, name: str = "d", *, sort_by: str | None = None) -> TableDataset:
    """The table dataset ``name`` at a URL, its catalog below ``root``; each opening is as after a restart."""
    keys = MemoryKeys()
    files = files_at(url, name, keys=keys, library=kind != "parquet")
    return _CLASSES[kind](root, name, keys=keys, clock=TickingClock(), sort_by=sort_by, files=files)


def data_objects(keys: list[str]) -> list[str]:
    """Those of the keys that are files of rows."""
    return [key for key in keys if key.endswith((".parquet", ".lance")) and "/_delta_log/" not in key]


def held_ids(bucket: Bucket) -> set[int]:
    """The row ids in every content that the bucket keeps, present or not."""
    return set().union(*(_ids(key, bucket.body(key, version)) for key, version in bucket.versions() if data_objects([key])))


def present_ids(bucket: Bucket) -> set[int]:
    """The row ids in the objects that a plain listing shows."""
    get = bucket.client.get_object
    return set().union(*(_ids(key, get(Bucket=bucket.name, Key=key)["Body"].read()) for key in data_objects(bucket.present())))


def _ids(key: str, body: bytes) -> set[int]:
    if key.endswith(".parquet"):
        return set(pq.read_table(io.BytesIO(body)).column("govern_row_id").to_pylist())
    from lance.file import LanceFileReader

    with tempfile.NamedTemporaryFile(suffix=".lance") as file:
        file.write(body)
        file.flush()
        table: pa.Table = LanceFileReader(file.name, columns=["govern_row_id"]).read_all().to_table()
    return set(table.column(0).to_pylist())
