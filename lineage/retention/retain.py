"""Destroy the payloads of events that are older than an age, in an order in which nothing is lost wherever it is cut off.

1. All of them are folded: an event that waits for the graph stops the act, one that could not be folded (a dead letter) keeps its payload.
2. A snapshot that holds what they said is there: the newest one when it does, else a new one is written. Its file is durable first, then
   the entry with its signed digest. A file without an entry is removed by the next run.
3. The file is read back, every record of it, and held against what was signed.
4. The payloads are destroyed, some thousands in a transaction with the entry that announces them. Before each the graph is looked at
   again: while it is made anew nothing is destroyed.
5. Snapshots that no rebuild may begin from any more are deleted, and the write-ahead log is emptied.

The projector stands still while a snapshot is written and while one transaction destroys; events are taken all the while.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from lineage.errors import BadInput, Conflict
from lineage.model import LedgerEntry
from lineage.ports import Clock, GraphStore, KeyStore, RetiringLedger, SnapshotFiles
from lineage.retention.archive import Archive
from lineage.retention.manifest import Snapshot, opened, sealed
from lineage.retention.records import Record, Tally, packed, records_of
from lineage.standing import DEAD, MENDED

__all__ = ["Retention"]

_EVENT: Final = "openlineage"
_KEY: Final = "checkpoint"
_EVENTS_AT_ONCE: Final = 2000
_BYTES_AT_ONCE: Final = 16 * 1024 * 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Old:
    """What is to be destroyed: how many events, their bytes, and those that stay because they are dead letters."""

    events: int
    size: int
    dead: int
    last: int


class Retention:
    """The retention of one home's events. One run at a time.

    Args:
        ledger: whose payloads are destroyed.
        graph: what they were folded into.
        hold: the projector stands still inside it, and the graph is settled.
        wait: waits a moment for the graph; returns how many entries it lacks.
        archive: the snapshots.
        files: where these lie.
        keys: holds the key ``checkpoint``.
        clock: the time.
        origin: the ledger's name in its signed notes.
        generator: name and version of this program: a snapshot of another one is not used again.
    """

    def __init__(
        self,
        *,
        ledger: RetiringLedger,
        graph: GraphStore,
        hold: Callable[[], AbstractContextManager[None]],
        wait: Callable[[], int],
        archive: Archive,
        files: SnapshotFiles,
        keys: KeyStore,
        clock: Clock,
        origin: str,
        generator: str,
    ) -> None:
        self._ledger = ledger
        self._graph = graph
        self._hold = hold
        self._wait = wait
        self._archive = archive
        self._files = files
        self._keys = keys
        self._clock = clock
        self._origin = origin
        self._generator = generator
        self._turn = threading.Lock()
        self._stopping = False

    def stop(self) -> None:
        """End a run under way at its next step; what was done stays, and another run goes on from there."""
        self._stopping = True

    def run(self, older_than: int, *, actor: str, dry_run: bool = False) -> dict[str, Any]:
        """Retire what was recorded longer ago than ``older_than`` nanoseconds.

        Returns:
            ``{recorded_before, events, bytes, dead_letters_kept, snapshot, entries, dry_run}``; ``snapshot`` is ``None`` where none is
            needed, else ``{entry, position, sha256, bytes, graph_digest, new}``; of a dry run only ``{new, position}``.

        Raises:
            BadInput: the age is not above 0.
            Conflict: another run is under way; events of that age are not folded yet; the graph holds what was redacted.
            Tampered: an entry does not match its leaf, or a snapshot is not what was written.
            StoreUnavailable: a store cannot be used; what was done stays, and the run can be repeated.
        """
        if older_than <= 0:
            raise BadInput("the age is not above 0", hint="for example --older-than 90d")
        if not self._turn.acquire(blocking=False):
            raise Conflict("events are being retired already", hint="wait for that run: govern lineage status")
        try:
            until = self._clock.now() - older_than
            self._must_be_folded(until)
            old = self._old(until)
            answer: dict[str, Any] = {"recorded_before": until, "events": old.events, "bytes": old.size, "dead_letters_kept": old.dead}
            answer |= {"snapshot": None, "entries": [], "dry_run": dry_run}
            snapshot = self._there(until) if old.events else None
            if dry_run:
                if old.events:
                    answer["snapshot"] = {
                        "new": snapshot is None,
                        "position": snapshot.position if snapshot is not None else self._graph.position(),
                    }
                return answer
            if old.events:
                new = snapshot is None
                snapshot = snapshot or self._write(actor)
                self._archive.verify(snapshot)
                answer["snapshot"] = {
                    "entry": snapshot.entry, "position": snapshot.position, "sha256": snapshot.sha256, "bytes": snapshot.size,
                    "graph_digest": snapshot.said["graph_digest"], "new": new,
                }  # fmt: skip
                done = [*self._destroy(until, snapshot, actor)]
                answer |= {
                    "entries": [entry.index for entry, _, _ in done],
                    "events": sum(count for _, count, _ in done),
                    "bytes": sum(size for _, _, size in done),
                }
                self._tidy()
            self._ledger.empty_wal()
            return answer
        finally:
            self._turn.release()

    # ── what is old ─────────────────────────────────────────────────────────────────────────────
    def _must_be_folded(self, until: int) -> None:
        self._wait()
        position, size = self._graph.position(), self._ledger.size()
        if self._ledger.old_payloads(_EVENT, start=position, end=size, until=until, limit=1):
            raise Conflict(
                f"events of that age are not in the graph yet: it is at entry {position} of {size}",
                hint="govern lineage status says why; run this again when lag is 0",
            )

    def _old(self, until: int) -> _Old:
        events = size = dead = 0
        last = -1
        letters = self._dead()
        for index, length in self._listed(until, self._graph.position()):
            if index in letters:
                dead += 1
            else:
                events, size, last = events + 1, size + length, index
        return _Old(events, size, dead, last)

    def _listed(self, until: int, end: int) -> Iterator[tuple[int, int]]:
        start = 0
        while page := self._ledger.old_payloads(_EVENT, start=start, end=end, until=until, limit=_EVENTS_AT_ONCE):
            yield from page
            start = page[-1][0] + 1

    def _dead(self) -> set[int]:
        return {int(key.removeprefix(DEAD)) for key, _ in self._graph.state().scan(DEAD)}

    # ── the snapshot ────────────────────────────────────────────────────────────────────────────
    def _there(self, until: int) -> Snapshot | None:
        """The newest snapshot, when it holds what all the old events said; a run every day then needs a new one seldom."""
        ignored: list[str] = []
        snapshot = next(self._archive.usable(ignored), None)
        if snapshot is None or snapshot.generator != self._generator or snapshot.sha256 not in self._files.names():
            return None
        letters = self._dead()
        old = (index for index, _ in self._listed(until, self._graph.position()) if index not in letters)
        return snapshot if all(map(snapshot.holds, old)) else None

    def _write(self, actor: str) -> Snapshot:
        tally = Tally()
        with self._hold():
            position = self._graph.position()
            redacted = self._archive.redacted()
            dead = sorted(self._dead())
            sha256 = self._files.write(packed(self._checked(records_of(self._graph), redacted), tally))
        size = sum(map(len, self._files.read(sha256)))
        new = sealed(
            position=position, tree_root=self._ledger.root(position), sha256=sha256, size=size, said=tally.said(), dead=dead,
            generator=self._generator, created_at=self._clock.now(), origin=self._origin,
            public=self._keys.public_ed25519(_KEY), sign=lambda message: self._keys.sign_ed25519(_KEY, message), actor=actor,
        )  # fmt: skip
        (entry,) = self._ledger.append([new])
        _log.info("snapshot of the graph at entry %d: %d bytes", position, size)
        return opened(entry, origin=self._origin, public=self._keys.public_ed25519(_KEY))

    def _checked(self, records: Iterator[Record], redacted: dict[int, int]) -> Iterator[Record]:
        """The records, unless the graph still holds an event that was redacted since it was folded."""
        state = self._graph.state()
        folded_since = {int(key.removeprefix(MENDED)) for key, _ in state.scan(MENDED)}
        for record in records:
            self._go_on()
            key = record[0]
            if not isinstance(key, str) or not key.startswith("ev/"):
                yield record
                continue
            if (index := int(key.rsplit("/", 1)[1])) in redacted and index not in folded_since:
                raise Conflict(
                    f"the graph still holds what entry {index} said, which was redacted", hint="govern lineage rebuild, then run this again"
                )
            yield record

    def _go_on(self) -> None:
        if self._stopping:
            raise Conflict("the home is being closed", hint="run it again: it goes on from here")

    # ── the end of the payloads ─────────────────────────────────────────────────────────────────
    def _destroy(self, until: int, snapshot: Snapshot, actor: str) -> Iterator[tuple[LedgerEntry, int, int]]:
        """Destroy, some at a time: (the entry that says so, how many, their bytes)."""
        start = 0
        while True:
            self._go_on()
            with self._hold():
                if self._graph.position() < snapshot.position:
                    raise Conflict("the graph is being made anew", hint="run this again when govern lineage status has lag 0")
                page = self._ledger.old_payloads(_EVENT, start=start, end=snapshot.position, until=until, limit=_EVENTS_AT_ONCE)
                if not page:
                    return
                some = _within(page)
                letters = self._dead()
                chosen = [(index, size) for index, size in some if index not in letters and snapshot.holds(index)]
                said = None
                if chosen:
                    said = self._ledger.retire(
                        [index for index, _ in chosen], actor=actor, reason="retention", snapshot=snapshot.entry, position=snapshot.position
                    )  # fmt: skip
            start = some[-1][0] + 1
            if said is not None:
                yield said, len(chosen), sum(size for _, size in chosen)

    def _tidy(self) -> None:
        """Once a snapshot was verified: delete those that no rebuild may begin from (too old, redacted since, or never entered)."""
        ignored: list[str] = []
        kept = {snapshot.sha256 for snapshot in self._archive.usable(ignored)}
        for digest in self._files.names() - kept:
            self._files.remove(digest)


def _within(page: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The first of them that come to no more than :data:`_BYTES_AT_ONCE`, at least one."""
    total = 0
    for count, (_, size) in enumerate(page):
        total += size
        if total > _BYTES_AT_ONCE and count:
            return page[:count]
    return page
