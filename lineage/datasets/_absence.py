"""That none of very many rows is in a row set, shown in one file: the rows' commitments, and the row set's tree where they would stand.

For each row a proof of its own holds two audit paths, most of whose hashes are also in the next one. Here every hash stands once: the file
of *m* rows and a row set of *n*, of which *k* ≤ 2 *m* leaves are opened, takes about ``32 m + 40 k + 32 k log2(n / k)`` bytes, and never
more than ``32 m + 40 n``. It cannot be made much smaller: commitments are keyed hashes, so the rows stand between those of the row set in
no order that could be told shorter, and what is only sampled could miss the one row that was kept.

::

    govern-absence/1 ⏎
    {"dataset":…,"erased":{"count":m,"digest":…},"opened":k,"row_set":{"count":n,"digest":…},"siblings":s} ⏎
    m × 32 bytes   the commitments of the rows, ascending
    k × 8 bytes    which leaves of the row set are opened, ascending, big endian
    k × 32 bytes   their commitments
    s × 32 bytes   the hashes beside them that lead to the root: level by level from the leaves up, from left to right
"""

from __future__ import annotations

import hmac
import itertools
import json
import struct
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from lineage.datasets._merkle import HASH, Tree, leaf_hash, packed_leaf_hashes, packed_root, root_from_leaves, unpacked
from lineage.datasets._rowsets import PREFIX, row_set_digest
from lineage.errors import BadInput
from lineage.model import RowSetInfo

_MAGIC = b"govern-absence/1\n"
_LONGEST_HEAD = 4096
_INDEX = 8


def absence_file(dataset: str, row_set: Sequence[bytes], erased: Sequence[bytes]) -> bytes:
    """The file that shows that no commitment of ``erased`` is in ``row_set``; the same arguments give the same bytes.

    Args:
        dataset: whose rows they are.
        row_set: the sorted commitments of the row set.
        erased: the sorted commitments of the rows.

    Raises:
        BadInput: one of them is in the row set, or the commitments are not sorted and distinct.
    """
    tree, opened = _sorted_tree(row_set), set[int]()
    for target in erased:
        at = bisect_left(row_set, target)
        if at < tree.size and row_set[at] == target:
            raise BadInput(f"the row set of {tree.size} rows holds one of the {len(erased)} rows of {dataset}: there is no absence to show")
        opened.update(one for one in (at - 1, at) if 0 <= one < tree.size)
    indices = sorted(opened)
    siblings = tree.siblings(indices)
    head = {
        "dataset": dataset,
        "erased": {"count": len(erased), "digest": row_set_digest(erased)},
        "opened": len(indices),
        "row_set": {"count": tree.size, "digest": PREFIX + tree.root.hex()},
        "siblings": len(siblings),
    }
    told = json.dumps(head, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    places = struct.pack(f">{len(indices)}Q", *indices)
    return b"".join([_MAGIC, told, b"\n", *erased, places, *(row_set[at] for at in indices), *siblings])


def verify_absence(data: bytes, *, dataset: str, erased: RowSetInfo, row_set: RowSetInfo) -> bool:
    """Whether the file shows that none of the rows ``erased`` is in ``row_set``.

    It does when (1) its rows are those of ``erased``: sorted, distinct, with its root and count; (2) the opened leaves and the hashes
    beside them lead to the root of ``row_set``; (3) each row would stand between two opened leaves side by side, before the first leaf of
    all or after the last one. As a single proof of non-membership does, this rests on the leaves being sorted, which whoever made the set
    committed to.

    Args:
        data: the whole file.
        dataset: whose rows the reader asks about.
        erased: digest and count of the rows, from another place than the file.
        row_set: digest and count of the row set, likewise.

    Raises:
        BadInput: the bytes are no such file.
    """
    head, rest = _head(data)
    if (head["dataset"], _info(head["erased"]), _info(head["row_set"])) != (
        dataset, (erased.digest, erased.count), (row_set.digest, row_set.count),
    ):  # fmt: skip
        return False
    rows, indices, leaves, siblings = rest
    return (
        _ascends(rows)
        and hmac.compare_digest(_root_over(rows), erased.digest)
        and _ascends(leaves)
        and _leads_to(indices, leaves, siblings, row_set)
        and all(_encloses(indices, leaves, row_set.count, target) for target in rows)
    )


def _encloses(indices: Sequence[int], leaves: Sequence[bytes], count: int, target: bytes) -> bool:
    at = bisect_left(leaves, target)
    left = indices[at - 1] if at > 0 else -1
    right = indices[at] if at < len(leaves) else count
    return right == left + 1 and (at == len(leaves) or leaves[at] != target)


def _leads_to(indices: Sequence[int], leaves: Sequence[bytes], siblings: Sequence[bytes], row_set: RowSetInfo) -> bool:
    found = root_from_leaves([leaf_hash(one) for one in leaves], indices, row_set.count, siblings)
    return found is not None and hmac.compare_digest(PREFIX + found.hex(), row_set.digest)


def _root_over(rows: Sequence[bytes]) -> str:
    return PREFIX + packed_root(packed_leaf_hashes((b"\x00" + one for one in rows), mean=1 + HASH)).hex()


def _ascends(listed: Sequence[bytes]) -> bool:
    return all(a < b for a, b in itertools.pairwise(listed))


def _sorted_tree(commitments: Sequence[bytes]) -> Tree:
    if not _ascends(commitments):
        raise BadInput("the commitments of a row set must be sorted and distinct")
    return Tree([leaf_hash(one) for one in commitments])


def _info(value: Any) -> tuple[Any, Any]:
    return value["digest"], value["count"]


def _head(data: bytes) -> tuple[dict[str, Any], tuple[list[bytes], list[int], list[bytes], list[bytes]]]:
    """The header, and (rows, places, leaves, siblings); ``BadInput`` when the bytes are no such file, to the last of them."""
    end = data.find(b"\n", len(_MAGIC), len(_MAGIC) + _LONGEST_HEAD)
    if not data.startswith(_MAGIC) or end < 0:
        raise BadInput("this is no file of proofs", hint="take it as `govern erasure certificate ID --proofs FOLDER` wrote it")
    try:
        head = json.loads(data[len(_MAGIC) : end])
        counts = [head["erased"]["count"], head["opened"], head["row_set"]["count"], head["siblings"]]
        str(head["dataset"]), str(head["erased"]["digest"]), str(head["row_set"]["digest"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"the header of the file of proofs cannot be read: {error!r}"[:300]) from error
    if not all(type(one) is int and one >= 0 for one in counts):
        raise BadInput("the header of the file of proofs counts something that cannot be counted")
    rows, opened, _, siblings = counts
    if len(data) - end - 1 != rows * HASH + opened * (_INDEX + HASH) + siblings * HASH:
        raise BadInput("the file of proofs is longer or shorter than its header says", hint="was it copied to its end?")
    places_at = end + 1 + rows * HASH
    leaves_at = places_at + opened * _INDEX
    siblings_at = leaves_at + opened * HASH
    return head, (
        unpacked(data[end + 1 : places_at]),
        list(struct.unpack(f">{opened}Q", data[places_at:leaves_at])),
        unpacked(data[leaves_at:siblings_at]),
        unpacked(data[siblings_at:]),
    )
