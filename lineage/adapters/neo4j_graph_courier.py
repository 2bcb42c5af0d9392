"""Carries what waits in the outbox to the server, in order, one transaction each, and says how far the server is.

A transaction moves the position node by compare-and-set from the batch before it. If the answer to a commit was lost, the batch is
sent again and found to be there; if anyone else moved the node, the two would undo each other's work, so nothing more is written.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from lineage.adapters.neo4j_graph_cypher import MOVE, statements
from lineage.adapters.neo4j_graph_fold import Waiting
from lineage.adapters.neo4j_graph_server import Server
from lineage.errors import StoreUnavailable

__all__ = ["Courier"]


class _ThereAlready(Exception):
    """The server has this batch."""


class Courier:
    """What was posted and is not yet known to be on the server.

    Args:
        server: where it goes.
        ahead: how many transactions of the fold may wait while the next one is folded; with 0 each waits for its own.
    """

    def __init__(self, server: Server, *, ahead: int) -> None:
        self._server = server
        self._ahead = ahead
        self._waiting: deque[Waiting] = deque()
        self._done: list[Waiting] = []
        self._turn = threading.Lock()
        self._jobs: deque[Future[None]] = deque()
        self._thread: ThreadPoolExecutor | None = None
        self.position = 0
        """Ledger entries that the server's graph has seen."""
        self.pairing = ""
        self.types: Collection[str] = ()

    def begin(self, position: int, waiting: Sequence[Waiting]) -> None:
        """Start from what the file says: the server is at ``position`` at least, and this is on its way."""
        self.settle_thread()
        with self._turn:
            self.position = position
            self._waiting = deque(waiting)
            self._done = []

    def send(self, posted: Sequence[Waiting]) -> None:
        """Carry these after those that wait; returns when they are there, or, ``ahead`` of the server, at once."""
        self._waiting.extend(posted)
        if self._ahead:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="govern-graph")
            self._jobs.append(self._thread.submit(self.deliver))
        else:
            self.deliver()

    def room(self) -> None:
        """Wait until so little is on its way that the next transaction may be folded.

        Raises:
            StoreUnavailable: why it could not be delivered.
        """
        while self._jobs and (len(self._jobs) > self._ahead or self._jobs[0].done()):
            self._jobs.popleft().result()
        if self._waiting and not self._jobs:
            self.deliver()

    def behind(self) -> bool:
        """Something is not known to be there."""
        return bool(self._waiting or self._jobs)

    def settle(self) -> None:
        """Deliver everything, or say why not."""
        self.settle_thread()
        self.deliver()

    def settle_thread(self) -> None:
        """Wait for the thread to end what it has; what failed is tried again by the next delivery."""
        while self._jobs:
            self._jobs.popleft().exception()

    def deliver(self) -> None:
        """Send what waits until nothing does."""
        with self._turn:
            while self._waiting:
                one = self._waiting[0]
                self._write(one)
                self._waiting.popleft()
                self._done.append(one)
                self.position = one.position

    def take_done(self) -> list[Waiting]:
        """What the server took since this was last asked."""
        with self._turn:
            done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Let the thread end what it is at; what waits stays in the file."""
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)

    def _write(self, one: Waiting) -> None:
        move = {"id": one.batch, "after": one.after, "position": one.position, "pairing": self.pairing}
        work: list[tuple[str, dict[str, Any]]] = [(MOVE, move)]
        work += [(text, {"rows": rows}) for text, rows in statements(one.piece, self.types)]

        def moved(rows: list[Any]) -> None:
            if not rows:
                raise _ThereAlready

        try:
            self._server.write(work, moved)
        except _ThereAlready:
            self._must_be_ours(one)

    def _must_be_ours(self, one: Waiting) -> None:
        """The node was not where this batch begins: the batch is there, or somebody else wrote."""
        found = self._server.auto("MATCH (m:GovernGraph {key: 'graph'}) RETURN m.batch AS batch, m.pairing AS pairing")
        if not found or found[0]["pairing"] != self.pairing:
            raise StoreUnavailable(
                f"the graph in {self._server.place.uri} is no longer the one of this home",
                hint="give each home a database of its own; then: govern lineage rebuild",
            )
        if found[0]["batch"] != one.batch:
            raise StoreUnavailable(
                f"another projector wrote into the graph in {self._server.place.uri}: this one no longer does",
                hint="stop one of the two; then: govern lineage rebuild",
            )
