"""While events come, folding rests between two of them: bounded, and not while somebody waits for the graph."""

from __future__ import annotations

import json
import threading
import time

import pytest

from lineage import projection
from lineage.projection import Projector
from lineage.trace.memory import MemoryGraph
from tests.fakes.marquez_reads import FixedClock, Log


def filled(events: int) -> tuple[Projector, MemoryGraph]:
    graph, log = MemoryGraph(), Log()
    for number in range(events):
        job = {"namespace": "n", "name": f"j{number}"}
        log.add(
            json.dumps({"eventType": "COMPLETE", "eventTime": "2026-01-01T00:00:00Z", "run": {"runId": f"r{number}"}, "job": job}).encode()
        )
    return Projector(log, graph, FixedClock()), graph  # type: ignore[arg-type]


def test_under_any_load_the_graph_gets_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "REST_SECONDS", 0.02)
    projector, graph = filled(60)
    projector.give_way(lambda: True)
    begin = time.monotonic()
    assert projector.project() == 50, "what is read when it ends is a small batch"
    assert time.monotonic() - begin >= 50 * 0.02
    assert projector.project() == 10
    assert graph.position() == 60


def test_nobody_comes_before_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "REST_SECONDS", 60.0)
    projector, graph = filled(5)
    projector.give_way(lambda: True)
    left: list[int] = []
    reader = threading.Thread(target=lambda: left.append(projector.wait(30)))
    projector.start()
    try:
        reader.start()
        reader.join(40)
        assert left == [0]
        assert graph.position() == 5
    finally:
        projector.stop()


def test_it_ends_in_the_middle_of_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "REST_SECONDS", 60.0)
    projector, _ = filled(2)
    projector.give_way(lambda: True)
    projector.start()
    time.sleep(0.1)
    stopping = threading.Thread(target=projector.stop)
    stopping.start()
    stopping.join(20)
    assert not stopping.is_alive()


def test_without_anybody_it_does_not_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection.time, "sleep", pytest.fail)
    projector, graph = filled(5)
    assert projector.project() == 5 == graph.position()
