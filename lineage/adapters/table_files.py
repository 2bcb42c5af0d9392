"""Where a store of tables keeps its bytes: named files, and whatever else the place still holds of files that are gone."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from lineage.adapters.dataset_catalog import write_atomic

__all__ = ["Access", "Content", "LocalFiles", "TableFiles"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a library that reads and writes tables by itself (Lance, delta-rs) gets at a place."""

    uri: str
    options: dict[str, str] | None = field(default=None, repr=False)
    """Its ``storage_options``: endpoint, region and credentials. They are never printed or kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One content that a place holds under a file's name."""

    name: str
    size: int
    """Bytes."""
    version: str | None = None
    """The place's own id of a content that was overwritten or deleted, ``None`` for the file's present one."""

    def __str__(self) -> str:
        """The name, with the version of what is not present."""
        return self.name if self.version is None else f"{self.name} (object version {self.version})"


class TableFiles(Protocol):
    """Files by name (``data/…``, ``manifests/…``) under one place."""

    def claim(self) -> None:
        """Take the place for this dataset, which a library is about to write to by itself; raises ``Conflict`` when it is another's."""
        ...

    def access(self) -> Access:
        """Where the place is and what opens it, for such a library."""
        ...

    def answers(self) -> AbstractContextManager[None]:
        """Around such a library's work: what the place answered it becomes an error that names the place, all else passes."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Keep a file that nothing refers to yet."""
        ...

    def publish(self, name: str, content: bytes) -> None:
        """Keep a file that refers to the ones written before, all of them durable when this returns."""
        ...

    def read(self, name: str, version: str | None = None) -> bytes:
        """The content; raises ``FileNotFoundError``."""
        ...

    def open(self, name: str, version: str | None = None) -> pa.NativeFile:
        """The content as a file that can be read in parts, to be closed by the caller; raises ``FileNotFoundError``."""
        ...

    def sizes(self, folder: str) -> dict[str, int]:
        """Name and size in bytes of every present file under a folder."""
        ...

    def contents(self) -> list[Content]:
        """Every content that can be read here: the present files', and each that the place keeps of what was overwritten or deleted.

        Raises:
            Incomplete: something is kept that cannot be read.
        """
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Delete files: nobody who lists the place sees them any more."""
        ...

    def sweep(self) -> None:
        """Remove, physically, every content that is no present file's, as far as the place allows; :meth:`cannot_purge` says how far."""
        ...

    def cannot_purge(self) -> str | None:
        """Why the bytes of removed files stay after :meth:`sweep`, or ``None`` when they do not."""
        ...


class LocalFiles:
    """A folder on this machine's disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def claim(self) -> None:
        """Make the folder: the home is nobody else's."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def access(self) -> Access:
        """The folder's path."""
        return Access(uri=str(self._folder))

    def answers(self) -> AbstractContextManager[None]:
        """A disk answers with ``OSError``, which says enough."""
        return nullcontext()

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

    def read(self, name: str, version: str | None = None) -> bytes:
        """The bytes of a file; there are no old ones."""
        if version is not None:
            raise FileNotFoundError(f"{name} has no version {version}: a folder keeps none")
        return (self._folder / name).read_bytes()

    def open(self, name: str, version: str | None = None) -> pa.NativeFile:
        """The file, of which only what is asked for is read."""
        if version is not None:
            raise FileNotFoundError(f"{name} has no version {version}: a folder keeps none")
        return pa.OSFile(str(self._folder / name))

    def sizes(self, folder: str) -> dict[str, int]:
        """Every file below the folder, hidden ones too."""
        top = self._folder / folder
        return {str(p.relative_to(self._folder)): p.stat().st_size for p in sorted(top.rglob("*")) if p.is_file()} if top.exists() else {}

    def contents(self) -> list[Content]:
        """The files that are there."""
        return [Content(name=name, size=size) for name, size in self.sizes("").items()]

    def remove(self, names: Iterable[str]) -> None:
        """Unlink, and make that durable."""
        folders = set()
        for name in names:
            path = self._folder / name
            path.unlink(missing_ok=True)
            folders.add(path.parent)
        for folder in folders:
            _sync(folder)

    def sweep(self) -> None:
        """Nothing: an unlinked file is gone above the file system."""

    def cannot_purge(self) -> str | None:
        """Nothing stands against it."""
        return None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
