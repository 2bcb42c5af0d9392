"""Processes for trainings and runners, ready at once: forks of one that has its libraries imported, and fresh all the same."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path

from trainers.child import Child
from trainers.errors import ChildDied
from trainers.forks import ForkServer

__all__ = ["Spare"]


class Spare:
    """Keeps a process warm from which the others are forked. Importing torch and its compiler stack takes seconds; they pass once.

    Args:
        scratch: where the children's private folders are made.
        threads: threads of the numeric libraries in forks; who asks for another number gets a process of its own.
        keep: 1, or 0 to start each process by itself when it is asked for, and keep nothing in memory.
    """

    def __init__(self, scratch: Path | None = None, *, threads: int = 1, keep: int = 1) -> None:
        self._scratch = scratch
        self._threads = threads
        self._keep = bool(keep) and ForkServer.available
        self._lock = threading.Lock()
        self._server: ForkServer | None = None
        self._closed = False
        self._taken: weakref.WeakSet[Child] = weakref.WeakSet()

    def prepare(self) -> None:
        """Start the warm process where there is none; returns at once, it imports by itself."""
        self._warm()

    def take(self, threads: int, module: str = "trainers.main") -> Child:
        """A process of its own that runs ``main()`` of a module. Whoever takes it ends it; :meth:`close` does too."""
        server = self._warm() if threads == self._threads else None
        if server is None:
            return self.started(threads, module)
        try:
            return self._noted(Child(module, threads=threads, scratch=self._scratch, forks=server))
        except ChildDied:  # the warm one was killed: by the kernel for its memory, or by hand
            return self.started(threads, module)

    def started(self, threads: int, module: str = "trainers.main") -> Child:
        """A process that shares nothing with any other, its libraries least of all: for who wants to see a result made a second time."""
        return self._noted(Child(module, threads=threads, scratch=self._scratch))

    def _noted(self, taken: Child) -> Child:
        with self._lock:
            self._taken.add(taken)
            closed = self._closed
        if closed:
            taken.kill()
        return taken

    def close(self) -> None:
        """End the warm process and those that were taken; no further one lives. Again: nothing happens."""
        with self._lock:
            self._closed = True
            children, server, self._server = list(self._taken), self._server, None
        for child in children:
            child.kill()
        if server is not None:
            server.kill()

    def _warm(self) -> ForkServer | None:
        with self._lock:
            if self._closed or not self._keep:
                return None
            if self._server is None or not self._server.alive():
                if self._server is not None:
                    self._server.kill()
                self._server = ForkServer(threads=self._threads, scratch=self._scratch)
            return self._server
