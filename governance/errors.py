"""Errors that only decisions know; the root and the common ones are in :mod:`lineage.errors`.

::

    GovernError
    ├── GateRefused        a gate or verification said no (exit 3)
    ├── BudgetExceeded     a privacy budget does not allow it
    ├── Held               an incident hold protects the asset
    ├── NotVerified        a code, a token or a claim does not show who asks
    ├── TooMany            too many for one person or request; later it may
    ├── Suppressed         the person is being erased: nothing new is done with their data
    └── Superseded         another process took this work over; what was about to be done is not done
"""

from __future__ import annotations

from lineage.errors import Forbidden, GovernError

__all__ = ["BudgetExceeded", "GateRefused", "Held", "NotVerified", "Superseded", "Suppressed", "TooMany"]


class GateRefused(GovernError):
    """A gate said no; the message lists its reasons."""


class BudgetExceeded(GovernError):
    """The lifetime privacy budget does not allow the spend."""


class Held(GovernError):
    """An asset is under a hold; nothing that would alter it was done."""


class NotVerified(Forbidden):
    """A code, a token or a claim does not show that the person who asks is the one the request is about (exit 3)."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint or "ask the person again: govern erasure challenge ID")


class TooMany(GovernError):
    """A limit per person or per request is reached; ``retry_after`` seconds later it may be tried again."""

    def __init__(self, message: str, *, retry_after: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Suppressed(GovernError):
    """A person is being erased; the message names nobody."""


class Superseded(GovernError):
    """This work was taken over by another process while it slept; nothing was written."""
