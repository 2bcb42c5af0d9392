"""How an error ends a command: one line what, one line next, and an exit code. Never a traceback."""

from __future__ import annotations

import sys

from governance.errors import GateRefused, NotVerified
from lineage.errors import Gone, GovernError, Incomplete, Tampered

__all__ = ["DONE", "ERROR", "GONE", "SAID_NO", "USAGE", "Usage", "exit_code", "show_error"]

DONE, ERROR, USAGE, SAID_NO, GONE = 0, 1, 2, 3, 4


class Usage(GovernError):
    """The command was called in a way that cannot work (exit 2)."""


def exit_code(error: GovernError) -> int:
    """The exit code for an error.

    >>> exit_code(Gone("erased"))
    4
    """
    if isinstance(error, Usage):
        return USAGE
    if isinstance(error, GateRefused | Tampered | NotVerified):
        return SAID_NO
    if isinstance(error, Gone | Incomplete):
        return GONE
    return ERROR


def show_error(error: GovernError) -> int:
    """Print the error on stderr and return its exit code."""
    what = " ".join(error.message.split())
    sys.stderr.write(f"error: {what}\n")
    if error.hint:
        sys.stderr.write(f" next: {error.hint}\n")
    return exit_code(error)
