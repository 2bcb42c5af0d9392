"""A gate that holds for all processes of a home: the threads' own gate, and two locked files beside it.

::

    epochs.turn   shared for a moment by whoever comes, alone by whoever wants to be alone: nobody comes past who waits
    epochs.lock   shared by those inside, alone by one who is alone

Both are locks of the kernel on an open file (``flock``), which are gone with the process that took them, however it ends. Files that
machines share need a file system that carries such locks, as NFS 4 does; the home's own lock rests on the same.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from governance.registry.gate import Gate
from lineage.errors import Conflict, StoreUnavailable

__all__ = ["FileGate"]

_AGAIN = 0.005
"""Seconds between two tries."""


class FileGate(Gate):
    """The gate of a home.

    Args:
        home: its folder.
        patience: seconds that somebody waits for another process before it is told.
    """

    def __init__(self, home: Path, *, patience: float = 30.0) -> None:
        super().__init__()
        self._turn_file, self._lock_file = home / "epochs.turn", home / "epochs.lock"
        self._patience = patience

    @contextmanager
    def inside(self) -> Iterator[None]:
        """One of many, in whichever process.

        Raises:
            StoreUnavailable: another process has been alone for longer than anybody waits.
        """
        with super().inside(), ExitStack() as stack:
            with self._locked(self._turn_file, fcntl.LOCK_SH) as came:
                entered = came and stack.enter_context(self._locked(self._lock_file, fcntl.LOCK_SH))
            if not entered:
                raise StoreUnavailable(
                    "another process of this home is destroying an epoch key, and has not ended",
                    hint="try again; govern doctor tells who owns the home",
                )
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else, in no process.

        Raises:
            Conflict: somebody in another process has been inside for longer than anybody waits.
        """
        with super().alone(), self._locked(self._turn_file, fcntl.LOCK_EX) as mine, self._locked(self._lock_file, fcntl.LOCK_EX) as free:
            if not (mine and free):
                raise Conflict(
                    "another process of this home is about to keep a reference, and has not ended",
                    hint="try again; govern doctor tells who owns the home",
                )
            yield

    @contextmanager
    def _locked(self, path: Path, how: int) -> Iterator[bool]:
        """Whether the lock was got in time; given back at the end."""
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"{path.name} of the home cannot be opened: {error.strerror}", hint="govern doctor") from error
        try:
            yield self._taken(file, how)
        finally:
            os.close(file)  # nobody else has this open file, so its lock goes with it

    def _taken(self, file: int, how: int) -> bool:
        end = time.monotonic() + self._patience
        while True:
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    return False
                time.sleep(_AGAIN)
            else:
                return True
