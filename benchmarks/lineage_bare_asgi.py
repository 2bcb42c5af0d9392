"""The least an HTTP server can do with an event: read the body, answer 201. On the server class and settings that Govern serves with."""

from __future__ import annotations

import json
import sys
from typing import Any

import uvicorn

from governance.api.server import bind

__all__: list[str] = []

EMPTY = [(b"content-length", b"0")]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Any request."""
    if scope["type"] != "http":
        return
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 201, "headers": EMPTY})
    await send({"type": "http.response.body", "body": b""})


def main() -> int:
    """Serve until a signal."""
    sock = bind("127.0.0.1", 0)
    print(json.dumps({"url": "http://{}:{}".format(*sock.getsockname()[:2])}), flush=True)
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, lifespan="off", ws="none")
    uvicorn.Server(config).run(sockets=[sock])
    return 0


if __name__ == "__main__":
    sys.exit(main())
