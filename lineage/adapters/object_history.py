"""What an object store keeps of objects that were overwritten or deleted: the question of every physical erasure there."""

from __future__ import annotations

from typing import Protocol

from lineage.adapters.table_files import Content

__all__ = ["History", "NoHistory", "UnknownHistory"]


class History(Protocol):
    """The past of the objects under one prefix."""

    def kept(self) -> list[Content]:
        """Every old content that can be read; names are relative to the prefix."""
        ...

    def read(self, name: str, version: str) -> bytes:
        """One of :meth:`kept`."""
        ...

    def drop(self) -> None:
        """Remove it all, as far as the store allows; what it refused is told by :meth:`stays`."""
        ...

    def stays(self) -> str | None:
        """Why bytes of deleted objects may stay, ``None`` when the store was seen to keep none."""
        ...

    def is_away(self, error: Exception) -> bool:
        """Whether an error of the store's library means that the store could not be reached."""
        ...


class NoHistory:
    """A store that keeps nothing: what was deleted is gone."""

    def kept(self) -> list[Content]:
        """None."""
        return []

    def read(self, name: str, version: str) -> bytes:
        """There are none."""
        raise FileNotFoundError(f"{name} has no version {version}")

    def drop(self) -> None:
        """Nothing is there."""

    def stays(self) -> str | None:
        """Nothing stays."""
        return None

    def is_away(self, error: Exception) -> bool:
        """Its errors are the operating system's."""
        del error
        return False


class UnknownHistory(NoHistory):
    """A store whose old versions Govern cannot list: unknown is never a pass.

    Args:
        scheme: of its URL.
    """

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme

    def stays(self) -> str | None:
        """That nobody looked."""
        return f"Govern cannot list what {self._scheme}:// keeps of deleted objects (versions, soft deletion, replicas)"
