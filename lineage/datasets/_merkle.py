"""The Merkle tree of RFC 6962 section 2.1 over leaves held in memory: root, audit paths, verification.

Hashes of millions of leaves are kept *packed*, one after the other in one ``bytes``: as objects they would take twice the memory.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lineage.hashing import SHORT, short_sha256

HASH = 32
"""Bytes of a hash."""
_AT_ONCE = 65_536

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""MTH({}) of RFC 6962: the hash of an empty string."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 ‖ data): the hash of one leaf, 32 bytes."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right): the hash of an inner node, 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def packed_leaf_hashes(data: Iterable[bytes], *, mean: float) -> bytes:
    """The hashes of leaves that begin with their 0x00 already, packed; ``mean``: their length, by which the faster hash is chosen."""
    sha: Callable[..., Any] = short_sha256 if mean <= SHORT else hashlib.sha256
    return b"".join([sha(one).digest() for one in data])


def packed_root(leaves: bytes) -> bytes:
    """The root over packed leaf hashes, the same as :attr:`Tree.root`, with nothing kept for audit paths."""
    import numpy as np

    if not leaves:
        return EMPTY_ROOT
    level = np.frombuffer(leaves, np.uint8).reshape(-1, HASH)
    while len(level) > 1:
        pairs, size = len(level) // 2, 1 + 2 * HASH
        above = bytearray()
        for start in range(0, pairs, _AT_ONCE):
            count = min(_AT_ONCE, pairs - start)
            nodes = np.empty((count, size), np.uint8)
            nodes[:, 0] = 1
            nodes[:, 1:] = level[2 * start : 2 * (start + count)].reshape(count, 2 * HASH)
            data = nodes.tobytes()
            above += b"".join([short_sha256(data[at : at + size]).digest() for at in range(0, count * size, size)])
        if len(level) % 2:
            above += level[-1].tobytes()
        level = np.frombuffer(above, np.uint8).reshape(-1, HASH)
    return bytes(level[0].tobytes())


def unpacked(hashes: bytes) -> list[bytes]:
    """Packed hashes one by one."""
    return [hashes[at : at + HASH] for at in range(0, len(hashes), HASH)]


class Tree:
    """A whole tree built once from leaf hashes; an audit path then costs O(log n).

    A last node without a sibling moves up unchanged, which gives the same root as the recursive split at the largest
    power of two (RFC 6962 section 2.1).
    """

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        self._levels: list[list[bytes]] = [list(leaf_hashes)]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            level = [node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
            if len(below) % 2:
                level.append(below[-1])
            self._levels.append(level)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0])

    @property
    def root(self) -> bytes:
        """The tree's root hash, 32 bytes."""
        return self._levels[-1][0] if self.size else EMPTY_ROOT

    def path(self, index: int) -> tuple[bytes, ...]:
        """The audit path of leaf ``index``, lowest sibling first; raises ``IndexError`` outside the tree."""
        if not 0 <= index < self.size:
            raise IndexError(f"leaf {index} of a tree of {self.size}")
        siblings: list[bytes] = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                siblings.append(level[sibling])
            index >>= 1
        return tuple(siblings)

    def siblings(self, indices: Sequence[int]) -> list[bytes]:
        """The hashes that lead from these leaves to the root, each once: level by level from the leaves up, from left to right.

        Without any leaf it is the root alone, of an empty tree nothing.

        Args:
            indices: the leaves, ascending; raises ``IndexError`` where one is outside the tree.
        """
        if indices and not 0 <= indices[0] <= indices[-1] < self.size:
            raise IndexError(f"leaves {indices[0]} to {indices[-1]} of a tree of {self.size}")
        beside: list[bytes] = []
        known = list(indices)
        for level in self._levels[:-1]:
            here = set(known)
            beside += [level[one ^ 1] for one in known if one ^ 1 < len(level) and one ^ 1 not in here]
            known = sorted({one >> 1 for one in known})
        return beside if indices or not self.size else [self.root]


def root_from_leaves(hashes: Sequence[bytes], indices: Sequence[int], size: int, siblings: Sequence[bytes]) -> bytes | None:
    """The root that these leaves and the hashes of :meth:`Tree.siblings` lead to, ``None`` where they do not fit a tree of this size.

    Args:
        hashes: of the leaves.
        indices: their places, ascending and distinct.
        size: number of leaves of the tree.
        siblings: as :meth:`Tree.siblings` gives them; without any leaf the root alone, of an empty tree nothing.
    """
    if len(hashes) != len(indices) or any(a >= b for a, b in itertools.pairwise(indices)):
        return None
    if not size:
        return EMPTY_ROOT if not indices and not siblings else None
    if not indices:
        return siblings[0] if len(siblings) == 1 else None
    if not 0 <= indices[0] <= indices[-1] < size:
        return None
    values, places, width, remaining = list(hashes), list(indices), size, iter(siblings)
    while width > 1:
        above: list[bytes] = []
        parents: list[int] = []
        at = 0
        while at < len(places):
            place, value = places[at], values[at]
            beside: bytes | None = None
            if place % 2 == 0 and at + 1 < len(places) and places[at + 1] == place + 1:
                at += 1
                beside = values[at]
            elif place ^ 1 < width and (beside := next(remaining, None)) is None:
                return None
            above.append(value if beside is None else node_hash(beside, value) if place % 2 else node_hash(value, beside))
            parents.append(place >> 1)
            at += 1
        values, places, width = above, parents, (width + 1) // 2
    return values[0] if next(remaining, None) is None else None


def root_from_path(hashed: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a leaf hash and its audit path lead to, ``None`` when the path does not fit the size (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return None
    position, last, value = index, size - 1, hashed
    remaining = iter(path)
    while last:
        if position % 2 or position != last:
            sibling = next(remaining, None)
            if sibling is None:
                return None
            value = node_hash(sibling, value) if position % 2 else node_hash(value, sibling)
        position >>= 1
        last >>= 1
    return value if next(remaining, None) is None else None
