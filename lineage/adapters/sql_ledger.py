"""The ledger on SQLite or PostgreSQL: reads by the driver alone, one writer thread behind everything that changes it.

The writer (:mod:`lineage.adapters.sql_ledger_writer`) is SQLAlchemy's and costs a third of a second to import, so it is opened by the
first append; the tables of a new ledger are made at once. Readers have connections of their own and see committed data only.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lineage.adapters.sql_ledger_file import SqliteFile, suits
from lineage.adapters.sql_ledger_place import Place
from lineage.adapters.sql_ledger_reads import LedgerReads
from lineage.ledger import notes
from lineage.ledger.entries import SALT_SIZE
from lineage.model import Checkpoint, LedgerEntry, NewEntry
from lineage.ports import Clock, KeyStore, LedgerTx, Reducer

if TYPE_CHECKING:
    from lineage.adapters.sql_ledger_writer import LedgerWriter

__all__ = ["SqlLedger"]

T = TypeVar("T")


class _Salts:
    """Fresh random bytes, drawn from the system for many entries at a time; each is given out once."""

    def __init__(self) -> None:
        self._drawn: Iterator[bytes] = iter(())
        self._lock = threading.Lock()

    def __call__(self) -> bytes:
        with self._lock:
            salt = next(self._drawn, None)
            if salt is None:
                many = secrets.token_bytes(SALT_SIZE * _SALTS)
                self._drawn = iter([many[at : at + SALT_SIZE] for at in range(0, len(many), SALT_SIZE)])
                salt = next(self._drawn)
            return salt


_SALTS = 256


class SqlLedger(LedgerReads):
    """The append-only log in a database (:class:`lineage.ports.Ledger`).

    Args:
        place: a SQLite file's path, or where else the tables lie.
        keys: holds the Ed25519 key ``checkpoint``.
        origin: name of this log in its checkpoints, without spaces or plus.
        clock: when an entry is recorded.
        reducer: what an entry changes in the control records.
        salt: 32 fresh random bytes for each entry; the system's where it is not given.

    Raises:
        StoreUnavailable: the place cannot be used, or has another schema version.
        Tampered: it is damaged.
    """

    def __init__(
        self,
        place: Path | Place,
        *,
        keys: KeyStore,
        origin: str,
        clock: Clock,
        reducer: Reducer | None = None,
        salt: Callable[[], bytes] | None = None,
    ) -> None:
        notes.checkpoint_text(origin, 0, b"")  # refuses a bad origin before anything is written
        super().__init__(SqliteFile(place) if isinstance(place, Path) else place, keys=keys, origin=origin)
        self._clock = clock
        self._reducer = reducer
        self._salt = salt or _Salts()
        self._opening = threading.Lock()
        self._writer: LedgerWriter | None = None
        self._place.make()
        try:
            with self._reading() as db:
                version = self._place.version(db)
            if version is None:
                self._writing()
            else:
                suits(version, self._place.name)
        except BaseException:
            self.close()
            raise

    def append(self, entries: Sequence[NewEntry]) -> list[LedgerEntry]:
        """The entries as durable, in order; one whose identity is there already comes back with ``duplicate=True``.

        Raises:
            StoreUnavailable: full disk, locked file, server away; nothing was written, or the message says that it is not known.
            Tampered: the log no longer fits its last checkpoint, so nothing may be added to it.
        """
        return self._writing().append(entries)

    def transact(self, work: Callable[[LedgerTx], T]) -> T:
        """What ``work`` returns, once all that it appended is durable; when it raises, nothing of it is there.

        ``work`` runs in the writer's thread and should be short; it uses the given transaction, never this ledger.
        """
        return self._writing().transact(work)

    def checkpoint(self) -> Checkpoint:
        """The present tree, signed and stored; the last checkpoint again when nothing was added."""
        return self._writing().checkpoint()

    def redact(self, index: int, *, actor: str, reason: str, replacement: bytes | None = None) -> LedgerEntry | None:
        """Destroy an entry's payload and salt; returns the entry that says so, or ``None`` when it was done before.

        The leaf stays, so every proof holds. ``replacement`` is what every fold reads in its place. The bytes leave the store's
        files (:meth:`empty_wal`). Records made by one of Govern's own acts are folded again.

        Raises:
            NotFound: there is no such entry.
            StoreUnavailable: nothing was written, or readers kept the write-ahead log from being emptied (then repeat it).
        """
        return self._writing().redact(index, actor=actor, reason=reason, replacement=replacement)

    def destroy_payload(self, index: int, *, actor: str = "system", reason: str = "erased") -> LedgerEntry | None:
        """:meth:`redact` with nothing in its place."""
        return self.redact(index, actor=actor, reason=reason)

    def retire(self, indexes: Sequence[int], *, actor: str, reason: str, snapshot: int, position: int) -> LedgerEntry | None:
        """Destroy payload and salt of these entries, one more entry says so (:mod:`lineage.ledger.retired`); ``None``: none was left.

        Both happen in one transaction. :meth:`empty_wal` takes the destroyed bytes out of the write-ahead log too.

        Args:
            indexes: at most some thousands.
            actor: who destroys them.
            reason: why.
            snapshot: index of the entry with the manifest of the snapshot in which stands what they said.
            position: how many entries that snapshot stands for.

        Raises:
            Tampered: one of them does not match its leaf; nothing was destroyed.
        """
        return self._writing().retire(indexes, actor=actor, reason=reason, snapshot=snapshot, position=position)

    def empty_wal(self) -> None:
        """Leave no destroyed byte in the store's files: SQLite's write-ahead log is emptied, PostgreSQL's tables are written anew.

        Raises:
            StoreUnavailable: a reader kept it from that; then repeat it.
        """
        self._writing().empty_wal()

    def rebuild_records(self) -> int:
        """Fold the control records again from the log; returns how many entries were folded."""
        return self._writing().rebuild_records()

    def close(self) -> None:
        """Let the waiting work finish, then let go of the store. Later calls raise ``StoreUnavailable``."""
        with self._gate:
            self._closed = True
        with self._opening:
            if self._writer is not None:
                self._writer.close()
        self._close_readers()

    def _writing(self) -> LedgerWriter:
        """The writer, opened by the first who needs it."""
        with self._opening:
            self._check_open()
            if self._writer is None:
                from lineage.adapters.sql_ledger_writer import LedgerWriter

                self._writer = LedgerWriter(
                    self._place,
                    keys=self._keys,
                    origin=self._origin,
                    clock=self._clock,
                    reducer=self._reducer,
                    salt=self._salt,
                )
            return self._writer
