"""The FastAPI application: it carries the route table over HTTP and does nothing else.

Reading is asynchronous; everything behind the door is synchronous and runs in threads, with threads of their own for
acknowledging events and for predictions, so that a long trace delays neither. Nobody without a key makes the server
buffer a body: the key is checked before the body is read. Requests that nobody verified yet have one thread, and limits
(:mod:`governance.api.admission`), so that a flood of them delays nobody else.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, Final, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from governance.api.admission import Admission
from governance.api.budget import Budget
from governance.api.call import Reply, Route, Who
from governance.api.door import SECURITY_HEADERS, Door, path_names, plain_body, routable
from governance.api.fast import FastLane
from governance.api.problems import problem_of
from governance.api.reading import IDLE_SECONDS, Gone, Reading
from governance.errors import TooMany

__all__ = ["create_app"]

log = logging.getLogger("governance.api")

T = TypeVar("T")

THREADS: Final = {"main": 24, "ingest": 64, "predict": 16, "intake": 1}


def create_app(system: Any, admission: Admission | None = None) -> FastLane:
    """The application over an open system, as ASGI.

    Args:
        system: the facade (``governance.wiring.System``, or anything that answers as it does); not closed here.
        admission: how many unverified requests are taken; with the default limits without it.
    """
    app = FastAPI(title="Govern", version=version("govern-ml"), openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    door = Door(system)
    budget = Budget()
    carrier = _Carrier(door, budget, admission or Admission())
    for route in door.routes:
        app.add_api_route(route.path, carrier.endpoint(route), methods=[route.method], name=route.ident, response_model=None)
    app.add_middleware(_Paths)
    app.add_exception_handler(404, carrier.unmatched)
    app.add_exception_handler(405, carrier.unmatched)
    app.openapi = door.description  # type: ignore[method-assign] # the table knows more than the endpoints' signatures say
    return FastLane(app, door, budget, idle=lambda: IDLE_SECONDS)


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

    def __init__(self, door: Door, budget: Budget, admission: Admission) -> None:
        self._door = door
        self._budget = budget
        self._admission = admission
        self._limiters: dict[str, CapacityLimiter] = {}

    def endpoint(self, route: Route) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of one route."""

        async def answer(request: Request) -> Response:
            started = time.perf_counter()
            try:
                reply = await self._reply(route, request)
            except Gone:
                reply = Reply(status=400, media="")
            except TooMany as error:  # of the admission: what a service says comes as a reply
                await self._admission.hold_back()
                reply = problem_of(error)
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
        known = self._door.known(route, headers)
        who: Who = known if known is not None else await self._thread(route, lambda: self._door.admit(route, headers))
        refused = self._door.metrics().refused
        self._admission.admit(route, who.id, refused)
        query = request.scope["query_string"].decode("latin-1")
        names = path_names({name: str(value) for name, value in request.path_params.items()})
        with Reading(route, self._budget if route.takes == "event" else None, idle=IDLE_SECONDS) as reading:
            body = await reading.body(request.receive, headers.get("content-length", "")) if route.takes != "none" else b""

            def work() -> Reply:
                plain = plain_body(route, headers, body)
                if plain is not body:
                    reading.hold(len(plain))
                return self._door.answer(route, who, path=names, query=query, headers=headers, body=plain)

            with self._admission.queued(route, refused):
                return await self._thread(route, work)

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
        path = route.path if route else "(none)"
        said = {"method": method, "route": path, "status": reply.status, "ms": round(seconds * 1000, 1), "request_id": request_id}
        log.info("%s %s %d %.1f ms %s", *said.values(), extra={"fields": said})
        headers = {**SECURITY_HEADERS, "X-Request-Id": request_id, **reply.headers}
        return Response(content=reply.body, status_code=reply.status, media_type=reply.media or None, headers=headers)
