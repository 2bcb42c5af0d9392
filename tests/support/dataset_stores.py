"""The dataset adapters by kind, for suites that hold them all to one promise."""

from __future__ import annotations

from pathlib import Path

from lineage.adapters.delta_dataset import DeltaDataset
from lineage.adapters.lance_dataset import LanceDataset
from lineage.adapters.lines_dataset import LinesDataset
from lineage.adapters.parquet_dataset import ParquetDataset
from lineage.adapters.table_dataset import TableDataset
from lineage.ports import VersionedDataset
from tests.support.rows_keys import MemoryKeys, TickingClock

__all__ = ["KINDS", "TABLES", "open_dataset", "open_table"]

TABLES = ("lance", "delta", "parquet")
KINDS = (*TABLES, "lines")
_CLASSES = {"lance": LanceDataset, "delta": DeltaDataset, "parquet": ParquetDataset}


def open_table(kind: str, root: Path, name: str = "d", *, sort_by: str | None = None) -> TableDataset:
    """The table dataset ``name`` under ``root/datasets``."""
    return _CLASSES[kind](root / "datasets", name, keys=MemoryKeys(), clock=TickingClock(), sort_by=sort_by)


def open_dataset(kind: str, root: Path, name: str = "d", *, sort_by: str | None = None) -> VersionedDataset:
    """A dataset of any kind; the landing file of ``lines`` is ``root/landing.txt``."""
    if kind != "lines":
        return open_table(kind, root, name, sort_by=sort_by)
    (root / "landing.txt").touch()
    return LinesDataset(root / "landing.txt", root / "datasets", name, keys=MemoryKeys(), clock=TickingClock())
