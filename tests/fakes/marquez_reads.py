"""Marquez's reads over a graph in memory: the real views, for the tests of the door."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from lineage.errors import NotFound
from lineage.graph import Fold
from lineage.graph.state import stamp
from lineage.marquez import Marquez
from lineage.model import LedgerEntry
from lineage.openlineage import parse_event
from lineage.trace.memory import MemoryGraph

AT = 1_795_226_942_368_892_000
EVENT = {
    "eventType": "COMPLETE",
    "eventTime": "2026-11-21T01:00:00Z",
    "producer": "p",
    "run": {"runId": "er-1"},
    "job": {"namespace": "n", "name": "j"},
    "outputs": [{"namespace": "n", "name": "d", "facets": {"version": {"datasetVersion": "1"}}}],
}


class Entries:
    """As much of a ledger as the views read."""

    def __init__(self, raws: list[bytes]) -> None:
        self.raws = raws

    def entry(self, index: int) -> LedgerEntry:
        if not 0 <= index < len(self.raws):
            raise NotFound(f"no entry {index}")
        return LedgerEntry(index=index, kind="openlineage", recorded_at=AT, actor="key:t", payload=self.raws[index], salt=b"", leaf=b"")

    def entries(self, start: int = 0, limit: int = 1000, kind: str | None = None) -> list[LedgerEntry]:
        found = [self.entry(index) for index in range(start, len(self.raws))]
        return [one for one in found if kind in (None, one.kind)][:limit]


class Log(Entries):
    """As much of a ledger as a projector reads."""

    def __init__(self) -> None:
        self.entries_kept: list[LedgerEntry] = []

    def add(self, raw: bytes) -> None:
        index = len(self.entries_kept)
        identity = hashlib.sha256(raw + bytes([index % 251])).hexdigest()
        self.entries_kept.append(
            LedgerEntry(
                index=index, kind="openlineage", recorded_at=AT + index, actor="key:t", payload=raw, salt=b"", leaf=b"", identity=identity
            )
        )

    def entry(self, index: int) -> LedgerEntry:
        return self.entries_kept[index]

    def entries(self, start: int = 0, limit: int = 1000, kind: str | None = None) -> list[LedgerEntry]:
        return [entry for entry in self.entries_kept[start:] if kind in (None, entry.kind)][:limit]

    def size(self) -> int:
        return len(self.entries_kept)


class FixedClock:
    def now(self) -> int:
        return AT


class MarquezReads:
    """What ``System.marquez`` is."""

    def __init__(self, events: list[dict[str, Any]] | None = None) -> None:
        self.events = [EVENT] if events is None else events
        self._views: Marquez | None = None

    def __call__(self) -> Marquez:
        if self._views is None:
            raws = [json.dumps(event).encode() for event in self.events]
            self._views = Marquez(folded(raws), Entries(raws), FixedClock(), lambda watcher: None)  # type: ignore[arg-type]
        return self._views

    def lag(self) -> int:
        return 0


def folded(raws: list[bytes]) -> MemoryGraph:
    """The graph of these events."""
    graph = MemoryGraph()
    with graph.transaction() as state:
        fold = Fold(state)
        for index, raw in enumerate(raws):
            event = parse_event(raw)
            graph.apply(fold.fold(event, recorded_at=AT + index), index + 1)
            said = event.digest if event.kind == "run" else f"{event.digest} {event.kind}"
            state.put(f"ev/{stamp(event.event_time)}/{index:020d}", said.encode())
    return graph
