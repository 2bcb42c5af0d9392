"""The way in: an event is parsed, appended to the ledger, acknowledged; the projector folds the ledger into the graph.

Acknowledged means durable in the ledger. The graph follows (:mod:`lineage.projection`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from lineage.errors import BadEvent
from lineage.model import LedgerEntry, NewEntry
from lineage.openlineage import CheckedEvent, check_event
from lineage.ports import Clock, GraphStore, Ledger
from lineage.projection import EVENT_KIND, Projector

__all__ = ["EVENT_KIND", "Ingestor"]

_LARGE = 8 * 1024 * 1024
"""Bytes above which events are checked one at a time."""


class Ingestor:
    """Takes events and keeps the graph up with the ledger. Safe to call from many threads.

    Args:
        ledger: where an event is durable before it is acknowledged.
        graph: the projection; only this object writes it.
        clock: the time of dead letters.
        pause: seconds the projector waits for news, and after a store was unavailable.
    """

    def __init__(self, ledger: Ledger, graph: GraphStore, clock: Clock, *, pause: float = 0.5) -> None:
        self._ledger = ledger
        self._large = threading.Lock()
        self.projector = Projector(ledger, graph, clock, pause=pause)

    # ── in ──────────────────────────────────────────────────────────────────────────────────
    def accept(self, raw: bytes, *, actor: str) -> LedgerEntry:
        """The durable entry of one event; ``duplicate`` when it was there already.

        Raises:
            BadEvent: it is refused, and nothing was kept.
            StoreUnavailable: the ledger cannot be written.
        """
        result = self.accept_many([raw], actor=actor)[0]
        if isinstance(result, BadEvent):
            raise result
        return result

    def accept_many(self, raws: Sequence[bytes], *, actor: str | Sequence[str]) -> list[LedgerEntry | BadEvent]:
        """For each event its durable entry or the reason it was refused, in order; one bad event does not touch the others.

        Args:
            raws: the events as they were sent.
            actor: who sent them: one for all, or one for each.
        """
        results: list[LedgerEntry | BadEvent | None] = []
        entries: list[NewEntry] = []
        actors = [actor] * len(raws) if isinstance(actor, str) else actor
        for raw, one in zip(raws, actors, strict=True):
            try:
                event = self._check(raw)
            except BadEvent as refusal:
                results.append(refusal)
                continue
            results.append(None)
            entries.append(NewEntry(kind=EVENT_KIND, payload=raw, actor=one, identity=event.digest))
            self.projector.parsed.keep(event, len(raw))
        try:
            appended = self._ledger.append(entries) if entries else []
        except BaseException:
            self.projector.parsed.forget(entry.identity for entry in entries)
            raise
        self.projector.parsed.forget(entry.identity for entry in appended if entry.duplicate)  # it was folded, or will be parsed again
        durable = iter(appended)
        answers: list[LedgerEntry | BadEvent] = [next(durable) if result is None else result for result in results]
        self.projector.notify()
        return answers

    def _check(self, raw: bytes) -> CheckedEvent:
        if len(raw) <= _LARGE:
            return check_event(raw)
        with self._large:  # as objects it takes ten times its bytes: one at a time
            return check_event(raw)

    # ── the projector ───────────────────────────────────────────────────────────────────────
    def start(self) -> None:
        """Start the projector's thread; once is enough."""
        self.projector.start()

    def stop(self) -> None:
        """Stop the thread after the batch it is at; what is not projected waits in the ledger."""
        self.projector.stop()

    def project(self) -> int:
        """Project one batch in this thread; returns how many entries it was. For use without :meth:`start`."""
        return self.projector.project()

    def notify(self) -> None:
        """Say that the ledger grew by another way than :meth:`accept`."""
        self.projector.notify()

    def lag(self) -> int:
        """Durable ledger entries that the graph has not seen."""
        return self.projector.lag()

    def wait(self, timeout: float = 2.0) -> int:
        """Wait at most ``timeout`` seconds until all that is durable now is projected; returns how many entries are not."""
        return self.projector.wait(timeout)

    def rebuild(self) -> None:
        """Forget the graph and make it anew from the ledger, in this thread; dead letters are tried again."""
        self.projector.rebuild()

    def dead_letters(self) -> list[dict[str, Any]]:
        """``{index, identity, reason, at}`` of every entry that could not be folded, in ledger order."""
        return self.projector.dead_letters()

    def status(self) -> dict[str, Any]:
        """``{events, entries, lag, dead_letters, nodes, edges, graph_digest, error}``; ``error`` is why the projector waits."""
        return self.projector.status()
