"""``govern serve``: bind, open the home, answer, and stop cleanly.

The socket is bound first, so that a taken port is told before a home is locked; the URL is told only once the server
answers on it. SIGTERM and SIGINT stop taking connections, finish what is being answered, and close the home; whatever
still hangs after the grace period is abandoned, which the stores and workflows survive as they survive a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Self

import orjson
import uvicorn

from governance.api.logs import log_to
from lineage.collector import keep_latency_low
from lineage.errors import BadInput, Conflict, GovernError, StoreUnavailable

if TYPE_CHECKING:
    from governance.api.admission import Admission

__all__ = ["GRACE_SECONDS", "bind", "run", "serve", "serve_owned"]

GRACE_SECONDS: Final = 5.0
"""From the first signal to the end of the process, at the latest."""
DRAIN_SECONDS: Final = 2
"""How long answers under way may take after the first signal; the rest of the grace is for closing the home."""
STARTUP_SECONDS: Final = 30.0
BACKLOG: Final = 512


def serve(
    home: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    worker: bool = True,
    json_output: bool = False,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Own ``home`` and answer for it until SIGTERM or SIGINT.

    Args:
        home: the home to open (and lock).
        host: address to listen on.
        port: TCP port; 0 picks a free one.
        worker: also do the queued work.
        json_output: say the URL as one line ``{"url": …}`` on standard output.
        on_ready: told the URL in place of standard output, once it answers.

    Raises:
        Conflict: the port is taken.
        BadInput: the address cannot be listened on.
        StoreUnavailable: the home is locked by another process or cannot be opened.
    """
    sock = bind(host, port)
    try:
        log_to(sys.stderr)
        serve_owned(home, sock, worker=worker, json_output=json_output, on_ready=on_ready)
    finally:
        sock.close()


def serve_owned(
    home: Path,
    sock: socket.socket,
    *,
    worker: bool,
    owned: Any = None,
    json_output: bool = False,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Answer for ``home`` on a bound socket until SIGTERM or SIGINT; ``owned``: what :func:`governance.wiring.stand_by` gave.

    Raises:
        StoreUnavailable: the home is owned by another process or cannot be opened.
    """
    from governance.api.admission import Admission
    from governance.settings import Settings
    from governance.wiring import open_system

    keep_latency_low()
    # The grace outlives the system's own closing, which is what it limits.
    with _Grace() as grace, open_system(home, worker=worker, owned=owned) as system:

        def ready(url: str) -> None:
            system.announce_url(url)
            if on_ready is not None:
                on_ready(url)
            else:
                _say(url, home, json_output=json_output)
            threading.Thread(target=_look_ahead, args=(system,), name="govern-ahead", daemon=True).start()

        settings = Settings.read()
        admission = Admission(rate=settings.intake_rate, rate_of_all=settings.intake_rate_of_all)
        run(system, sock, on_ready=ready, on_signal=grace.begin, admission=admission)


def _look_ahead(system: Any) -> None:
    """Load now what the first question about a person would load: of two seconds, all but some milliseconds were that."""
    from governance.api.bodies import checked

    try:
        checked("DataSubject", {"type": "applicant", "value": "nobody"})
        system.subjects.look_ahead()
    except GovernError as error:  # a store that is away now, or closed again; whoever asks is told
        logging.getLogger("governance.api").warning("the first question about a person will take longer: %s", error.message)


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet.

    Raises:
        Conflict: the port is taken.
        BadInput: no such address here, a port out of range, or one that needs more rights.
    """
    if not 0 <= port <= 65_535:
        raise BadInput(f"port {port} is not between 0 and 65535", hint="0 picks a free one")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror:
        raise BadInput(f"{host} is not an address of this machine", hint="--host 127.0.0.1 listens on this machine only") from None
    sock = socket.socket(family, kind, proto)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        # Listening tells two servers apart that both set SO_REUSEADDR; nothing is accepted before the home is open.
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise Conflict(
                f"port {port} on {host} is taken by another process", hint="give --port another number, or 0 for a free one"
            ) from None
        raise BadInput(
            f"cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}", hint="give --host or --port another value"
        ) from None
    return sock


def run(
    system: Any,
    sock: socket.socket,
    *,
    on_ready: Callable[[str], None],
    on_signal: Callable[[], None] | None = None,
    stop: threading.Event | None = None,
    admission: Admission | None = None,
) -> None:
    """Answer for an open system on a bound socket until a signal, or until ``stop`` is set (from another thread).

    ``on_signal`` is called at each signal, ``on_ready`` with the URL once it answers; an error that ``on_ready`` raises ends
    the server and is raised here.

    Raises:
        StoreUnavailable: the server did not come up.
    """
    from governance.api.app import create_app

    config = uvicorn.Config(
        create_app(system, admission),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        backlog=BACKLOG,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = _Server(config, on_signal)
    url = _url(sock)
    failures: list[Exception] = []
    watcher = threading.Thread(target=_announce, args=(server, sock, url, on_ready, failures), name="govern-ready", daemon=True)
    watcher.start()
    if stop is not None:
        threading.Thread(target=_stop_when, args=(server, stop), name="govern-stop", daemon=True).start()
    server.run(sockets=[sock])
    watcher.join(timeout=1.0)
    if failures:
        raise failures[0]
    if not server.started:
        raise StoreUnavailable(f"the server did not come up on {url}", hint="see the messages above")


class _Server(uvicorn.Server):
    """Uvicorn whose signals end it without being raised again, so that the home is closed after it."""

    def __init__(self, config: uvicorn.Config, on_signal: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._on_signal = on_signal

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {sig: signal.signal(sig, self._leave) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def _leave(self, _sig: int, _frame: FrameType | None) -> None:
        if self._on_signal is not None:
            self._on_signal()
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


class _Grace:
    """From the first signal on, the process has :data:`GRACE_SECONDS`; then it ends, whatever still hangs."""

    def __init__(self) -> None:
        self._timer = threading.Timer(GRACE_SECONDS, _abandon)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def begin(self) -> None:
        """Start the clock; only the first call does."""
        if self._timer.ident is None:
            self._timer.start()


def _abandon() -> None:
    logging.getLogger("governance.api").error("closing the home hangs; ending without it")
    os._exit(1)


def _announce(server: uvicorn.Server, sock: socket.socket, url: str, on_ready: Callable[[str], None], failures: list[Exception]) -> None:
    """Call ``on_ready`` once the health check answers through the socket; what it raises is kept for the main thread."""
    address, port = sock.getsockname()[:2]
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - compared, not bound
    end = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < end and not server.should_exit:
        if server.started and _answers(target, port):
            try:
                on_ready(url)
            except Exception as error:  # noqa: BLE001 - handed to the thread that can tell it
                failures.append(error)
                server.should_exit = True
            return
        time.sleep(0.01)


def _answers(address: str, port: int) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=2.0)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _stop_when(server: uvicorn.Server, stop: threading.Event) -> None:
    stop.wait()
    server.should_exit = True


def _url(sock: socket.socket) -> str:
    address, port = sock.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _say(url: str, home: Path, *, json_output: bool) -> None:
    text = orjson.dumps({"url": url}).decode() if json_output else f"Govern answers for {home} on {url} (stop with Ctrl+C)"
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
