"""Where the Parquet store keeps its bytes: named files in two folders, written once and never changed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from lineage.adapters.dataset_catalog import write_atomic

__all__ = ["LocalFiles", "TableFiles"]


class TableFiles(Protocol):
    """Files by name (``data/…``, ``manifests/…``); a name is given to one content only."""

    def write(self, name: str, content: bytes) -> None:
        """Keep a file that nothing refers to yet."""
        ...

    def publish(self, name: str, content: bytes) -> None:
        """Keep a file that refers to the ones written before, all of them durable when this returns."""
        ...

    def read(self, name: str) -> bytes:
        """The content; raises ``FileNotFoundError``."""
        ...

    def sizes(self, folder: str) -> dict[str, int]:
        """Name and size in bytes of every file under a folder."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Delete files, physically as far as this place can."""
        ...

    def cannot_purge(self) -> str | None:
        """Why a removed file's bytes stay, or ``None``."""
        ...


class LocalFiles:
    """A folder on this machine's disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, content: bytes) -> None:
        """Write and fsync; the folder's entry follows in :meth:`publish`."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def publish(self, name: str, content: bytes) -> None:
        """Make the data's folder durable, then put the file in place atomically."""
        for folder in (self._folder / "data", self._folder):
            if folder.is_dir():
                _sync(folder)
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
        _sync(self._folder)

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return (self._folder / name).read_bytes()

    def sizes(self, folder: str) -> dict[str, int]:
        """Every file below the folder, hidden ones too."""
        top = self._folder / folder
        return {str(p.relative_to(self._folder)): p.stat().st_size for p in sorted(top.rglob("*")) if p.is_file()} if top.exists() else {}

    def remove(self, names: Iterable[str]) -> None:
        """Unlink, and make that durable."""
        folders = set()
        for name in names:
            path = self._folder / name
            path.unlink(missing_ok=True)
            folders.add(path.parent)
        for folder in folders:
            _sync(folder)

    def cannot_purge(self) -> str | None:
        """An unlinked file is gone above the file system."""
        return None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
