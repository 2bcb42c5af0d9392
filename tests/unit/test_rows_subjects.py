"""One spelling per person, one reference per living epoch, and no message that repeats an identifier."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from lineage.errors import BadInput, NotFound
from lineage.rows import canonical_subject, newest_refs, subject_ref, subject_refs
from tests.support.rows_keys import MemoryKeys


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("applicant", 17, "applicant:17"),
        ("applicant", "17", "applicant:17"),
        ("applicant", " +17\n ", "applicant:17"),
        ("applicant", 17.0, "applicant:17"),
        ("applicant", -3, "applicant:-3"),
        ("applicant", "-0", "applicant:0"),
        ("applicant", "017", "applicant:017"),
        ("applicant", "a b", "applicant:a b"),
        ("name", "Ame\u0301lie", "name:Am\u00e9lie"),
        ("email", " Ada@Example.ORG ", "email:ada@example.org"),
        ("uuid", "{550E8400-E29B-41D4-A716-446655440000}", "uuid:550e8400-e29b-41d4-a716-446655440000"),
        ("phone", "+49 (171) 123-45", "phone:+4917112345"),
    ],
)
def test_canonical(kind: str, value: str | float, expected: str) -> None:
    assert canonical_subject(kind, value) == expected
    if isinstance(value, str):
        assert canonical_subject(kind, expected.partition(":")[2]) == expected


@pytest.mark.parametrize("kind", ["", "Applicant", "1a", "a:b", "a-b", None])
def test_bad_types(kind: str) -> None:
    with pytest.raises(BadInput, match="subject type"):
        canonical_subject(kind, "1")


@pytest.mark.parametrize(
    "value", ["", "  ", "se\x00cret", "se\ncret", 1.5, float("nan"), float("inf"), True, None, b"secret", "secret" * 500]
)
def test_bad_values_are_refused_without_being_repeated(value: str) -> None:
    with pytest.raises(BadInput) as caught:
        canonical_subject("applicant", value)
    assert "secret" not in str(caught.value)
    assert "cret" not in str(caught.value)


def test_references_per_epoch() -> None:
    keys = MemoryKeys(epochs=3)
    refs = subject_refs(keys, "applicant:17")
    assert refs[0] == subject_ref(keys, "applicant:17") == hmac.digest(b"\3" * 32, b"applicant:17", hashlib.sha256).hex()[:32]
    assert len(set(refs)) == 3
    assert newest_refs(keys, ["applicant:18", "applicant:17"]) == [subject_ref(keys, "applicant:18"), refs[0]]
    keys.destroy("epoch-1")
    assert subject_refs(keys, "applicant:17") == refs[:2]


def test_without_an_epoch_nobody_can_be_referred_to() -> None:
    with pytest.raises(NotFound, match="epoch"):
        subject_ref(MemoryKeys(epochs=0), "applicant:17")
    with pytest.raises(NotFound, match="epoch"):
        subject_refs(MemoryKeys(epochs=0), "applicant:17")
