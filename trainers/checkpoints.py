"""The checkpoints of one run as files of a folder, each named by the SHA-256 of what it holds.

A checkpoint rests on persons' rows as weights do. So a run's folder is removed as a whole when its version is destroyed, and a successor
has those that it may keep as files of its own, under a second name of the same bytes (a hard link). A file appears whole and durable under
its name or not at all: what a kill leaves is a draft, and goes with the folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

from lineage.errors import Gone, StoreUnavailable, Tampered
from trainers.model import Checkpoint
from trainers.replay import Kept

__all__ = ["CheckpointFolder"]

_DRAFT: Final = ".draft"


class CheckpointFolder:
    """The checkpoints of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self) -> None:
        """An empty folder: what an earlier attempt of the same run left is removed."""
        self.remove()
        try:
            self.folder.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def remove(self) -> None:
        """Nothing of it is left."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def write(self, kept: Kept) -> Checkpoint:
        """Store one; :class:`StoreUnavailable` when it cannot be written."""
        data = kept.to_bytes()
        name = hashlib.sha256(data).hexdigest()
        draft = self.folder / f"{_DRAFT}-{name}"
        try:
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(self.folder / name)
            self._sync()
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        return Checkpoint(position=kept.position, digest=f"sha256:{name}", size=len(data))

    def read(self, one: Checkpoint) -> Kept:
        """The checkpoint, if it is there and is what its digest says.

        Raises:
            Gone: there is no such file.
            Tampered: it holds other bytes, or says another position.
        """
        name = one.digest.removeprefix("sha256:")
        try:
            data = (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise Gone(f"the checkpoint after {one.position} rows is not there ({name[:16]}…)") from None
        if hashlib.sha256(data).hexdigest() != name:
            raise Tampered(f"the checkpoint after {one.position} rows holds other bytes than its name says ({name[:16]}…)")
        kept = Kept.from_bytes(data)
        if kept.position != one.position:
            raise Tampered(f"the checkpoint after {one.position} rows says that it was taken after {kept.position} ({name[:16]}…)")
        return kept

    def take_over(self, other: CheckpointFolder, one: Checkpoint) -> None:
        """The same checkpoint of another run as one of this run's own."""
        name = one.digest.removeprefix("sha256:")
        draft = self.folder / f"{_DRAFT}-{name}"
        try:
            try:
                os.link(other.folder / name, draft)
            except OSError:  # another file system, or one without links
                shutil.copyfile(other.folder / name, draft)
                with draft.open("rb") as file:
                    os.fsync(file.fileno())
            draft.rename(self.folder / name)
            self._sync()
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def _sync(self) -> None:
        """Make names in the folder durable."""
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _unwritable(folder: Path, error: OSError) -> StoreUnavailable:
    hint = "free some space, or ask for fewer `checkpoints`, then run `govern train` again"
    return StoreUnavailable(f"a checkpoint could not be written to {folder.parent.name}: {error.strerror}", hint=hint)
