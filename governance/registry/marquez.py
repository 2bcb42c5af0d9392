"""Marquez's reads as the doors ask them: each waits until what was acknowledged before it is there."""

from __future__ import annotations

from collections.abc import Callable

from lineage.marquez import Marquez

__all__ = ["MarquezDoor"]


class MarquezDoor:
    """Called, it gives the views, once all that was acknowledged is projected or the wait is over; :meth:`lag` says which."""

    def __init__(self, views: Marquez, *, settle: Callable[[], int], lag: Callable[[], int]) -> None:
        self._views = views
        self._settle = settle
        self._lag = lag

    def __call__(self) -> Marquez:
        """The views."""
        self._settle()
        return self._views

    def lag(self) -> int:
        """Acknowledged entries that the views do not show yet."""
        return self._lag()
