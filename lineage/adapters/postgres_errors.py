"""What a PostgreSQL server's errors mean, in Govern's words, for every store that lies in one."""

from __future__ import annotations

from typing import Final

import psycopg

from lineage.errors import BadInput, GovernError, StoreUnavailable, Tampered

__all__ = ["meaning"]

# by SQLSTATE, the most exact first: PostgreSQL's appendix A
_REASONS: Final = {
    "28": ("it refuses the user or the password", "correct the user and the password in GOVERN_DATABASE"),
    "3D000": ("there is no such database", "createdb --encoding=UTF8 NAME, or correct GOVERN_DATABASE"),
    "42501": ("the user may not do that there", "make the user the database's owner: ALTER DATABASE NAME OWNER TO USER"),
    "25006": ("it cannot be written: the server is a replica, or read-only", "name the primary server in GOVERN_DATABASE"),
    "53100": ("the server's disk is full", "free some space there, then try again"),
    "53300": ("the server has no connection left", "raise max_connections, or stop what holds them"),
    "53": ("the server lacks memory or another resource", "look at the server's log"),
    "55P03": ("another process holds a lock on it", "try again; pg_locks on the server says who holds it"),
    "57014": ("the server cancelled the statement", "raise statement_timeout for this user, then try again"),
    "57P03": ("the server is starting or stopping", "try again in a moment"),
    "57P": ("the server was stopped, or ended the connection", "start it, then try again"),
    "25P": ("the server ended a transaction that said nothing for too long; nothing was written", "try again"),
    "40": ("the server undid the transaction; nothing was written", "try again"),
    "58": ("the server cannot read or write its files", "look at the server's log, and at its disk"),
    "08": ("the connection was lost", "look whether the server runs, then try again"),
}
_NOT_FOR_IT: Final = {
    "22021": "text with a character that PostgreSQL cannot keep",
    "22P05": "text with a character that PostgreSQL cannot keep",
    "54000": "a name that is too long for PostgreSQL's indexes (some 2,600 bytes)",
}


def meaning(error: BaseException | None, name: str) -> GovernError | None:
    """What the driver's error means for the store called ``name``; ``None`` for a mistake in this program.

    The server's own words are kept as the cause, and left out of the message where they could repeat a value.
    """
    if isinstance(error, GovernError):
        return error
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate or ""
    if state in _NOT_FOR_IT:
        return BadInput(f"{name} cannot hold {_NOT_FOR_IT[state]}", hint="shorten or correct it, then send it again")
    if state.startswith("XX00") and state != "XX000":
        return Tampered(f"{name} is damaged: {_first(error)}", hint="govern ledger fsck, then restore it from a backup")
    if state == "23505":
        return Tampered(f"{name} already holds what should be written next", hint="govern ledger fsck")
    if state == "42P01":
        return Tampered(f"{name} has lost a table: {_first(error)}", hint="govern ledger fsck, then restore it from a backup")
    for length in (5, 3, 2):
        if found := _REASONS.get(state[:length]) if len(state) >= length else None:
            return StoreUnavailable(f"{name} cannot be used: {found[0]}", hint=found[1])
    if isinstance(error, psycopg.DataError) and "NUL" in str(error):  # refused by the driver, so without a state
        return BadInput(f"{name} cannot hold text with a NUL character", hint="correct it, then send it again")
    if isinstance(error, psycopg.OperationalError) and not state:
        return _lost(error, name)
    return None


def _lost(error: psycopg.OperationalError, name: str) -> StoreUnavailable:
    """No connection came about, or one was lost; libpq tells only in words why, and has no state for them."""
    said = str(error)
    if "password" in said or "authentication" in said or "no pg_hba.conf entry" in said or "role " in said:
        reason, hint = _REASONS["28"]
        return StoreUnavailable(f"{name} cannot be used: {reason}", hint=hint)
    if "does not exist" in said:
        reason, hint = _REASONS["3D000"]
        return StoreUnavailable(f"{name} cannot be used: {reason}", hint=hint)
    return StoreUnavailable(f"{name} cannot be reached: {_first(error)}", hint="look whether the server runs, and at GOVERN_DATABASE")


def _first(error: psycopg.Error) -> str:
    return str(error).strip().partition("\n")[0]
