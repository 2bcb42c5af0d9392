"""What a store of tables must do for :mod:`lineage.adapters.table_dataset`: numbered states of one table, each row with its id.

A store knows nothing of versions, tombstones or requests; those are the catalog's. Two promises carry the erasure: a state's
files hold exactly the rows that the state shows (never a row behind a deletion file), and :meth:`TableStore.keep_only` leaves
no byte that only a dropped state needed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import pyarrow as pa

from lineage.errors import BadInput, StoreUnavailable

__all__ = ["Moved", "TableStore", "store_errors"]


class Moved(Exception):
    """Someone else committed to the table meanwhile: nothing of ours was committed, look again and repeat."""


class TableStore(Protocol):
    """Numbered states of one table on disk, the number 0 for "nothing yet"."""

    def head(self) -> int:
        """The newest state's number, whoever made it; 0 before the first."""
        ...

    def admit(self, rows: pa.Table) -> pa.Table:
        """The rows as this store will hold them (types it lacks are widened); raises ``BadInput`` for what it cannot hold."""
        ...

    def put(self, rows: pa.Table, *, fresh: bool) -> int:
        """A new state: these rows alone (``fresh``) or the newest state's and these.

        Raises:
            Moved: another commit came in between.
        """
        ...

    def schema(self, at: int) -> pa.Schema:
        """The columns of a state, ``govern_row_id`` among them where it has one; raises ``Tampered`` when it is not on disk."""
        ...

    def table(self, at: int, columns: Sequence[str]) -> pa.Table:
        """These columns of a state, in any order of rows; raises ``Tampered`` when it is not on disk."""
        ...

    def held(self, row_ids: Collection[int], states: Collection[int]) -> Mapping[int, set[int]]:
        """Which of the rows each of these states holds, found in the files; raises ``Tampered`` when a state is not on disk."""
        ...

    def without(self, row_ids: Sequence[int]) -> int:
        """A new state: the newest one without these rows, which its files do not hold either.

        Raises:
            Moved: another commit came in between.
        """
        ...

    def back_to(self, at: int) -> int:
        """Make state ``at`` the newest again (0: no state at all) and return the number it then has."""
        ...

    def keep_only(self, states: Collection[int]) -> None:
        """Remove, physically, every state older than the newest of these and not among them, and what no state needs."""
        ...

    def files(self) -> Mapping[str, int]:
        """The data files that are there and their sizes in bytes, whether or not a state refers to them."""
        ...

    def residual(self, row_ids: Sequence[int]) -> tuple[int, int]:
        """(rows found, files decoded) over every file that is there: data, manifests and logs.

        Raises:
            Incomplete: a file is of no known kind, or a log keeps a condition or a statistic that may name a person.
        """
        ...

    def pins(self) -> Mapping[str, int]:
        """The store's own names for states (tags), which would keep a state alive; :meth:`keep_only` moves those it must."""
        ...

    def cannot_purge(self) -> str | None:
        """Why bytes stay after :meth:`keep_only`, or ``None`` when they do not."""
        ...


@contextmanager
def store_errors(name: str, what: str) -> Iterator[None]:
    """What Arrow and the disk raise, as the errors a caller can act on.

    Args:
        name: the dataset.
        what: what could not be done, as in "could not be *written*".
    """
    try:
        yield
    except (NotImplementedError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BadInput(f"{name} could not be {what}: {error}", hint="cast the column to a plain type") from error
    except OSError as error:
        raise StoreUnavailable(f"{name} could not be {what}: {error}", hint="free some disk space, then run it again") from error
