"""Snapshots of the graph as files of a folder, named by their digest, for their owner only."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from lineage.errors import NotFound, StoreUnavailable

__all__ = ["SnapshotFolder"]

_PIECE = 1 << 20
_NAME = re.compile(r"[0-9a-f]{64}")
_END = ".jsonl.gz"


class SnapshotFolder:
    """A :class:`lineage.ports.SnapshotFiles`; the folder is made when the first file is written.

    Args:
        path: the folder; one process writes into it at a time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, chunks: Iterable[bytes]) -> str:
        """Keep the bytes; a draft that a crash left is replaced. The file and its name are on disk when this returns.

        Raises:
            StoreUnavailable: they cannot be written; the draft is removed.
        """
        draft = self._path / "draft.tmp"
        digest = hashlib.sha256()
        try:
            self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.unlink(missing_ok=True)
            with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._file(digest.hexdigest()))
            self._sync()
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise StoreUnavailable(
                f"a snapshot cannot be written to {self._path}: {error.strerror}", hint="free some space, then run it again"
            ) from error
        return digest.hexdigest()

    def read(self, digest: str, start: int = 0) -> Iterator[bytes]:
        """The bytes in pieces of a megabyte.

        Raises:
            NotFound: there is no such file. StoreUnavailable: it cannot be read.
        """
        path = self._file(digest)
        try:
            with path.open("rb") as file:
                file.seek(start)
                while piece := file.read(_PIECE):
                    yield piece
        except FileNotFoundError as error:
            raise NotFound(f"the snapshot {path} is not there", hint="restore it from a backup of the home") from error
        except OSError as error:
            raise StoreUnavailable(f"the snapshot {path} cannot be read: {error.strerror}", hint="check its owner and the disk") from error

    def names(self) -> set[str]:
        """The digests by which the files are named; drafts are none."""
        return {path.name.removesuffix(_END) for path in self._path.glob(f"*{_END}") if _NAME.fullmatch(path.name.removesuffix(_END))}

    def remove(self, digest: str) -> None:
        """Delete a file, if it is there."""
        self._file(digest).unlink(missing_ok=True)
        self._sync()

    def _file(self, digest: str) -> Path:
        if not _NAME.fullmatch(digest):
            raise NotFound(f"{digest[:80]!r} is no SHA-256 in hex", hint="govern ledger export")
        return self._path / f"{digest}{_END}"

    def _sync(self) -> None:
        folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
