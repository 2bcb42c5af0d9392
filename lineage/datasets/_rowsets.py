"""Committed row sets: which rows, without saying which; and proofs that a row is in, or is not."""

from __future__ import annotations

import hmac
import itertools
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lineage.datasets._merkle import HASH, Tree, leaf_hash, packed_leaf_hashes, packed_root, root_from_path, unpacked
from lineage.errors import BadInput
from lineage.model import Json, RowSetInfo
from lineage.ports import KeyStore

if TYPE_CHECKING:
    import numpy as np

_KEY = "rowset"
PREFIX = "rs1:"
_MAX_ROW_ID = 2**63 - 1
_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """One leaf of a row set with its audit path."""

    commitment: bytes
    index: int
    path: tuple[bytes, ...]

    def to_json(self) -> Json:
        """The proof as JSON; bytes are hex."""
        return {"commitment": self.commitment.hex(), "index": self.index, "path": [p.hex() for p in self.path]}

    @classmethod
    def from_json(cls, value: Json) -> Membership:
        """Parse :meth:`to_json`; raises ``BadInput``."""
        try:
            index = value["index"]
            if isinstance(index, bool) or not isinstance(index, int):
                raise BadInput(f"membership proof: index is {index!r}, not an integer")
            return cls(
                commitment=bytes.fromhex(value["commitment"]),
                index=index,
                path=tuple(bytes.fromhex(p) for p in value["path"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"membership proof: {error!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class NonMembership:
    """That a commitment is not in a row set: the two neighbours between which it would stand.

    ``left`` is missing when the target would stand first, ``right`` when it would stand last; both for the empty set.
    """

    target: bytes
    left: Membership | None
    right: Membership | None

    def to_json(self) -> Json:
        """The proof as JSON; bytes are hex."""
        return {
            "target": self.target.hex(),
            "left": self.left.to_json() if self.left else None,
            "right": self.right.to_json() if self.right else None,
        }

    @classmethod
    def from_json(cls, value: Json) -> NonMembership:
        """Parse :meth:`to_json`; raises ``BadInput``."""
        try:
            return cls(
                target=bytes.fromhex(value["target"]),
                left=Membership.from_json(value["left"]) if value["left"] is not None else None,
                right=Membership.from_json(value["right"]) if value["right"] is not None else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"non-membership proof: {error!r}") from error


def commitment(keys: KeyStore, dataset: str, row_id: int) -> bytes:
    """HMAC-SHA256 under the key ``rowset`` of dataset ‖ 0x00 ‖ row id (8 bytes, big endian): 32 bytes that hide the row.

    Raises:
        BadInput: the row id is no int64 ≥ 0, or the dataset's name holds a NUL.
    """
    return keys.hmac(_KEY, _prefix(dataset) + _checked(dataset, row_id).to_bytes(8, "big"))


def commitments(keys: KeyStore, dataset: str, row_ids: Iterable[int]) -> list[bytes]:
    """The commitments of a set of rows, sorted; a row named twice counts once. Raises ``BadInput`` as :func:`commitment`."""
    return unpacked(_packed(keys, dataset, row_ids))


def row_set_digest(sorted_commitments: Sequence[bytes]) -> str:
    """``rs1:<hex>``: the RFC 6962 root over the sorted commitments."""
    return PREFIX + _tree(sorted_commitments).root.hex()


def row_set(keys: KeyStore, dataset: str, row_ids: Iterable[int], uri: str | None = None) -> RowSetInfo:
    """The committed set of rows: digest and count; ``uri`` says where the list of commitments lies."""
    leaves = _packed(keys, dataset, row_ids)
    at = range(0, len(leaves), HASH)
    hashed = packed_leaf_hashes((b"\x00" + leaves[i : i + HASH] for i in at), mean=1 + HASH)
    return RowSetInfo(digest=PREFIX + packed_root(hashed).hex(), count=len(at), uri=uri)


def membership(sorted_commitments: Sequence[bytes], target: bytes) -> Membership:
    """Proof that ``target`` is in the set; raises ``BadInput`` when it is not."""
    index = bisect_left(sorted_commitments, target)
    if index == len(sorted_commitments) or sorted_commitments[index] != target:
        raise BadInput(f"the row set of {len(sorted_commitments)} rows does not hold {target.hex()}: no membership to prove")
    return Membership(commitment=target, index=index, path=_tree(sorted_commitments).path(index))


def non_membership(sorted_commitments: Sequence[bytes], target: bytes) -> NonMembership:
    """Proof that ``target`` is not in the set, by both neighbours; raises ``BadInput`` when it is in it."""
    return non_memberships(sorted_commitments, [target])[0]


def non_memberships(sorted_commitments: Sequence[bytes], targets: Iterable[bytes]) -> list[NonMembership]:
    """One proof for each target, the tree built once; raises ``BadInput`` when one of them is in the set."""
    tree = _tree(sorted_commitments)
    proofs = []
    for target in targets:
        at = bisect_left(sorted_commitments, target)
        if at < tree.size and sorted_commitments[at] == target:
            raise BadInput(f"the row set holds {target.hex()} at {at}: it is a member")
        left = Membership(commitment=sorted_commitments[at - 1], index=at - 1, path=tree.path(at - 1)) if at > 0 else None
        right = Membership(commitment=sorted_commitments[at], index=at, path=tree.path(at)) if at < tree.size else None
        proofs.append(NonMembership(target=target, left=left, right=right))
    return proofs


def verify_membership(proof: Membership, root: str, count: int) -> bool:
    """Whether the proof's commitment is in the set ``root`` (``rs1:<hex>``) of ``count`` rows."""
    expected = _root_bytes(root)
    if expected is None:
        return False
    found = root_from_path(leaf_hash(proof.commitment), proof.index, count, proof.path)
    return found is not None and hmac.compare_digest(found, expected)


def verify_non_membership(proof: NonMembership, root: str, count: int, *, target: bytes | None = None) -> bool:
    """Whether the proof shows that its target is not in the set ``root`` (``rs1:<hex>``) of ``count`` rows.

    Both neighbours must be in the set, stand side by side, and enclose the target; at an end the one neighbour must be the
    first or the last leaf. This rests on the leaves being sorted, which whoever made the set committed to.

    Args:
        proof: from :func:`non_membership`.
        root: the row set's digest.
        count: the row set's number of rows.
        target: the commitment that the caller asks about; given, the proof must be about this one.
    """
    if target is not None and not hmac.compare_digest(target, proof.target):
        return False
    left, right = proof.left, proof.right
    if left is None and right is None:
        return count == 0 and root == row_set_digest([])
    if left is None or right is None:
        if left is not None:
            placed = left.index == count - 1 and left.commitment < proof.target
        else:
            assert right is not None
            placed = right.index == 0 and proof.target < right.commitment
    else:
        placed = right.index == left.index + 1 and left.commitment < proof.target < right.commitment
    return placed and all(verify_membership(side, root, count) for side in (left, right) if side is not None)


def _packed(keys: KeyStore, dataset: str, row_ids: Iterable[int]) -> bytes:
    """The sorted commitments, one after the other: of millions of rows, objects would take three times the memory."""
    import numpy as np

    prefix = _prefix(dataset)
    ids = np.array(sorted({_checked(dataset, row_id) for row_id in row_ids}), ">i8").tobytes()
    made = bytearray()
    for start in range(0, len(ids), 8 * _AT_ONCE):
        made += b"".join(keys.hmacs(_KEY, [prefix + ids[at : at + 8] for at in range(start, min(len(ids), start + 8 * _AT_ONCE), 8)]))
    hashes = np.frombuffer(made, np.uint8).reshape(-1, HASH)
    return bytes(hashes[_order(hashes)].tobytes())


def _order(hashes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The places of hashes in their order as bytes: by the first eight, which hardly ever are equal, else by all four words."""
    import numpy as np

    words = hashes.view(">u8").astype(np.uint64)
    order = np.argsort(words[:, 0])
    first = words[order, 0]
    return np.lexsort(words.T[::-1]) if bool((first[1:] == first[:-1]).any()) else order


def _prefix(dataset: str) -> bytes:
    if "\x00" in dataset:
        raise BadInput(f"the dataset name {dataset!r} holds a NUL character")
    return dataset.encode() + b"\x00"


def _checked(dataset: str, row_id: Any) -> int:
    if isinstance(row_id, bool) or not isinstance(row_id, int) or not 0 <= row_id <= _MAX_ROW_ID:
        raise BadInput(f"{dataset}: row id {row_id!r} is not an integer from 0 to 2^63 - 1")
    return row_id


def _tree(sorted_commitments: Sequence[bytes]) -> Tree:
    if any(a >= b for a, b in itertools.pairwise(sorted_commitments)):
        raise BadInput("the commitments of a row set must be sorted and distinct")
    return Tree([leaf_hash(c) for c in sorted_commitments])


def _root_bytes(root: str) -> bytes | None:
    if not root.startswith(PREFIX):
        return None
    try:
        return bytes.fromhex(root.removeprefix(PREFIX))
    except ValueError:
        return None
