"""What a certificate claims about its own proofs is checked from the file alone; a signer who lies is found out."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from governance.dossier import erasure_certificate
from lineage.datasets import non_memberships, row_set_digest
from lineage.errors import Tampered
from reports import verify
from reports.claims import MOST_PROOFS, check_claims
from reports.model import Dossier
from tests.support.papers import AS_OF, golden, office


def certificate(request: dict[str, Any] | None = None) -> Dossier:
    return erasure_certificate(request or golden("erasure_completed"), now=AS_OF, installation="test", generator="govern test")


def rows(*numbers: int) -> list[bytes]:
    return sorted(hashlib.sha256(f"credit.train/{number}".encode()).digest() for number in numbers)


def absence(data: dict[str, Any]) -> dict[str, Any]:
    return data["successors"][0]["non_membership"][0]


def said_of(erased: list[bytes], trained: list[bytes]) -> dict[str, Any]:
    return {
        "dataset": "credit.train",
        "version": "2",
        "row_set": {"digest": row_set_digest(trained), "count": len(trained)},
        "erased": {"digest": row_set_digest(erased), "count": len(erased)},
        "proofs": [proof.to_json() for proof in non_memberships(trained, erased)],
    }


def another_row(data: dict[str, Any]) -> None:
    """Honest proofs, of a row that nobody asked to erase."""
    absence(data).update(said_of(rows(900), rows(*range(800))), erased=absence(data)["erased"])


def another_erased_set(data: dict[str, Any]) -> None:
    """All of it about another row than the one that was frozen."""
    absence(data).update(said_of(rows(900), rows(*range(800))))


def a_row_that_is_in(data: dict[str, Any]) -> None:
    """The erased row was trained on: neighbours that do not stand side by side."""
    trained = rows(*range(800))
    at = trained.index(rows(17)[0])
    left, right = said_of([bytes(31) + b"\1"], trained[at - 1 : at]), said_of([bytes(31) + b"\1"], trained[at + 1 :])
    proof = {"target": rows(17)[0].hex(), "left": left["proofs"][0]["right"], "right": right["proofs"][0]["right"]}
    absence(data).update(row_set=said_of(rows(900), trained)["row_set"], proofs=[proof])


def a_proof_less(data: dict[str, Any]) -> None:
    absence(data)["proofs"] = []


def a_proof_twice(data: dict[str, Any]) -> None:
    absence(data)["erased"]["count"] = 2
    absence(data)["proofs"] *= 2


def no_proof(data: dict[str, Any]) -> None:
    data["successors"][0]["non_membership"] = []


def another_size(data: dict[str, Any]) -> None:
    absence(data)["row_set"]["count"] += 1


def not_frozen(data: dict[str, Any]) -> None:
    del next(asset for asset in data["assets"] if asset.get("dataset") == "credit.train")["row_set"]


def reproduced_otherwise(data: dict[str, Any]) -> None:
    data["successors"][0]["reproduction"]["artifact_digest"] = "sha256:" + "0" * 64


def reproduced_by_nobody(data: dict[str, Any]) -> None:
    data["successors"][0]["reproduction"] = None


def a_higher_level(data: dict[str, Any]) -> None:
    data["level"] = "L3"


def a_level_in_spite_of_a_failure(data: dict[str, Any]) -> None:
    data["assets"][0]["level"] = "failed"


def no_digest(data: dict[str, Any]) -> None:
    absence(data)["row_set"] = None


LIES = [
    another_row, another_erased_set, a_row_that_is_in, a_proof_less, a_proof_twice, no_proof, another_size, not_frozen,
    reproduced_otherwise, reproduced_by_nobody, a_higher_level, a_level_in_spite_of_a_failure, no_digest,
]  # fmt: skip


def test_the_proofs_of_a_certificate_are_checked_from_the_file_alone() -> None:
    result = verify(office().issue(certificate()), office().trusted())
    assert (result.exit_code, result.complete) == (0, True)
    assert any(
        "none of the 1 erased rows of credit.train is among the 799 that credit-risk@2 was trained on" in s for s in result.sentences
    )
    assert any("whether a training took place" in sentence for sentence in result.not_checked)


@pytest.mark.parametrize("lie", LIES)
def test_a_signer_who_lies_is_found_out(lie: Callable[[dict[str, Any]], None]) -> None:
    dossier = certificate()
    data = copy.deepcopy(dict(dossier.data))
    check_claims(dossier.kind, data)
    lie(data)
    with pytest.raises(Tampered):
        check_claims(dossier.kind, data)


def test_a_lie_that_is_signed_and_anchored_makes_the_paper_incomplete() -> None:
    dossier = certificate()
    data = copy.deepcopy(dict(dossier.data))
    another_row(data)
    result = verify(office().issue(dataclasses.replace(dossier, data=data)), office().trusted())
    assert (result.exit_code, result.intact, result.trusted, result.complete) == (3, True, True, False)
    assert any("not about the erased rows" in sentence for sentence in result.sentences)


def test_so_many_proofs_that_they_are_not_carried_are_no_pass() -> None:
    request = golden("erasure_completed")
    erased, trained = rows(*range(1000, 1001 + MOST_PROOFS)), rows(*range(50))
    request["successors"][0]["non_membership"] = [said_of(erased, trained)]
    (asset,) = [asset for asset in request["assets"] if asset["id"] == "dataset:credit.train"]
    asset["detail"]["row_set"] = row_set_digest(erased)
    dossier = certificate(request)
    assert absence(dict(dossier.data))["proofs"] is None
    result = verify(office().issue(dossier), office().trusted())
    assert (result.exit_code, result.complete) == (4, None)
    assert any("was not checked: so many proofs" in sentence for sentence in result.not_checked)


def test_other_papers_claim_nothing_of_the_kind() -> None:
    assert check_claims("model-trace", {"level": "L9", "assets": [{"level": "L0"}]}) == []
