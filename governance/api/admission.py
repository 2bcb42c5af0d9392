"""How many requests for erasure are taken at once: what is not verified yet waits behind everything else, and is never lost silently.

Three limits, each of which answers 429 with ``Retry-After`` before anything is kept:

1. of one key, a token bucket: whoever runs wild leaves room for the other keys;
2. of all keys together, a token bucket;
3. of those that wait, for they are entered one after the other, so that one processor is never theirs alone.

A refusal is held back for a tenth of a second: a caller that does not wait when told to, as most programs that run wild, then costs the
server next to nothing, and an honest one was to wait longer anyway.

Many requests in one body (``…/batch``), verification, approval and every other route are not limited here. A refusal is for now: the
right to be heard stays (GDPR Art. 12(2)), so the operator is told by a metric and, at most once a minute, by a line of the log.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import anyio

from governance.api.call import Route
from governance.errors import TooMany

__all__ = ["BURST_SECONDS", "MOST_WAITING", "POOL", "Admission", "Bucket", "Refused"]

log = logging.getLogger("governance.api")

POOL: Final = "intake"
"""The routes of this pool are limited; it has one thread."""
BURST_SECONDS: Final = 10
"""A bucket holds what its rate gives in so long."""
MOST_WAITING: Final = 64
"""Requests whose bodies are here and which wait for the one thread: at some milliseconds each, less than a second."""
PAUSE_SECONDS: Final = 0.1
_MOST_HELD: Final = 256
"""Refusals held back at once; a connection each. Further ones are answered at once."""
_SAID_SECONDS: Final = 60.0
_MOST_BUCKETS: Final = 1024

Refused = Callable[[str], None]
"""Told the name of the limit (``key``, ``all`` or ``waiting``) at each refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A token bucket as it was at a moment: ``tokens`` at ``at``, in seconds of a clock that only goes forward. Pure."""

    rate: float
    """Tokens a second."""
    most: float
    """Tokens that it holds."""
    tokens: float
    at: float

    def later(self, now: float) -> Bucket:
        """The bucket at ``now``; a clock that did not go forward adds nothing.

        >>> Bucket(rate=2.0, most=20.0, tokens=0.0, at=0.0).later(3.0).tokens
        6.0
        """
        passed = max(0.0, now - self.at)
        return Bucket(rate=self.rate, most=self.most, tokens=min(self.most, self.tokens + passed * self.rate), at=max(now, self.at))

    def taken(self) -> Bucket:
        """The bucket with one token less."""
        return Bucket(rate=self.rate, most=self.most, tokens=self.tokens - 1.0, at=self.at)

    @property
    def wait(self) -> int:
        """Whole seconds until there is a token; 0 when there is one.

        >>> Bucket(rate=0.5, most=5.0, tokens=0.0, at=0.0).wait
        2
        """
        return 0 if self.tokens >= 1.0 else max(1, math.ceil((1.0 - self.tokens) / self.rate))


class Admission:
    """Lets unverified requests in, or says when to come again; safe to use from many threads.

    Args:
        rate: requests a second of one key, ``GOVERN_INTAKE_RATE``.
        rate_of_all: requests a second of all keys, ``GOVERN_INTAKE_RATE_OF_ALL``.
        now: seconds of a clock that only goes forward.
        pause: seconds for which a refusal is held back.
    """

    def __init__(
        self, *, rate: float = 20, rate_of_all: float = 40, now: Callable[[], float] = time.monotonic, pause: float = PAUSE_SECONDS
    ) -> None:
        self._pause = pause
        self._held = 0
        self._rate = rate
        self._now = now
        self._all = self._full(rate_of_all)
        self._keys: dict[str, Bucket] = {}
        self._waiting = 0
        self._lock = threading.Lock()
        self._refusals = 0
        self._said = -math.inf

    def admit(self, route: Route, actor: str, refused: Refused) -> None:
        """Count a request; nothing for a route that is not limited.

        Raises:
            TooMany: the limit of the key, or of all, is reached; nothing was counted.
        """
        if route.pool != POOL:
            return
        with self._lock:
            now = self._now()
            mine, everyone = (self._keys.get(actor) or self._full(self._rate)).later(now), self._all.later(now)
            if not (mine.wait or everyone.wait):
                self._forget(now)
                self._keys[actor], self._all = mine.taken(), everyone.taken()
                return
        name, setting, rate = ("key", "GOVERN_INTAKE_RATE", mine) if mine.wait else ("all", "GOVERN_INTAKE_RATE_OF_ALL", everyone)
        whose = "one key" if name == "key" else "all keys"
        self._refuse(name, refused)
        raise TooMany(
            f"more than {rate.rate:g} requests a second by {whose} ({setting}): this one was not entered",
            retry_after=rate.wait,
            hint="send it again after Retry-After; many at once go to POST /api/v1/erasure-requests/batch, which has no such limit",
        )

    async def hold_back(self) -> None:
        """Wait before a refusal is told, unless very many are held already; for the server's one loop."""
        if self._held < _MOST_HELD:
            self._held += 1
            try:
                await anyio.sleep(self._pause)
            finally:
                self._held -= 1

    @contextmanager
    def queued(self, route: Route, refused: Refused) -> Iterator[None]:
        """Around the wait and the work of a request that was admitted.

        Raises:
            TooMany: :data:`MOST_WAITING` wait already.
        """
        if route.pool != POOL:
            yield
            return
        with self._lock:
            full = self._waiting >= MOST_WAITING
            self._waiting += not full
        if full:
            self._refuse("waiting", refused)
            raise TooMany(
                f"{MOST_WAITING} requests wait to be entered: this one was not",
                retry_after=1,
                hint="send it again after Retry-After; many at once go to POST /api/v1/erasure-requests/batch",
            )
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def _full(self, rate: float) -> Bucket:
        return Bucket(rate=rate, most=max(1.0, rate * BURST_SECONDS), tokens=max(1.0, rate * BURST_SECONDS), at=self._now())

    def _forget(self, now: float) -> None:
        """Buckets that are full again say nothing: a key that was not seen is the same."""
        if len(self._keys) >= _MOST_BUCKETS:
            self._keys = {key: bucket for key, bucket in self._keys.items() if bucket.later(now).tokens < bucket.most}

    def _refuse(self, name: str, refused: Refused) -> None:
        refused(name)
        with self._lock:
            self._refusals += 1
            now = self._now()
            if now - self._said < _SAID_SECONDS:
                return
            count, self._refusals, self._said = self._refusals, 0, now
        log.warning(
            "requests for erasure were told to come again: %d since this was last said, the limit is %s; see govern_intake_refused_total",
            count,
            name,
            extra={"fields": {"refused": count, "limit": name}},
        )
