"""The writing half of the ledger: one writer thread, group commit, control records in the same transaction.

The life of an append:

1. A caller's work is put on the writer's queue; the caller waits.
2. The writer takes all work that is waiting (what came while it was syncing the previous commit) into one transaction, each in a
   savepoint of its own, so that work which fails takes nothing of the others with it.
3. Entries, tree nodes and the records that the reducer changes are written; one commit syncs them to disk.
4. Only then do the callers get their answers. A commit that fails answers every one of them with the error: nothing was written.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy import exc

from lineage.adapters import sql_ledger_schema as schema
from lineage.adapters.sql_ledger_place import Place
from lineage.adapters.sql_ledger_reads import CHECKPOINT_KEY
from lineage.adapters.sql_ledger_tx import SqlTx, entry_of, rebuild
from lineage.adapters.sql_ledger_writing import writing_at
from lineage.errors import NotFound, StoreUnavailable, Tampered
from lineage.ledger import notes
from lineage.ledger.entries import matches, redaction
from lineage.ledger.retired import retired
from lineage.ledger.tree import Frontier, NodeReader, tree_root
from lineage.model import Checkpoint, LedgerEntry, NewEntry
from lineage.ports import Clock, KeyStore, LedgerTx, Reducer

__all__ = ["LedgerWriter"]

T = TypeVar("T")

_GROUP = 512
_FSCK = "govern ledger fsck"
_E, _C = schema.entries.c, schema.checkpoints.c


@dataclass(slots=True)
class _Job:
    work: Callable[[SqlTx], Any]
    future: Future[Any] = field(default_factory=Future)


class LedgerWriter:
    """A process's one writer of a ledger; opening it makes the tables of a new one.

    Args: those of :class:`lineage.adapters.sql_ledger.SqlLedger`.

    Raises:
        StoreUnavailable: the place cannot be used, or has another schema version. Tampered: it is damaged.
    """

    def __init__(
        self,
        place: Place,
        *,
        keys: KeyStore,
        origin: str,
        clock: Clock,
        reducer: Reducer | None,
        salt: Callable[[], bytes],
    ) -> None:
        self._name = place.name
        self._keys = keys
        self._origin = origin
        self._clock = clock
        self._reducer = reducer
        self._salt = salt
        self.writing = writing_at(place)
        self._frontier: Frontier | None = None
        self._written = 0
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._thread.start()

    # ── writing ─────────────────────────────────────────────────────────────────────────────────
    def append(self, entries: Sequence[NewEntry]) -> list[LedgerEntry]:
        """The entries as durable, in order; one whose identity is there already comes back with ``duplicate=True``.

        Raises:
            StoreUnavailable: full disk, locked file, server away; the message says where it is not known that nothing was written.
            Tampered: the log no longer fits its last checkpoint, so nothing may be added to it.
        """
        return self._submit(lambda tx: tx.append_all(entries))

    def transact(self, work: Callable[[LedgerTx], T]) -> T:
        """What ``work`` returns, once all that it appended is durable; when it raises, nothing of it is there.

        ``work`` runs in the writer's thread and should be short; it uses the given transaction, never this ledger.
        """
        return self._submit(work)

    def checkpoint(self) -> Checkpoint:
        """The present tree, signed and stored; the last checkpoint again when nothing was added."""
        return self._submit(self._sign)

    def redact(self, index: int, *, actor: str, reason: str, replacement: bytes | None = None) -> LedgerEntry | None:
        """Destroy an entry's payload and salt; returns the entry that says so, or ``None`` when it was done before.

        The leaf stays, so every proof holds. ``replacement`` is what every fold reads in its place. The bytes are overwritten in the
        file and its write-ahead log. Records made by one of Govern's own acts are folded again.

        Raises:
            NotFound: there is no such entry.
            StoreUnavailable: nothing was written, or readers kept the write-ahead log from being emptied (then repeat it).
        """

        def work(tx: SqlTx) -> LedgerEntry | None:
            entry = self._entry(tx.connection, index)
            if entry.payload is None:
                return None
            said = tx.append(redaction(entry, reason=reason, actor=actor, replacement=replacement))
            tx.flush()
            tx.connection.execute(sa.update(schema.entries).where(_E.idx == index).values(payload=None, salt=None))
            if entry.kind.startswith("govern."):
                rebuild(tx)
            return said

        said = self._submit(work)
        self.empty_wal()
        return said

    def retire(self, indexes: Sequence[int], *, actor: str, reason: str, snapshot: int, position: int) -> LedgerEntry | None:
        """Destroy payload and salt of these entries and append the one entry that says so; ``None`` when none was left to destroy.

        Raises:
            Tampered: one of them does not match its leaf; nothing was destroyed.
        """

        def work(tx: SqlTx) -> LedgerEntry | None:
            rows = tx.connection.execute(
                sa.select(schema.entries).where(_E.idx.in_(sorted(indexes)), _E.payload.is_not(None)).order_by(_E.idx)
            )
            found = [entry_of(row) for row in rows]
            for entry in found:
                if not matches(entry):  # what was rewritten must be found while it can be
                    raise Tampered(f"entry {entry.index} does not match its leaf: it is not destroyed", hint=_FSCK)
            if not found:
                return None
            said = tx.append(retired(found, actor=actor, reason=reason, snapshot=snapshot, position=position))
            tx.flush()
            tx.connection.execute(
                sa.update(schema.entries).where(_E.idx.in_([entry.index for entry in found])).values(payload=None, salt=None)
            )
            tx.written += sum(len(entry.payload or b"") for entry in found)
            return said

        return self._submit(work)

    def empty_wal(self) -> None:
        """Take what was destroyed out of every file, as far as the database can.

        Raises:
            StoreUnavailable: a reader kept it from that; then repeat it.
        """
        self.writing.empty()

    def rebuild_records(self) -> int:
        """Fold the control records again from the log; returns how many entries were folded."""
        return self._submit(rebuild)

    def close(self) -> None:
        """Let the waiting work finish, then let go of the file. Later calls raise ``StoreUnavailable``."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        self.writing.close()

    # ── the writer ──────────────────────────────────────────────────────────────────────────────
    def _submit(self, work: Callable[[SqlTx], T]) -> T:
        if threading.current_thread() is self._thread:
            raise RuntimeError("work inside transact() uses its transaction, not the ledger: this call would wait for itself")
        job = _Job(work)
        with self._gate:
            self._check_open()
            self._queue.put(job)
        return cast("T", job.future.result())

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            group = [job]
            last = False
            with suppress(queue.Empty):
                while len(group) < _GROUP and not last:
                    more = self._queue.get_nowait()
                    if more is None:
                        last = True
                    else:
                        group.append(more)
            self._group(group)
            if last:
                return

    def _group(self, group: list[_Job]) -> None:
        """One transaction over the group, then the answers."""
        answers: list[tuple[_Job, Any, BaseException | None]] = []
        self._written = 0
        try:
            self.writing.begin()
            frontier = self._checked_frontier()
            for job in group:
                frontier = self._one(job, frontier, answers)
            self.writing.commit()
        except BaseException as error:  # noqa: BLE001 - the callers get it; the writer lives on
            self._fail(group, error)
            return
        self._frontier = frontier
        for job, value, failure in answers:
            if failure is None:
                job.future.set_result(value)
            else:
                job.future.set_exception(failure)
        self.writing.wrote(self._written)

    def _one(self, job: _Job, frontier: Frontier, answers: list[tuple[_Job, Any, BaseException | None]]) -> Frontier:
        """Run one work in its savepoint; returns the frontier after it."""
        tx = SqlTx(self.writing, frontier.copy(), clock=self._clock, salt=self._salt, reducer=self._reducer)
        self.writing.execute("SAVEPOINT work")
        try:
            value = job.work(tx)
            tx.finish()
        except BaseException as error:
            tx.abandon()
            if not self.writing.in_transaction():  # the database gave up all of it: a full disk, an I/O error, a lost connection
                raise
            self.writing.execute("ROLLBACK TO work")
            self.writing.execute("RELEASE work")
            answers.append((job, None, self._answer(error)))
            return frontier
        self.writing.execute("RELEASE work")
        answers.append((job, value, None))
        self._written += tx.written
        return tx.frontier

    def _fail(self, group: list[_Job], error: BaseException) -> None:
        """Give the error to every caller of the group, in Govern's words where it is the database's."""
        self._frontier = None
        answer = self._answer(error)
        try:
            self.writing.rollback()
        except Exception as worse:  # noqa: BLE001 - the callers get it
            answer = self._answer(worse)
        for job in group:
            job.future.set_exception(answer)

    def _answer(self, error: BaseException) -> BaseException:
        """What the caller is told: the database's errors in Govern's words where there are any."""
        known = self.writing.meaning(error.orig if isinstance(error, exc.DBAPIError) else error)
        if known is None:
            return error
        known.__cause__ = error
        return known

    def _checked_frontier(self) -> Frontier:
        """The tree's right edge; read from the tables, and held against the last checkpoint, unless this writer itself left it so."""
        size = self.writing.size()
        if self._frontier is not None and self._frontier.size == size:
            return self._frontier
        last = self.writing.connection.execute(sa.select(schema.checkpoints).order_by(_C.size.desc(), _C.id.desc()).limit(1)).one_or_none()
        if last is not None and last.size > size:
            raise Tampered(f"{self._name} was truncated: it has {size} entries, its last checkpoint signs {last.size}", hint=_FSCK)

        def ask(node: NodeReader) -> tuple[bytes | None, Frontier]:
            return None if last is None else tree_root(last.size, node), Frontier.load(size, node)

        root, frontier = self.writing.tree(ask)
        if last is not None and root != last.root:
            raise Tampered(f"{self._name} is not the log that its checkpoint of size {last.size} signs", hint=_FSCK)
        return frontier

    def _sign(self, tx: SqlTx) -> Checkpoint:
        row = tx.connection.execute(sa.select(schema.checkpoints).order_by(_C.size.desc(), _C.id.desc()).limit(1)).one_or_none()
        if row is not None and row.size == tx.frontier.size:
            return self._point(row)
        size, root = tx.frontier.size, tx.frontier.root()
        note = notes.sign_note(
            notes.checkpoint_text(self._origin, size, root),
            name=self._origin,
            public=self._keys.public_ed25519(CHECKPOINT_KEY),
            sign=lambda message: self._keys.sign_ed25519(CHECKPOINT_KEY, message),
        )
        tx.connection.execute(sa.insert(schema.checkpoints), {"size": size, "root": root, "note": note})
        return Checkpoint(origin=self._origin, size=size, root=root, note=note)

    # ── small things ────────────────────────────────────────────────────────────────────────────
    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"the ledger {self._name} is closed")

    def _entry(self, connection: sa.Connection, index: int) -> LedgerEntry:
        row = connection.execute(sa.select(schema.entries).where(_E.idx == index)).one_or_none()
        if row is None:
            raise NotFound(f"no entry {index} in a ledger of {self.writing.size()}", hint="govern ledger export")
        return entry_of(row)

    def _point(self, row: sa.Row[Any]) -> Checkpoint:
        return Checkpoint(origin=self._origin, size=row.size, root=bytes(row.root), note=row.note)
