"""That no erased row is in a row set that a successor was trained on: a proof for each row, or for very many rows a file of proofs.

What a request's record may hold of proofs is bounded over all its successors together. Beyond that a proof is a file
(:func:`lineage.datasets.absence_file`) of which only digest and size are kept: it is made of two committed row sets alone, which stay as
long as the certificate, so it is made anew for whoever asks for it, and is the same to the last byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from governance.registry.datasets import Datasets
from lineage.datasets import absence_file, non_memberships, row_set_digest, verify_absence, verify_non_membership
from lineage.errors import NotFound, Tampered
from lineage.model import RowSetInfo

__all__ = ["Absences", "proofs_again"]


class Absences:
    """The proofs of one request, each checked as it is made; at most ``most`` single ones."""

    def __init__(self, datasets: Datasets, *, most: int) -> None:
        self._datasets = datasets
        self._left = most
        self._files: dict[tuple[str, str, str], dict[str, Any] | None] = {}

    def shown(self, given: Mapping[str, Any], row_ids: Sequence[int]) -> dict[str, Any] | None:
        """What shows that an input's committed row set holds none of the rows.

        Returns:
            ``{dataset, version, row_set, erased, proofs}``, in place of ``proofs`` perhaps ``file``: ``{digest, size}``; ``{}`` where no
            row of this dataset was erased; ``None`` when the set holds one of them, or a proof fails.
        """
        if not row_ids:
            return {}
        dataset = given["dataset"]
        committed = list(self._datasets.commitments(given["row_set"]))
        erased = self._datasets.commitments_of(dataset, row_ids)
        if not set(erased).isdisjoint(committed):
            return None
        about = {
            "dataset": dataset,
            "version": given["version"],
            "row_set": {"digest": given["row_set"], "count": len(committed)},
            "erased": {"digest": row_set_digest(erased), "count": len(erased)},
        }
        if len(erased) > self._left:
            file = self._in_file(about, committed, erased)
            return None if file is None else about | {"proofs": None, "file": file}
        proofs = non_memberships(committed, erased)
        if not all(
            verify_non_membership(proof, given["row_set"], len(committed), target=row) for proof, row in zip(proofs, erased, strict=True)
        ):
            return None
        self._left -= len(proofs)
        return about | {"proofs": [proof.to_json() for proof in proofs]}

    def _in_file(self, about: Mapping[str, Any], committed: Sequence[bytes], erased: Sequence[bytes]) -> dict[str, Any] | None:
        """Digest and size of the file, once it was checked; made once, however many successors were trained on the row set."""
        name = (about["dataset"], about["row_set"]["digest"], about["erased"]["digest"])
        if name not in self._files:
            file = absence_file(about["dataset"], committed, erased)
            holds = verify_absence(file, dataset=about["dataset"], erased=_info(about["erased"]), row_set=_info(about["row_set"]))
            self._files[name] = {"digest": _digest(file), "size": len(file)} if holds else None
        return self._files[name]


def proofs_again(datasets: Datasets, record: Mapping[str, Any], digest: str) -> bytes:
    """The file of proofs with this digest that a request's certificate names.

    Raises:
        NotFound: it names no such file, or a row set that it is made of is not kept here any more.
        Tampered: what is kept does not make the file that the certificate names.
    """
    listed = [one for made in record["successors"] for one in made.get("non_membership") or ()]
    about = next((one for one in listed if (one.get("file") or {}).get("digest") == digest), None)
    if about is None:
        known = sorted({one["file"]["digest"] for one in listed if one.get("file")})
        raise NotFound(
            f"the certificate of {record['id']} names no file of proofs {digest[:80]}",
            hint=f"it names {', '.join(known)}" if known else "it carries all its proofs itself",
        )
    row_set, erased = (datasets.commitments(about[what]["digest"]) for what in ("row_set", "erased"))
    file = absence_file(about["dataset"], row_set, erased)
    if _digest(file) != digest:
        raise Tampered(f"the row sets that are kept do not make the file of proofs {digest}", hint="restore the folder rowsets of the home")
    return file


def _digest(file: bytes) -> str:
    return "sha256:" + hashlib.sha256(file).hexdigest()


def _info(value: Mapping[str, Any]) -> RowSetInfo:
    return RowSetInfo(digest=value["digest"], count=value["count"])
