"""Errors that only decisions know; the root and the common ones are in :mod:`lineage.errors`.

::

    GovernError
    ├── GateRefused        a gate or verification said no (exit 3)
    ├── BudgetExceeded     a privacy budget does not allow it
    └── Held               an incident hold protects the asset
"""

from __future__ import annotations

from lineage.errors import GovernError

__all__ = ["BudgetExceeded", "GateRefused", "Held"]


class GateRefused(GovernError):
    """A gate said no; the message lists its reasons."""


class BudgetExceeded(GovernError):
    """The lifetime privacy budget does not allow the spend."""


class Held(GovernError):
    """An asset is under a hold; nothing that would alter it was done."""
