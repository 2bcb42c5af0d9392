"""The error tree of Govern.

::

    GovernError                     message, hint (the next command)
    ├── BadInput                    the caller sent something that cannot be used
    │   └── BadEvent                not an OpenLineage event (design: the only reasons to refuse one)
    ├── NotFound                    no such model, dataset, run, request; hint names the nearest
    ├── Gone                        it existed and was erased; a tombstone answers for it
    ├── Conflict                    the state changed, or the transition is not allowed from here
    ├── Forbidden                   the key lacks the role
    ├── Incomplete                  an answer exists but is not complete (exit 4 with --strict)
    ├── StoreUnavailable            full disk, locked home, store away; nothing was half-written
    └── Tampered                    a digest, proof or signature does not match; says which part
"""

from __future__ import annotations

__all__ = [
    "BadEvent",
    "BadInput",
    "Conflict",
    "Forbidden",
    "Gone",
    "GovernError",
    "Incomplete",
    "NotFound",
    "StoreUnavailable",
    "Tampered",
]


class GovernError(Exception):
    """Root of every error that Govern raises on purpose.

    Args:
        message: what is wrong, naming the thing and the place.
        hint: the next command or step, or ``None``.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(GovernError):
    """The caller sent something that cannot be used."""


class BadEvent(BadInput):
    """Not an OpenLineage event: not JSON, no identity, an identity that is no string, or too large or deep."""


class NotFound(GovernError):
    """No such thing; ``hint`` names the nearest ones."""


class Gone(GovernError):
    """It existed and was erased; a tombstone answers for it."""


class Conflict(GovernError):
    """The state changed under us, or does not allow this."""


class Forbidden(GovernError):
    """The API key lacks the role."""


class Incomplete(GovernError):
    """There is an answer, but it does not rest on everything."""


class StoreUnavailable(GovernError):
    """A store cannot be used (full disk, locked home, server away); nothing was half-written."""


class Tampered(GovernError):
    """A digest, proof or signature does not match."""
