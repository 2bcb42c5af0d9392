"""Prediction records: what was asked and answered, by which version, for whom; and their erasure. Here on SQLite.

The receipt of a prediction (id, time, deployment, model, version) is kept for ever. What was fed in and what came out, and
whose it was, is erased physically, and a tombstone names the request. On SQLite ``secure_delete`` overwrites it and the write-ahead log
is truncated; on PostgreSQL (:mod:`governance.adapters.predictions_postgres`) the table is written anew. Both have the same statements,
for the driver itself: a cold command opens these records and must not wait for a toolkit.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

from lineage.errors import BadInput, Conflict, Gone, NotFound, StoreUnavailable

__all__ = ["Connection", "Predictions", "SqlitePredictions"]

_SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS prediction (
    id TEXT PRIMARY KEY, at INTEGER NOT NULL, deployment TEXT NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL,
    subject TEXT, inputs BLOB, outputs BLOB, request TEXT, epoch TEXT
);
CREATE INDEX IF NOT EXISTS prediction_subject ON prediction (subject) WHERE subject IS NOT NULL;
CREATE INDEX IF NOT EXISTS prediction_model ON prediction (model, at);
"""
_SECOND = "ALTER TABLE prediction ADD COLUMN epoch TEXT; UPDATE prediction SET epoch='epoch-1' WHERE subject IS NOT NULL;"
"""From the first schema: there was one epoch then."""
_REF = re.compile(r"[0-9a-f]{32}")
_EPOCH = re.compile(r"epoch-[1-9][0-9]{0,8}")
_RECEIPT = ("id", "at", "deployment", "model", "version")
_KEPT = "id, at, deployment, model, version, subject, inputs, outputs, epoch"


_NAMED = "SELECT epoch, subject, COUNT(*) FROM prediction WHERE subject IS NOT NULL GROUP BY epoch, subject ORDER BY epoch, subject"


class Found(Protocol):
    """What a statement found or changed."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """A connection of a driver; values stand as ``?`` in its statements."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Found: ...


class Predictions(ABC):
    """The records of the predictions served (:class:`governance.ports.PredictionStore`), over any database; any number of threads."""

    def record(
        self,
        *,
        id: str,  # noqa: A002 - the word of the record
        at: int,
        deployment: str,
        model: str,
        version: str,
        subject_ref: str | None,
        epoch: str | None,
        inputs: bytes,
        outputs: bytes,
    ) -> None:
        """Keep one prediction, durable when this returns; the same one again changes nothing.

        Args:
            id: the prediction's id (UUIDv7).
            at: UTC nanoseconds.
            deployment: id of the deployment that answered.
            model: its model.
            version: the model version that answered.
            subject_ref: reference of the person (32 hex characters), ``None`` when the caller did not say.
            epoch: the epoch key that it was made with, ``None`` when the caller did not say who.
            inputs: the features as they came.
            outputs: the answer as it went.

        Raises:
            BadInput: ``subject_ref`` is no reference, or no epoch stands beside it. Conflict: the id was used for another prediction.
        """
        if subject_ref is not None and not _REF.fullmatch(subject_ref):
            raise BadInput(
                "a subject reference is 32 lower case hex characters; this is something else", hint="use lineage.rows.subject_ref"
            )
        if (subject_ref is None) != (epoch is None) or (epoch is not None and not _EPOCH.fullmatch(epoch)):
            raise BadInput("a subject reference comes with the epoch it was made under", hint="see governance.registry.references")
        values = (id, at, deployment, model, version, subject_ref, inputs, outputs, epoch)
        with self._change() as db:
            done = db.execute(
                f"INSERT INTO prediction ({_KEPT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",  # noqa: S608 - a constant
                values,
            )
            if not done.rowcount:
                row = db.execute(f"SELECT {_KEPT} FROM prediction WHERE id=?", (id,)).fetchone()  # noqa: S608 - a constant
                if tuple(row) != values:
                    raise Conflict(f"prediction {id} was recorded before, with another content")

    def get(self, id: str) -> dict[str, Any]:  # noqa: A002
        """The record: id, at, deployment, model, version, subject_ref, epoch, inputs, outputs.

        Raises:
            NotFound: no such prediction. Gone: it was erased; the message carries its receipt.
        """
        receipt = self.receipt(id)
        if receipt["request"] is not None:
            raise Gone(
                f"prediction {id} ({receipt['model']}@{receipt['version']}, deployment {receipt['deployment']}) "
                f"was erased by request {receipt['request']}",
                hint=f"govern trace --prediction {id}",
            )
        with self._read() as db:
            said = db.execute("SELECT subject, epoch, inputs, outputs FROM prediction WHERE id=?", (id,)).fetchone()
        kept = {name: receipt[name] for name in _RECEIPT}
        return kept | dict(zip(("subject_ref", "epoch", "inputs", "outputs"), said, strict=True))

    def receipt(self, id: str) -> dict[str, Any]:  # noqa: A002
        """What stays of a prediction for ever: id, at, deployment, model, version, and the request that erased it (or ``None``).

        Raises:
            NotFound: no such prediction.
        """
        with self._read() as db:
            row = db.execute("SELECT id, at, deployment, model, version, request FROM prediction WHERE id=?", (id,)).fetchone()
        if row is None:
            raise NotFound(f"there is no prediction {id!r}", hint="the id is in the answer of /v2/models/NAME/infer")
        return dict(zip((*_RECEIPT, "request"), row, strict=True))

    def by_subject(self, refs: Sequence[str]) -> list[str]:
        """Ids of the predictions about a subject (all its references, one per epoch), oldest first."""
        found: dict[str, int] = {}
        with self._read() as db:
            for ref in dict.fromkeys(refs):
                found.update(db.execute("SELECT id, at FROM prediction WHERE subject=?", (ref,)).fetchall())
        return sorted(found, key=lambda prediction: (found[prediction], prediction))

    def forget(self, ids: Sequence[str], *, request: str) -> int:
        """Erase what the predictions say and about whom, physically; a tombstone with the request stays. Returns how many.

        Those erased before, and ids that nobody knows, count nothing.
        """
        if not request:
            raise BadInput("erasing prediction records needs the id of the request")
        erased = 0
        with self._change() as db:
            for prediction in dict.fromkeys(ids):
                erased += db.execute(
                    "UPDATE prediction SET subject=NULL, epoch=NULL, inputs=NULL, outputs=NULL, request=? WHERE id=? AND request IS NULL",
                    (request, prediction),
                ).rowcount
        self._empty()
        return erased

    def named(self) -> list[tuple[str, str, int]]:
        """(epoch, reference, records) of every reference that names the person of a record, by epoch and reference."""
        with self._read() as db:
            return [(str(epoch), str(ref), int(count)) for epoch, ref, count in db.execute(_NAMED).fetchall()]

    def rekey(self, moves: Mapping[str, str], *, epoch: str) -> int:
        """Put new references, made under ``epoch``, in place of old ones; again changes nothing. Returns how many records changed."""
        old = [ref for made, ref, _count in self.named() if made != epoch and ref in moves]
        changed = 0
        with self._change() as db:
            for ref in old:
                sql = "UPDATE prediction SET subject=?, epoch=? WHERE subject=?"
                changed += db.execute(sql, (moves[ref], epoch, ref)).rowcount
        return changed

    def unlink(self, epoch: str) -> int:
        """Make the records whose person this epoch names those of unknown persons, whom certificates count; returns how many."""
        with self._change() as db:
            return db.execute("UPDATE prediction SET subject=NULL, epoch=NULL WHERE epoch=?", (epoch,)).rowcount

    def count(self, model: str | None = None) -> int:
        """Predictions recorded, erased ones included; of one model, or of all."""
        return self._count("1 = 1", model)

    def unknown_subjects(self, model: str | None = None) -> int:
        """Predictions kept whose person nobody named: no erasure can reach them, certificates count them."""
        return self._count("subject IS NULL AND request IS NULL", model)

    def residual(self, ids: Sequence[str]) -> int:
        """How many of the predictions still say something."""
        left = 0
        with self._read() as db:
            for prediction in dict.fromkeys(ids):
                (held,) = db.execute(
                    "SELECT COUNT(*) FROM prediction WHERE id=? AND (subject IS NOT NULL OR inputs IS NOT NULL OR outputs IS NOT NULL)",
                    (prediction,),
                ).fetchone()
                left += held
        return left

    def erased(self) -> dict[str, list[str]]:
        """Request → the ids of the predictions that it erased, oldest first."""
        found: dict[str, list[str]] = {}
        with self._read() as db:
            for ident, request in db.execute("SELECT id, request FROM prediction WHERE request IS NOT NULL ORDER BY at, id").fetchall():
                found.setdefault(request, []).append(ident)
        return found

    @abstractmethod
    def close(self) -> None:
        """Let go of the store."""

    # ── inside ──────────────────────────────────────────────────────────────────────────────────
    def _count(self, where: str, model: str | None) -> int:
        of_model = "" if model is None else " AND model=?"
        with self._read() as db:
            (rows,) = db.execute(
                f"SELECT COUNT(*) FROM prediction WHERE {where}{of_model}",  # noqa: S608 - both parts are constants of this file
                () if model is None else (model,),
            ).fetchone()
        return int(rows)

    @abstractmethod
    def _read(self) -> AbstractContextManager[Connection]:
        """A connection to read with; errors of the database come out in Govern's words."""

    @abstractmethod
    def _change(self) -> AbstractContextManager[Connection]:
        """A transaction, durable when it is left; nothing of it is there when it is left by an error."""

    @abstractmethod
    def _empty(self) -> None:
        """Take every erased byte out of the store's files."""


class SqlitePredictions(Predictions):
    """The records of the predictions served; one writer process, any number of threads.

    Args:
        path: the database file; made when missing.

    Raises:
        StoreUnavailable: it cannot be opened, or a newer Govern wrote it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY;")
            (found,) = self._db.execute("PRAGMA user_version").fetchone()
            if found > _SCHEMA_VERSION:
                self._db.close()
                raise StoreUnavailable(f"the prediction records {path} have schema {found}, newer than {_SCHEMA_VERSION}")
            second = _SECOND if found == 1 else ""
            self._db.executescript(f"BEGIN; {_SCHEMA} {second} PRAGMA user_version={_SCHEMA_VERSION}; COMMIT;")
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"the prediction records {path} cannot be opened: {error}", hint="govern doctor") from error

    def close(self) -> None:
        """Close the database; the write-ahead log is folded in."""
        with self._lock:
            self._db.close()

    def _empty(self) -> None:
        with self._read() as db:
            db.execute("VACUUM")  # a page that was split may hold a stale copy of a record in its unused part, which no delete overwrites
            busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreUnavailable(f"the write-ahead log of {self._path} could not be truncated: a reader holds it", hint="run it again")

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._lock:
            try:
                yield cast("Connection", self._db)
            except sqlite3.Error as error:
                raise StoreUnavailable(f"the prediction records {self._path} cannot be read: {error}", hint="govern doctor") from error

    @contextmanager
    def _change(self) -> Iterator[Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield cast("Connection", self._db)
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreUnavailable(
                    f"the prediction records {self._path} cannot be written: {error}", hint="free some disk space, then run it again"
                ) from error
