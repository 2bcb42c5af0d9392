"""The row that says who owns a home, and the server's locks around it: every statement of :mod:`lineage.adapters.postgres_lease`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from lineage.adapters.machine import ProcessName

__all__ = [
    "WHOSE", "Owner", "beat", "end_sessions", "joined", "locked", "make", "owner", "raised", "release", "stand_by", "standing_by",
    "tell_url",
]  # fmt: skip

WHOSE: Final = "SELECT token, format('process %s on %s', pid, host) FROM govern_home.owner"
"""What a transaction asks (:meth:`lineage.adapters.postgres_database.Fence.check`)."""

_OWNING: Final = 0x676F7668
"""First half of the locks' names; the second is 0 for the owner, and the token for each of the owner's sessions."""
_STANDING: Final = 0x676F7673
"""The same of who stands by; the second half is 0."""
_MAKING: Final = 0x676F766D

_THERE: Final = "SELECT to_regclass('govern_home.owner') IS NOT NULL"
_TABLE: Final = (
    "CREATE TABLE govern_home.owner (one boolean PRIMARY KEY DEFAULT true CHECK (one), token integer NOT NULL, host text NOT NULL,"
    " machine text NOT NULL, pid integer NOT NULL, started text NOT NULL, url text, since timestamptz NOT NULL, beat timestamptz NOT NULL);"
    " INSERT INTO govern_home.owner VALUES (true, 0, '', '', 0, '', NULL, 'epoch', 'epoch')"
)
_WHO: Final = (
    "SELECT token, host, machine, pid, started, url, extract(epoch FROM since)::float8,"
    " extract(epoch FROM clock_timestamp() - beat)::float8, EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
    " AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND classid::bigint = %s AND objid::bigint = 0) FROM govern_home.owner"
)
_RAISE: Final = (
    "UPDATE govern_home.owner SET token = token + 1, host = %s, machine = %s, pid = %s, started = %s, url = NULL,"
    " since = clock_timestamp(), beat = clock_timestamp()"
    " WHERE token = %s AND clock_timestamp() - beat >= make_interval(secs => %s) RETURNING token"
)
_TELL: Final = "UPDATE govern_home.owner SET url = %s WHERE token = %s"
_BEAT: Final = "UPDATE govern_home.owner SET beat = clock_timestamp() WHERE token = %s RETURNING token"
_STANDING_BY: Final = (
    "SELECT application_name, extract(epoch FROM backend_start)::float8 FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks"
    " WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND database = (SELECT oid FROM pg_database WHERE datname ="
    " current_database()) AND classid::bigint = %s) ORDER BY backend_start"
)
_END: Final = (
    "SELECT pg_terminate_backend(pid) FROM (SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND classid::bigint = %s"
    " AND objid::bigint >= %s AND objid::bigint < %s AND pid <> pg_backend_pid()) AS theirs"
)
_ANY: Final = -1e9
"""Seconds: less than since any beat, even when the server's clock was set back."""

_Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The last process that took the home."""

    token: int
    process: ProcessName
    url: str | None
    since: float
    """When it took the home, seconds since 1970 by the server's clock."""
    silent: float
    """Seconds since its last beat."""
    living: bool
    """Whether the server sees its session."""

    def __str__(self) -> str:
        return f"process {self.process.pid} on {self.process.host}"


def make(db: _Connection) -> None:
    """Make the table where it is not there yet."""
    if _there(db):
        return
    with db.transaction():
        db.execute(f"SELECT pg_advisory_xact_lock({_MAKING}, 0)".encode())
        if not _there(db):
            (schema,) = _one(db, "SELECT to_regnamespace('govern_home') IS NOT NULL")
            if not schema:
                db.execute(b"CREATE SCHEMA govern_home")
            db.execute(_TABLE.encode())


def owner(db: _Connection) -> Owner | None:
    """Who took the home last; ``None``: nobody ever did."""
    if not _there(db):
        return None
    token, host, machine, pid, started, url, since, silent, living = _one(db, _WHO, (_OWNING,))
    if not token:
        return None
    process = ProcessName(host=host, machine=machine, pid=pid, started=started)
    return Owner(token=token, process=process, url=url, since=since, silent=silent, living=living)


def standing_by(db: _Connection) -> list[tuple[str, float]]:
    """``(HOST:PID, since)`` of each process that waits for the home, the longest first."""
    found = db.execute(_STANDING_BY.encode(), (_STANDING,)).fetchall()
    return [(name.rpartition(" ")[2], since) for name, since in found]


def raised(db: _Connection, me: ProcessName, before: int, silent: float | None) -> int | None:
    """The new token; ``None`` when the owner is no longer the one of ``before``, or beat in the last ``silent`` seconds."""
    least = _ANY if silent is None else silent
    found = db.execute(_RAISE.encode(), (me.host, me.machine, me.pid, me.started, before, least)).fetchone()
    return None if found is None else int(found[0])


def beat(db: _Connection, token: int) -> bool:
    """Say that the owner lives; false when it is another."""
    return db.execute(_BEAT.encode(), (token,)).fetchone() is not None


def tell_url(db: _Connection, token: int, url: str) -> None:
    """Write where the owner answers."""
    db.execute(_TELL.encode(), (url, token))


def locked(db: _Connection, seconds: float) -> bool:
    """Whether this session got the owner's lock within some seconds."""
    db.execute(f"SET lock_timeout TO '{max(1, round(seconds * 1000))}ms'".encode())
    try:
        db.execute(f"SELECT pg_advisory_lock({_OWNING}, 0)".encode())
    except psycopg.errors.LockNotAvailable:
        return False
    finally:
        if not db.closed:
            db.execute(b"SET lock_timeout TO 0")
    return True


def release(db: _Connection) -> None:
    """Give the owner's lock back."""
    db.execute(f"SELECT pg_advisory_unlock({_OWNING}, 0)".encode())


def joined(db: _Connection, token: int) -> tuple[int, str]:
    """Hold the lock of an owner's sessions, then look whose the home is: ``(token, owner)``."""
    db.execute(f"SELECT pg_try_advisory_lock_shared({_OWNING}, {token})".encode())  # not got: the token was raised, which the look shows
    token, who = _one(db, WHOSE)
    return token, who


def stand_by(db: _Connection, name: str | None) -> None:
    """Be seen as one who waits for the home, under a name; with ``None``, no longer."""
    verb = "unlock" if name is None else "lock"
    db.execute(f"SELECT pg_advisory_{verb}_shared({_STANDING}, 0)".encode())
    db.execute(b"SELECT set_config('application_name', %s, false)", (f"govern worker {name}" if name else "govern",))


def end_sessions(db: _Connection, before: int, *, owner: bool = False) -> int:
    """End every session of an owner whose token is below this one, with ``owner`` the owner's own too; how many there still were.

    Of each of them, not of the last one alone: who took the home from a frozen owner may have died before it was through with this.
    """
    return len(db.execute(_END.encode(), (_OWNING, 0 if owner else 1, before)).fetchall())


def _there(db: _Connection) -> bool:
    return bool(_one(db, _THERE)[0])


def _one(db: _Connection, statement: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...]:
    found = db.execute(statement.encode(), parameters or None).fetchone()
    assert found is not None  # each of these answers one row
    return tuple(found)
