"""Who owns a home, and whether its disk has room."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from lineage.errors import StoreUnavailable

__all__ = ["HomeLock", "require_space"]


_STANDBY: Final = "standby-"


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
        self._since = time.time()

    def __enter__(self) -> Self:
        self._hold(self._take())
        return self

    def _hold(self, handle: int) -> None:
        try:
            self._handle = handle
            self._since = time.time()
            self._tell({"pid": os.getpid(), "since": self._since})
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def wait(self, seen: Callable[[dict[str, Any] | None], None], *, stopped: Callable[[], bool]) -> bool:
        """Stand by until nobody owns the home, and own it then; false when ``stopped`` said so before.

        The kernel gives the lock to who waits for it; nothing is asked again and again. A process that is stopped (SIGSTOP) or hangs
        keeps it: its files cannot be taken from it, it has to be ended.

        Args:
            seen: told who owns the home, at first.
            stopped: asked every second.

        Raises:
            StoreUnavailable: the lock file cannot be opened.
        """
        for left in self.path.parent.glob(f"{_STANDBY}*"):
            if self.owner(left) is None:  # of a process that was killed while it stood by
                left.unlink(missing_ok=True)
        seen(self.owner(self.path))
        handle = self._open()
        ours, given_up = threading.Event(), threading.Event()
        gate = threading.Lock()

        def waiting() -> None:
            fcntl.flock(handle, fcntl.LOCK_EX)
            with gate:
                if given_up.is_set():
                    os.close(handle)
                else:
                    ours.set()

        with HomeLock(self.path.with_name(f"{_STANDBY}{os.getpid()}")) as told:
            threading.Thread(target=waiting, name="govern-standby", daemon=True).start()
            while not ours.wait(1.0):
                with gate:
                    if stopped() and not ours.is_set():
                        given_up.set()
                        break
            told.path.unlink(missing_ok=True)
        if given_up.is_set():
            return False
        self._hold(handle)
        return True

    @classmethod
    def standing_by(cls, home: Path) -> list[dict[str, Any]]:
        """``{"pid": …, "since": …}`` of each living process that waits for the home, the longest first."""
        said = [cls.owner(path) for path in home.glob(f"{_STANDBY}*")]
        return sorted((one for one in said if one), key=lambda one: float(one.get("since") or 0.0))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._handle is not None:
            handle, self._handle = self._handle, None
            os.ftruncate(handle, 0)
            os.close(handle)

    def announce(self, url: str) -> None:
        """Write where the owner answers, so that others are sent there."""
        self._tell({"pid": os.getpid(), "since": self._since, "url": url})

    @classmethod
    def owner(cls, path: Path) -> dict[str, Any] | None:
        """Of the living process that owns the home ``{"pid": …, "since": …, "url": …}``; ``None`` when nobody does.

        ``since`` is in seconds since 1970; the URL is there once it was announced.
        """
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

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"{self.path} cannot be opened: {error.strerror}", hint="govern init --home DIR") from error

    def _take(self) -> int:
        handle = self._open()
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

    def _said(self) -> dict[str, Any]:
        try:
            said = json.loads(self.path.read_text())
        except (OSError, ValueError):  # the owner is writing this very moment: it is known that there is one, not who
            return {}
        return said if isinstance(said, dict) else {}

    def _tell(self, what: dict[str, Any]) -> None:
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
