"""The planner's alarm clock: plans when told to, and at the moment that the last plan named. It keeps nothing: all is in the ledger."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from lineage.ports import Clock

__all__ = ["Waker"]

_log = logging.getLogger(__name__)

_LONGEST: Final = 60.0
"""Seconds between two looks at most: a clock that is set meanwhile is noticed."""


class Waker:
    """A thread that calls ``plan`` whenever it is poked or the moment has come that ``plan`` answered (UTC nanoseconds)."""

    def __init__(self, plan: Callable[[], int | None], clock: Clock) -> None:
        self._plan = plan
        self._clock = clock
        self._poked = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, and plan at once: what a kill interrupted is taken up."""
        self._poked.set()
        self._thread = threading.Thread(target=self._run, name="govern-erasure-planner", daemon=True)
        self._thread.start()

    def poke(self) -> None:
        """Something changed: plan soon. It does not wait for it."""
        self._poked.set()

    def close(self) -> None:
        """End the thread; a plan that is being made is made first."""
        self._closing = True
        self._poked.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        pause: float = 0.0
        while True:
            self._poked.wait(pause)
            self._poked.clear()
            if self._closing:
                return
            try:
                moment = self._plan()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look tries again; the log names it, without words that may be data
                _log.error("erasure batches could not be planned (%s); tried again in a minute", type(error).__name__)
                moment = None
            pause = _LONGEST if moment is None else min(_LONGEST, max(0.0, (moment - self._clock.now()) / 1e9))
