"""Proofs for every tree of some tens of leaves: each true one holds, and no altered one does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.ledger import merkle
from lineage.ledger.tree import Frontier, tree_consistency, tree_inclusion, tree_root

SIZE = 40
LEAVES = [bytes([n]) * (n % 7) for n in range(SIZE)]
ROOTS = [merkle.root(LEAVES[:size]) for size in range(SIZE + 1)]


def stored(leaves):
    """A node reader over what a frontier emitted while it grew, as the ledger keeps it."""
    frontier, nodes = Frontier(), {}
    for leaf in leaves:
        nodes[0, frontier.size] = merkle.leaf_hash(leaf)
        for level, position, value in frontier.append(leaf):
            assert (level, position) not in nodes
            nodes[level, position] = value
    return frontier, lambda level, position: nodes[level, position]


def altered(proof):
    """Every way to flip, drop, repeat, swap or lengthen a proof."""
    for at in range(len(proof)):
        yield [*proof[:at], bytes([proof[at][0] ^ 1]) + proof[at][1:], *proof[at + 1 :]]
        yield [*proof[:at], *proof[at + 1 :]]
        yield [*proof[: at + 1], *proof[at:]]
    for at in range(len(proof) - 1):
        yield [*proof[:at], proof[at + 1], proof[at], *proof[at + 2 :]]
    yield [*proof, bytes(32)]
    yield [bytes(32), *proof]
    yield [*proof, b"short"]


@pytest.mark.parametrize("size", range(1, SIZE + 1))
def test_every_inclusion_holds_and_no_altered_one_does(size):
    for index in range(size):
        proof = merkle.inclusion(LEAVES[:size], index)
        assert merkle.verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])
        for bad in altered(proof):
            assert not merkle.verify_inclusion(LEAVES[index], index, size, bad, ROOTS[size])
        for other in {0, size - 1, index + 1, index - 1} - {index}:
            assert not merkle.verify_inclusion(LEAVES[index], other, size, proof, ROOTS[size]) or LEAVES[other : other + 1] == [
                LEAVES[index]
            ]


@pytest.mark.parametrize("second", range(1, SIZE + 1))
def test_every_consistency_holds_and_no_altered_one_does(second):
    for first in range(1, second + 1):
        proof = merkle.consistency(LEAVES[:second], first)
        assert merkle.verify_consistency(first, second, ROOTS[first], ROOTS[second], proof)
        for bad in altered(proof):
            assert not merkle.verify_consistency(first, second, ROOTS[first], ROOTS[second], bad)
        if first < second:
            assert not merkle.verify_consistency(first, second, ROOTS[second], ROOTS[first], proof)
            assert not merkle.verify_consistency(first, second, bytes(32), ROOTS[second], proof)


@given(st.lists(st.binary(max_size=8), max_size=70), st.data())
@settings(max_examples=50)
def test_stored_subtrees_answer_like_the_whole_sequence(leaves, data):
    frontier, node = stored(leaves)
    size = data.draw(st.integers(0, len(leaves)))
    assert frontier.root() == merkle.root(leaves)
    assert tree_root(size, node) == merkle.root(leaves[:size])
    assert Frontier.load(size, node).root() == merkle.root(leaves[:size])
    if size:
        index = data.draw(st.integers(0, size - 1))
        assert tree_inclusion(index, size, node) == merkle.inclusion(leaves[:size], index)
    first = data.draw(st.integers(0, size))
    assert tree_consistency(first, size, node) == merkle.consistency(leaves[:size], first)


def test_a_frontier_that_is_copied_grows_apart():
    frontier, _ = stored(LEAVES[:5])
    other = frontier.copy()
    other.append(b"x")
    assert frontier.root() == ROOTS[5]
    assert (frontier.size, other.size) == (5, 6)
    assert other.root() == merkle.root([*LEAVES[:5], b"x"])
