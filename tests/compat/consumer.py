"""What a consumer must offer to be held against the suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

__all__ = ["Consumer", "Graph"]

Graph = dict[str, Any]
"""The neutral graph (README.md)."""


class Consumer(Protocol):
    """A consumer of OpenLineage events, empty when it is made."""

    def reset(self) -> None:
        """Forget everything."""
        ...

    def send(self, event: bytes) -> None:
        """Take one event; raise where it is refused."""
        ...

    def send_batch(self, events: Sequence[bytes]) -> None:
        """Take many events at once; raise where one is refused."""
        ...

    def graph(self) -> Graph:
        """All that is known now."""
        ...
