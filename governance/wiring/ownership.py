"""Which process owns a home: the one that holds the lock file in it, or the lease in the PostgreSQL where its ledger lies."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from governance.settings import Settings
from governance.wiring.ledgers import SERVER, ledger_kind, settled
from lineage.adapters.home import HomeLock
from lineage.errors import StoreUnavailable

if TYPE_CHECKING:
    from lineage.adapters.postgres_database import Fence
    from lineage.adapters.postgres_owner import Owner

__all__ = ["Ownership", "fence_of", "owners", "ownership", "stand_by"]

TAKEN_OVER: Final = 1
"""Exit code of a process whose home was taken over: an error, so that whatever watches over it starts it again."""


class Ownership(Protocol):
    """The right of this process to a home, from entering to leaving."""

    def __enter__(self) -> Self: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None: ...
    def announce(self, url: str) -> None:
        """Write where the owner answers."""
        ...


def ownership(settings: Settings, home: Path, described: Mapping[str, Any]) -> Ownership:
    """The ownership of a home, to be entered.

    Raises:
        StoreUnavailable: the settings name another kind of ledger than the home was made with.
        BadInput: ``GOVERN_DATABASE`` is no address of a PostgreSQL.
    """
    settled(settings, home, described)
    return _lease(settings, home) if ledger_kind(settings) == SERVER else HomeLock(home)


def stand_by(
    settings: Settings,
    home: Path,
    described: Mapping[str, Any],
    *,
    seen: Callable[[dict[str, Any] | None], None],
    stopped: Callable[[], bool],
) -> Ownership | None:
    """Wait for the home and own it then, entered already; ``None`` when ``stopped`` said so before.

    Args:
        settings: where the ledger lies, how long a lease is.
        home: the folder.
        described: what ``govern.json`` says.
        seen: told the owner as :func:`owners` does, at first and when another one is there.
        stopped: asked every second.

    Raises: as :func:`ownership`; and ``StoreUnavailable`` when the database cannot be used at first.
    """
    settled(settings, home, described)
    if ledger_kind(settings) == SERVER:
        lease = _lease(settings, home)
        return (
            lease if lease.wait(lambda owner: seen(_shown(owner, settings) if owner and owner.living else None), stopped=stopped) else None
        )
    lock = HomeLock(home)
    return lock if lock.wait(lambda owner: seen(owner and _told(owner)), stopped=stopped) else None


def fence_of(owned: Ownership) -> Fence | None:
    """What keeps the owner's sessions apart from those of an owner before; ``None`` where the files are locked."""
    return None if isinstance(owned, HomeLock) else owned  # type: ignore[return-value]  # the other kind is a lease


def owners(settings: Settings, home: Path) -> dict[str, Any]:
    """``{owner, standby}``: the living owner or ``None``, and the processes that stand by, the longest first.

    An owner is ``{host, pid, url, since, silent_s, frozen}``, a process that stands by ``{host, pid, since}``. ``since`` is RFC 3339;
    ``silent_s`` the seconds since the owner's last beat, ``None`` where there is none (a lock file); ``frozen``: more than a lease.

    Raises:
        StoreUnavailable: the database cannot be asked. BadInput: that is no address of one.
    """
    if ledger_kind(settings) != SERVER:
        found = HomeLock.owner(home)
        waiting = [
            {"host": os.uname().nodename, "pid": one.get("pid"), "since": _time(one.get("since"))} for one in HomeLock.standing_by(home)
        ]
        return {"owner": found and _told(found), "standby": waiting}
    from lineage.adapters import postgres_owner
    from lineage.adapters.postgres_database import PostgresDatabase

    database = PostgresDatabase(settings.database)
    with database.explained():
        db = database.open("")
        try:
            owner, standing = postgres_owner.owner(db), postgres_owner.standing_by(db)
        finally:
            db.close()
    names = [(name.rpartition(":"), since) for name, since in standing]
    return {
        "owner": _shown(owner, settings) if owner is not None and owner.living else None,
        "standby": [{"host": host, "pid": int(pid) if pid.isdigit() else None, "since": _time(since)} for (host, _, pid), since in names],
    }


def _lease(settings: Settings, home: Path) -> Any:
    from lineage.adapters.postgres_database import PostgresDatabase
    from lineage.adapters.postgres_lease import PostgresLease

    return PostgresLease(PostgresDatabase(settings.database), home=f"the home {home}", seconds=settings.lease_seconds, lost=_ended)


def _ended(error: StoreUnavailable) -> None:
    """End this process at once: no line of it may run on as if the home were its own. Its children end with it."""
    sys.stderr.write(f"error: {error.message}\n next: {error.hint}\n")
    sys.stderr.flush()
    os._exit(TAKEN_OVER)


def _told(said: Mapping[str, Any]) -> dict[str, Any]:
    since = _time(said.get("since"))
    return {"host": os.uname().nodename, "pid": said.get("pid"), "url": said.get("url"), "since": since, "silent_s": None, "frozen": False}


def _shown(owner: Owner, settings: Settings) -> dict[str, Any]:
    return {
        "host": owner.process.host,
        "pid": owner.process.pid,
        "url": owner.url,
        "since": _time(owner.since),
        "silent_s": round(owner.silent, 1),
        "frozen": owner.silent > settings.lease_seconds,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
