"""Who owns a home, and whether its disk has room."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from lineage.errors import StoreUnavailable

__all__ = ["HomeLock", "require_space"]


class HomeLock:
    """One process owns a home: a context manager that holds ``lock`` in it, with the owner's pid (and URL) inside.

    The lock is the kernel's (``flock``): it ends with the process that holds it, however that ends, so a stale file means nothing.

    Args:
        path: the home, or the lock file itself.

    Raises:
        StoreUnavailable: on entering, when another process owns the home; the message names its pid.
    """

    def __init__(self, path: Path) -> None:
        self.path = path / "lock" if path.is_dir() else path
        self._handle: int | None = None

    def __enter__(self) -> Self:
        handle = self._take()
        try:
            self._handle = handle
            self._tell({"pid": os.getpid()})
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._handle is not None:
            handle, self._handle = self._handle, None
            os.ftruncate(handle, 0)
            os.close(handle)

    def announce(self, url: str) -> None:
        """Write where the owner answers, so that others are sent there."""
        self._tell({"pid": os.getpid(), "url": url})

    @classmethod
    def owner(cls, path: Path) -> dict[str, object] | None:
        """``{"pid": …, "url": …}`` of the living process that owns the home (url once announced); ``None`` when nobody does."""
        lock = cls(path)
        if not lock.path.exists():
            return None
        try:
            handle = os.open(lock.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreUnavailable(f"{lock.path} cannot be read: {error.strerror}", hint="check the owner of the home") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return lock._said() or {"pid": None}
        else:
            return None
        finally:
            os.close(handle)

    def _take(self) -> int:
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"{self.path} cannot be opened: {error.strerror}", hint="govern init --home DIR") from error
        try:
            _lock(handle)
        except OSError as error:
            os.close(handle)
            if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
                raise StoreUnavailable(f"{self.path} cannot be locked: {error.strerror}", hint="put the home on a local disk") from error
            said = self._said()
            pid, url = said.get("pid"), said.get("url")
            hint = f"GOVERN_URL={url} govern …" if url else "use its URL as GOVERN_URL, or stop that process"
            raise StoreUnavailable(f"the home {self.path.parent} is owned by process {pid or 'unknown'}", hint=hint) from error
        return handle

    def _said(self) -> dict[str, object]:
        try:
            said = json.loads(self.path.read_text())
        except (OSError, ValueError):  # the owner is writing this very moment: it is known that there is one, not who
            return {}
        return said if isinstance(said, dict) else {}

    def _tell(self, what: dict[str, object]) -> None:
        if self._handle is None:
            raise StoreUnavailable(f"{self.path} is not held by this process")
        try:
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, json.dumps(what).encode() + b"\n", 0)
        except OSError as error:
            raise StoreUnavailable(f"{self.path} cannot be written: {error.strerror}", hint="check the free space") from error


def _lock(handle: int) -> None:
    """Take the lock; tried for a tenth of a second, because :meth:`HomeLock.owner` holds it for a moment to look."""
    for _ in range(5):
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
    return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def require_space(path: Path, needed: int) -> int:
    """The free bytes of the disk under ``path``, when they are at least ``needed``.

    Raises:
        StoreUnavailable: there are fewer.
    """
    free = shutil.disk_usage(path).free
    if free < needed:
        raise StoreUnavailable(f"{path} has {free:,} bytes free and needs {needed:,}", hint="free some space, then try again")
    return free
