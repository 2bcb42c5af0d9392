"""A server that ends itself with SIGKILL at a named moment of ingest: ``python -m tests.support.ingest_server HOME MOMENT COUNT``.

Moments, each at its COUNT-th time: ``durable`` (the ledger has the events, nobody was told), ``applying`` (inside the graph's
transaction), ``applied`` (the graph's transaction has ended). ``none``: it ends when it is killed from outside. Where the graph is in
Neo4j also ``posted`` (the fold's file has its state and the outbox, the server nothing yet) and ``written`` (Neo4j has committed, the
outbox does not know).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MOMENTS = ("durable", "applying", "applied")
NEO4J_MOMENTS = (*MOMENTS, "posted", "written")


class Countdown:
    """Kills this process when it was called so many times, from any thread."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def after(plain: Callable[..., Any], then: Countdown) -> Callable[..., Any]:
    """``plain``, and ``then`` before its answer is given."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        answer = plain(*args, **kwargs)
        then()
        return answer

    return wrapped


def before(plain: Callable[..., Any], first: Countdown) -> Callable[..., Any]:
    """``first``, then ``plain``."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        first()
        return plain(*args, **kwargs)

    return wrapped


def closing(plain: Callable[..., Any], then: Countdown) -> Callable[..., Any]:
    """The transaction ``plain``, and ``then`` once it has ended well."""

    @contextlib.contextmanager
    def wrapped(*args: Any, **kwargs: Any) -> Iterator[Any]:
        with plain(*args, **kwargs) as state:
            yield state
        then()

    return wrapped


def arm(system: Any, moment: str, count: int) -> None:
    """Put the countdown at the moment, in the objects that the system was made of."""
    then = Countdown(count)
    if moment == "durable":
        system.log.append = after(system.log.append, then)
    elif moment == "applying":
        system.graph.apply = after(system.graph.apply, then)
    elif moment == "applied":
        system.graph.transaction = closing(system.graph.transaction, then)
    elif moment == "posted":
        system.graph._courier.send = before(system.graph._courier.send, then)
    elif moment == "written":
        system.graph.server.on_write = lambda _statements: then()


def main() -> None:
    """Serve."""
    home, moment, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    import governance.wiring
    from governance.api.server import serve

    plain = governance.wiring.open_system

    def armed(*args: Any, **kwargs: Any) -> Any:
        system = plain(*args, **kwargs)
        arm(system, moment, count)
        return system

    governance.wiring.open_system = armed
    serve(home, port=0, worker=False, json_output=True)


if __name__ == "__main__":
    main()
