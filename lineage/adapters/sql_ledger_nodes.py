"""The stored tree, read node by node where a read costs nothing, or all at once where each is a round trip to a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from lineage.adapters.sql_ledger_place import Reader
from lineage.errors import Tampered
from lineage.ledger.merkle import leaf_hash
from lineage.ledger.tree import NodeReader

__all__ = ["fetched", "node_reader"]

T = TypeVar("T")

_BLANK = bytes(32)


def node_reader(reader: Reader) -> NodeReader:
    """The stored tree, one statement a node; a node that is not there is a :class:`Tampered`."""

    def read(level: int, position: int) -> bytes:
        if level:
            found = reader.execute("SELECT hash FROM nodes WHERE level = ? AND position = ?", (level, position)).fetchone()
        else:
            found = reader.execute("SELECT leaf FROM entries WHERE idx = ?", (position,)).fetchone()
        if found is None:
            raise _lost(level, position)
        value: bytes = found[0]
        return value if level else leaf_hash(value)

    return read


def fetched(ask: Callable[[NodeReader], T], fetch: Callable[[Iterable[tuple[int, int]]], Mapping[tuple[int, int], bytes]]) -> T:
    """What ``ask`` answers, its nodes fetched together: it is asked once for which it needs, and again with what they are.

    That the nodes of a proof depend on the size of the tree alone, never on its hashes, is what makes this right.

    Args:
        ask: reads nodes through the reader that it is given.
        fetch: ``(level, position)`` → the stored hash, at level 0 the leaf's data, of those that are there.

    Raises:
        Tampered: one of them is not there.
    """
    wanted: dict[tuple[int, int], None] = {}

    def note(level: int, position: int) -> bytes:
        wanted[level, position] = None
        return _BLANK

    ask(note)
    found = fetch(wanted) if wanted else {}

    def read(level: int, position: int) -> bytes:
        value = found.get((level, position))
        if value is None:
            raise _lost(level, position)
        return value if level else leaf_hash(value)

    return ask(read)


def _lost(level: int, position: int) -> Tampered:
    what = f"tree node {level}/{position}" if level else f"entry {position}"
    return Tampered(f"the ledger has lost {what}", hint="govern ledger fsck")
