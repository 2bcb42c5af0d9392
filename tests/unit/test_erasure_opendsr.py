"""OpenDSR: a controller sends, is answered with a signature that it can check over the raw bytes, and is told how far it is."""

from __future__ import annotations

import base64
import json
import uuid

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from governance.adapters.opendsr_signer import CertificateSigner
from governance.adapters.webhook_sender import WebhookSender, networks
from governance.erasure.opendsr import OpenDsr, identities_of
from governance.registry.access import Access
from governance.registry.acts import reduce_entry
from governance.registry.courier import Courier
from governance.registry.outbox import Outbox
from governance.registry.webhooks import Webhooks
from governance.settings import Settings
from governance.wiring.posting import Posting
from lineage.clock import SystemClock
from lineage.errors import BadInput, Conflict, Forbidden, NotFound, StoreUnavailable
from tests.support.certificates import Authority
from tests.support.core import Core, opened
from tests.support.receiver import Receiver

DOMAIN = "dsr.processor.test"
SECRET = "Q7-SENTINEL-PERSON"


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def pair(authority, tmp_path_factory):
    return authority.issue(tmp_path_factory.mktemp("certificate"), DOMAIN)


class World:
    def __init__(self, core: Core, signer) -> None:
        self.core = core
        sender = WebhookSender(networks("127.0.0.0/8"))
        self.access = Access(core.ledger, core.keys, core.clock, installation="t", origin="t", certificate=lambda: b"")
        self.webhooks = Webhooks(core.ledger, core.keys, core.clock, sender)
        self.signer = signer
        self.dsr = OpenDsr(
            core.ledger, core.keys, core.clock, access=self.access, webhooks=self.webhooks, erasures=lambda: core.erasures,
            signer=lambda: self.signer,
        )  # fmt: skip
        headers = lambda _endpoint, _row, body: {"content-type": "application/json", **self.dsr.headers(body)}  # noqa: E731
        self.courier = Courier(Outbox(core.ledger, core.clock, chance=lambda: 0.5), sender, headers, core.clock)

    def controller(self, *callbacks: str, **more):
        body = {"name": "Shop Ltd", "identities": {"controller_customer_id": "applicant", "email": "email"}, "callbacks": list(callbacks)}
        added = self.dsr.add(body | more, actor="key:admin")
        return added, self.access.authenticate(added["api_key"]).id

    def send(self, key: str, *values: str, callbacks=(), **more):
        identities = [{"identity_type": "controller_customer_id", "identity_value": one, "identity_format": "raw"} for one in values]
        body = {
            "regulation": "gdpr", "subject_request_id": str(uuid.uuid4()), "subject_request_type": "erasure",
            "submitted_time": "2023-11-10T12:00:00Z", "subject_identities": identities, "status_callback_urls": list(callbacks),
        } | more  # fmt: skip
        raw = json.dumps(body).encode()
        return body, raw, self.dsr.receive(body, raw, key=key)

    def part(self, added, body) -> list[str]:
        return self.core.ledger.record("opendsr", f"{added['id']}/{body['subject_request_id']}")[0]["requests"]


@pytest.fixture
def world(tmp_path, memory_keys, ticking_clock, pair):
    import time

    ticking_clock.at = time.time_ns()
    signer = CertificateSigner(DOMAIN, *pair, ticking_clock)
    ticking_clock.at = 1_700_000_000_000_000_000  # 2023-11-14
    with opened(tmp_path / "home", keys=memory_keys, clock=ticking_clock) as core:
        core.people("credit.train", list(range(8)))
        yield World(core, signer)


def check(certificate: bytes, domain: str, headers, body: bytes) -> None:
    """What a controller does (§8.8): the domain, then the signature over the raw bytes, before anything is parsed."""
    assert headers["x-opendsr-processor-domain"] == domain
    public = x509.load_pem_x509_certificate(certificate).public_key()
    signature = base64.b64decode(headers["x-opendsr-signature"], validate=True)
    if isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, body, ec.ECDSA(hashes.SHA256()))
    else:
        public.verify(signature, body, padding.PKCS1v15(), hashes.SHA256())


def lower(headers):
    return {name.lower(): value for name, value in headers.items()}


# ── the four routes ─────────────────────────────────────────────────────────────────────────────
def test_discovery_says_what_controllers_send_and_raw_alone(world: World) -> None:
    assert world.dsr.discovery()["supported_identities"] == []
    world.controller()
    found = world.dsr.discovery()
    assert found["api_version"] == "2.0"
    assert found["supported_identities"] == [
        {"identity_type": "controller_customer_id", "identity_format": "raw"}, {"identity_type": "email", "identity_format": "raw"},
    ]  # fmt: skip
    assert found["supported_subject_request_types"] == ["erasure"]
    assert found["processor_certificate"] == f"https://{DOMAIN}/opendsr/v2/certificate.pem"


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_an_answer_is_verified_by_the_controller_over_the_raw_bytes_and_an_altered_one_is_not(
    world: World, authority, tmp_path, kind: str
) -> None:
    world.signer = CertificateSigner(DOMAIN, *authority.issue(tmp_path / kind, DOMAIN, kind=kind), SystemClock())
    body = b'{"a": 1}'
    headers = lower(world.dsr.headers(body))
    check(world.signer.certificate_pem, DOMAIN, headers, body)
    for altered in (b'{"a":1}', b'{"a": 2}', b""):
        with pytest.raises(InvalidSignature):
            check(world.signer.certificate_pem, DOMAIN, headers, altered)


def test_a_request_is_received_answered_again_alike_and_nothing_of_it_is_kept(world: World) -> None:
    added, key = world.controller()
    body, raw, answer = world.send(key, SECRET)
    assert answer["controller_id"] == added["id"]
    assert answer["subject_request_id"] == body["subject_request_id"]
    assert base64.b64decode(answer["encoded_request"]) == raw
    assert answer["received_time"].startswith("2023-11-14T")
    assert world.dsr.receive(body, raw, key=key) == answer, "the same bytes again are the same request"
    (ident,) = world.part(added, body)
    erasure = world.core.erasures.get(ident)
    assert (erasure["state"], erasure["regulation"], erasure["requested_by"]) == ("identity_pending", "GDPR", f"controller:{added['id']}")
    assert len(world.core.erasures.list()["requests"]) == 1
    assert world.dsr.status(body["subject_request_id"], key=key)["request_status"] == "pending"
    for path in world.core.root.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    with pytest.raises(Conflict, match="another request"):
        world.dsr.receive(body, raw + b" ", key=key)


def test_the_controller_s_word_is_no_verified_identity(world: World) -> None:
    added, key = world.controller()
    body, _, _ = world.send(key, "3")
    (ident,) = world.part(added, body)
    with pytest.raises(Conflict):
        world.core.erasures.approve(ident, {}, actor="key:dpo")
    assert world.core.erasures.get(ident).get("verified") is None


def test_several_identities_of_one_person_are_one_request_until_all_are_over(world: World) -> None:
    core = world.core
    added, key = world.controller()
    body, _, _ = world.send(key, "3", "3", "+4")
    sent_id = body["subject_request_id"]
    first, second = world.part(added, body)

    def status() -> str:
        return world.dsr.status(sent_id, key=key)["request_status"]

    for ident, expected in ((first, "in_progress"), (second, "completed")):
        assert status() != "completed"
        core.erasures.verify(ident, {"method": "letter"}, actor="key:dpo")
        core.erasures.approve(ident, {}, actor="key:other")
        assert status() == "in_progress"
        core.engine.run()
        assert status() == expected
    assert core.located(3) == core.located(4) == {}


def test_cancelling_withdraws_while_it_is_pending_and_not_after(world: World) -> None:
    core = world.core
    added, key = world.controller()
    body, _, _ = world.send(key, "3", "4")
    answer = world.dsr.cancel(body["subject_request_id"], key=key)
    assert set(answer) == {"controller_id", "received_time", "subject_request_id", "api_version"}
    assert {core.erasures.get(ident)["state"] for ident in world.part(added, body)} == {"withdrawn"}
    assert world.dsr.status(body["subject_request_id"], key=key)["request_status"] == "cancelled"
    with pytest.raises(Conflict, match="cancelled"):
        world.dsr.cancel(body["subject_request_id"], key=key)
    late, _, _ = world.send(key, "5")
    (ident,) = world.part(added, late)
    core.erasures.verify(ident, {"method": "letter"}, actor="key:dpo")
    core.erasures.approve(ident, {}, actor="key:other")
    with pytest.raises(Conflict, match="only a pending one"):
        world.dsr.cancel(late["subject_request_id"], key=key)


def test_status_callbacks_are_signed_in_order_and_tried_again(world: World) -> None:
    core = world.core
    with Receiver() as receiver:
        added, key = world.controller(receiver.url)
        (endpoint,) = world.webhooks.list()["webhooks"]
        body, _, answer = world.send(key, "3", callbacks=[receiver.url])
        (ident,) = world.part(added, body)
        core.erasures.verify(ident, {"method": "letter"}, actor="key:dpo")
        core.erasures.approve(ident, {}, actor="key:other")
        core.engine.run()
        receiver.answers += [503]
        assert world.courier.deliver(endpoint["id"]) == 0
        assert world.courier.deliver(endpoint["id"]) == 2
        assert [one.json["request_status"] for one in receiver.taken] == ["in_progress", "completed"]
        for got in receiver.got:
            check(world.signer.certificate_pem, DOMAIN, got.headers, got.body)
            with pytest.raises(InvalidSignature):
                check(world.signer.certificate_pem, DOMAIN, got.headers, got.body + b" ")
            assert got.json | {"request_status": ""} == {
                "controller_id": added["id"], "status_callback_url": receiver.url, "subject_request_id": body["subject_request_id"],
                "expected_completion_time": answer["expected_completion_time"], "request_status": "", "api_version": "2.0",
            }  # fmt: skip


# ── who may, and what is refused ────────────────────────────────────────────────────────────────
def test_a_controller_sees_its_own_requests_alone(world: World) -> None:
    _, one = world.controller()
    _, two = world.controller()
    body, _, _ = world.send(one, "3")
    for call in (world.dsr.status, world.dsr.cancel):
        with pytest.raises(NotFound):
            call(body["subject_request_id"], key=two)
        with pytest.raises(Forbidden, match="no controller"):
            call(body["subject_request_id"], key="key:local")


def test_a_removed_controller_s_key_is_dead_and_what_it_asked_for_goes_on(world: World) -> None:
    with Receiver() as receiver:
        added, key = world.controller(receiver.url)
        body, _, _ = world.send(key, "3", callbacks=[receiver.url])
        (ident,) = world.part(added, body)
        world.dsr.remove(added["id"], actor="key:admin")
        world.dsr.remove(added["id"], actor="key:admin")
        with pytest.raises(Forbidden):
            world.access.authenticate(added["api_key"])
        with pytest.raises(Forbidden):
            world.dsr.status(body["subject_request_id"], key=key)
        world.core.erasures.verify(ident, {"method": "letter"}, actor="key:dpo")
        world.core.erasures.approve(ident, {}, actor="key:other")
        assert world.webhooks.list() == {"webhooks": []}
        assert world.core.ledger.records("outbox") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"subject_request_id": str(uuid.uuid1())}, "version 4"), ({"subject_request_id": str(uuid.uuid4()).upper()}, "lower case"),
        ({"submitted_time": "yesterday"}, "RFC 3339"), ({"submitted_time": "2023-11-10T12:00:00"}, "RFC 3339"),
        ({"status_callback_urls": ["https://elsewhere.example/"]}, "not registered"), ({"extensions": {DOMAIN: {"x": 1}}}, "extensions"),
        ({"subject_identities": []}, "identities"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_out_is_refused_and_enters_nothing(world: World, change, words: str) -> None:
    _, key = world.controller()
    with pytest.raises(BadInput, match=words):
        world.send(key, SECRET, **change)
    assert world.core.erasures.list()["requests"] == []


@pytest.mark.parametrize("form", ["sha1", "md5", "sha256"])
def test_a_hashed_identity_is_refused_rather_than_not_found(form: str) -> None:
    one = {"identity_type": "email", "identity_value": "5d41402abc4b2a76b9719d911017c592", "identity_format": form}
    with pytest.raises(BadInput, match="keyed hash") as caught:
        identities_of({"subject_identities": [one]}, {"email": "email"})
    assert "5d4140" not in str(caught.value)
    raw = one | {"identity_format": "raw", "identity_value": "a@example.org"}
    listed = [raw, one | {"identity_type": "android_id", "identity_format": "raw"}]
    with pytest.raises(BadInput, match=r"subject_identities\.1"):
        identities_of({"subject_identities": listed}, {"email": "email"})


def test_extensions_of_others_are_passed_over(world: World) -> None:
    _, key = world.controller()
    assert world.send(key, "3", extensions={"other-processor.test": {"x": 1}})[2]["controller_id"]


@pytest.mark.parametrize(
    "change",
    [{"identities": {"name": "person"}}, {"identities": {"email": "No Type"}}, {"identities": {}}, {"callbacks": ["http://10.0.0.1/"]}],
)
def test_a_controller_that_cannot_be_is_refused(world: World, change) -> None:
    with pytest.raises(BadInput):
        world.controller(**change)
    assert world.dsr.list() == {"controllers": []}
    assert world.access.list() == {"keys": []}


# ── the certificate ─────────────────────────────────────────────────────────────────────────────
def test_the_facade_is_closed_without_a_certificate(world: World) -> None:
    world.signer = None
    for call in (world.dsr.discovery, world.controller):
        with pytest.raises(NotFound, match="closed"):
            call()


def test_a_certificate_that_cannot_speak_for_the_domain_is_refused(authority, tmp_path, ticking_clock) -> None:
    import time

    ticking_clock.at = time.time_ns()
    good = authority.issue(tmp_path / "good", DOMAIN)
    other = authority.issue(tmp_path / "other", "other.test")
    old = authority.issue(tmp_path / "old", DOMAIN, days=(-30, -1))
    CertificateSigner(DOMAIN, *good, ticking_clock)
    root = tmp_path / "root.pem"
    root.write_bytes(authority.pem())
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    for certificate, key, words in (
        (other[0], other[1], "not issued for"),
        (good[0], other[1], "is not the RSA or EC key"),
        (old[0], old[1], "not valid now"),
        (root, good[1], "no certificate for a domain"),
        (empty, good[1], "no certificate for a domain"),
        (good[0], empty, "no private key"),
        (tmp_path / "missing", good[1], "cannot be read"),
        (good[0], tmp_path / "missing", "cannot be read"),
    ):
        with pytest.raises(BadInput, match=words):
            CertificateSigner(DOMAIN, certificate, key, ticking_clock)


def test_a_self_signed_certificate_is_refused(tmp_path, ticking_clock) -> None:
    import datetime as dt
    import time

    from cryptography.hazmat.primitives import serialization

    ticking_clock.at = time.time_ns()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, DOMAIN)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(DOMAIN)]), critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    (tmp_path / "c").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "k").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with pytest.raises(BadInput, match="self-signed"):
        CertificateSigner(DOMAIN, tmp_path / "c", tmp_path / "k", ticking_clock)


def test_nothing_is_signed_with_a_certificate_that_has_expired(world: World) -> None:
    world.signer.sign(b"{}")
    world.core.clock.at += 4000 * 86_400 * 1_000_000_000
    with pytest.raises(StoreUnavailable, match="expired on"):
        world.dsr.discovery() and world.dsr.headers(b"{}")


@pytest.mark.parametrize(
    "given", [{"opendsr_domain": DOMAIN}, {"opendsr_domain": DOMAIN, "opendsr_certificate": "/no", "opendsr_key": "/no"}]
)
def test_a_home_with_a_wrong_certificate_serves_all_the_same(open_ledger, memory_keys, ticking_clock, given) -> None:
    posting = Posting(open_ledger(reducer=reduce_entry), memory_keys, ticking_clock, Settings(**given))
    assert posting.webhooks.list() == {"webhooks": []}
    with pytest.raises(StoreUnavailable, match="facade cannot sign"):
        posting.signer()
    posting.close()
