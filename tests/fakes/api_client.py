"""A synchronous client of an ASGI application, in this thread, with one event loop a request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx2


class AppClient:
    """``client.get(url, role="auditor")`` sends the key of that role."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def request(
        self, method: str, url: str, *, role: str | None = None, content: Any = None, headers: Any = None, **more: Any
    ) -> httpx2.Response:
        sent = dict(headers or {})
        if role is not None:
            sent["Authorization"] = f"Bearer key-of-{role}"
        if isinstance(content, Iterator):
            content = _stream(content)

        async def ask() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=self._app, raise_app_exceptions=True)
            async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, url, content=content, headers=sent, **more)

        return anyio.run(ask)

    def get(self, url: str, **more: Any) -> httpx2.Response:
        return self.request("GET", url, **more)

    def post(self, url: str, **more: Any) -> httpx2.Response:
        return self.request("POST", url, **more)


async def _stream(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
