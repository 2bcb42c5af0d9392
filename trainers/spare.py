"""A training process started ahead of its training, its libraries imported: fresh all the same, for it serves one and ends."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path

from trainers.child import Child
from trainers.errors import ChildFailed

__all__ = ["Spare"]


class Spare:
    """Keeps at most one idle training process. Importing torch and its compiler stack takes seconds; they pass before they are needed.

    Args:
        scratch: where the children's private folders are made.
        threads: threads of the process that is kept ready; a training with another number gets a new one.
        keep: 1, or 0 to start each process only when it is asked for.
    """

    def __init__(self, scratch: Path | None = None, *, threads: int = 1, keep: int = 1) -> None:
        self._scratch = scratch
        self._threads = threads
        self._keep = keep
        self._lock = threading.Lock()
        self._ready: Child | None = None
        self._closed = False
        self._taken: weakref.WeakSet[Child] = weakref.WeakSet()

    def prepare(self) -> None:
        """Start one when there is none; returns at once, the process imports by itself."""
        with self._lock:
            if self._closed or not self._keep or (self._ready is not None and self._ready.alive()):
                return
            if self._ready is not None:
                self._ready.kill()
            self._ready = self._start(self._threads)

    def take(self, threads: int) -> Child:
        """A process for one training: the one that is ready, or a new one; the next is started. Whoever takes it ends it."""
        with self._lock:
            child, self._ready = (self._ready, None) if threads == self._threads else (None, self._ready)
        if child is not None and not child.alive():
            child.kill()
            child = None
        taken = child or self._start(threads)
        with self._lock:
            self._taken.add(taken)
            closed = self._closed
        if closed:
            taken.kill()
        self.prepare()
        return taken

    def close(self) -> None:
        """End the idle process and those that train; no further one lives. Again: nothing happens."""
        with self._lock:
            self._closed = True
            children = [*self._taken, *([self._ready] if self._ready is not None else [])]
            self._ready = None
        for child in children:
            child.kill()

    def _start(self, threads: int) -> Child:
        child = Child("trainers.main", threads=threads, scratch=self._scratch)
        try:
            child.send("warm")
        except ChildFailed:
            child.kill()
            raise
        return child
