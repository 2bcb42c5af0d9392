"""Calls the sweep of the requests while a server runs: once a minute, and never more than a twentieth of the time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["Watch"]

_EVERY: Final = 60.0
_SHARE: Final = 20
_LAST: Final = 3.0
"""Seconds that closing waits for a sweep; a server has five from its first signal to its end."""
_log = logging.getLogger(__name__)


class Watch:
    """A thread that sweeps. ``sweep`` answers what it did (:meth:`governance.erasure.deadlines.Deadlines.sweep`)."""

    def __init__(self, sweep: Callable[[], Mapping[str, Any]], *, every: float = _EVERY) -> None:
        self._sweep = sweep
        self._every = every
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="govern-deadlines", daemon=True)

    def start(self) -> None:
        """Sweep now, and then again and again."""
        self._thread.start()

    def close(self) -> None:
        """End after the sweep under way, or without it when it waits for a mail server: what it had not entered is done again."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=_LAST)

    def _run(self) -> None:
        pause = 0.0
        while not self._closing.wait(pause):
            began = time.monotonic()
            try:
                troubles = self._sweep()["troubles"]
            except Exception as error:  # noqa: BLE001 - the thread lives on; what failed is tried at the next sweep, and told here by kind
                _log.error("the deadlines were not swept: %s", type(error).__name__)
            else:
                for trouble in troubles:
                    _log.error("the deadlines of request %s could not be looked at: %s", trouble["request"], trouble["detail"])
            pause = max(self._every, _SHARE * (time.monotonic() - began))
