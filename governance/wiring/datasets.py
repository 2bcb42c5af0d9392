"""Which store a registered dataset's kind stands for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.registry.subject_keys import subject_keys
from lineage.errors import StoreUnavailable
from lineage.ports import Clock, KeyStore, VersionedDataset

if TYPE_CHECKING:
    from lineage.adapters.delta_dataset import DeltaDataset
    from lineage.adapters.lance_dataset import LanceDataset
    from lineage.adapters.parquet_dataset import ParquetDataset

__all__ = ["open_dataset"]


def open_dataset(record: Mapping[str, Any], home: Path, *, keys: KeyStore, clock: Clock) -> VersionedDataset:
    """The store of a dataset's record; a table is clustered by the subject key. A store's library is imported when it is needed.

    Raises:
        BadInput: a package that opens its URL is missing.
        StoreUnavailable: a kind that this Govern does not know.
    """
    name, kind, root = record["name"], record["kind"], home / "datasets"
    if kind in {"lines", "csv"}:
        from lineage.adapters.csv_dataset import CsvDataset
        from lineage.adapters.lines_dataset import LinesDataset

        return (LinesDataset if kind == "lines" else CsvDataset)(home / "landing" / record["path"], root, name, keys=keys, clock=clock)
    keys_of = subject_keys(record)
    sort_by = keys_of[0].columns[0] if keys_of else None
    if kind in {"lance", "delta", "parquet"}:
        from lineage.adapters.object_files import files_at

        url = record.get("url")
        files = files_at(url, name, keys=keys, library=kind != "parquet") if url else None
        return _table(kind)(root, name, keys=keys, clock=clock, sort_by=sort_by, files=files)
    raise StoreUnavailable(f"dataset {name} is of kind {kind!r}, which this Govern does not know", hint="use the newer Govern")


def _table(kind: str) -> type[LanceDataset | DeltaDataset | ParquetDataset]:
    if kind == "lance":
        from lineage.adapters.lance_dataset import LanceDataset

        return LanceDataset
    if kind == "delta":
        from lineage.adapters.delta_dataset import DeltaDataset

        return DeltaDataset
    from lineage.adapters.parquet_dataset import ParquetDataset

    return ParquetDataset
