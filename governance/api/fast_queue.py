"""One thread that takes what waits at the OpenLineage door as one group: parse, append, sync once, answer all.

The loop of the server only moves bytes. A group is bounded, so that who waits behind it waits milliseconds; a group that fails in a way
nobody foresaw is taken again one by one, so that one event cannot spoil another.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from governance.api.batch import batch_reply, single_reply, split_batch, split_single
from governance.api.call import Reply
from governance.api.problems import problem_of
from lineage.errors import GovernError

__all__ = ["Intake", "Item"]

_GROUP_ITEMS: Final = 256
_GROUP_BYTES: Final = 4 * 1024 * 1024
_IDLE_SECONDS: Final = 2.0
"""After this long without work the thread ends; the next item starts another."""
_SCANNERS: Final = 2
_LINGER_SECONDS: Final = 0.01
"""After an event, the next one is expected for so long."""


@dataclass(slots=True)
class Item:
    """One request whose body is here: an event, or a batch of them."""

    headers: Mapping[str, str]
    body: bytes
    actor: str
    many: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Reply]
    raws: list[bytes] = field(default_factory=list)

    def split(self) -> None:
        """Find the events; raises what the slow way raises."""
        if self.many:
            self.raws = split_batch(self.body, lines="ndjson" in self.headers.get("content-type", ""))
        else:
            self.raws = split_single(self.body)
        self.body = b""

    def reply(self, results: list[Any]) -> Reply:
        """The answer for what became of its events."""
        return batch_reply(results, self.headers) if self.many else single_reply(results)


class Intake:
    """The queue and its thread.

    Args:
        system: the facade; its ``lineage`` takes the events.
    """

    def __init__(self, system: Any) -> None:
        self._system = system
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._running = False
        self._scanners: ThreadPoolExecutor | None = None
        self._last = float("-inf")
        self._taking = False

    def busy(self) -> bool:
        """Whether events came within the last moments, so that who sent them, or sends the next ones, waits."""
        return self._taking or time.monotonic() - self._last < _LINGER_SECONDS

    def put(self, item: Item) -> None:
        """Queue one; its future gets the reply, in its own loop."""
        self._last = time.monotonic()
        with self._lock:  # an item that came between the thread's last look and its end would wait for the next one
            self._queue.put(item)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="govern-intake", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                group = [self._queue.get(timeout=_IDLE_SECONDS)]
            except queue.Empty:
                with self._lock:
                    if self._queue.empty():
                        self._running = False
                        return
                continue
            size = len(group[0].body)
            with contextlib.suppress(queue.Empty):
                while len(group) < _GROUP_ITEMS and size < _GROUP_BYTES:
                    group.append(self._queue.get_nowait())
                    size += len(group[-1].body)
            self._taking = True
            try:
                _answer([(item, reply) for item, reply in self._take(group) if reply is not None])
            finally:
                self._last, self._taking = time.monotonic(), False

    def _take(self, group: list[Item]) -> list[tuple[Item, Reply | None]]:
        """The reply of each; ``None`` for one that another thread answers."""
        answers: list[tuple[Item, Reply | None]] = []
        ready: list[Item] = []
        for item in group:
            try:
                item.split()
                aside = self._system.lineage.scans(item.raws)
            except Exception as error:  # noqa: BLE001 - the boundary: mapped, or logged by place; the thread must go on
                answers.append((item, problem_of(error)))
                continue
            if aside:
                self._aside(item)
            else:
                ready.append(item)
        if not ready:
            return answers
        try:
            answers += self._together(ready)
        except GovernError as error:  # a store is away: nothing was written, and no event is to blame
            answers += [(item, problem_of(error)) for item in ready]
        except Exception:  # noqa: BLE001 - one of them is to blame: each is taken by itself
            answers += [(item, self._alone(item)) for item in ready]
        return answers

    def _together(self, items: list[Item]) -> list[tuple[Item, Reply | None]]:
        raws = [raw for item in items for raw in item.raws]
        actors = [item.actor for item in items for _ in item.raws]
        results = self._system.lineage.accept_many(raws, actor=actors)
        answers: list[tuple[Item, Reply | None]] = []
        at = 0
        for item in items:
            end = at + len(item.raws)
            answers.append((item, _guarded(lambda item=item, part=results[at:end]: item.reply(part))))  # type: ignore[misc]
            at = end
        return answers

    def _alone(self, item: Item) -> Reply:
        return _guarded(lambda: item.reply(self._system.lineage.accept_many(item.raws, actor=item.actor)))

    def _aside(self, item: Item) -> None:
        """A landing file is scanned before this one is answered, which may take long: not in this thread."""
        if self._scanners is None:
            self._scanners = ThreadPoolExecutor(_SCANNERS, thread_name_prefix="govern-scan")
        self._scanners.submit(lambda: _answer([(item, self._alone(item))]))


def _guarded(work: Callable[[], Reply]) -> Reply:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - the boundary: mapped, or logged by place
        return problem_of(error)


def _answer(answers: list[tuple[Item, Reply | None]]) -> None:
    """Give the replies to their loops, one wake-up each."""
    loops: defaultdict[asyncio.AbstractEventLoop, list[tuple[Item, Reply | None]]] = defaultdict(list)
    for item, reply in answers:
        loops[item.loop].append((item, reply))
    for loop, some in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, some)


def _resolve(answers: list[tuple[Item, Reply | None]]) -> None:
    for item, reply in answers:
        if reply is not None and not item.future.done():
            item.future.set_result(reply)
