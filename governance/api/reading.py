"""Reading a request's body: never more than its route takes, never longer than a living sender needs, never beyond the memory's bound."""

from __future__ import annotations

import asyncio
import functools
import time
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from types import TracebackType
from typing import Any, Final, Self

from governance.api.budget import Budget
from governance.api.call import Route
from governance.api.door import too_large
from governance.api.problems import TooSlow

__all__ = ["IDLE_SECONDS", "Gone", "Reading"]

Message = MutableMapping[str, Any]

IDLE_SECONDS: Final = 30.0
"""How long a body may pause; a large one on a slow line may take as long as it keeps coming."""
PATIENCE_SECONDS: Final = 120.0
"""How long a body may take in all, beside what :data:`LEAST_RATE` allows it: who sends a byte now and then is not waited for."""
LEAST_RATE: Final = 16 * 1024


class Gone(Exception):
    """The caller hung up."""


class Reading:
    """One body and the memory it holds: a context manager that gives the memory back.

    Args:
        route: what is asked; it says how long the body may be.
        budget: the bytes that may wait; ``None`` does not count them.
        idle: seconds that the body may pause.
    """

    def __init__(self, route: Route, budget: Budget | None, *, idle: float) -> None:
        self._route = route
        self._budget = budget
        self._idle = idle
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._budget is not None:
            self._budget.give(self._held)

    def hold(self, size: int) -> None:
        """Count so many more bytes until the end of this.

        Raises:
            StoreUnavailable: they do not fit.
        """
        if self._budget is not None:
            if not self._budget.take(size):
                raise self._budget.full()
            self._held += size

    async def body(self, receive: Callable[[], Awaitable[Message]], declared: str) -> bytes:
        """The whole body.

        Raises:
            TooLarge, TooSlow, StoreUnavailable: it is more than the route takes, it stalls, or there is no memory for it now.
            Gone: the caller hung up.
        """
        if declared.isdigit() and int(declared) > self._route.limit:
            raise too_large(self._route)
        parts: list[bytes] = []
        size, started = 0, time.monotonic()
        try:
            while True:
                message = await _soon(receive, self._idle)
                if message["type"] != "http.request":
                    raise Gone
                part = message.get("body", b"")
                size += len(part)
                if size > self._route.limit:
                    raise too_large(self._route)
                self.hold(len(part))
                parts.append(part)
                if not message.get("more_body", False):
                    return part if len(parts) == 1 else b"".join(parts)
                if time.monotonic() - started > PATIENCE_SECONDS + size / LEAST_RATE:
                    break
        except TimeoutError:
            raise TooSlow(f"the body paused for {self._idle:g} seconds", hint="send it again") from None
        raise TooSlow(f"the body came slower than {LEAST_RATE // 1024} KiB a second", hint="send it again")


async def _soon(receive: Callable[[], Awaitable[Message]], idle: float) -> Message:
    """The next message; a timer is set only when it is not there yet, because most bodies come with their headers."""
    coming = receive()
    if not isinstance(coming, Coroutine):
        async with asyncio.timeout(idle):
            return await coming
    try:
        waits_for = coming.send(None)
    except StopIteration as there:
        message: Message = there.value
        return message
    async with asyncio.timeout(idle):
        return await _rest(coming, waits_for)


@types.coroutine
def _rest(coming: Coroutine[Any, Any, Message], waits_for: Any) -> Generator[Any, Any, Message]:
    """A coroutine that was begun by hand, to its end."""
    while True:
        try:
            yield waits_for
        except BaseException as error:  # noqa: BLE001 - a cancellation is the coroutine's to handle
            resume: Callable[[], Any] = functools.partial(coming.throw, error)
        else:
            resume = functools.partial(coming.send, None)
        try:
            waits_for = resume()
        except StopIteration as done:
            message: Message = done.value
            return message
