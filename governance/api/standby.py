"""``govern worker``: stand by for a home, and serve it with its worker once nobody else owns it.

While it waits it answers on its address, so that what watches over it knows that it lives: ``/healthz`` is 200, everything else 503. A
load balancer that asks ``/readyz`` sends nobody here before the home is this process's. The port is the process's own from the start, and
what takes seconds to load is loaded meanwhile.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import orjson

from governance.api.logs import log_to
from governance.api.problems import problem_of
from governance.api.server import bind, serve_owned
from lineage.errors import StoreUnavailable

__all__ = ["work"]

_AHEAD: Final = ("governance.api.app", "governance.wiring.system", "governance.adapters.dbos_engine", "lineage.adapters.sql_ledger_writer")


def work(home: Path, *, host: str = "127.0.0.1", port: int = 0, json_output: bool = False) -> None:
    """Stand by for ``home``, own it when nobody else does, and answer for it until SIGTERM or SIGINT.

    Args:
        home: the home to wait for.
        host: address to listen on.
        port: TCP port; 0 picks a free one.
        json_output: say what happens as lines of JSON, ``{"standby": …}`` and then ``{"url": …}``.

    Raises:
        Conflict: the port is taken.
        BadInput: the address cannot be listened on.
        NotFound: there is no home.
        StoreUnavailable: the home or its database cannot be used, or was taken over by another process.
    """
    sock = bind(host, port)
    try:
        from governance.wiring import stand_by

        log_to(sys.stderr)

        def seen(owner: dict[str, Any] | None) -> None:
            _say(owner, home, json_output=json_output)

        with _answering(sock), _told_to_stop() as stop:
            for module in _AHEAD:
                import_module(module)
            owned = stand_by(home, seen=seen, stopped=stop.is_set)
        if owned is not None:
            serve_owned(home, sock, worker=True, owned=owned, json_output=json_output)
    finally:
        sock.close()


class _Handler(BaseHTTPRequestHandler):
    """One answer to everything but ``/healthz``; a connection is closed after it, and asked anew of the server that follows."""

    def _answer(self) -> None:
        if self.path == "/healthz":
            status, headers, body = 200, {"Content-Type": "application/json"}, orjson.dumps({"status": "standby"})
        else:
            reply = problem_of(
                StoreUnavailable("this process stands by: another one owns the home", hint="ask that one; govern doctor names it")
            )
            status, headers, body = reply.status, {**reply.headers, "Content-Type": reply.media}, reply.body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        """Nothing: a health check every few seconds is no news."""


for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
    setattr(_Handler, f"do_{_method}", _Handler._answer)  # noqa: SLF001 - the base class looks the method up by this name


class _Server(ThreadingHTTPServer):
    """Answers on a socket that it neither makes nor closes."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = sock

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: who asked has gone away."""


@contextmanager
def _answering(sock: socket.socket) -> Iterator[None]:
    server = _Server(sock)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="govern-standby-http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(owner: dict[str, Any] | None, home: Path, *, json_output: bool) -> None:
    if json_output:
        text = orjson.dumps({"standby": {"owner": owner}}).decode()
    elif owner is None:
        text = f"nobody owns {home}: it is taken now"
    else:
        text = f"stands by for {home}, owned by process {owner['pid']} on {owner['host']} since {owner['since']} (stop with Ctrl+C)"
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
