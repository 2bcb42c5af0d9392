"""Merkle trees of RFC 6962 §2.1 (the same as RFC 9162 §2.1): hashes, proofs and their verification.

A *leaf* is the leaf's data, any bytes; its hash is ``SHA-256(0x00 ‖ data)``, an inner node is ``SHA-256(0x01 ‖ left ‖ right)``.
These functions take whole sequences; :mod:`lineage.ledger.tree` gives the same answers from stored subtree hashes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from lineage.errors import BadInput

__all__ = [
    "EMPTY_ROOT",
    "consistency",
    "inclusion",
    "leaf_hash",
    "node_hash",
    "root",
    "root_from_inclusion",
    "split",
    "verify_consistency",
    "verify_inclusion",
]

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""

_HASH_SIZE = 32


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of one leaf's data, 32 bytes.

    >>> leaf_hash(b"").hex()
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d'
    """
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node over its two children, 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two smaller than ``size`` (size > 1): where RFC 6962 divides a tree.

    >>> [split(n) for n in (2, 3, 4, 5, 8, 9)]
    [1, 2, 2, 4, 4, 8]
    """
    return 1 << ((size - 1).bit_length() - 1)


def root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash over the leaves' data; :data:`EMPTY_ROOT` for none."""
    return _root([leaf_hash(leaf) for leaf in leaves])


def inclusion(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf ``index``, from the leaf up.

    Raises:
        BadInput: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise BadInput(f"no leaf {index} in a tree of {len(leaves)}")
    return _path([leaf_hash(leaf) for leaf in leaves], index)


def consistency(leaves: Sequence[bytes], first: int) -> list[bytes]:
    """The proof that the tree over the first ``first`` leaves is a prefix of the tree over all of them.

    Empty when ``first`` is 0 or the whole size.

    Raises:
        BadInput: ``first`` is negative or larger than the tree.
    """
    if not 0 <= first <= len(leaves):
        raise BadInput(f"no tree of size {first} inside a tree of {len(leaves)}")
    if first in (0, len(leaves)):
        return []
    return _subproof([leaf_hash(leaf) for leaf in leaves], first, whole=True)


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root that the audit path leads to, or ``None`` when its length does not fit. Source: RFC 9162 §2.1.3.2."""
    if not 0 <= index < size or any(len(part) != _HASH_SIZE for part in proof):
        return None
    node, last, value = index, size - 1, leaf_hash(leaf)
    for part in proof:
        if last == 0:
            return None
        if node & 1 or node == last:
            value = node_hash(part, value)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            value = node_hash(value, part)
        node, last = node >> 1, last >> 1
    return value if last == 0 else None


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether ``leaf`` (the leaf's *data*) is leaf ``index`` of the tree with ``size`` leaves and this root."""
    return root_from_inclusion(leaf, index, size, proof) == root


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree of ``first`` leaves is a prefix of the tree of ``second``. Source: RFC 9162 §2.1.4.2.

    The empty tree is a prefix of every tree, so with ``first`` 0 the proof must be empty and ``first_root`` that of no leaves.
    """
    if not 0 <= first <= second or any(len(part) != _HASH_SIZE for part in proof):
        return False
    if first == second:
        return not proof and first_root == second_root and (first > 0 or first_root == EMPTY_ROOT)
    if first == 0:
        return not proof and first_root == EMPTY_ROOT
    if not proof:
        return False
    parts = list(proof) if first & (first - 1) else [first_root, *proof]
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = parts[0]
    for part in parts[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = node_hash(part, old), node_hash(part, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, part)
        node, last = node >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _root(hashes: Sequence[bytes]) -> bytes:
    if not hashes:
        return EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    at = split(len(hashes))
    return node_hash(_root(hashes[:at]), _root(hashes[at:]))


def _path(hashes: Sequence[bytes], index: int) -> list[bytes]:
    if len(hashes) == 1:
        return []
    at = split(len(hashes))
    if index < at:
        return [*_path(hashes[:at], index), _root(hashes[at:])]
    return [*_path(hashes[at:], index - at), _root(hashes[:at])]


def _subproof(hashes: Sequence[bytes], first: int, *, whole: bool) -> list[bytes]:
    if first == len(hashes):
        return [] if whole else [_root(hashes)]
    at = split(len(hashes))
    if first <= at:
        return [*_subproof(hashes[:at], first, whole=whole), _root(hashes[at:])]
    return [*_subproof(hashes[at:], first - at, whole=False), _root(hashes[:at])]
