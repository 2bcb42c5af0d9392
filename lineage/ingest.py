"""The way in: an event is parsed, appended to the ledger, acknowledged; a projector thread folds the ledger into the graph.

Acknowledged means durable in the ledger. The graph follows: its position is the number of ledger entries it has seen, and moves
in the same transaction as what they changed, so that a crash anywhere loses nothing and repeats nothing.

An entry that cannot be folded becomes a dead letter with its reason and the projector goes on; a store that cannot be used
(full disk) is no fault of the entry: the projector waits and tries again from where it was.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from lineage.errors import BadEvent, StoreUnavailable
from lineage.graph import Fold, graph_digest
from lineage.model import GraphDelta, LedgerEntry, NewEntry, RunEvent
from lineage.openlineage import parse_event
from lineage.ports import Clock, FoldState, GraphStore, Ledger

__all__ = ["EVENT_KIND", "Ingestor"]

EVENT_KIND = "openlineage"
"""Kind of the ledger entries that hold a received event."""

_BATCH = 500
_BATCH_BYTES = 32 * 1024 * 1024
_PARSED_BYTES = 16 * 1024 * 1024
"""JSON bytes of the events that are kept parsed between the door and the fold."""
_DEAD = "dead/"
_EVENTS = "meta/events"
_log = logging.getLogger(__name__)


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
        self._graph = graph
        self._clock = clock
        self._pause = pause
        self._news = threading.Event()
        self._moved = threading.Condition()
        self._turn = threading.Lock()  # one projection at a time: the thread's, or a rebuild
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._trouble: str | None = None
        self._digest: tuple[int, str] | None = None
        self._parsed: dict[str, tuple[RunEvent, int]] = {}
        self._parsed_bytes = 0
        self._parsed_lock = threading.Lock()

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

    def accept_many(self, raws: Sequence[bytes], *, actor: str) -> list[LedgerEntry | BadEvent]:
        """For each event its durable entry or the reason it was refused, in order; one bad event does not touch the others."""
        results: list[LedgerEntry | BadEvent | None] = []
        entries: list[NewEntry] = []
        for raw in raws:
            try:
                event = parse_event(raw)
            except BadEvent as refusal:
                results.append(refusal)
                continue
            results.append(None)
            entries.append(NewEntry(kind=EVENT_KIND, payload=raw, actor=actor, identity=event.digest))
            self._remember(event, len(raw))
        try:
            appended = self._ledger.append(entries) if entries else []
        except BaseException:
            self._forget(entry.identity for entry in entries)
            raise
        self._forget(entry.identity for entry in appended if entry.duplicate)  # it was folded, or will be parsed again
        durable = iter(appended)
        answers: list[LedgerEntry | BadEvent] = [next(durable) if result is None else result for result in results]
        self._news.set()
        return answers

    # ── the projector ───────────────────────────────────────────────────────────────────────
    def start(self) -> None:
        """Start the projector's thread; once is enough."""
        if self._thread is None:
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name="govern-projector", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread after the batch it is at; what is not projected waits in the ledger."""
        self._stopping = True
        self._news.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def project(self) -> int:
        """Project one batch in this thread; returns how many entries it was. For use without :meth:`start`, and by it."""
        with self._turn:
            done = self._project()
        with self._moved:
            self._moved.notify_all()
        return done

    def notify(self) -> None:
        """Say that the ledger grew by another way than :meth:`accept`."""
        self._news.set()

    def lag(self) -> int:
        """Durable ledger entries that the graph has not seen."""
        return max(0, self._ledger.size() - self._graph.position())

    def wait(self, timeout: float = 2.0) -> int:
        """Wait at most ``timeout`` seconds until all that is durable now is projected; returns how many entries are not."""
        target = self._ledger.size()

        def left() -> int:
            return max(0, target - self._graph.position())

        if left():
            self._news.set()
            with self._moved:
                self._moved.wait_for(lambda: not left(), timeout)
        return left()

    def rebuild(self) -> None:
        """Forget the graph and make it anew from the ledger, in this thread; dead letters are tried again."""
        with self._turn:
            self._graph.clear()
            self._digest = None
            while self._project():
                pass
        with self._moved:
            self._moved.notify_all()

    # ── what is known of it ─────────────────────────────────────────────────────────────────
    def dead_letters(self) -> list[dict[str, Any]]:
        """``{index, identity, reason, at}`` of every entry that could not be folded, in ledger order."""
        with self._turn, self._graph.transaction() as state:
            return [json.loads(raw) for _, raw in state.scan(_DEAD)]

    def status(self) -> dict[str, Any]:
        """``{events, entries, lag, dead_letters, nodes, edges, graph_digest, error}``; ``error`` is why the projector waits."""
        with self._turn:
            position = self._graph.position()
            with self._graph.transaction() as state:
                events = int(state.get(_EVENTS) or b"0")
                dead = sum(1 for _ in state.scan(_DEAD))
            if self._digest is None or self._digest[0] != position:
                self._digest = (position, graph_digest(self._graph.nodes(), self._graph.edges()))
            counts = self._graph.counts()
        entries = self._ledger.size()
        return {
            "events": events,
            "entries": entries,
            "lag": max(0, entries - position),
            "dead_letters": dead,
            "nodes": counts["nodes"],
            "edges": counts["edges"],
            "graph_digest": self._digest[1],
            "error": self._trouble,
        }

    def _run(self) -> None:
        while not self._stopping:
            self._news.clear()
            try:
                done = self.project()
                self._trouble = None
            except StoreUnavailable as error:
                done = 0
                self._say(error.message)
            except Exception as error:  # noqa: BLE001 - the projector must outlive every fault; it is said in status() and logged
                done = 0
                self._say(f"{type(error).__name__}: {error}")
            if not done and not self._stopping:
                self._news.wait(self._pause)

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            _log.error("the projector waits at entry %d: %s", self._graph.position(), trouble)
        self._trouble = trouble

    def _project(self) -> int:
        first = self._graph.position()
        entries = _within(self._ledger.entries(first, _BATCH), _BATCH_BYTES)
        if not entries:
            return 0
        try:
            self._fold(entries)
        except (StoreUnavailable, MemoryError):
            raise
        except Exception:  # noqa: BLE001 - one of the batch is poison: find it by folding each alone
            for entry in entries:
                self._fold_alone(entry)
        return len(entries)

    def _fold(self, entries: Sequence[LedgerEntry]) -> None:
        """Fold the entries in one transaction; other kinds, and payloads that were destroyed, only move the position."""
        with self._graph.transaction() as state:
            fold = Fold(state)
            events = 0
            for entry in entries:
                delta = GraphDelta(recorded_at=entry.recorded_at)
                if entry.kind == EVENT_KIND:
                    events += 1
                    if entry.payload is None:
                        self._forget([entry.identity])
                    else:
                        delta = fold.fold(self._event(entry.payload, entry.identity), recorded_at=entry.recorded_at)
                self._graph.apply(delta, entry.index + 1)
            _count(state, events)

    def _remember(self, event: RunEvent, size: int) -> None:
        """Keep what was parsed at the door for the fold that follows; when many wait, they are parsed again."""
        with self._parsed_lock:
            if event.digest not in self._parsed and self._parsed_bytes + size <= _PARSED_BYTES:
                self._parsed[event.digest] = (event, size)
                self._parsed_bytes += size

    def _forget(self, identities: Iterable[str | None]) -> None:
        with self._parsed_lock:
            for identity in identities:
                self._parsed_bytes -= self._parsed.pop(identity or "", (None, 0))[1]

    def _event(self, payload: bytes, identity: str | None) -> RunEvent:
        """The event of a ledger entry, whose identity is the event's digest."""
        with self._parsed_lock:
            event, size = self._parsed.pop(identity or "", (None, 0))
            self._parsed_bytes -= size
        return event or parse_event(payload)

    def _fold_alone(self, entry: LedgerEntry) -> None:
        try:
            self._fold([entry])
        except (StoreUnavailable, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this entry's; it is kept with its reason and logged
            _log.exception("ledger entry %d cannot be folded: it is a dead letter", entry.index)
            letter = {
                "index": entry.index,
                "identity": entry.identity,
                "reason": f"{type(error).__name__}: {error}",
                "at": self._clock.now(),
            }
            with self._graph.transaction() as state:
                state.put(f"{_DEAD}{entry.index:020d}", json.dumps(letter, sort_keys=True).encode("utf-8"))
                _count(state, 1)
                self._graph.apply(GraphDelta(recorded_at=entry.recorded_at), entry.index + 1)


def _count(state: FoldState, more: int) -> None:
    if more:
        state.put(_EVENTS, b"%d" % (int(state.get(_EVENTS) or b"0") + more))


def _within(entries: Sequence[LedgerEntry], limit: int) -> Sequence[LedgerEntry]:
    """The first entries whose payloads stay within ``limit`` bytes, at least one: large events do not pile up in memory."""
    total = 0
    for count, entry in enumerate(entries):
        total += len(entry.payload or b"")
        if total > limit and count:
            return entries[:count]
    return entries
