"""What a certificate claims about its own proofs is checked from the file alone; a signer who lies is found out."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from governance.dossier import erasure_certificate
from lineage.datasets import absence_file, non_memberships, row_set_digest
from lineage.errors import Tampered
from reports import verify
from reports.claims import check_claims
from reports.codec import dossier_to_json
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


def with_a_file(**changes: Any) -> tuple[Dossier, bytes]:
    """A certificate of many rows, whose proofs are in a file beside it."""
    request = golden("erasure_completed")
    erased, trained = rows(*range(1000, 1100)), rows(*range(50))
    file = absence_file("credit.train", trained, erased)
    told = {"digest": "sha256:" + hashlib.sha256(file).hexdigest(), "size": len(file)}
    request["successors"][0]["non_membership"] = [said_of(erased, trained) | {"proofs": None, "file": told} | changes]
    (asset,) = [asset for asset in request["assets"] if asset["id"] == "dataset:credit.train"]
    asset["detail"]["row_set"] = row_set_digest(erased)
    return certificate(request), file


def test_proofs_that_are_not_carried_are_no_pass() -> None:
    dossier, _ = with_a_file(file=None)
    result = verify(office().issue(dossier), office().trusted())
    assert (result.exit_code, result.complete) == (4, None)
    assert any("was not checked: so many proofs" in sentence for sentence in result.not_checked)


def test_the_proofs_of_very_many_rows_are_checked_from_the_file_that_the_paper_names() -> None:
    dossier, file = with_a_file()
    paper = office().issue(dossier)
    without = verify(paper, office().trusted())
    assert (without.exit_code, without.complete) == (4, None)
    digest = "sha256:" + hashlib.sha256(file).hexdigest()
    assert any(f"give the file {digest} with --proofs" in sentence for sentence in without.not_checked)
    result = verify(paper, office().trusted(), proofs=[file])
    assert (result.exit_code, result.complete) == (0, True)
    assert any("none of the 100 erased rows of credit.train is among the 50 that" in sentence for sentence in result.sentences)
    assert digest in json.dumps(dossier_to_json(dossier)["sections"]), "the pages name it too"
    other = verify(paper, office().trusted(), proofs=[file + b"\0"])
    assert other.exit_code == 4, "another file is none"
    assert any("the paper does not name it" in sentence for sentence in other.not_checked)


def test_a_signer_who_names_a_file_about_something_else_is_found_out() -> None:
    dossier, _ = with_a_file()
    erased, trained = rows(*range(1000, 1100)), rows(*range(50))
    lies = [
        absence_file("credit.train", trained, erased[1:]),
        absence_file("credit.train", trained[1:], erased),
        absence_file("another", trained, erased),
        b"no such file",
    ]
    for lie in lies:
        data = copy.deepcopy(dict(dossier.data))
        named = {"digest": "sha256:" + hashlib.sha256(lie).hexdigest(), "size": len(lie)}
        absence(data)["file"] = named
        with pytest.raises(Tampered):
            check_claims(dossier.kind, data, {named["digest"]: lie})


def test_other_papers_claim_nothing_of_the_kind() -> None:
    assert check_claims("model-trace", {"level": "L9", "assets": [{"level": "L0"}]}) == []
