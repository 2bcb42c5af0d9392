"""The row index: subject reference → rows → dataset versions, as packed postings in SQL tables (ADR 19).

This is what the two adapters share, :mod:`lineage.adapters.sqlite_rows` and :mod:`lineage.adapters.postgres_rows`; where the tables lie,
how a transaction is made and what erasing means there is theirs. SQLAlchemy and numpy are imported when the index is first used:
opening a home needs neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from lineage.errors import BadInput
from lineage.model import StatedRow
from lineage.rows.stated import gathered

if TYPE_CHECKING:
    import sqlalchemy as sa

    from lineage.adapters.sql_rows_read import Reader
    from lineage.adapters.sql_rows_write import Writer
    from lineage.model import SubjectRows
    from lineage.rows.packing import U64

__all__ = ["RowsDatabase", "SqlRowIndex"]


class RowsDatabase(Protocol):
    """Where the tables of a row index lie."""

    @property
    def remains(self) -> str | None:
        """What of a forgotten row may outlive :meth:`erase` here, in words; ``None``: nothing above the file system."""
        ...

    def read(self) -> AbstractContextManager[sa.Connection]:
        """A connection that sees one state."""
        ...

    def change(self) -> AbstractContextManager[sa.Connection]:
        """A connection in a transaction of which there is one at a time: durable at the end, or nothing of it is there."""
        ...

    def erase(self) -> None:
        """Overwrite or give back the space of what was deleted."""
        ...

    def close(self) -> None: ...


class SqlRowIndex:
    """Port :class:`lineage.ports.RowIndex` over the tables of a database; any number of threads."""

    def __init__(self, place: RowsDatabase) -> None:
        self._place = place

    @property
    def remains(self) -> str | None:
        """What of a forgotten row may outlive :meth:`forget` in this store, in words; ``None``: nothing above the file system."""
        return self._place.remains

    # ── stating ─────────────────────────────────────────────────────────────────────────────────
    def replace(self, dataset: str, version: str, rows: Iterable[StatedRow]) -> None:
        """Set which (subject reference, row id) the version holds; again with the same rows changes nothing.

        Only what differs from the version that was indexed before it is written. An empty reference says that nobody is known for the
        row: it counts in the version and belongs to no subject. A row may be named with several references.

        Raises:
            BadInput: a reference that is none (32 hex characters, or empty), or a row id that is no int64 ≥ 0. The index stays as
                it was.
        """
        stated = gathered(rows)
        with self._place.change() as connection:
            _writer(connection).replace(dataset, version, stated)

    def extend(self, dataset: str, version: str, *, base: str, rows: Iterable[StatedRow], removed: Sequence[int] = ()) -> None:
        """Set what a new version holds by what it changes against ``base``, the version that was indexed last.

        Args:
            dataset: its name.
            version: the new one.
            base: the last one.
            rows: every row that is new or whose people changed, with all its people, as in :meth:`replace`.
            removed: rows of ``base`` that are not in the new version; those it never held are passed over.

        Raises:
            Conflict: ``base`` is not the last one, or the version is indexed already. BadInput: as in :meth:`replace`.
        """
        stated = gathered(rows)
        with self._place.change() as connection:
            _writer(connection).extend(dataset, version, base, stated, removed)

    def drop(self, dataset: str, version: str) -> None:
        """Forget a version, and what no other version holds, physically; an unknown one is no error."""
        with self._place.change() as connection:
            dropped = _writer(connection).drop(dataset, version)
        if dropped:
            self._place.erase()

    # ── asking ──────────────────────────────────────────────────────────────────────────────────
    def lookup(self, subject_refs: Sequence[str]) -> dict[str, list[int]]:
        """Dataset → sorted row ids of the subject (all its references, one per epoch), over all versions."""
        return {found.dataset: list(found.rows) for found in self.find(subject_refs)}

    def find(self, subject_refs: Sequence[str]) -> list[SubjectRows]:
        """The subject's rows over all versions and the versions that hold one of them, for each dataset, by name."""
        with self._place.read() as connection:
            return _find(connection, subject_refs)

    def versions_with(self, dataset: str, row_ids: Sequence[int]) -> list[str]:
        """The versions of the dataset that hold one of the rows, in the order in which they were indexed."""
        with self._place.read() as connection:
            return _reader(connection).versions_with(dataset, row_ids)

    def shared(self, dataset: str, row_ids: Sequence[int]) -> list[int]:
        """Those of the rows that were joined to more than one reference: rows about several people, sorted."""
        with self._place.read() as connection:
            return _reader(connection).shared(dataset, row_ids)

    def versions(self, dataset: str) -> list[str]:
        """The versions of the dataset, in the order in which they were indexed; none of an unknown one."""
        with self._place.read() as connection:
            reader = _reader(connection)
            of = reader.dataset(dataset)
            return [] if of is None else [name for _, name, _ in reader.versions(of)]

    def count(self, dataset: str, version: str) -> int:
        """Rows that the version holds; raises ``NotFound`` for a version that was never indexed."""
        with self._place.read() as connection:
            return _reader(connection).version(dataset, version)[2]

    def row_ids(self, dataset: str, version: str) -> list[int]:
        """The sorted row ids that the version holds; raises ``NotFound``."""
        with self._place.read() as connection:
            return _reader(connection).row_ids(dataset, version)

    # ── erasing and re-keying ───────────────────────────────────────────────────────────────────
    def forget(self, dataset: str, row_ids: Sequence[int]) -> int:
        """Remove all that is known of the rows, physically (:attr:`remains`); returns how many (subject, row) pairs went.

        A reference that is left without a row goes too. Again with the same rows: 0.
        """
        with self._place.change() as connection:
            removed = _writer(connection).forget(dataset, row_ids)
        self._place.erase()
        return removed

    def rekey(self, dataset: str, moves: Iterable[tuple[str, str]]) -> tuple[int, int]:
        """Put the new reference in place of the old one, for each (old, new), throughout the dataset; again changes nothing.

        A reference that is told as its own new one stays, and is not left over.

        Returns:
            (pairs of subject and row that were moved, pairs left under a reference that is neither an old nor a new one here).

        Raises:
            BadInput: a reference that is none, or an old one that is told twice with different new ones.
        """
        old, new = _columns(moves)
        with self._place.change() as connection:
            moved, left = _writer(connection).rekey(dataset, old, new)
        if moved:
            self._place.erase()
        return moved, left

    def close(self) -> None:
        """Let go of the database."""
        self._place.close()


def _reader(connection: sa.Connection) -> Reader:
    from lineage.adapters.sql_rows_read import Reader

    return Reader(connection)


def _find(connection: sa.Connection, subject_refs: Sequence[str]) -> list[SubjectRows]:
    from lineage.adapters.sql_rows_person import find

    return find(connection, subject_refs)


def _writer(connection: sa.Connection) -> Writer:
    from lineage.adapters.sql_rows_write import Writer

    return Writer(connection)


def _columns(moves: Iterable[tuple[str, str]]) -> tuple[tuple[U64, U64], tuple[U64, U64]]:
    import numpy as np

    from lineage.rows.stated import ref_numbers

    known: dict[str, str] = {}
    for old, new in moves:
        if known.setdefault(old, new) != new:
            raise BadInput("one subject reference is to be replaced by two different ones", hint="give each old reference once")
    pairs = [(ref_numbers(old), ref_numbers(new)) for old, new in known.items()]
    table = np.array(pairs, dtype=np.uint64).reshape(-1, 2, 2)
    return (table[:, 0, 0], table[:, 0, 1]), (table[:, 1, 0], table[:, 1, 1])
