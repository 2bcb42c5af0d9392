"""The Merkle tree from stored hashes of complete subtrees, so that nothing is hashed twice.

Node ``(level, position)`` is the root over the ``2**level`` leaves that begin at ``position * 2**level``; it is stored once these
leaves exist, and never changes after. Roots and proofs then read O(log n) nodes, whatever the size of the log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lineage.errors import BadInput
from lineage.ledger.merkle import EMPTY_ROOT, leaf_hash, node_hash, split

__all__ = ["Frontier", "NodeReader", "tree_consistency", "tree_inclusion", "tree_root"]

NodeReader = Callable[[int, int], bytes]
"""``(level, position)`` → the hash of that complete subtree; level 0 are the leaf hashes."""


@dataclass(slots=True)
class Frontier:
    """The right edge of a growing tree: the roots of its maximal complete subtrees, the largest first."""

    size: int = 0
    hashes: list[bytes] = field(default_factory=list)

    @classmethod
    def load(cls, size: int, node: NodeReader) -> Frontier:
        """The frontier of a stored tree; reads one node per bit of ``size`` that is set."""
        hashes, start = [], 0
        for level in range(size.bit_length() - 1, -1, -1):
            if size >> level & 1:
                hashes.append(node(level, start >> level))
                start += 1 << level
        return cls(size, hashes)

    def copy(self) -> Frontier:
        """The same frontier, to come back to when what follows is rolled back."""
        return Frontier(self.size, list(self.hashes))

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Add one leaf's data; returns the inner nodes (level ≥ 1) that this completes, the lowest first."""
        value, level, position = leaf_hash(leaf), 0, self.size
        done: list[tuple[int, int, bytes]] = []
        while position & 1:
            value = node_hash(self.hashes.pop(), value)
            level, position = level + 1, position >> 1
            done.append((level, position, value))
        self.hashes.append(value)
        self.size += 1
        return done

    def root(self) -> bytes:
        """The root of the tree as it stands."""
        if not self.hashes:
            return EMPTY_ROOT
        value = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            value = node_hash(left, value)
        return value


def tree_root(size: int, node: NodeReader) -> bytes:
    """The root over the first ``size`` leaves."""
    return _range(0, size, node) if size else EMPTY_ROOT


def tree_inclusion(index: int, size: int, node: NodeReader) -> list[bytes]:
    """The audit path of leaf ``index`` in the tree of ``size`` leaves, from the leaf up.

    Raises:
        BadInput: there is no such leaf.
    """
    if not 0 <= index < size:
        raise BadInput(f"no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        at = low + split(high - low)
        if index < at:
            path.append(_range(at, high, node))
            high = at
        else:
            path.append(_range(low, at, node))
            low = at
    return path[::-1]


def tree_consistency(first: int, second: int, node: NodeReader) -> list[bytes]:
    """The proof that the tree of ``first`` leaves is a prefix of the tree of ``second``.

    Raises:
        BadInput: not ``0 <= first <= second``.
    """
    if not 0 <= first <= second:
        raise BadInput(f"no tree of size {first} inside a tree of {second}")
    if first in (0, second):
        return []
    proof: list[bytes] = []
    low, high, whole = 0, second, True
    while first != high:
        at = low + split(high - low)
        if first <= at:
            proof.append(_range(at, high, node))
            high = at
        else:
            proof.append(_range(low, at, node))
            low, whole = at, False
    if not whole:
        proof.append(_range(low, high, node))
    return proof[::-1]


def _range(low: int, high: int, node: NodeReader) -> bytes:
    """The root over leaves [low, high), a subtree of RFC 6962: ``low`` is a multiple of the power of two that covers it."""
    width = high - low
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return node(level, low >> level)
    at = low + split(width)
    return node_hash(_range(low, at, node), _range(at, high, node))
