"""The fast lane of the OpenLineage door: plain ASGI in front of the application, for the requests that come by the thousand.

It takes a post to one of the event paths whose key is known to live, whose body is of ordinary size and which asks for nothing unusual.
Everything else goes on to the application untouched, body and all, so that there is one place that says no to a key, a header or a
query. Both ways end in the same functions for bodies, answers and problems; the tests of the API run through both.

An acknowledged event writes no line of log; the lane says once in ten seconds how many there were.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from governance.api.budget import Budget
from governance.api.call import Reply, Route
from governance.api.door import SECURITY_HEADERS, Door
from governance.api.fast_queue import Intake, Item
from governance.api.problems import problem_of
from governance.api.reading import Gone, Reading
from lineage.errors import GovernError

__all__ = ["FastLane"]

log = logging.getLogger("governance.api")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LANE_BYTES: Final = 1024 * 1024
"""Largest body in the lane; a larger one has a thread of its own, so that nobody waits behind it."""
SUMMARY_SECONDS: Final = 10.0
_READ: Final = frozenset({b"authorization", b"x-api-key", b"content-length", b"content-encoding", b"content-type", b"prefer"})
_FIXED: Final = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
_CREATED: Final = [*_FIXED, (b"content-length", b"0")]


class FastLane:
    """ASGI: the lane, and ``app`` behind it.

    Args:
        app: the whole application.
        door: its door: the route table, the metrics and the system.
        budget: the bytes of events that may wait in memory, shared with the application.
        idle: gives the seconds that a body may pause.
    """

    def __init__(self, app: App, door: Door, budget: Budget, idle: Callable[[], float]) -> None:
        self.app = app
        self._door = door
        self._budget = budget
        self._idle = idle
        self._intake = Intake(door.system)
        door.system.lineage.give_way(self._intake.busy)
        self._routes = {route.path: route for route in door.routes if route.method == "POST" and route.takes == "event"}
        self._taken = 0
        self._since = 0.0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] != "POST" or (route := self._routes.get(scope["path"])) is None:
            return await self.app(scope, receive, send)
        started = time.perf_counter()
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            if name in _READ:
                headers[name.decode("latin-1")] = value.decode("latin-1")
            elif name == b"idempotency-key":
                return await self.app(scope, receive, send)
        actor = self._actor(route, headers)
        if actor is None or scope["query_string"] or not _ordinary(headers):
            return await self.app(scope, receive, send)
        try:
            with Reading(route, self._budget, idle=self._idle()) as reading:
                body = await reading.body(receive, headers["content-length"])
                if "content-encoding" in headers:
                    sent, body = body, _inflated(headers["content-encoding"], body)
                    if not body:
                        return await self.app(scope, _again(sent), send)
                    reading.hold(len(body))
                loop = asyncio.get_running_loop()
                future: asyncio.Future[Reply] = loop.create_future()
                self._intake.put(Item(headers, body, actor, route.path.endswith("/batch"), loop, future))
                reply = await future
        except Gone:
            reply = Reply(status=400, media="")
        except GovernError as error:
            reply = problem_of(error)
        return await self._send(route, send, reply, started)

    def _actor(self, route: Route, headers: dict[str, str]) -> str | None:
        """Who calls, when their key was checked before and still lives; ``None`` leaves it to the application to find out."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        plain = headers.get("x-api-key", "")
        key = bearer.strip() if scheme.lower() == "bearer" else ""
        if key and plain:
            return None
        who = self._door.system.keys.known(key or plain.strip())
        return who.id if who is not None and route.roles & who.roles else None

    async def _send(self, route: Route, send: Send, reply: Reply, started: float) -> None:
        seconds = time.perf_counter() - started
        self._door.metrics().observe(route, "POST", reply, seconds)
        request_id = f"{random.getrandbits(128):032x}".encode()
        if reply.status == 201:
            self._count()
            headers = [*_CREATED, (b"x-request-id", request_id)]
        else:
            ident = request_id.decode()
            said = {"method": "POST", "route": route.path, "status": reply.status, "ms": round(seconds * 1000, 1), "request_id": ident}
            log.info("%s %s %d %.1f ms %s", *said.values(), extra={"fields": said})
            headers = [*_FIXED, (b"x-request-id", request_id)]
            headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in reply.headers.items()]
            if reply.media:
                headers.append((b"content-type", reply.media.encode()))
            if reply.status != 204:
                headers.append((b"content-length", b"%d" % len(reply.body)))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    def _count(self) -> None:
        self._taken += 1
        now = time.monotonic()
        if now - self._since >= SUMMARY_SECONDS:
            log.info("posts of events acknowledged: %d", self._taken, extra={"fields": {"acknowledged": self._taken}})
            self._taken, self._since = 0, now


def _ordinary(headers: dict[str, str]) -> bool:
    length = headers.get("content-length")
    return length is not None and length.isdigit() and int(length) <= LANE_BYTES


def _inflated(encoding: str, body: bytes) -> bytes:
    """A gzip body as it was, when that is of ordinary size; else nothing, and the application sees to it."""
    if encoding.strip().lower() != "gzip":
        return b""
    engine = zlib.decompressobj(wbits=31)
    try:
        plain = engine.decompress(body, LANE_BYTES)
    except zlib.error:
        return b""
    return plain if engine.eof and not engine.unused_data else b""


def _again(body: bytes) -> Receive:
    """A ``receive`` that gives a body which was read already."""

    async def message() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return message
