"""The way in: an event is parsed, appended to the ledger, acknowledged; the projector folds the ledger into the graph.

Acknowledged means durable in the ledger. The graph follows (:mod:`lineage.projection`).
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from typing import Any

from lineage.errors import BadEvent, StoreUnavailable
from lineage.model import LedgerEntry, NewEntry
from lineage.openlineage import CheckedEvent, check_event
from lineage.openlineage.redact import Redaction, may_hold_secrets, redact
from lineage.ports import Clock, GraphStore, Ledger
from lineage.projection import EVENT_KIND, Projector
from lineage.retention import Archive
from lineage.standing import SMALL, Rate, dead_letters, receipt, standing

__all__ = ["EVENT_KIND", "REDACTION_KIND", "Ingestor"]

REDACTION_KIND = "govern.redaction.applied"
"""Kind of the entry beside an event out of which something was taken."""
_log = logging.getLogger(__name__)

_LARGE = 8 * 1024 * 1024
"""Bytes above which events are checked one at a time."""


class Ingestor:
    """Takes events and keeps the graph up with the ledger. Safe to call from many threads.

    Args:
        ledger: where an event is durable before it is acknowledged.
        graph: the projection; only this object writes it.
        clock: the time of dead letters.
        pause: seconds the projector waits for news, and after a store was unavailable.
        redaction: what is taken out of an event before it is kept.
        archive: the snapshots that hold what retired events said.
    """

    def __init__(
        self,
        ledger: Ledger,
        graph: GraphStore,
        clock: Clock,
        *,
        pause: float = 0.5,
        redaction: Redaction | None = None,
        archive: Archive | None = None,
    ) -> None:
        self._ledger = ledger
        self._graph = graph
        self._clock = clock
        self._redaction = redaction or Redaction()
        self._rate = Rate()
        self._large = threading.Lock()
        self.projector = Projector(ledger, graph, clock, pause=pause, archive=archive)

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
        entries: list[NewEntry] = []
        places: list[int | BadEvent] = []
        kept: list[str] = []
        actors = [actor] * len(raws) if isinstance(actor, str) else actor
        for raw, one in zip(raws, actors, strict=True):
            try:
                event = self._check(raw)
            except BadEvent as refusal:
                places.append(refusal)
                continue
            said: list[NewEntry] = []
            if may_hold_secrets(raw, self._redaction):
                raw, event, said = self._redacted(raw, event)  # noqa: PLW2901 - from here on there is no other
            places.append(len(entries))
            entries.append(NewEntry(kind=EVENT_KIND, payload=raw, actor=one, identity=event.digest))
            entries += said
            self.projector.parsed.keep(event, len(raw))
            kept.append(event.digest)
        try:
            appended = self._ledger.append(entries) if entries else []
        except BaseException:
            self.projector.parsed.forget(kept)
            raise
        self.projector.parsed.forget(entry.identity for entry in appended if entry.duplicate)  # it was folded, or will be parsed again
        self._rate.add(sum(entry.kind == EVENT_KIND and not entry.duplicate for entry in appended))
        self.projector.notify()
        return [place if isinstance(place, BadEvent) else appended[place] for place in places]

    def _check(self, raw: bytes) -> CheckedEvent:
        if len(raw) <= _LARGE:
            return check_event(raw)
        with self._large:  # as objects it takes ten times its bytes: one at a time
            return check_event(raw)

    def _redacted(self, raw: bytes, event: CheckedEvent) -> tuple[bytes, CheckedEvent, list[NewEntry]]:
        """The event as it may be kept, under the identity of what was sent, and the entry that says what was taken out."""
        redacted = redact(event.body, self._redaction)
        if not redacted.changes:
            return raw, event, []
        plain = json.dumps(redacted.body, separators=(",", ":")).encode("ascii")
        places = [{"place": place, "rule": rule} for place, rule in redacted.changes]
        said = NewEntry(
            kind=REDACTION_KIND,
            payload=json.dumps({"event": event.digest, "redacted": places}, sort_keys=True, separators=(",", ":")).encode("ascii"),
            actor="system",
            identity=f"redaction:{event.digest}",
        )
        _log.info("%d texts of an event were redacted", len(places))
        return plain, CheckedEvent(event.digest, redacted.body, len(plain)), [said]

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

    def digest(self) -> str:
        """The graph's digest as it stands; reads all of it."""
        return self.projector.digest()

    def dead_letters(self) -> list[dict[str, Any]]:
        """``{index, identity, reason, at}`` of every entry that could not be folded, in ledger order."""
        return dead_letters(self._graph)

    def replay(self, start: int | None = None) -> dict[str, int]:
        """Fold dead letters again, or all entries from index ``start`` on; ``{tried, folded, dead}``."""
        return self.projector.replay(start)

    def receipt(self, identity: str) -> dict[str, Any]:
        """What became of the event with this identity.

        Returns:
            ``{identity, index, recorded_at, state, reason}``; ``state`` is ``stored`` (not yet in the graph), ``applied``, ``dead``,
            ``retired`` (applied; its payload was destroyed by age, a signed snapshot holds what it said), or ``destroyed`` (redacted).

        Raises:
            NotFound: no such event was taken.
        """
        return receipt(self._ledger, self._graph, identity, retired=self.projector.archive.retirements.holds)

    def status(self, *, digest: bool | None = None) -> dict[str, Any]:
        """How the ingest stands.

        Args:
            digest: read the whole graph for ``graph_digest``; ``None``: where it is small.

        Returns:
            ``{events, retired, entries, lag, lag_seconds, dead_letters, nodes, edges, rate, error}`` and perhaps ``graph_digest``;
            ``retired`` of the events have no payload any more, ``rate`` is events a second over the last minute, ``error`` why the
            projector waits.
        """
        answer: dict[str, Any] = {
            **standing(self._ledger, self._graph, self._clock),
            "retired": self.projector.archive.retirements.count(),
            "nodes": None,
            "edges": None,
            "rate": self._rate.per_second(),
            "error": self.projector.trouble,
        }
        try:
            counts = self._graph.counts()
            answer |= {"nodes": counts["nodes"], "edges": counts["edges"]}
            if counts["nodes"] + counts["edges"] <= SMALL if digest is None else digest:
                answer["graph_digest"] = self.digest()
        except StoreUnavailable as error:  # the graph is away: how far it was, and what is wrong, is known all the same
            if digest:
                raise
            answer["error"] = answer["error"] or error.message
        return answer
