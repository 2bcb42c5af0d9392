"""The API inside this process: the same table and door, without a server, a socket or FastAPI.

A command that finds no server opens the home itself. FastAPI takes longer to import than such a command may take in all,
so its transport calls the door directly; a contract test holds its answers equal to the application's. The caller is the
owner of the home's files, who could read every key in it: they act by a Python object of the system's own, which never was and
never becomes a header.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from governance.api.call import Route
from governance.api.door import SECURITY_HEADERS, Door, plain_body, routable, too_large
from governance.api.problems import problem_of

__all__ = ["LocalTransport", "local_client"]


class LocalTransport(httpx2.BaseTransport):
    """Answers requests from a system that is opened at the first one and closed with the client.

    Args:
        opener: opens the system; its argument says whether a worker is needed, because starting one costs more than
            any read. The first request that starts work opens the system again with one.
    """

    def __init__(self, opener: Callable[[bool], Any]) -> None:
        self._opener = opener
        self._door: Door | None = None
        self._worker = False

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """The door's reply as a response; errors are problems, as over HTTP. Opening may raise ``StoreUnavailable``."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        found: Route | None = None
        try:
            path = routable(request.url.raw_path.partition(b"?")[0])
            door = self._open(worker=False)
            route, names = door.match(request.method, path)
            found = route
            door = self._open(worker=route.works)
            who = door.allow(route, door.system.local_owner())
            body = plain_body(route, headers, _read(request, route))
            query = request.url.query.decode("ascii")
            reply = door.answer(route, who, path=names, query=query, headers=headers, body=body)
        except _Unopened as error:
            raise error.cause from None
        except Exception as error:  # noqa: BLE001 - the boundary: problem_of maps what is known and logs the place of what is not
            reply = problem_of(error, oip=found is not None and found.oip, marquez=found is not None and found.marquez)
        shown = {**SECURITY_HEADERS, **reply.headers}
        if reply.media:
            shown["Content-Type"] = reply.media
        return httpx2.Response(reply.status, headers=shown, content=reply.body)

    def close(self) -> None:
        """Close the system, if it was opened."""
        door, self._door = self._door, None
        if door is not None:
            door.system.close()

    def _open(self, *, worker: bool) -> Door:
        if self._door is not None and (self._worker or not worker):
            return self._door
        self.close()
        try:
            self._door = Door(self._opener(worker))
        except Exception as error:
            raise _Unopened(error) from error
        self._worker = worker
        return self._door


class _Unopened(Exception):
    """The home could not be opened: told to the command as it is, since no server answered."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _read(request: httpx2.Request, route: Route) -> bytes:
    body = request.read() if route.takes != "none" else b""
    if len(body) > route.limit:
        raise too_large(route)
    return body


def local_client(home: Path) -> httpx2.Client:
    """A client whose requests are answered in this process from ``home``, with the owner's rights.

    The home is opened (and locked) at the first request and closed with the client.

    Raises:
        StoreUnavailable: at the first request, when another process owns the home; names its process id.
    """

    def opener(worker: bool) -> Any:
        from governance.wiring import open_system

        return open_system(home, worker=worker)

    return httpx2.Client(transport=LocalTransport(opener), base_url="http://govern.local", timeout=None)
