"""The real clock; tests bring their own."""

from __future__ import annotations

import time

__all__ = ["SystemClock"]


class SystemClock:
    """The machine's wall clock in UTC nanoseconds (:class:`lineage.ports.Clock`)."""

    def now(self) -> int:
        """UTC nanoseconds since 1970."""
        return time.time_ns()
