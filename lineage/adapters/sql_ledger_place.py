"""Where a ledger's tables lie: what the reading half and the writing half need of a database, in two small protocols.

SQLite (:mod:`lineage.adapters.sql_ledger_file`, :mod:`lineage.adapters.sql_ledger_sqlite`) and PostgreSQL
(:mod:`lineage.adapters.sql_ledger_postgres`, :mod:`lineage.adapters.sql_ledger_postgres_writer`) have the same tables. They differ in how
a writer is alone, in what a lost answer means, in how destroyed bytes leave the disk, and in what their errors mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lineage.errors import GovernError
from lineage.ledger.tree import NodeReader

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["Found", "Place", "Reader", "Writing"]

T = TypeVar("T")


class Found(Protocol):
    """What a statement found."""

    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Reader(Protocol):
    """A connection that sees what is committed; values stand as ``?`` in its statements."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Found: ...
    def close(self) -> None: ...


class Place(Protocol):
    """A database with the ledger's tables."""

    @property
    def name(self) -> str:
        """What it is called in messages; never a password."""
        ...

    def make(self) -> None:
        """Whatever can be there before any connection is."""
        ...

    def version(self, reader: Reader) -> int | None:
        """The schema version; ``None`` where nothing is yet.

        Raises:
            StoreUnavailable: what is there is no ledger.
        """
        ...

    def connect(self) -> Reader:
        """A connection that cannot write."""
        ...

    def usable(self, reader: Reader) -> bool:
        """Whether a connection that was idle can be used again."""
        ...

    def tree(self, reader: Reader, ask: Callable[[NodeReader], T]) -> T:
        """What ``ask`` answers over the stored tree; it may be called twice, and may not depend on what it reads in what it reads.

        Raises:
            Tampered: a node that it needs is not there.
        """
        ...

    def explained(self) -> AbstractContextManager[None]:
        """Errors of the database inside come out in Govern's words."""
        ...


class Writing(Protocol):
    """The one connection of a ledger's writer; used by its thread alone, but for :meth:`empty` and :meth:`close`."""

    @property
    def connection(self) -> sa.Connection:
        """As SQLAlchemy's, in autocommit mode: the transactions are stated here."""
        ...

    def begin(self) -> None:
        """Begin a transaction in which nobody else, in no process, adds to the ledger."""
        ...

    def commit(self) -> None:
        """Make it durable.

        Raises:
            StoreUnavailable: it was not, or it is not known whether it was; the message says which.
        """
        ...

    def rollback(self) -> None:
        """Leave the transaction, if there still is one."""
        ...

    def in_transaction(self) -> bool: ...
    def execute(self, statement: str) -> None: ...
    def size(self) -> int:
        """How many entries there are: 1 + the last index."""
        ...

    def tree(self, ask: Callable[[NodeReader], T]) -> T:
        """As :meth:`Place.tree`, inside the transaction."""
        ...

    def by_identities(self, identities: Sequence[str]) -> Iterable[tuple[Any, ...]]:
        """The rows (idx, kind, recorded_at, actor, identity, leaf, salt, payload) that have one of these identities."""
        ...

    def insert(self, entries: Sequence[tuple[object, ...]], nodes: Sequence[tuple[int, int, bytes]]) -> None:
        """Add rows of these columns to the entries, and (level, position, hash) to the nodes."""
        ...

    def record(self, kind: str, ident: str) -> tuple[str, int] | None:
        """A control record's body as it is written, and its revision."""
        ...

    def put(self, kind: str, ident: str, body: str, revision: int) -> None:
        """Set a control record, whether it is there or not."""
        ...

    def drop(self, kind: str, ident: str) -> None:
        """Delete a control record, if it is there."""
        ...

    def meaning(self, error: BaseException | None) -> GovernError | None:
        """What the database's error means; ``None`` for a mistake in this program."""
        ...

    def wrote(self, size: int) -> None:
        """Told, between two transactions, that about so many bytes were committed."""
        ...

    def empty(self) -> None:
        """Take every destroyed byte out of the tables' files and what lies beside them, as far as the database can.

        Raises:
            StoreUnavailable: a reader kept it from that; then repeat it.
        """
        ...

    def close(self) -> None: ...
