"""Committed row sets: the published construction, proofs, and every way to tamper with one."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac

import pytest

from lineage.datasets import (
    Membership,
    NonMembership,
    commitment,
    commitments,
    membership,
    non_membership,
    non_memberships,
    row_set,
    row_set_digest,
    verify_membership,
    verify_non_membership,
)
from lineage.errors import BadInput
from tests.support.rows_keys import MemoryKeys

KEYS = MemoryKeys()


def test_commitment_is_the_documented_hmac() -> None:
    expected = hmac.digest(b"r" * 32, b"credit.train\x00" + (17).to_bytes(8, "big"), hashlib.sha256)
    assert commitment(KEYS, "credit.train", 17) == expected


def test_root_is_rfc6962_over_the_sorted_commitments() -> None:
    leaves = sorted(commitment(KEYS, "d", n) for n in (1, 2, 3))
    h = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    left = hashlib.sha256(b"\x01" + h[0] + h[1]).digest()
    root = hashlib.sha256(b"\x01" + left + h[2]).hexdigest()
    assert row_set(KEYS, "d", [3, 1, 2, 1]).digest == f"rs1:{root}"
    assert row_set(KEYS, "d", [3, 1, 2, 1]).count == 3
    assert row_set(KEYS, "d", []).digest == "rs1:" + hashlib.sha256(b"").hexdigest()


def test_the_dataset_and_the_key_separate_row_sets() -> None:
    other = MemoryKeys()
    other._keys["rowset"] = b"x" * 32
    digests = {row_set(KEYS, "a", [1]).digest, row_set(KEYS, "b", [1]).digest, row_set(other, "a", [1]).digest}
    assert len(digests) == 3


@pytest.mark.parametrize("row", [-1, 2**63, True, "1", 1.0])
def test_bad_row_ids_are_refused(row: object) -> None:
    with pytest.raises(BadInput, match="row id"):
        commitment(KEYS, "d", row)  # type: ignore[arg-type]


def test_membership_holds_for_each_row_and_for_no_other() -> None:
    leaves = commitments(KEYS, "d", range(13))
    root = row_set_digest(leaves)
    for leaf in leaves:
        proof = membership(leaves, leaf)
        assert verify_membership(proof, root, 13)
        assert not verify_membership(proof, root, proof.index)
        assert not verify_membership(dataclasses.replace(proof, index=(proof.index + 1) % 13), root, 13)
        assert not verify_membership(dataclasses.replace(proof, commitment=commitment(KEYS, "d", 99)), root, 13)
    with pytest.raises(BadInput, match="no membership"):
        membership(leaves, commitment(KEYS, "d", 99))


def test_non_membership_at_every_place() -> None:
    for count in range(9):
        leaves = commitments(KEYS, "d", range(count))
        root = row_set_digest(leaves)
        targets = [commitment(KEYS, "d", n) for n in range(100, 130)]
        for target, proof in zip(targets, non_memberships(leaves, targets), strict=True):
            assert verify_non_membership(proof, root, count, target=target)
            assert NonMembership.from_json(proof.to_json()) == proof
            if proof.right is None:  # inside, the audit path alone may fit two sizes; at the end the count decides
                assert not verify_non_membership(proof, root, count + 1)
                assert count == 0 or not verify_non_membership(proof, root, count - 1)
            assert not verify_non_membership(proof, root, count, target=commitment(KEYS, "d", 999))
            assert not verify_non_membership(proof, "rs1:" + "00" * 32, count)
            assert not verify_non_membership(proof, root.removeprefix("rs1:"), count)
            assert not verify_non_membership(proof, "rs1:zz", count)


def test_a_member_has_no_proof_of_absence() -> None:
    leaves = commitments(KEYS, "d", range(5))
    with pytest.raises(BadInput, match="is a member"):
        non_membership(leaves, leaves[2])
    with pytest.raises(BadInput, match="sorted"):
        non_membership([leaves[1], leaves[0]], commitment(KEYS, "d", 9))


def test_every_forged_proof_of_absence_fails() -> None:
    """A member is claimed absent by leaving it out, by neighbours that are not neighbours, or by dropping a side."""
    leaves = commitments(KEYS, "d", range(10))
    root = row_set_digest(leaves)
    victim = leaves[4]
    m = [membership(leaves, leaf) for leaf in leaves]
    forged = [
        NonMembership(target=victim, left=m[3], right=m[5]),
        NonMembership(target=victim, left=m[3], right=dataclasses.replace(m[5], index=4)),
        NonMembership(target=victim, left=m[4], right=m[5]),
        NonMembership(target=victim, left=m[3], right=m[4]),
        NonMembership(target=victim, left=m[3], right=None),
        NonMembership(target=victim, left=None, right=m[5]),
        NonMembership(target=victim, left=None, right=None),
        NonMembership(target=victim, left=dataclasses.replace(m[3], index=9), right=None),
        NonMembership(target=victim, left=None, right=dataclasses.replace(m[5], index=0)),
        NonMembership(target=victim, left=m[3], right=dataclasses.replace(m[5], index=4, path=m[4].path)),
    ]
    assert not any(verify_non_membership(proof, root, 10) for proof in forged)
    honest = non_membership(leaves, commitment(KEYS, "d", 50))
    assert verify_non_membership(honest, root, 10)
    for side in ("left", "right"):
        neighbour = getattr(honest, side)
        if neighbour is None:
            continue
        for at in range(len(neighbour.path)):
            flipped = bytes([neighbour.path[at][0] ^ 1]) + neighbour.path[at][1:]
            path = (*neighbour.path[:at], flipped, *neighbour.path[at + 1 :])
            assert not verify_non_membership(dataclasses.replace(honest, **{side: dataclasses.replace(neighbour, path=path)}), root, 10)
        longer = dataclasses.replace(neighbour, path=(*neighbour.path, b"\0" * 32))
        assert not verify_non_membership(dataclasses.replace(honest, **{side: longer}), root, 10)


@pytest.mark.parametrize("value", [None, {}, {"target": "zz", "left": None, "right": None}, {"target": "00", "left": 3, "right": None}])
def test_a_proof_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(BadInput, match="proof"):
        NonMembership.from_json(value)
    with pytest.raises(BadInput):
        Membership.from_json({"commitment": "00", "index": "1", "path": []})
