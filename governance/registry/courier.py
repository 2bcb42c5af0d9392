"""Carries the outbox out: a few threads, one endpoint in one of them at a time, so that a slow receiver delays no other.

A message is sent before the ledger says so, never after: a process that dies between both sends it again, with the same id.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from governance.model import Sent
from governance.ports import Sender
from governance.registry.messages import body_of
from governance.registry.outbox import TOGETHER, Outbox
from lineage.errors import GovernError
from lineage.ports import Clock

__all__ = ["Courier"]

_log = logging.getLogger(__name__)

_THREADS: Final = 4
_LOOK: Final = 0.25
_LEAVE: Final = 1.0
"""Seconds that the end waits for messages under way: a receiver may take fifteen, and what it took then comes to it again."""
_SECOND: Final = 1_000_000_000

Headers = Callable[[Mapping[str, Any], Mapping[str, Any], bytes], dict[str, str]]
"""(endpoint, row, body) → the headers with the signature."""


class Courier:
    """Sends what waits until :meth:`close`.

    Args:
        outbox: what waits.
        sender: brings a body to a URL.
        headers: signs.
        clock: what is due.
    """

    def __init__(self, outbox: Outbox, sender: Sender, headers: Headers, clock: Clock) -> None:
        self._outbox = outbox
        self._sender = sender
        self._headers = headers
        self._clock = clock
        self._closing = threading.Event()
        self._empty: dict[str, int] = {}
        """Endpoint → the size of the ledger at which nothing waited for it."""
        self._busy: dict[str, threading.Thread] = {}
        self._thread = threading.Thread(target=self._run, name="govern-courier", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End soon after the messages that are under way; what waits is sent when the home is opened again."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        end = time.monotonic() + _LEAVE
        for thread in self._busy.values():
            thread.join(max(0.0, end - time.monotonic()))

    def look(self) -> None:
        """Begin with every endpoint that something is due for and that is not being served."""
        size = self._outbox.size()
        self._busy = {ident: thread for ident, thread in self._busy.items() if thread.is_alive()}
        for endpoint in self._outbox.endpoints():
            ident = endpoint["id"]
            if len(self._busy) >= _THREADS:
                return
            if ident not in self._busy and self._empty.get(ident) != size and endpoint["next_at"] <= self._clock.now():
                thread = threading.Thread(target=self._serve, args=(ident, size), name="govern-courier", daemon=True)
                self._busy[ident] = thread
                thread.start()

    def deliver(self, ident: str) -> int:
        """Send what waits for an endpoint, in order, until one fails; returns how many were taken."""
        count, more = 0, True
        while more:
            taken, more = self._deliver(ident, self._outbox.waiting(ident))
            count += taken
        return count

    def _deliver(self, ident: str, page: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[int, bool]:
        """(how many of these messages were taken, whether to read on)."""
        taken: list[str] = []
        refused = None
        for place, row in page:
            endpoint = None if self._closing.is_set() else self._outbox.endpoint(ident)
            if endpoint is None:
                break
            sent = self._attempt(endpoint, row)
            if not sent.delivered:
                refused = (place, sent)
                break
            taken.append(place)
        if taken:
            self._outbox.delivered(ident, taken)
        if refused is not None:
            return len(taken), self._outbox.failed(ident, *refused) == "dead"
        return len(taken), len(taken) == TOGETHER

    def _attempt(self, endpoint: Mapping[str, Any], row: Mapping[str, Any]) -> Sent:
        """One attempt; a message that cannot be signed has failed like one that cannot be brought."""
        body = body_of(row)
        try:
            headers = self._headers(endpoint, row, body)
        except GovernError as error:
            return Sent(status=None, fault=f"it cannot be signed: {error.message}")
        return self._sender.post(endpoint["url"], body, headers)

    def _serve(self, ident: str, size: int) -> None:
        try:
            self.deliver(ident)
            if not self._outbox.waiting(ident, most=1):
                self._empty[ident] = size
        except GovernError as error:  # a full disk: said, and tried again
            if self._closing.is_set():
                return  # the ledger is closed: what was just taken comes again
            _log.error("webhook %s: %s", ident, error.message)
            self._closing.wait(_LOOK)
        except Exception as error:  # noqa: BLE001 - one endpoint's trouble ends no other's deliveries; the message may be data
            _log.error("webhook %s: unexpected %s", ident, type(error).__name__)
            self._closing.wait(_LOOK)

    def _run(self) -> None:
        while not self._closing.wait(_LOOK):
            try:
                self.look()
            except GovernError as error:
                _log.error("webhooks wait: %s", error.message)
            except Exception as error:  # noqa: BLE001 - the thread lives on: what waits must be told some time
                _log.error("webhooks wait: unexpected %s", type(error).__name__)
