"""Reading the ledger's tables by the driver alone: what a cold command asks is answered before a toolkit could be imported.

The statements are few and plain, the same for every database; the writer's are SQLAlchemy's (:mod:`lineage.adapters.sql_ledger_writer`),
and every test of the ledger writes by the one and reads by the other.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lineage.adapters.sql_ledger_place import Place, Reader
from lineage.errors import BadInput, NotFound, StoreUnavailable
from lineage.ledger.tree import tree_consistency, tree_inclusion, tree_root
from lineage.model import Checkpoint, Json, LedgerEntry
from lineage.ports import KeyStore

__all__ = ["CHECKPOINT_KEY", "LedgerReads"]

CHECKPOINT_KEY = "checkpoint"
_KEPT = 4
_LAST_CHARACTER = "\U0010ffff"
_CHANGED = (
    "SELECT total.n, set_.ident, set_.body, set_.revision FROM (SELECT COUNT(*) AS n FROM records WHERE kind = ?) AS total "
    "LEFT JOIN records AS set_ ON set_.kind = ? AND set_.revision > ? ORDER BY set_.ident"
)
"""A revision is 1 + the index of the entry that set the record."""
_ENTRY = "SELECT idx, kind, recorded_at, actor, identity, leaf, salt, payload FROM entries"


class LedgerReads:
    """The reading half of :class:`lineage.ports.Ledger`, over connections that cannot write and see what is committed."""

    def __init__(self, place: Place, *, keys: KeyStore, origin: str) -> None:
        self._place = place
        self._keys = keys
        self._origin = origin
        self._gate = threading.Lock()
        self._closed = False
        self._idle: list[Reader] = []

    def record(self, kind: str, ident: str) -> tuple[Json, int] | None:
        """A control record's body and revision."""
        with self._reading() as db:
            row = db.execute("SELECT body, revision FROM records WHERE kind = ? AND ident = ?", (kind, ident)).fetchone()
        return None if row is None else (json.loads(row[0]), row[1])

    def records(self, kind: str, *, prefix: str = "", limit: int | None = None) -> list[tuple[str, Json, int]]:
        """The control records of a kind whose ident begins with ``prefix``, by ident; the first ``limit`` of them."""
        where, values = _of_kind(kind, prefix)
        statement = f"SELECT ident, body, revision FROM records WHERE {where} ORDER BY ident"  # noqa: S608 - constants
        if limit is not None:
            statement, values = f"{statement} LIMIT ?", [*values, limit]
        with self._reading() as db:
            rows = db.execute(statement, values).fetchall()
        return [(ident, json.loads(body), revision) for ident, body, revision in rows]

    def count(self, kind: str, *, prefix: str = "") -> int:
        """How many control records of a kind have an ident that begins with ``prefix``."""
        where, values = _of_kind(kind, prefix)
        with self._reading() as db:
            return int(db.execute(f"SELECT COUNT(*) FROM records WHERE {where}", values).fetchone()[0])  # noqa: S608 - constants

    def changed(self, kind: str, since: int) -> tuple[list[tuple[str, Json, int]], int]:
        """The records of a kind that an entry from index ``since`` on set, by ident, and how many records of the kind there are.

        One statement, hence one state: the count rides on every row, and stands alone where nothing was set.
        """
        with self._reading() as db:
            rows = db.execute(_CHANGED, (kind, kind, since)).fetchall()
        return [(ident, json.loads(body), revision) for _, ident, body, revision in rows if ident is not None], int(rows[0][0])

    def entry(self, index: int) -> LedgerEntry:
        """The entry at ``index``.

        Raises:
            NotFound: there is none.
        """
        with self._reading() as db:
            row = db.execute(f"{_ENTRY} WHERE idx = ?", (index,)).fetchone() if index < 1 << 63 else None
            if row is None:
                raise NotFound(f"no entry {index} in a ledger of {_size(db)}", hint="govern ledger export")
        return _entry(row)

    def entries(self, start: int = 0, limit: int = 1000, kind: str | None = None) -> list[LedgerEntry]:
        """At most ``limit`` entries from index ``start`` on, in order, of one kind where it is given."""
        where, values = ("WHERE idx >= ?", [start]) if kind is None else ("WHERE kind = ? AND idx >= ?", [kind, start])
        with self._reading() as db:
            return [_entry(row) for row in db.execute(f"{_ENTRY} {where} ORDER BY idx LIMIT ?", [*values, limit])]

    def old_payloads(self, kind: str, *, start: int, end: int, until: int, limit: int) -> list[tuple[int, int]]:
        """(index, bytes) of entries of a kind in [start, end) that were recorded at ``until`` or before and still have their payload."""
        where = "kind = ? AND idx >= ? AND idx < ? AND recorded_at <= ? AND payload IS NOT NULL"
        with self._reading() as db:
            sql = f"SELECT idx, length(payload) FROM entries WHERE {where} ORDER BY idx LIMIT ?"  # noqa: S608 - constants
            return [(index, size) for index, size in db.execute(sql, (kind, start, end, until, limit))]

    def by_identity(self, identity: str) -> LedgerEntry | None:
        """The entry that has the identity, or ``None``."""
        with self._reading() as db:
            row = db.execute(f"{_ENTRY} WHERE identity = ?", (identity,)).fetchone()
        return None if row is None else _entry(row)

    def size(self) -> int:
        """How many entries there are."""
        with self._reading() as db:
            return _size(db)

    def root(self, size: int | None = None) -> bytes:
        """The root over the first ``size`` entries, over all without it."""
        with self._reading() as db:
            present = _checked_size(db, size)
            return self._place.tree(db, lambda node: tree_root(present, node))

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The audit path of entry ``index`` in the tree of ``size`` entries."""
        with self._reading() as db:
            present = _checked_size(db, size)
            return self._place.tree(db, lambda node: tree_inclusion(index, present, node))

    def consistency(self, first: int, second: int) -> list[bytes]:
        """The proof that the first ``first`` entries were not changed when the log had ``second``."""
        with self._reading() as db:
            present = _checked_size(db, second)
            return self._place.tree(db, lambda node: tree_consistency(first, present, node))

    def tree_nodes(self, first: int, last: int) -> dict[tuple[int, int], bytes]:
        """The stored inner nodes ``(level, position)`` that the leaves [first, last) complete; for the check."""
        found: dict[tuple[int, int], bytes] = {}
        with self._reading() as db:
            (top,) = db.execute("SELECT max(level) FROM nodes").fetchone()
            for level in range(1, (top or 0) + 1):
                rows = db.execute(
                    "SELECT position, hash FROM nodes WHERE level = ? AND position >= ? AND position < ?",
                    (level, first >> level, last >> level),
                )
                found |= {(level, position): value for position, value in rows}
        return found

    def checkpoints(self) -> list[Checkpoint]:
        """Every checkpoint signed so far, in order."""
        with self._reading() as db:
            rows = db.execute("SELECT size, root, note FROM checkpoints ORDER BY id").fetchall()
        return [Checkpoint(origin=self._origin, size=size, root=root, note=note) for size, root, note in rows]

    def checkpoint_key(self) -> tuple[str, bytes]:
        """Origin and Ed25519 public key of the checkpoints."""
        return self._origin, self._keys.public_ed25519(CHECKPOINT_KEY)

    # ── connections ─────────────────────────────────────────────────────────────────────────────
    @contextmanager
    def _reading(self) -> Iterator[Reader]:
        """One connection, used by nobody else meanwhile; an error of the database comes out in Govern's words."""
        with self._gate:
            self._check_open()
            connection = self._idle.pop() if self._idle else None
        with self._place.explained():
            if connection is not None and not self._place.usable(connection):
                connection.close()
                connection = None
            if connection is None:
                connection = self._place.connect()
            try:
                yield connection
            finally:
                self._give_back(connection)

    def _give_back(self, connection: Reader) -> None:
        with self._gate:
            if not self._closed and len(self._idle) < _KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def _close_readers(self) -> None:
        with self._gate:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"the ledger {self._place.name} is closed")


def _of_kind(kind: str, prefix: str) -> tuple[str, list[Any]]:
    """The condition on a record's kind and the beginning of its ident, with its values."""
    return ("kind = ? AND ident >= ? AND ident <= ?", [kind, prefix, prefix + _LAST_CHARACTER]) if prefix else ("kind = ?", [kind])


def _entry(row: tuple[Any, ...]) -> LedgerEntry:
    index, kind, recorded_at, actor, identity, leaf, salt, payload = row
    return LedgerEntry(
        index=index, kind=kind, recorded_at=recorded_at, actor=actor, payload=payload, salt=salt, leaf=leaf, identity=identity
    )


def _size(db: Reader) -> int:
    (last,) = db.execute("SELECT max(idx) FROM entries").fetchone()
    return 0 if last is None else int(last) + 1


def _checked_size(db: Reader, size: int | None) -> int:
    present = _size(db)
    if size is None:
        return present
    if not 0 <= size <= present:
        raise BadInput(f"no tree of size {size}: the ledger has {present} entries", hint="govern ledger checkpoint")
    return size
