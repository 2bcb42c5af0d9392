"""One unit of work inside the writer's transaction, and the reading of rows that it shares with the readers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from lineage.adapters import sql_ledger_schema as schema
from lineage.adapters.sql_ledger_place import Writing
from lineage.errors import Conflict
from lineage.ledger.entries import REDACTED, canonical_json, parse_redaction, seal
from lineage.ledger.tree import Frontier
from lineage.model import Json, LedgerEntry, NewEntry, RecordChange
from lineage.ports import Clock, Reducer

__all__ = ["SqlTx", "entry_of", "read_records", "rebuild"]

_BATCH = 1000
_PAGE = 4096  # an entry changes about a page of the indexes
_LAST_CHARACTER = "\U0010ffff"
_E, _R = schema.entries.c, schema.records.c
_SELECT = sa.select(schema.entries)


class SqlTx:
    """The ledger inside one transaction (:class:`lineage.ports.LedgerTx`); of no use after the work that got it has returned."""

    def __init__(
        self,
        writing: Writing,
        frontier: Frontier,
        *,
        clock: Clock,
        salt: Callable[[], bytes],
        reducer: Reducer | None,
    ) -> None:
        self.connection = writing.connection
        self.frontier = frontier
        self.reducer = reducer
        self._clock = clock
        self._salt = salt
        self._writing = writing
        self._entries: list[tuple[object, ...]] = []
        self._nodes: list[tuple[int, int, bytes]] = []
        self._by_identity: dict[str, LedgerEntry | None] = {}
        self.written = 0
        """About how many bytes this puts into the write-ahead log."""
        self._open = True

    def append(self, entry: NewEntry) -> LedgerEntry:
        """The entry with its index, and the records as the reducer leaves them; a known identity gives the entry that has it."""
        self._check()
        if entry.identity is not None and (known := self._known(entry.identity)) is not None:
            return known
        sealed = seal(entry, index=self.frontier.size, recorded_at=self._clock.now(), salt=self._salt())
        self._entries.append(
            (
                sealed.index,
                sealed.kind,
                sealed.recorded_at,
                sealed.actor,
                sealed.identity,
                sealed.leaf,
                sealed.salt,
                sealed.payload,
            )
        )
        self.written += len(sealed.payload or b"") + _PAGE
        self._nodes.extend(self.frontier.append(sealed.leaf))
        if sealed.identity is not None:
            self._by_identity[sealed.identity] = sealed
        self.reduce(sealed)
        return sealed

    def append_all(self, entries: Sequence[NewEntry]) -> list[LedgerEntry]:
        """:meth:`append` for each; their identities are looked up together."""
        self._check()
        self._look_up([e.identity for e in entries if e.identity is not None and e.identity not in self._by_identity])
        return [self.append(entry) for entry in entries]

    def record(self, kind: str, ident: str) -> tuple[Json, int] | None:
        self._check()
        found = self._writing.record(kind, ident)
        return None if found is None else (json.loads(found[0]), found[1])

    def records(self, kind: str, *, prefix: str = "", limit: int | None = None) -> list[tuple[str, Json, int]]:
        self._check()
        return read_records(self.connection, kind, prefix, limit)

    def reduce(self, entry: LedgerEntry) -> None:
        """Apply what the entry changes in the control records."""
        if self.reducer is None:
            return
        for change in self.reducer(entry, self._body):
            self._write(change, entry.index + 1)

    def flush(self) -> None:
        """Write what was appended."""
        if self._entries or self._nodes:
            self._writing.insert(self._entries, self._nodes)
            self._entries, self._nodes = [], []

    def finish(self) -> None:
        """Write what was appended and refuse every later use."""
        self.flush()
        self._open = False

    def abandon(self) -> None:
        """Refuse every later use; nothing is written."""
        self._open = False

    def _check(self) -> None:
        if not self._open:
            raise Conflict("this ledger transaction is over", hint="use it only inside the work given to transact()")

    def _known(self, identity: str) -> LedgerEntry | None:
        if identity not in self._by_identity:
            self._look_up([identity])
        known = self._by_identity[identity]
        return None if known is None else entry_of(known, duplicate=True)

    def _look_up(self, identities: list[str]) -> None:
        self._by_identity |= dict.fromkeys(identities)
        if identities:
            for index, kind, recorded_at, actor, identity, leaf, salt, payload in self._writing.by_identities(identities):
                self._by_identity[identity] = LedgerEntry(
                    index=index, kind=kind, recorded_at=recorded_at, actor=actor, payload=payload, salt=salt, leaf=leaf, identity=identity
                )

    def _body(self, kind: str, ident: str) -> Json | None:
        found = self._writing.record(kind, ident)
        return None if found is None else json.loads(found[0])

    def _write(self, change: RecordChange, revision: int) -> None:
        if change.body is None:
            self._writing.drop(change.kind, change.ident)
        else:
            self._writing.put(change.kind, change.ident, canonical_json(change.body).decode(), revision)


def rebuild(tx: SqlTx) -> int:
    """Empty the control records and fold every entry again, in its redacted form; returns how many entries were folded.

    An entry whose payload was destroyed is folded with what replaces it, and left out where nothing does.
    """
    tx.flush()
    connection = tx.connection
    redacted = connection.execute(sa.select(_E.payload).where(_E.kind == REDACTED, _E.payload.is_not(None)).order_by(_E.idx))
    replacements = {r.index: r.replacement for r in (parse_redaction(payload) for (payload,) in redacted)}
    connection.execute(sa.delete(schema.records))
    folded = at = 0
    while rows := connection.execute(_SELECT.where(_E.idx >= at).order_by(_E.idx).limit(_BATCH)).all():
        for row in rows:
            payload = row.payload if row.payload is not None else replacements.get(row.idx)
            if payload is not None:
                tx.reduce(entry_of(row, payload=payload))
                folded += 1
        at = rows[-1].idx + 1
    return folded


def entry_of(row: LedgerEntry | sa.Row, *, duplicate: bool = False, payload: bytes | None = None) -> LedgerEntry:  # type: ignore[type-arg]  # any row of the entries table
    """The entry of a table row (or of another entry), with its payload replaced where one is given."""
    return LedgerEntry(
        index=row.index if isinstance(row, LedgerEntry) else row.idx,
        kind=row.kind,
        recorded_at=row.recorded_at,
        actor=row.actor,
        payload=row.payload if payload is None else payload,
        salt=row.salt,
        leaf=row.leaf,
        identity=row.identity,
        duplicate=duplicate,
    )


def read_records(connection: sa.Connection, kind: str, prefix: str, limit: int | None = None) -> list[tuple[str, Json, int]]:
    """The control records of a kind whose ident begins with ``prefix``, by ident; the first ``limit`` of them."""
    statement = sa.select(_R.ident, _R.body, _R.revision).where(_R.kind == kind).order_by(_R.ident).limit(limit)
    if prefix:
        statement = statement.where(_R.ident >= prefix, _R.ident <= prefix + _LAST_CHARACTER)
    return [(row.ident, json.loads(row.body), row.revision) for row in connection.execute(statement)]
