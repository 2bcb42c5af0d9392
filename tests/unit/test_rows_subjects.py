"""One spelling per person, one reference per living epoch, and no message that repeats an identifier."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from lineage.adapters.file_keys import FileKeyStore
from lineage.errors import BadInput, NotFound, Tampered
from lineage.rows import canonical_subject, newest_refs, subject_ref, subject_refs, suppression_refs
from lineage.rows.identifiers import Canonical, spelled
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
        ("applicant", "\uff11\uff17", "applicant:17"),
        ("name", "\ufb01nn", "name:finn"),
        ("email", "Ada@M\u00dcNCHEN.de.", "email:ada@xn--mnchen-3ya.de"),
        ("email", "ada\uff20Mail_Host", "email:ada@mail_host"),
        ("email", "Ada.B+x@Example.org", "email:ada.b+x@example.org"),
        ("email", "Ada", "email:ada"),
        ("passport", '["de", "+07"]', 'passport:["de","+07"]'),
        ("passport", '["DE", 7]', 'passport:["DE","7"]'),
        ("note", "[draft", "note:[draft"),
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


def test_three_spellings_are_one_person() -> None:
    """An e-mail address, and a telephone number as three systems keep it."""
    assert len({canonical_subject("email", one) for one in ("ada@example.org", "Ada@EXAMPLE.org.", "\uff41da@example.org")}) == 1
    numbers = {canonical_subject("phone", one, region="DE") for one in ("0171 1234567", "+49 (171) 123-4567", "0049-171-1234567")}
    assert numbers == {"phone:+491711234567"}
    assert canonical_subject("phone", "0171 1234567", region="FR") not in numbers


def test_a_number_without_a_country_is_refused_at_a_door_and_kept_in_an_index() -> None:
    with pytest.raises(BadInput, match="country") as caught:
        canonical_subject("phone", "0171 7654321")
    assert "7654321" not in str(caught.value)
    assert canonical_subject("phone", "0171 7654321", numbers="lenient") == "phone:01717654321"
    with pytest.raises(BadInput, match="ISO 3166"):
        canonical_subject("phone", "0171 7654321", region="Germany")


def test_parts_are_told_apart() -> None:
    assert canonical_subject("passport", ["DE", 17]) == canonical_subject("passport", '["DE","17"]') == 'passport:["DE","17"]'
    assert canonical_subject("passport", ["a,b", "c"]) != canonical_subject("passport", ["a", "b,c"])
    for wrong in (["DE"], ["DE", ""], ["DE", None], ["DE", "x\x00"], []):
        with pytest.raises(BadInput):
            canonical_subject("passport", wrong)


def test_an_old_epoch_is_asked_under_its_own_rules() -> None:
    keys = MemoryKeys(epochs=2, first_rules=1)
    person = canonical_subject("email", "Ada@M\u00dcNCHEN.de")
    old, new = "email:ada@m\u00fcnchen.de", "email:ada@xn--mnchen-3ya.de"
    assert (spelled(person, 1), spelled(person, 2)) == (old, new)
    expected = [keys.hmac("epoch-2", new.encode()).hex()[:32], keys.hmac("epoch-1", old.encode()).hex()[:32]]
    assert subject_refs(keys, person) == expected
    assert newest_refs(keys, [person]) == expected[:1]
    with pytest.raises(BadInput, match="version 1"):
        subject_refs(keys, str(person))
    with pytest.raises(BadInput, match="version 3"):
        spelled(person, 3)
    assert isinstance(person, Canonical)


def test_the_suppression_list_is_searched_under_every_rule() -> None:
    keys = MemoryKeys()
    keys._keys["suppression"] = b"s" * 32
    person = canonical_subject("email", "Ada@M\u00dcNCHEN.de")
    assert suppression_refs(keys, person) == [keys.hmac("suppression", spelled(person, n).encode()).hex()[:32] for n in (2, 1)]
    assert len(suppression_refs(keys, canonical_subject("applicant", "17"))) == 1


def test_an_epochs_rules_are_bound_to_its_key(tmp_path) -> None:
    store = FileKeyStore.create(tmp_path / "keys")
    assert store.canonicalisation("epoch-1") == 2
    assert store.canonicalisation(store.rotate("epoch")) == 2
    path = tmp_path / "keys" / "epoch-1.json"
    path.write_text(path.read_text().replace('"canonicalisation": 2', '"canonicalisation": 1'))
    with pytest.raises(Tampered, match="epoch-1"):
        FileKeyStore(tmp_path / "keys").canonicalisation("epoch-1")


def test_an_epoch_of_before_the_rules_had_versions_is_of_the_first(tmp_path) -> None:
    store = FileKeyStore.create(tmp_path / "keys")
    store._ensure("epoch-7", "hmac-sha256")
    assert FileKeyStore(tmp_path / "keys").canonicalisation("epoch-7") == 1
    with pytest.raises(NotFound):
        store.canonicalisation("epoch-9")
