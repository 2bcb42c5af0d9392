"""Where a home's stores lie that can lie in a PostgreSQL: in files in it, or in the database that the settings name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from governance.adapters.predictions import Predictions, SqlitePredictions
from governance.settings import Settings
from lineage.errors import BadInput, Conflict, StoreUnavailable

if TYPE_CHECKING:
    from governance.adapters.dbos_stores import StepStore
    from lineage.adapters.postgres_database import Fence
    from lineage.adapters.sql_ledger_place import Place
    from lineage.adapters.sql_ledger_postgres import PostgresPlace
    from lineage.ports import RowIndex

__all__ = [
    "FILE", "SERVER", "database_facts", "free_database", "ledger_kind", "ledger_place", "open_predictions", "open_rows", "settled",
    "step_store",
]  # fmt: skip

FILE: Final = "sqlite"
SERVER: Final = "postgresql"
_SCHEMES: Final = ("postgresql://", "postgres://", "postgresql+psycopg://")
_HINT: Final = "GOVERN_DATABASE=postgresql://USER:PASSWORD@HOST/DATABASE"


def ledger_kind(settings: Settings) -> str:
    """``sqlite`` or ``postgresql``, as ``GOVERN_DATABASE`` says.

    Raises:
        BadInput: it is set, and no address of a PostgreSQL.
    """
    if not settings.database:
        return FILE
    if not settings.database.startswith(_SCHEMES):  # not repeated: it may hold a password
        raise BadInput("GOVERN_DATABASE is no address of a PostgreSQL database", hint=_HINT)
    return SERVER


def settled(settings: Settings, home: Path, described: Mapping[str, Any]) -> None:
    """Nothing, where the settings name the kind of place that the home was made with.

    Args:
        settings: ``database``.
        home: the folder.
        described: what ``govern.json`` says.

    Raises:
        StoreUnavailable: they name another kind. BadInput: ``GOVERN_DATABASE`` is no address of a PostgreSQL.
    """
    kind, made = ledger_kind(settings), described.get("ledger", FILE)
    if made == SERVER != kind:
        raise StoreUnavailable(f"the ledger of {home} lies in a PostgreSQL database, and GOVERN_DATABASE names none", hint=_HINT)
    if kind == SERVER != made:
        raise StoreUnavailable(
            f"the ledger of {home} is the file ledger.db in it, and GOVERN_DATABASE names a PostgreSQL database",
            hint="unset GOVERN_DATABASE, or make a new home with it: govern init --home DIR",
        )


def ledger_place(settings: Settings, home: Path, *, origin: str, fence: Fence | None) -> Path | Place:
    """The place of a home's ledger.

    Args:
        settings: ``database``, which is :func:`settled`.
        home: the folder.
        origin: the ledger's name in its signed notes.
        fence: the lease of the home's owner.
    """
    return home / "ledger.db" if ledger_kind(settings) == FILE else _server(settings, origin, fence)


def free_database(settings: Settings) -> None:
    """Nothing, where a new home's ledger can be made.

    Raises:
        StoreUnavailable: the server is away, or refuses the user. Conflict: the database holds a ledger already.
        BadInput: ``GOVERN_DATABASE`` is no address of a PostgreSQL.
    """
    if ledger_kind(settings) == SERVER:
        place = _server(settings, "")
        owner = place.facts()["origin"]
        if owner is not None:
            raise Conflict(f"{place.name} holds the ledger of {owner} already", hint="name an empty database in GOVERN_DATABASE")


def open_predictions(settings: Settings, home: Path, *, fence: Fence | None) -> Predictions:
    """The prediction records of a home, beside its ledger.

    Raises:
        StoreUnavailable: they cannot be used.
    """
    if ledger_kind(settings) == FILE:
        return SqlitePredictions(home / "predictions.db")
    from governance.adapters.predictions_postgres import PostgresPredictions
    from lineage.adapters.postgres_database import PostgresDatabase

    return PostgresPredictions(PostgresDatabase(settings.database, fence=fence))


def open_rows(settings: Settings, home: Path, described: Mapping[str, Any], *, fence: Fence | None) -> RowIndex:
    """The row index of a home, which is where it was made: an index that was begun anew elsewhere would find nobody.

    Raises:
        StoreUnavailable: it cannot be used.
    """
    if described.get("rows", FILE) == FILE:
        from lineage.adapters.sqlite_rows import SqliteRowIndex

        return SqliteRowIndex(home / "rows.db")
    from lineage.adapters.postgres_database import PostgresDatabase
    from lineage.adapters.postgres_rows import PostgresRowIndex

    return PostgresRowIndex(PostgresDatabase(settings.database, fence=fence))


def step_store(settings: Settings, home: Path, *, fence: Fence | None) -> StepStore:
    """Where a home's workflows remember their steps, beside its ledger: progress that was lost is begun anew from there."""
    from governance.adapters.dbos_stores import PostgresSteps, SqliteSteps

    if ledger_kind(settings) == FILE:
        return SqliteSteps(home / "workflows.db")
    from lineage.adapters.postgres_database import PostgresDatabase

    return PostgresSteps(PostgresDatabase(settings.database, fence=fence))


def database_facts(settings: Settings) -> dict[str, Any] | None:
    """``{server, database, durable, why, origin}`` of the PostgreSQL that is named; ``None`` where none is.

    Raises:
        StoreUnavailable: it cannot be asked. BadInput: that is no address.
    """
    return _server(settings, "").facts() if ledger_kind(settings) == SERVER else None


def _server(settings: Settings, origin: str, fence: Fence | None = None) -> PostgresPlace:
    from lineage.adapters.sql_ledger_postgres import PostgresPlace  # psycopg is loaded only where it is used

    return PostgresPlace(settings.database, origin=origin, fence=fence)
