"""How many bytes of events may wait in memory at once; beyond it the door says 503, which clients send again, and never 429."""

from __future__ import annotations

import threading
from typing import Final

from lineage.errors import StoreUnavailable

__all__ = ["WAITING_BYTES", "Budget"]

WAITING_BYTES: Final = 256 * 1024 * 1024
"""Four of the largest events. A body counts as it arrives, so that a slow sender holds what it sent and no more."""


class Budget:
    """A counter with a limit; safe to use from many threads."""

    def __init__(self, limit: int = WAITING_BYTES) -> None:
        self.limit = limit
        self.used = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Whether so many more bytes fit; when they do, they count until :meth:`give`."""
        with self._lock:
            if self.used + size > self.limit:
                return False
            self.used += size
            return True

    def give(self, size: int) -> None:
        """So many bytes are gone."""
        with self._lock:
            self.used -= size

    def full(self) -> StoreUnavailable:
        """The error for what does not fit."""
        return StoreUnavailable(
            f"more than {self.limit // 1024 // 1024} MiB of events wait to be made durable",
            hint="send it again in a second; nothing of it was kept",
        )
