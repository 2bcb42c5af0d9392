"""Who asks: codes with limits, claims of a provider, and contacts that are unreadable once they are shredded."""

from __future__ import annotations

import json
import logging

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from governance.adapters.contact_files import ContactFiles
from governance.adapters.oidc import OidcClaims
from governance.erasure import codes
from governance.erasure.clocks import DAY, SECOND
from governance.erasure.codes import Outcome, asked, attempted
from governance.erasure.contacts import Contacts, contact_key
from governance.erasure.intake import MOST_REQUESTS
from governance.errors import NotVerified, TooMany
from lineage.adapters.file_keys import FileKeyStore
from lineage.errors import BadInput, Conflict, Gone, GovernError, NotFound, StoreUnavailable, Tampered
from tests.support.core import opened
from tests.support.requests import code_in, reachable

ADDRESS = "q7-sentinel@person.example"
SECRET = "Q7-SENTINEL-PERSON"
CONTACT = {"channel": "email", "address": ADDRESS}
ISSUER, AUDIENCE = "https://login.example.org", "govern"


@pytest.fixture
def core(tmp_path, memory_keys, ticking_clock):
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        yield core  # without data: who is verified is searched for, found nowhere, and certified


def asks(core, value="3", *, kind="applicant", actor="key:a", **more):
    body = {"subject": {"type": kind, "value": value}, "contact": CONTACT, **more}
    return core.erasures.request(body, actor=actor)["id"]


# ── one-time codes ──────────────────────────────────────────────────────────────────────────────
def test_a_code_comes_by_the_contact_and_opens_the_request_once(core) -> None:
    outbox = reachable(core)
    ident = asks(core)
    shown = core.erasures.challenge(ident, {"method": "code"}, actor="key:a")
    (message,) = outbox.sent
    assert message["address"] == ADDRESS
    assert "tag" not in shown["challenge"]
    assert code_in(message).replace(" ", "") not in json.dumps(core.erasures.record(ident))
    answer = core.erasures.verify(ident, {"code": code_in(message)}, actor="key:a")
    assert answer["state"] == "verifying"
    assert answer["verified"]["method"] == "one-time code by email"
    with pytest.raises(Conflict, match="waits for no proof"):
        core.erasures.verify(ident, {"code": code_in(message)}, actor="key:a")


def test_five_wrong_codes_end_it_and_each_attempt_is_durable_before_it_is_told(core) -> None:
    outbox = reachable(core)
    ident = asks(core)
    core.erasures.challenge(ident, {"method": "code"}, actor="key:a")
    right = code_in(outbox.sent[0]).replace(" ", "")
    wrong = f"{(int(right) + 1) % 10**8:08d}"
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(NotVerified, match=rf"not right; {left} attempt"):
            core.erasures.verify(ident, {"code": wrong}, actor="key:a")
        assert core.erasures.record(ident)["challenge"]["attempts"] == 5 - left
    with pytest.raises(NotVerified, match="tried too often"):
        core.erasures.verify(ident, {"code": right}, actor="key:a")
    assert core.erasures.get(ident)["state"] == "identity_pending"
    core.erasures.challenge(ident, {"method": "code"}, actor="key:a")
    with pytest.raises(NotVerified, match="4 attempt"):
        core.erasures.verify(ident, {"code": right}, actor="key:a")  # the old code is of no use against the new question


def test_a_code_dies_after_fifteen_minutes_and_a_clock_set_back_does_not_revive_it(core, ticking_clock) -> None:
    outbox = reachable(core)
    ident = asks(core)
    core.erasures.challenge(ident, {"method": "code"}, actor="key:a")
    issued = ticking_clock.at
    ticking_clock.at = issued + codes.LIFETIME + SECOND
    with pytest.raises(NotVerified, match="15 minutes are over"):
        core.erasures.verify(ident, {"code": code_in(outbox.sent[0])}, actor="key:a")
    ticking_clock.at = issued + SECOND
    with pytest.raises(NotVerified, match="15 minutes are over"):
        core.erasures.verify(ident, {"code": code_in(outbox.sent[0])}, actor="key:a")


def test_the_code_of_one_request_is_no_code_of_another(core) -> None:
    outbox = reachable(core)
    first, second = asks(core), asks(core)
    for ident in (first, second):
        core.erasures.challenge(ident, {"method": "code"}, actor="key:a")
    if code_in(outbox.sent[0]) != code_in(outbox.sent[1]):
        with pytest.raises(NotVerified):
            core.erasures.verify(second, {"code": code_in(outbox.sent[0])}, actor="key:a")
    assert core.erasures.record(first)["challenge"]["tag"] != core.erasures.record(second)["challenge"]["tag"]


def test_five_codes_a_day_over_all_requests_about_a_person(core, ticking_clock) -> None:
    outbox = reachable(core)
    idents = [asks(core) for _ in range(codes.MOST_CODES + 1)]
    for ident in idents[:-1]:
        core.erasures.challenge(ident, {"method": "code"}, actor="key:a")
    with pytest.raises(TooMany, match="5 codes were sent") as limited:
        core.erasures.challenge(idents[-1], {"method": "code"}, actor="key:a")
    assert 0 < limited.value.retry_after <= 86_400
    assert len(outbox.sent) == codes.MOST_CODES
    core.erasures.challenge(asks(core, "2"), {"method": "code"}, actor="key:a")  # another person's limit is their own
    ticking_clock.at += DAY + SECOND
    core.erasures.challenge(idents[-1], {"method": "code"}, actor="key:a")


def test_a_message_that_is_not_taken_suspends_nothing(core) -> None:
    outbox = reachable(core)
    outbox.away = True
    ident = asks(core)
    with pytest.raises(StoreUnavailable):
        core.erasures.challenge(ident, {"method": "code"}, actor="key:a")
    record = core.erasures.record(ident)
    assert record["suspensions"] == []
    assert not record.get("challenge")
    with pytest.raises(NotVerified, match="no such proof was asked"):
        core.erasures.verify(ident, {"code": "00000000"}, actor="key:a")


def test_of_a_person_named_by_an_address_only_that_address_is_sent_a_code(core) -> None:
    outbox = reachable(core)
    with pytest.raises(Conflict, match="another address than the one it is about"):
        core.erasures.challenge(asks(core, "somebody@else.example", kind="email"), {"method": "code"}, actor="key:a")
    assert outbox.sent == []
    core.erasures.challenge(asks(core, ADDRESS.upper(), kind="email"), {"method": "code"}, actor="key:a")
    assert len(outbox.sent) == 1


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        ({"method": "fax"}, BadInput, "method must be one of code, oidc, ask"),
        ({"method": "oidc"}, Conflict, "no OpenID Provider is set up"),
        ({"method": "ask"}, BadInput, "say what was asked"),
    ],
)
def test_a_question_that_cannot_be_asked(core, body, error, said) -> None:
    reachable(core)
    with pytest.raises(error, match=said):
        core.erasures.challenge(asks(core), body, actor="key:a")


def test_without_a_contact_or_a_mail_server_no_code_is_promised(core) -> None:
    ident = core.erasures.request({"subject": {"type": "applicant", "value": "3"}}, actor="key:a")["id"]
    with pytest.raises(Conflict, match="no way to send messages"):
        core.erasures.challenge(ident, {"method": "code"}, actor="key:a")
    with pytest.raises(Conflict, match="keeps no contacts"):
        asks(core)
    reachable(core)
    with pytest.raises(Conflict, match="has no contact to send a code to"):
        core.erasures.challenge(ident, {"method": "code"}, actor="key:a")


def test_while_the_person_is_asked_the_gdpr_clock_stands_still(core, ticking_clock) -> None:
    reachable(core)
    ident = asks(core)
    core.erasures.challenge(ident, {"method": "ask", "note": "a document by letter"}, actor="key:a")
    before = core.erasures.record(ident)["due_at"]
    ticking_clock.at += 10 * DAY
    assert core.erasures.get(ident)["clocks"][0]["suspended_since"] is not None
    core.erasures.verify(ident, {"method": "document", "verifier": "desk"}, actor="key:a")
    after = core.erasures.get(ident)
    assert 8 * DAY <= after["due_at"] - before <= 13 * DAY, "ten days, moved by a weekend at most"
    assert after["clocks"][0]["suspended_since"] is None
    californian = asks(core, "2", regulation="CCPA")
    core.erasures.challenge(californian, {"method": "ask", "note": "a document by letter"}, actor="key:a")
    assert core.erasures.record(californian)["suspensions"] == [], "11 CCR 7021(b): regardless of the time to verify"


def test_a_flood_about_one_person_ends_and_any_of_its_requests_can_be_verified(core, ticking_clock) -> None:
    idents = [core.erasures.request({"subject": {"type": "applicant", "value": "1"}}, actor="key:a")["id"] for _ in range(MOST_REQUESTS)]
    with pytest.raises(TooMany, match="verify any one of them"):
        core.erasures.request({"subject": {"type": "applicant", "value": "1"}}, actor="key:a")
    core.erasures.request({"subject": {"type": "applicant", "value": "2"}}, actor="key:a")
    assert {core.erasures.get(ident)["state"] for ident in idents} == {"identity_pending"}
    assert not core.engine.waiting
    assert not core.ledger.records("suppression")
    core.erasures.verify(idents[7], {"method": "passport"}, actor="key:a")
    core.erasures.request({"subject": {"type": "applicant", "value": "1"}}, actor="key:a")
    ticking_clock.at += DAY + SECOND
    core.erasures.sweep()
    assert core.ledger.records("rate") == [], "what is of no account any more is forgotten"


# ── pure ────────────────────────────────────────────────────────────────────────────────────────
def test_every_attempt_counts_and_touches() -> None:
    question = asked(method="code", nonce="n", now=100, tag="right")
    outcome, after = attempted(question, "code", 200, "wrong")
    assert (outcome, after["attempts"], after["touched_at"]) == (Outcome.WRONG, 1, 200)
    assert attempted(after, "code", 201, "right")[0] is Outcome.RIGHT
    assert attempted(question, "oidc", 200)[0] is Outcome.NONE
    assert attempted(None, "code", 200, "right") == (Outcome.NONE, None)
    assert attempted(question, "code", 100 + codes.LIFETIME, "right")[0] is Outcome.EXPIRED
    assert attempted(question | {"attempts": codes.ATTEMPTS}, "code", 200, "right")[0] is Outcome.EXHAUSTED


# ── a provider's claim ──────────────────────────────────────────────────────────────────────────
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


def jwks(*keys) -> bytes:
    listed = [json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"} for kid, key in keys]
    return json.dumps({"keys": listed}).encode()


def token(core, answers, *, key=KEY, kid="k1", algorithm="ES256", **change) -> str:
    now = core.clock.at // SECOND
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "3", "iat": now, "exp": now + 300, "nonce": answers} | change
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})


def provider(**more) -> OidcClaims:
    return OidcClaims(**({"issuer": ISSUER, "audience": AUDIENCE, "claim": "sub", "read": lambda: jwks(("k1", KEY))} | more))


def test_a_claim_that_names_the_person_shows_who_asks(core) -> None:
    reachable(core, claims=provider())
    ident = asks(core)
    nonce = core.erasures.challenge(ident, {"method": "oidc"}, actor="key:a")["challenge"]["nonce"]
    answer = core.erasures.verify(ident, {"id_token": token(core, nonce)}, actor="key:a")
    assert answer["state"] == "verifying"
    assert answer["verified"]["verifier"] == ISSUER


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sub": "2"}, "names another person"),
        ({"iss": "https://evil.example"}, "of another issuer"),
        ({"aud": "another"}, "for another audience"),
        ({"aud": [AUDIENCE, "another"]}, "for several audiences"),
        ({"exp": 1}, "has expired"),
        ({"exp": None}, "has no exp"),
        ({"iat": 4_000_000_000}, "not valid yet"),
        ({"nonce": "another"}, "answers another question"),
        ({"nonce": None}, "has no nonce"),
        ({"key": OTHER}, "does not match"),
        ({"kid": "k9"}, "does not publish"),
        ({"key": "x" * 64, "algorithm": "HS256"}, "algorithm that is not accepted|does not match"),
        ({"key": "", "algorithm": "none"}, "algorithm that is not accepted|cannot be used"),
    ],
)
def test_a_token_that_shows_nothing_is_refused_and_tells_nothing(core, change, said) -> None:
    reachable(core, claims=provider())
    ident = asks(core)
    nonce = core.erasures.challenge(ident, {"method": "oidc"}, actor="key:a")["challenge"]["nonce"]
    with pytest.raises(NotVerified, match=said) as refused:
        core.erasures.verify(ident, {"id_token": token(core, nonce, **change)}, actor="key:a")
    assert nonce not in refused.value.message
    assert core.erasures.get(ident)["state"] == "identity_pending"
    for _ in range(codes.ATTEMPTS - 1):
        with pytest.raises(NotVerified):
            core.erasures.verify(ident, {"id_token": "no token"}, actor="key:a")
    with pytest.raises(NotVerified, match="tried too often"):
        core.erasures.verify(ident, {"id_token": token(core, nonce)}, actor="key:a")


def test_a_token_for_one_request_is_none_for_another(core) -> None:
    reachable(core, claims=provider())
    first, second = asks(core), asks(core)
    nonce = core.erasures.challenge(first, {"method": "oidc"}, actor="key:a")["challenge"]["nonce"]
    core.erasures.challenge(second, {"method": "oidc"}, actor="key:a")
    with pytest.raises(NotVerified, match="another question"):
        core.erasures.verify(second, {"id_token": token(core, nonce)}, actor="key:a")


def test_an_email_counts_only_when_the_provider_verified_it(core) -> None:
    reachable(core, claims=provider(claim="email"))
    ident = asks(core, ADDRESS, kind="email")
    nonce = core.erasures.challenge(ident, {"method": "oidc"}, actor="key:a")["challenge"]["nonce"]
    for verified in (None, False, "true"):
        with pytest.raises(NotVerified, match="did not verify the e-mail"):
            core.erasures.verify(ident, {"id_token": token(core, nonce, email=ADDRESS, email_verified=verified)}, actor="key:a")
    answer = core.erasures.verify(ident, {"id_token": token(core, nonce, email=ADDRESS, email_verified=True)}, actor="key:a")
    assert answer["verified"]["verifier"] == ISSUER


def test_a_new_key_of_the_provider_is_read_once_a_minute(core) -> None:
    read = []

    def keys() -> bytes:
        read.append(1)
        return jwks(("k1", KEY)) if len(read) == 1 else jwks(("k1", KEY), ("k2", OTHER))

    claims = provider(read=keys)
    now = core.clock.at
    assert claims.verify(token(core, "n"), nonce="n", now=now) == "3"
    with pytest.raises(NotVerified, match="does not publish"):
        claims.verify(token(core, "n", key=OTHER, kid="k2"), nonce="n", now=now + SECOND)
    assert len(read) == 1
    assert claims.verify(token(core, "n", key=OTHER, kid="k2"), nonce="n", now=now + 61 * SECOND) == "3"
    with pytest.raises(StoreUnavailable, match="no JWK Set"):
        provider(read=lambda: b"<html>").verify(token(core, "n"), nonce="n", now=now)


def test_an_rsa_key_and_a_set_of_one_without_names(core) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    listed = json.dumps({"keys": [json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))]}).encode()
    signed = jwt.encode(jwt.decode(token(core, "n"), options={"verify_signature": False}), key, algorithm="RS256")
    assert provider(read=lambda: listed).verify(signed, nonce="n", now=core.clock.at) == "3"


# ── contacts ────────────────────────────────────────────────────────────────────────────────────
def test_a_contact_is_unreadable_once_its_key_is_destroyed(tmp_path) -> None:
    keys = FileKeyStore.create(tmp_path / "keys")
    contacts = Contacts(keys, ContactFiles(tmp_path / "contacts"))
    contacts.keep("019a-1", CONTACT)
    (sealed,) = (tmp_path / "contacts").iterdir()
    copy = sealed.read_bytes()
    assert ADDRESS.encode() not in copy
    assert sealed.stat().st_mode & 0o077 == 0
    assert contacts.read("019a-1") == CONTACT
    assert keys.living("contact-") == [contact_key("019a-1")]
    assert contact_key("019a-1") not in keys.living("")
    contacts.shred("019a-1")
    contacts.shred("019a-1")
    assert list((tmp_path / "contacts").iterdir()) == []
    sealed.write_bytes(copy)  # a backup brings the bytes back, the key is gone for ever
    with pytest.raises(Gone, match="was shredded"):
        contacts.read("019a-1")
    with pytest.raises(Gone):
        FileKeyStore(tmp_path / "keys").hmac(contact_key("019a-1"), b"again")
    contacts.shred("never-there")


def test_a_contact_of_another_request_does_not_open(tmp_path, memory_keys) -> None:
    files = ContactFiles(tmp_path / "contacts")
    contacts = Contacts(memory_keys, files)
    contacts.keep("a", CONTACT)
    files.put("b", files.get("a"))
    with pytest.raises(Tampered, match="does not open"):
        contacts.read("b")
    files.put("a", files.get("a")[:-1] + b"\x00")
    with pytest.raises(Tampered):
        contacts.read("a")
    with pytest.raises(NotFound, match="has no contact"):
        contacts.read("c")


@pytest.mark.parametrize(
    "contact",
    [
        {"channel": "email"},
        {"channel": "pigeon", "address": ADDRESS},
        {"channel": "email", "address": f"{ADDRESS}\r\nBcc: all@example.org"},
        {"channel": "email", "address": f"{ADDRESS}, other@example.org"},
        {"channel": "email", "address": SECRET},
        "q7-sentinel",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(core, contact) -> None:
    reachable(core)
    with pytest.raises(BadInput) as refused:
        core.erasures.request({"subject": {"type": "applicant", "value": "3"}, "contact": contact}, actor="key:a")
    assert "sentinel" not in (refused.value.message + str(refused.value.hint)).lower()
    assert not (core.root / "contacts").exists() or not list((core.root / "contacts").iterdir())


def test_neither_address_nor_code_is_in_ledger_files_logs_or_errors(core, caplog) -> None:
    outbox = reachable(core)
    with caplog.at_level(logging.DEBUG):
        ident = asks(core, SECRET)
        core.erasures.challenge(ident, {"method": "code"}, actor="key:a")
        outbox.away = True
        core.erasures.sweep()
        errors = []
        for body in ({"code": "99999999"}, {"id_token": "x"}, {}):
            with pytest.raises(GovernError) as refused:
                core.erasures.verify(ident, body, actor="key:a")
            errors.append(refused.value.message + str(refused.value.hint))
        core.erasures.verify(ident, {"code": code_in(outbox.sent[0])}, actor="key:a")
    code = code_in(outbox.sent[0])
    needles = [ADDRESS, ADDRESS.partition("@")[0], SECRET, code, code.replace(" ", "")]
    for needle in needles:
        assert needle not in "".join(errors) + caplog.text
        for path in core.root.rglob("*"):
            if path.is_file():
                assert needle.encode() not in path.read_bytes(), path
                assert needle not in path.name


def test_a_contact_without_its_request_is_shredded_at_the_next_start(core) -> None:
    reachable(core)
    core.erasures._contacts.keep("never-entered", CONTACT)
    half = core.root / "contacts" / "half-written.0123abcd.tmp"
    half.write_bytes(b"a kill fell between the two")
    kept = asks(core)
    core.erasures.resume()
    assert not half.exists()
    assert core.erasures._contacts.read(kept) == CONTACT
    with pytest.raises(NotFound):
        core.erasures._contacts.read("never-entered")
