"""The thread behind the fast lane ends when nothing comes, and nothing that comes then is left waiting."""

from __future__ import annotations

import asyncio
import queue
import threading
import time

import pytest

from governance.api import fast_queue
from governance.api.call import Reply
from governance.api.fast_queue import Intake, Item


class Lineage:
    """Takes every event; ``broken`` breaks the question that comes before."""

    def __init__(self) -> None:
        self.broken = False

    def scans(self, raws: list[bytes]) -> bool:
        if self.broken:
            raise ZeroDivisionError
        return False

    def accept_many(self, raws: list[bytes], *, actor: object) -> list[object]:
        return list(raws)


class System:
    def __init__(self) -> None:
        self.lineage = Lineage()


class LateQueue(queue.SimpleQueue):
    """Right after the thread saw that it is empty, one more item is put, once."""

    def __init__(self) -> None:
        super().__init__()
        self.late = lambda: None

    def empty(self) -> bool:
        found = super().empty()
        late, self.late = self.late, lambda: None
        threading.Thread(target=late, daemon=True).start()
        time.sleep(0.1)
        return found


def replies(work) -> list[Reply]:
    async def run() -> list[Reply]:
        loop = asyncio.get_running_loop()
        futures = [loop.create_future(), loop.create_future()]
        work([Item({}, b"{}", "key:1", False, loop, future) for future in futures])
        return [await asyncio.wait_for(future, 5) for future in futures]

    return asyncio.run(run())


def test_what_comes_as_the_thread_ends_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_queue, "_IDLE_SECONDS", 0.05)
    intake = Intake(System())
    waiting = intake._queue = LateQueue()

    def work(items: list[Item]) -> None:
        waiting.late = lambda: intake.put(items[1])
        intake.put(items[0])

    assert [reply.status for reply in replies(work)] == [201, 201]


def test_a_fault_before_the_group_is_one_items_answer_and_the_thread_goes_on() -> None:
    system = System()
    intake = Intake(system)
    system.lineage.broken = True

    def work(items: list[Item]) -> None:
        intake.put(items[0])
        while not items[0].future.done() and intake._queue.qsize():
            time.sleep(0.001)
        time.sleep(0.05)
        system.lineage.broken = False
        intake.put(items[1])

    assert [reply.status for reply in replies(work)] == [500, 201]


def test_the_projector_is_told_to_rest_while_events_come_and_shortly_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_queue, "_LINGER_SECONDS", 0.2)
    system = System()
    intake = Intake(system)
    during: list[bool] = []

    def accept_many(raws: list[bytes], *, actor: object) -> list[object]:
        time.sleep(0.3)  # longer than what lingers
        during.append(intake.busy())
        return list(raws)

    monkeypatch.setattr(system.lineage, "accept_many", accept_many)
    assert not intake.busy()
    replies(lambda items: [intake.put(item) for item in items])
    assert all(during)
    deadline = time.monotonic() + 10
    while intake.busy() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not intake.busy()
