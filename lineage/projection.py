"""The projector: a thread that folds the ledger into the graph, in order, each entry once.

The graph's position is the number of ledger entries it has seen, and moves in the same transaction as what they changed, so that
a crash anywhere loses nothing and repeats nothing.

An entry that cannot be folded becomes a dead letter with its reason and the projector goes on; a store that cannot be used
(full disk) is no fault of the entry: the projector waits and tries again from where it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, Protocol

from lineage.errors import StoreUnavailable, Tampered
from lineage.graph import Fold, graph_digest
from lineage.graph.keys import dataset_key, job_key, run_key
from lineage.graph.state import dump, load, stamp
from lineage.ledger.replaced import Replacements
from lineage.model import GraphDelta, LedgerEntry, RunEvent
from lineage.openlineage import CheckedEvent, parse_event, read_event
from lineage.ports import Clock, FoldState, GraphStore, Ledger
from lineage.retention import Archive, restore
from lineage.standing import DEAD, EVENTS, MENDED

__all__ = ["EVENT_KIND", "Parsed", "Projector", "Watcher"]

EVENT_KIND = "openlineage"
"""Kind of the ledger entries that hold a received event."""

_BATCH = 1000
_BATCH_BUSY = 50
"""While others wait a batch takes longer, and is read once it ends."""
_BATCH_BYTES = 32 * 1024 * 1024
_PARSED_BYTES = 16 * 1024 * 1024
"""JSON bytes of the events that are kept parsed between the door and the fold."""
_REFUSED = 30.0
"""Seconds after which a snapshot that cannot be used is looked at again: it may be large."""
_HOUR = 3_600_000_000_000
REST_SECONDS: Final = 0.02
"""The longest rest after an event while others wait: some fifty events a second are folded all the same."""
_NAP_SECONDS = 0.002
_FLOWS = ("READ_BY", "WRITES", "DECLARED_INPUT", "DECLARED_OUTPUT")
"""Types of the edges between jobs and datasets."""
_FLOW_KEYS = tuple(f"{kind.lower()}:" for kind in _FLOWS)
_log = logging.getLogger(__name__)


class Parsed:
    """What was parsed at the door, kept for the fold that follows; when many wait, they are parsed again."""

    def __init__(self) -> None:
        self.size = 0
        self._events: dict[str, tuple[CheckedEvent, int]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._events)

    def keep(self, event: CheckedEvent, size: int) -> None:
        """Keep an event of ``size`` JSON bytes, if there is room."""
        with self._lock:
            if event.digest not in self._events and self.size + size <= _PARSED_BYTES:
                self._events[event.digest] = (event, size)
                self.size += size

    def forget(self, identities: Iterable[str | None]) -> None:
        """Drop these."""
        with self._lock:
            for identity in identities:
                self.size -= self._events.pop(identity or "", (None, 0))[1]

    def take(self, payload: bytes, identity: str | None) -> RunEvent:
        """The event of a ledger entry, whose identity is the event's digest; no longer kept."""
        with self._lock:
            event, size = self._events.pop(identity or "", (None, 0))
            self.size -= size
        if event is not None:
            return read_event(event)
        parsed = parse_event(payload)
        # what was redacted at the door has another digest than the event as it was sent, which is its identity
        return parsed if identity in (None, parsed.digest) else dataclasses.replace(parsed, digest=identity)


class Watcher(Protocol):
    """Is told what a batch changes, so that what was made of it before is made anew."""

    def changing(self, keys: Collection[str], flows: Collection[tuple[str, str]], *, cut: bool, first: int, position: int) -> None:
        """Before the batch can be read.

        Args:
            keys: the nodes it speaks of or changes.
            flows: (source, target) of the edges between jobs and datasets that it makes or changes.
            cut: whether an edge between a job and a dataset vanished.
            first: where the graph stands.
            position: where it will stand.
        """
        ...

    def changed(self) -> None:
        """The batch can be read, or was given up."""
        ...

    def cleared(self) -> None:
        """The graph is made anew."""
        ...


class Projector:
    """Keeps the graph up with the ledger. Safe to call from many threads.

    Where events were retired, a graph that does not yet stand where their snapshot does is filled from that first
    (:mod:`lineage.retention`); while that is impossible the projector waits and says why.

    Args:
        ledger: what is folded.
        graph: the projection; only this object writes it.
        clock: the time of dead letters.
        pause: seconds the thread waits for news, and after a store was unavailable.
        archive: the snapshots from which a graph begins.
    """

    def __init__(self, ledger: Ledger, graph: GraphStore, clock: Clock, *, pause: float = 0.5, archive: Archive | None = None) -> None:
        self.parsed = Parsed()
        self.archive = archive or Archive(ledger)
        self._ledger = ledger
        self._replaced = Replacements(ledger)
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
        self._watchers: tuple[Watcher, ...] = ()
        self._refusal: tuple[float, StoreUnavailable] | None = None  # until when no snapshot is looked for again, and why
        self._next: int | None = None  # the entry to fold next; a store may be ahead of what its readers see
        self._told = 0  # the position of which the watchers were told last
        self._busy: Callable[[], bool] = lambda: False
        self._waiting = 0  # threads in wait()

    def give_way(self, busy: Callable[[], bool]) -> None:
        """Rest between events while ``busy()``, so that acknowledgements come first; not while anybody is in :meth:`wait`.

        The rest is bounded (:data:`REST_SECONDS` an event), so the graph gets on under any load.
        """
        self._busy = busy

    def watch(self, watcher: Watcher) -> None:
        """Tell ``watcher`` of every batch from now on; returns once no batch is under way."""
        with self._turn:
            self._watchers = (*self._watchers, watcher)

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
                self._waiting += 1
                try:
                    self._moved.wait_for(lambda: not left(), timeout)
                finally:
                    self._waiting -= 1
        return left()

    def rebuild(self) -> None:
        """Forget the graph and make it anew from the ledger, in this thread; dead letters are tried again."""
        self.begin_anew()
        with self._turn:
            while self._project():
                pass
        with self._moved:
            self._moved.notify_all()

    def begin_anew(self, *, force: bool = False) -> None:
        """Forget the graph; the thread makes it anew from the ledger, after a crash too, and :meth:`lag` says how far it is.

        Raises:
            StoreUnavailable: events were retired, and no snapshot can be used; the graph stays as it is.
            Conflict: the store holds what is not this graph's, and ``force`` does not say to delete that.
        """
        if self.archive.needed():
            self.archive.newest()  # before the graph is given up, which may be the last to hold what was retired
        with self._turn:
            self._graph.clear(force=force)
            self._digest = self._next = self._refusal = None
            self._told = 0
            for watcher in self._watchers:
                watcher.cleared()
        self._news.set()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Inside, nothing is projected, and the graph is settled where :meth:`lag` says."""
        with self._turn:
            self._graph.settle()
            yield

    def replay(self, start: int | None = None) -> dict[str, int]:
        """Fold dead letters again, or every entry from index ``start`` on, each by itself: after an upgrade that reads more.

        Returns:
            ``{tried, folded, dead}``. What was folded already changes nothing.
        """
        tried = folded = 0
        with self._turn:
            self._next = None
            self._begin()
            position = self._graph.position()
            for entry in self._entries(iter(self._dead() if start is None else range(start, position))):
                tried += 1
                folded += self._fold_again(entry, position)
            self._graph.settle()
            self._digest = None
            for watcher in self._watchers:
                watcher.cleared()
        with self._moved:
            self._moved.notify_all()
        return {"tried": tried, "folded": folded, "dead": tried - folded}

    def _begin(self) -> None:
        """Settle the graph where the fold goes on; one that lacks what was retired is filled from the newest snapshot.

        Raises:
            StoreUnavailable: there is no such snapshot, or it cannot be used.
        """
        self._graph.settle()
        if self._graph.position() >= self.archive.needed():
            return
        if self._refusal is not None and time.monotonic() < self._refusal[0]:
            raise self._refusal[1]
        try:
            snapshot = self.archive.newest()
            self._graph.clear()
            _log.info("the graph begins from the snapshot of entry %d, at entry %d", snapshot.entry, snapshot.position)
            restore(self._graph, self.archive.records(snapshot), snapshot.position)
        except Tampered as error:
            unusable = StoreUnavailable(f"the graph cannot be made from its snapshot: {error.message}", hint=error.hint)
            self._refusal = (time.monotonic() + _REFUSED, unusable)
            raise unusable from error
        except StoreUnavailable as error:
            self._refusal = (time.monotonic() + _REFUSED, error)
            raise
        for entry in self._entries(iter(self._dead())):  # their payloads are kept
            self._fold_again(entry, snapshot.position)
        self._graph.settle()
        self._refusal = self._digest = None
        for watcher in self._watchers:
            watcher.cleared()

    def _dead(self) -> list[int]:
        return [int(key.removeprefix(DEAD)) for key, _ in self._graph.state().scan(DEAD)]

    def _entries(self, indexes: Iterator[int]) -> Iterator[LedgerEntry]:
        for entry in self._replaced.said(map(self._ledger.entry, indexes)):
            if entry.kind == EVENT_KIND and entry.payload is not None:
                yield entry

    def _fold_again(self, entry: LedgerEntry, position: int) -> bool:
        assert entry.payload is not None
        try:
            event = self.parsed.take(entry.payload, entry.identity)
            letter = f"{DEAD}{entry.index:020d}"
            with self._graph.transaction() as state:
                self._graph.apply(Fold(state).fold(event, recorded_at=entry.recorded_at), position)
                types = _index(state, event, entry.index, self._replaced.given)
                if state.get(letter) is not None:  # it was counted as an event when it died, but not under its type
                    _count_types(state, Counter([types]))
                    state.delete(letter)
        except (StoreUnavailable, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - it stays dead, with today's reason
            with self._graph.transaction() as state:
                state.put(f"{DEAD}{entry.index:020d}", self._letter(entry, error))
            return False
        return True

    # ── what is known of it ─────────────────────────────────────────────────────────────────
    @property
    def trouble(self) -> str | None:
        """Why the thread waits, when it does."""
        return self._trouble

    def digest(self) -> str:
        """The graph's digest as it stands between two batches; read again only when the graph moved."""
        with self._turn:
            self._graph.settle()
            position = self._graph.position()
            if self._digest is None or self._digest[0] != position:
                self._digest = (position, graph_digest(self._graph.nodes(), self._graph.edges()))
            return self._digest[1]

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
                self._say(f"{type(error).__name__}: {error}", logged=type(error).__name__)
            if not done and not self._stopping:
                self._news.wait(self._pause)

    def _say(self, trouble: str, *, logged: str | None = None) -> None:
        """Keep why the thread waits; ``logged`` goes into the log in its place, where it may quote data."""
        if trouble != self._trouble:
            _log.error("the projector waits at entry %d: %s", self._graph.position(), logged or trouble)
        self._trouble = trouble

    def _project(self) -> int:
        if self._next is None:
            self._begin()
            self._next = self._graph.position()
            self._changed()
        entries = _within([*self._replaced.said(self._ledger.entries(self._next, _BATCH_BUSY if self._busy() else _BATCH))], _BATCH_BYTES)
        first, self._next = self._next, None  # whatever fails from here on, it is asked anew where the store stands
        if not entries:
            self._graph.settle()
        else:
            try:
                self._fold(entries)
            except (StoreUnavailable, MemoryError):
                raise
            except Exception:  # noqa: BLE001 - one of the batch is poison: find it by folding each alone
                for entry in entries:
                    self._fold_alone(entry)
        self._next = first + len(entries)
        if self._graph.position() >= self._told:
            self._changed()
        return len(entries)

    def _changed(self) -> None:
        """All that the watchers were told of can be read, or was given up."""
        if self._told:
            self._told = 0
            for watcher in self._watchers:
                watcher.changed()

    def _fold(self, entries: Sequence[LedgerEntry]) -> None:
        """Fold the entries in one transaction; other kinds, and payloads that were destroyed, only move the position."""
        touched: set[str] = set()
        flows: set[tuple[str, str]] = set()
        cut = False
        types: Counter[tuple[int, str]] = Counter()
        with self._graph.transaction() as state:
            fold = Fold(state)
            events = 0
            parsed = {entry.index: self._event(entry) for entry in entries if entry.kind == EVENT_KIND}
            fold.expect(event for event in parsed.values() if event is not None)
            for entry in entries:
                delta = GraphDelta(recorded_at=entry.recorded_at)
                if entry.kind == EVENT_KIND:
                    events += 1
                    event = parsed.pop(entry.index)
                    if event is not None:
                        delta = fold.fold(event, recorded_at=entry.recorded_at)
                        types[_index(state, event, entry.index, self._replaced.given)] += 1
                        if self._watchers:
                            touched |= _touched(event, delta)
                            flows.update((edge.source, edge.target) for edge in delta.edges if edge.type in _FLOWS)
                            cut = cut or any(key.startswith(_FLOW_KEYS) for key in delta.removed_edges)
                self._graph.apply(delta, entry.index + 1)
                self._rest()
            _count(state, events)
            _count_types(state, types)
            self._told = entries[-1].index + 1
            for watcher in self._watchers:
                watcher.changing(touched, flows, cut=cut, first=entries[0].index, position=entries[-1].index + 1)

    def _rest(self) -> None:
        begin = time.monotonic()
        while self._busy() and not self._waiting and not self._stopping and time.monotonic() - begin < REST_SECONDS:
            time.sleep(_NAP_SECONDS)

    def _event(self, entry: LedgerEntry) -> RunEvent | None:
        """The event of an entry; ``None`` when its payload was destroyed."""
        if entry.payload is None:
            self.parsed.forget([entry.identity])
            return None
        return self.parsed.take(entry.payload, entry.identity)

    def _fold_alone(self, entry: LedgerEntry) -> None:
        try:
            self._fold([entry])
        except (StoreUnavailable, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this entry's: kept with its reason, logged without (it may quote data)
            _log.error("ledger entry %d cannot be folded, it is a dead letter: %s", entry.index, type(error).__name__)
            with self._graph.transaction() as state:
                state.put(f"{DEAD}{entry.index:020d}", self._letter(entry, error))
                _count(state, 1)
                self._graph.apply(GraphDelta(recorded_at=entry.recorded_at), entry.index + 1)

    def _letter(self, entry: LedgerEntry, error: Exception) -> bytes:
        reason = f"{type(error).__name__}: {error}"
        letter = {"index": entry.index, "identity": entry.identity, "reason": reason, "at": self._clock.now()}
        return json.dumps(letter, sort_keys=True).encode("utf-8")


def _touched(event: RunEvent, delta: GraphDelta) -> set[str]:
    """The nodes that an event speaks of, and those it changes, the ends of edges that vanish included."""
    refs = (*event.inputs, *event.outputs, *((event.dataset,) if event.dataset else ()))
    keys = {dataset_key(ref.namespace, ref.name) for ref in refs}
    if event.job is not None:
        keys.add(job_key(event.job.namespace, event.job.name))
    if event.run_id is not None:
        keys.add(run_key(event.run_id))
    keys.update(node.key for node in delta.nodes)
    keys.update(delta.removed_nodes)
    for edge in delta.edges:
        keys.add(edge.source)
        keys.add(edge.target)
    for ends in delta.removed_ends:  # a run that read a dataset under two names loses an edge and gains none when they become one
        keys.update(ends)
    return keys


def _index(state: FoldState, event: RunEvent, index: int, redacted: Collection[int]) -> tuple[int, str]:
    """Put the event among the events by time; returns the hour in which it took place, and its type."""
    if index in redacted:
        state.put(f"{MENDED}{index:020d}", b"")
    said = event.digest if event.kind == "run" else f"{event.digest} {event.kind}"
    state.put(f"ev/{stamp(event.event_time)}/{index:020d}", said.encode("ascii"))
    return event.event_time // _HOUR * _HOUR, event.event_type


def _count_types(state: FoldState, types: Counter[tuple[int, str]]) -> None:
    """Add to the hours in which events took place how many of each type did."""
    hours: dict[int, Counter[str]] = {}
    for (hour, kind), count in types.items():
        hours.setdefault(hour, Counter())[kind] += count
    for hour, found in hours.items():
        key = f"hr/{stamp(hour)}"
        state.put(key, dump(dict(sorted((found + Counter(load(state, key) or {})).items()))))


def _count(state: FoldState, more: int) -> None:
    if more:
        state.put(EVENTS, b"%d" % (int(state.get(EVENTS) or b"0") + more))


def _within(entries: Sequence[LedgerEntry], limit: int) -> Sequence[LedgerEntry]:
    """The first entries whose payloads stay within ``limit`` bytes, at least one: large events do not pile up in memory."""
    total = 0
    for count, entry in enumerate(entries):
        total += len(entry.payload or b"")
        if total > limit and count:
            return entries[:count]
    return entries
