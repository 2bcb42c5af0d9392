"""The FastAPI application: it carries the route table over HTTP and does nothing else.

Reading is asynchronous; everything behind the door is synchronous and runs in threads, with threads of their own for
acknowledging events and for predictions, so that a long trace delays neither. Nobody without a key makes the server
buffer a body: the key is checked before the body is read.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, Final, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from governance.api.call import Reply, Route
from governance.api.door import SECURITY_HEADERS, Door, path_names, plain_body, routable, too_large
from governance.api.problems import TooSlow, problem_of

__all__ = ["create_app"]

log = logging.getLogger("governance.api")

T = TypeVar("T")

THREADS: Final = {"main": 24, "ingest": 64, "predict": 16}
IDLE_SECONDS: Final = 30.0
"""How long a body may pause; a large one on a slow line may take as long as it keeps coming."""


def create_app(system: Any) -> FastAPI:
    """The application over an open system.

    Args:
        system: the facade (``governance.wiring.System``, or anything that answers as it does); not closed here.
    """
    app = FastAPI(title="Govern", version=version("govern-ml"), openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    door = Door(system)
    carrier = _Carrier(door)
    for route in door.routes:
        app.add_api_route(route.path, carrier.endpoint(route), methods=[route.method], name=route.ident, response_model=None)
    app.add_middleware(_Paths)
    app.add_exception_handler(404, carrier.unmatched)
    app.add_exception_handler(405, carrier.unmatched)
    app.openapi = door.description  # type: ignore[method-assign] # the table knows more than the endpoints' signatures say
    app.state.door = door
    return app


class _Paths:
    """Finds routes by the path in which ``%2F`` is no slash."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw: bytes = scope.get("raw_path") or b""
        if b"%" in raw:
            scope = {**scope, "path": routable(raw)}
        await self._app(scope, receive, send)


class _Carrier:
    """Turns HTTP requests into calls of the door, and replies into HTTP responses."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._limiters: dict[str, CapacityLimiter] = {}

    def endpoint(self, route: Route) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of one route."""

        async def answer(request: Request) -> Response:
            started = time.perf_counter()
            try:
                reply = await self._reply(route, request)
            except ClientDisconnect:
                reply = Reply(status=400, media="")
            except Exception as error:  # noqa: BLE001 - the boundary: mapped or logged by place, never raised into the server
                reply = problem_of(error, oip=route.oip, marquez=route.marquez)
            return self._finish(route, request.method, reply, started)

        return answer

    async def unmatched(self, request: Request, _error: Exception) -> Response:
        """No route has this path, or not with this method."""
        started = time.perf_counter()
        try:
            self._door.match(request.method, request.scope["path"])
            reply = Reply(status=404)
        except Exception as error:  # noqa: BLE001 - the same boundary
            reply = problem_of(error)
        return self._finish(None, request.method, reply, started)

    async def _reply(self, route: Route, request: Request) -> Reply:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.scope["headers"]}
        who = await self._thread(route, lambda: self._door.admit(route, headers))
        body = await _body(route, request, headers)
        query = request.scope["query_string"].decode("latin-1")
        names = path_names({name: str(value) for name, value in request.path_params.items()})
        return await self._thread(
            route,
            lambda: self._door.answer(route, who, path=names, query=query, headers=headers, body=plain_body(route, headers, body)),
        )

    async def _thread(self, route: Route, work: Callable[[], T]) -> T:
        if route.pool == "inline":
            return work()
        limiter = self._limiters.get(route.pool)
        if limiter is None:
            limiter = self._limiters[route.pool] = CapacityLimiter(THREADS[route.pool])
        return await anyio.to_thread.run_sync(work, limiter=limiter)

    def _finish(self, route: Route | None, method: str, reply: Reply, started: float) -> Response:
        seconds = time.perf_counter() - started
        self._door.metrics().observe(route, method, reply, seconds)
        request_id = uuid.uuid4().hex
        # The template, not the path: and no body, query, subject or key. This line may be kept for long.
        log.info("%s %s %d %.1f ms %s", method, route.path if route else "(none)", reply.status, seconds * 1000, request_id)
        headers = {**SECURITY_HEADERS, "X-Request-Id": request_id, **reply.headers}
        return Response(content=reply.body, status_code=reply.status, media_type=reply.media or None, headers=headers)


async def _body(route: Route, request: Request, headers: dict[str, str]) -> bytes:
    if route.takes == "none":
        return b""
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > route.limit:
        raise too_large(route)
    parts = bytearray()
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                part = await anext(stream, None)
            if part is None:
                return bytes(parts)
            parts += part
            if len(parts) > route.limit:
                raise too_large(route)
    except TimeoutError:
        raise TooSlow(f"the body paused for {IDLE_SECONDS:g} seconds", hint="send it again") from None
