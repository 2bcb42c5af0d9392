"""The writer's connection to wherever a ledger lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lineage.adapters.sql_ledger_file import SqliteFile
from lineage.adapters.sql_ledger_place import Place, Writing

if TYPE_CHECKING:
    from lineage.adapters.sql_ledger_postgres import PostgresPlace

__all__ = ["writing_at"]


def writing_at(place: Place) -> Writing:
    """The connection; the tables of a new database are made.

    Raises:
        StoreUnavailable: the place cannot be used, or has tables of another schema version. Tampered: it is damaged.
    """
    if isinstance(place, SqliteFile):
        from lineage.adapters.sql_ledger_sqlite import SqliteWriting

        return SqliteWriting(place)
    from lineage.adapters.sql_ledger_postgres_writer import PostgresWriting

    return PostgresWriting(cast("PostgresPlace", place))
