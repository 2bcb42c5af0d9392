"""How the ingest stands: what is durable, what is folded, what is dead. Read from committed state, so that nothing waits for a batch."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from lineage.errors import NotFound
from lineage.ports import Clock, GraphStore, Ledger

__all__ = ["DEAD", "EVENTS", "MENDED", "SMALL", "Rate", "dead_letters", "receipt", "standing"]

DEAD: Final = "dead/"
"""Prefix of the dead letters in the fold's state; the ledger index follows, twenty digits."""
EVENTS: Final = "meta/events"
MENDED: Final = "rd/"
"""Prefix of the redacted events that were folded in their redacted form; the ledger index follows, twenty digits."""
SMALL: Final = 4_000
"""Nodes and edges of a graph whose digest is read without being asked for."""
_WINDOW: Final = 60


def dead_letters(graph: GraphStore) -> list[dict[str, Any]]:
    """``{index, identity, reason, at}`` of every entry that could not be folded, in ledger order."""
    return [json.loads(raw) for _, raw in graph.state().scan(DEAD)]


def standing(ledger: Ledger, graph: GraphStore, clock: Clock) -> dict[str, Any]:
    """``{events, entries, lag, lag_seconds, dead_letters}``; ``lag_seconds`` is how long the oldest entry waits for the graph."""
    position = graph.position()
    entries = ledger.size()
    waiting = ledger.entries(position, 1) if position < entries else []
    state = graph.state()
    return {
        "events": int(state.get(EVENTS) or b"0"),
        "entries": entries,
        "lag": max(0, entries - position),
        "lag_seconds": round(max(0, clock.now() - waiting[0].recorded_at) / 1e9, 3) if waiting else 0.0,
        "dead_letters": sum(1 for _ in state.scan(DEAD)),
    }


def receipt(ledger: Ledger, graph: GraphStore, identity: str, *, retired: Callable[[int], bool]) -> dict[str, Any]:
    """What became of an event (:meth:`lineage.ingest.Ingestor.receipt`).

    Raises:
        NotFound: no such event was taken.
    """
    position = graph.position()
    entry = ledger.by_identity(identity)
    if entry is None or entry.kind != "openlineage":
        raise NotFound("no event with this identity was taken", hint="the identity is the SHA-256 of the event's sorted compact JSON")
    letter = graph.state().get(f"{DEAD}{entry.index:020d}")
    state = "dead" if letter else "stored" if entry.index >= position else "applied"
    if state == "applied" and entry.payload is None:
        state = "retired" if retired(entry.index) else "destroyed"
    return {
        "identity": identity,
        "index": entry.index,
        "recorded_at": entry.recorded_at,
        "state": state,
        "reason": json.loads(letter)["reason"] if letter else None,
    }


class Rate:
    """Events a second over the last minute; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[int, int] = {}

    def add(self, count: int) -> None:
        """So many came now."""
        now = int(time.monotonic())
        with self._lock:
            self._seconds[now] = self._seconds.get(now, 0) + count
            if len(self._seconds) > 2 * _WINDOW:
                self._seconds = {second: found for second, found in self._seconds.items() if now - second < _WINDOW}

    def per_second(self) -> float:
        """The mean over the last minute."""
        now = int(time.monotonic())
        with self._lock:
            return round(sum(found for second, found in self._seconds.items() if now - second < _WINDOW) / _WINDOW, 2)
