"""What a paper claims and carries the means to check: an erasure certificate's proofs, held against the digests beside them.

A certificate says of a successor model that none of the erased rows is among those it was trained on. The evidence holds, for each
training input, the committed row set (digest and count), the committed set of the erased rows (digest and count), and one proof of
non-membership for each erased row; of very many rows the digest of a file that shows it (:func:`lineage.datasets.absence_file`). Whoever
has the paper, and these files where it names some, can then see that

1. the proofs are about exactly the erased rows: their targets, sorted, have the erased set's root and count;
2. the erased set is the one that was frozen for that dataset before anything was changed;
3. each proof holds: both neighbours are in the row set, stand side by side and enclose the target (RFC 6962 section 2.1.1); the same of
   all rows of a file that has the digest which the paper names;
4. the rules of the law pack have the digest that the request froze;
5. the level of the whole is the lowest over the assets, and a second training that is claimed gave the successor's digest;
6. a model at L3 names a successor that was reproduced, and one at L4 also the shortcut that the reproduction did without.

Only the stores can show that no file holds the rows, and only a repeated training that it was repeated: those stay unchecked here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lineage.datasets import NonMembership, row_set_digest, verify_absence, verify_non_membership
from lineage.errors import BadInput, Tampered
from lineage.ledger.entries import canonical_json
from lineage.model import RowSetInfo

__all__ = ["MOST_PROOFS", "Claim", "check_claims", "proof_files"]

MOST_PROOFS = 2_000
"""Proofs that a certificate carries; those of more rows are in files beside it, whose digests it carries."""

_CERTIFICATES = frozenset({"erasure-certificate", "disgorgement-certificate"})
_LEVEL = re.compile(r"L([0-4])")
_NOT_COUNTED = {"nothing found", "retained", "held"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim that was checked, or could not be."""

    holds: bool | None
    """``None``: the paper does not carry what is needed."""
    sentence: str


def check_claims(kind: str, data: Mapping[str, Any], proofs: Mapping[str, bytes] | None = None) -> list[Claim]:
    """Check what a paper of this kind claims about itself, from its evidence and the files that it names.

    Args:
        kind: the dossier's kind; only the certificates of erasures and disgorgements claim what can be checked here.
        data: the dossier's machine-readable part.
        proofs: the files of proofs that the reader has, by their digests (``sha256:<hex>``).

    Returns:
        the claims that hold, and those that cannot be checked for want of their proofs.

    Raises:
        Tampered: a claim does not hold, or what should show it is malformed; the message says which.
    """
    if kind not in _CERTIFICATES:
        return []
    try:
        frozen = {asset["dataset"]: asset["row_set"] for asset in data.get("assets", ()) if asset.get("row_set")}
        claims = [claim for one in data.get("successors", ()) for claim in _successor(one, frozen, proofs or {})]
        claims += _law(data.get("law"), data.get("regulation"))
        _headline(data)
        _reproductions(data)
    except (BadInput, KeyError, TypeError, AttributeError) as error:
        raise Tampered(f"its claims cannot be read: {error!r}"[:300]) from error
    return claims


def proof_files(kind: str, data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The files of proofs that a paper names, each once: ``{digest, size, dataset, rows}``; ``size`` in bytes, ``rows`` erased.

    Raises:
        Tampered: what it says of its proofs cannot be read.
    """
    if kind not in _CERTIFICATES:
        return []
    found: dict[str, dict[str, Any]] = {}
    try:
        for given in (one for made in data.get("successors") or () for one in made.get("non_membership") or ()):
            if file := given.get("file"):
                named = {"digest": file["digest"], "size": file["size"], "dataset": given["dataset"], "rows": given["erased"]["count"]}
                found[file["digest"]] = named
    except (KeyError, TypeError, AttributeError) as error:
        raise Tampered(f"what it says of its proofs cannot be read: {error!r}"[:300]) from error
    return list(found.values())


def _law(law: Mapping[str, Any] | None, regulation: str | None) -> list[Claim]:
    if law is None:
        return []
    name = f"{law['pack']} version {law['version']}"
    if law["pack"] != regulation:
        raise Tampered(f"the request rests on {regulation}, and the paper names the law pack {name}")
    if law.get("terms") is None:
        return [Claim(holds=None, sentence=f"The rules of the law pack {name} were not checked: the paper does not carry them.")]
    terms = law["terms"]
    if "sha256:" + hashlib.sha256(canonical_json(terms)).hexdigest() != law["digest"] or (terms["pack"], terms["version"]) != (
        law["pack"],
        law["version"],
    ):
        raise Tampered(f"the rules that the paper carries are not those of the law pack {name} that the request froze")
    return [Claim(holds=True, sentence=f"Checked here: the rules of the law pack {name} have the digest that the request froze.")]


def _successor(one: Mapping[str, Any], frozen: Mapping[str, str], files: Mapping[str, bytes]) -> list[Claim]:
    name = f"{one['model']}@{one['version']}"
    if one.get("reproduced") is True:
        again = (one.get("reproduction") or {}).get("artifact_digest")
        if again != one["artifact_digest"]:
            raise Tampered(f"it says that {name} was reproduced, and names another artifact than the successor's: {again}")
    if one.get("excluded") is not True:
        return []
    inputs = one.get("non_membership") or []
    if not any(given["erased"]["count"] for given in inputs):
        raise Tampered(f"it says that {name} was trained without the rows, and carries no proof of it")
    return [_input(name, given, frozen, files) for given in inputs if given["erased"]["count"]]


def _input(name: str, given: Mapping[str, Any], frozen: Mapping[str, str], files: Mapping[str, bytes]) -> Claim:
    dataset, erased, trained = given["dataset"], given["erased"], given["row_set"]
    if frozen.get(dataset) != erased["digest"]:
        raise Tampered(f"the rows that {name} is said not to rest on are not those that were frozen for {dataset}")
    holds = Claim(
        holds=True,
        sentence=f"Checked here: none of the {erased['count']} erased rows of {dataset} is among the {trained['count']} that {name} was "
        f"trained on ({trained['digest'][:19]}…).",
    )
    if given.get("proofs") is None:
        missing = f"That {name} was trained without the {erased['count']} rows of {dataset} was not checked: "
        if not given.get("file"):
            return Claim(holds=None, sentence=missing + "so many proofs are left out.")
        digest = given["file"]["digest"]
        if digest not in files:
            return Claim(holds=None, sentence=f"{missing}give the file {digest} with --proofs.")
        _in_file(name, given, files[digest])
        return holds
    proofs = [NonMembership.from_json(proof) for proof in given["proofs"]]
    _about_the_erased(name, dataset, proofs, erased)
    for proof in proofs:
        if not verify_non_membership(proof, trained["digest"], trained["count"]):
            raise Tampered(f"a proof that {name} was trained without a row of {dataset} does not hold")
    return holds


def _in_file(name: str, given: Mapping[str, Any], file: bytes) -> None:
    if "sha256:" + hashlib.sha256(file).hexdigest() != given["file"]["digest"] or len(file) != given["file"]["size"]:
        raise Tampered(f"the file of proofs about {name} and {given['dataset']} is not the one that the paper names")
    erased, trained = (RowSetInfo(digest=given[what]["digest"], count=given[what]["count"]) for what in ("erased", "row_set"))
    if not verify_absence(file, dataset=given["dataset"], erased=erased, row_set=trained):
        raise Tampered(f"the file of proofs that {name} was trained without the rows of {given['dataset']} does not hold")


def _about_the_erased(name: str, dataset: str, proofs: Sequence[NonMembership], erased: Mapping[str, Any]) -> None:
    targets = sorted({proof.target for proof in proofs})
    if len(targets) != erased["count"] or row_set_digest(targets) != erased["digest"]:
        raise Tampered(f"the proofs about {name} are not about the erased rows of {dataset}, or not about all of them")


def _headline(data: Mapping[str, Any]) -> None:
    levels = []
    for asset in data.get("assets", ()):
        found = _LEVEL.fullmatch(asset["level"])
        if found:
            levels.append(int(found.group(1)))
        elif asset["level"] not in _NOT_COUNTED:
            levels.append(-1)
    lowest = None if not levels or min(levels) < 0 else f"L{min(levels)}"
    if data.get("level") != lowest:
        raise Tampered(f"its level of the whole is {data.get('level')}, and the lowest over its assets {lowest}")


def _reproductions(data: Mapping[str, Any]) -> None:
    """A level above L2 rests on a second training, whose digest :func:`_successor` has compared."""
    for asset in data.get("assets", ()):
        found = _LEVEL.fullmatch(asset["level"])
        level = int(found.group(1)) if found else 0
        if asset["kind"] != "model" or level < 3:
            continue
        again = [one for one in data.get("successors", ()) if _replaces(one, asset["id"]) and one.get("reproduced") is True]
        if not again:
            raise Tampered(f"it says L{level} of {asset['id']}, and names no successor that was reproduced")
        if level == 4 and not any(one.get("shortcut") for one in again):
            raise Tampered(f"it says L4 of {asset['id']}, and names no shortcut that a training from scratch was compared with")


def _replaces(successor: Mapping[str, Any], asset: str) -> bool:
    before = str(successor.get("predecessor") or "")
    return bool(before) and asset.removeprefix("model:") in {before, f"{successor['model']}@{before}"}
