"""The OpenDSR 2.0 facade: controllers that send erasure requests by machine, and what they are told (github.com/opengdpr/OpenDSR).

A controller is another organisation for which this home processes data. It has a key with the role ``controller``, which opens this
facade alone, and its own names for kinds of identities. Its request becomes one erasure request for each identity and goes the same way
as any other: **the controller's word is not a verified identity**, a privacy officer says so (GDPR Art. 12(6), 28(3)(a); ADR 23).

What an identity is in other clothes cannot be looked up: subjects are known here by a keyed hash, so a SHA-1, MD5 or SHA-256 of an
identifier leads nowhere, and is refused rather than answered with "nothing found".
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from governance.evidence import new_id
from governance.ports import ResponseSigner
from governance.registry.acts import act
from governance.registry.find import bodies, must_find
from governance.registry.posting import opendsr_status, rfc3339
from governance.registry.webhooks import Webhooks
from lineage.errors import BadInput, Conflict, Forbidden, NotFound
from lineage.ports import Clock, KeyStore, Ledger, LedgerTx
from lineage.rows import canonical_subject

__all__ = ["API_VERSION", "IDENTITY_TYPES", "REGULATIONS", "KeyMaker", "OpenDsr", "Requests", "identities_of"]

API_VERSION: Final = "2.0"
IDENTITY_TYPES: Final = (
    "controller_customer_id", "android_advertising_id", "android_id", "email", "fire_advertising_id", "ios_advertising_id", "ios_vendor_id",
    "microsoft_advertising_id", "microsoft_publisher_id", "roku_publisher_id", "roku_advertising_id",
)  # fmt: skip
"""§5.1."""
REGULATIONS: Final[Mapping[str, str]] = {"gdpr": "GDPR", "ccpa": "CCPA"}
"""§7.1.1 → the law pack whose clock runs."""
_MOST_IDENTITIES: Final = 20


class Requests(Protocol):
    """The doors of the erasure service that are used here."""

    def request(self, body: Mapping[str, Any], *, actor: str, idempotency: str | None = None) -> dict[str, Any]: ...
    def get(self, ident: str) -> dict[str, Any]: ...
    def withdraw(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]: ...


class KeyMaker(Protocol):
    """Makes and revokes API keys."""

    def create(self, name: str, roles: Sequence[str], *, actor: str) -> dict[str, Any]: ...
    def revoke(self, ident: str, *, actor: str) -> dict[str, Any]: ...


class OpenDsr:
    """Controllers, and their requests.

    Args:
        ledger: where controllers and requests are control records.
        keys: the keyed digest that tells a repeated request from another one.
        clock: the time.
        access: API keys.
        webhooks: the endpoints of callbacks.
        erasures: gives the erasure service.
        signer: gives the certificate's key, or ``None``: then the facade is closed.
    """

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyStore,
        clock: Clock,
        *,
        access: KeyMaker,
        webhooks: Webhooks,
        erasures: Callable[[], Requests],
        signer: Callable[[], ResponseSigner | None],
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._clock = clock
        self._access = access
        self._webhooks = webhooks
        self._erasures = erasures
        self._signer = signer

    # ── controllers ─────────────────────────────────────────────────────────────────────────────
    def add(self, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """A new controller with its key, told this once.

        Args:
            body: ``name``; ``identities``: OpenDSR identity type → type of person here; ``callbacks``: URLs it may name in its requests.
            actor: who adds it.

        Raises:
            BadInput: an identity type that OpenDSR has none of, a URL that nothing is sent to.
        """
        self.signer()
        identities = dict(body["identities"])
        for name, kind in identities.items():
            if name not in IDENTITY_TYPES:
                raise BadInput(f"{name[:60]!r} is no identity type of OpenDSR", hint=f"one of {', '.join(IDENTITY_TYPES)}")
            canonical_subject(kind, "1")
        if not identities:
            raise BadInput("a controller sends some kind of identity: none is named", hint="--identity email=email")
        endpoints = [self._webhooks.prepared("opendsr", url, actor=actor)[0] for url in dict.fromkeys(body.get("callbacks") or ())]
        key = self._access.create(f"OpenDSR controller: {body['name']}"[:200], ["controller"], actor=actor)
        now = self._clock.now()
        ident = new_id(now).replace("-", "")[-12:]
        record = {
            "id": ident, "name": body["name"], "key": key["id"], "identities": identities,
            "callbacks": [{"url": one["url"], "endpoint": one["id"]} for one in endpoints],
            "created_at": now, "created_by": actor, "removed_at": None,
        }  # fmt: skip
        records: dict[tuple[str, str], Mapping[str, Any]] = {("controller", ident): record}
        records |= {("webhook", one["id"]): one for one in endpoints}
        self._ledger.append([act("controller.added", actor=actor, records=records)])
        return self._shown(record) | {"api_key": key["api_key"]}

    def list(self) -> dict[str, Any]:
        """Every controller, without its key."""
        found = sorted(bodies(self._ledger, "controller"), key=lambda body: body["created_at"])
        return {"controllers": [self._shown(body) for body in found]}

    def remove(self, ident: str, *, actor: str) -> dict[str, Any]:
        """Its key is revoked and its callbacks end; what it asked for goes on."""

        def work(tx: LedgerTx) -> dict[str, Any]:
            record = must_find(tx, "controller", ident, what="controller")
            if record["removed_at"] is not None:
                return record
            drop: list[tuple[str, str]] = []
            for callback in record["callbacks"]:
                endpoint = tx.record("webhook", callback["endpoint"])
                drop += self._webhooks.removal(tx, endpoint[0]) if endpoint is not None else []
            ended = record | {"removed_at": self._clock.now(), "callbacks": []}
            records: dict[tuple[str, str], Mapping[str, Any]] = {("controller", ident): ended}
            records |= {("opendsr", place): sent | {"callbacks": []} for place, sent, _ in tx.records("opendsr", prefix=f"{ident}/")}
            tx.append(act("controller.removed", actor=actor, records=records, drop=drop))
            return ended

        record = self._ledger.transact(work)
        self._access.revoke(record["key"], actor=actor)
        return {"id": ident, "removed_at": record["removed_at"]}

    # ── the four routes ─────────────────────────────────────────────────────────────────────────
    def signer(self) -> ResponseSigner:
        """The signer of every answer; ``NotFound`` while the facade is closed."""
        found = self._signer()
        if found is None:
            raise NotFound(
                "the OpenDSR facade is closed: no certificate is set",
                hint="set GOVERN_OPENDSR_DOMAIN, GOVERN_OPENDSR_CERTIFICATE and GOVERN_OPENDSR_KEY where the server runs",
            )
        return found

    def discovery(self) -> dict[str, Any]:
        """What is supported (§6.3): the identities that some controller sends, raw alone, and erasure alone."""
        types = {name for body in bodies(self._ledger, "controller") if body["removed_at"] is None for name in body["identities"]}
        return {
            "api_version": API_VERSION,
            "supported_identities": [{"identity_type": name, "identity_format": "raw"} for name in sorted(types)],
            "supported_subject_request_types": ["erasure"],
            "processor_certificate": f"https://{self.signer().domain}/opendsr/v2/certificate.pem",
        }

    def receive(self, body: Mapping[str, Any], raw: bytes, *, key: str) -> dict[str, Any]:
        """A request of the controller that holds the key (§7); again with the very same bytes gives the same answer.

        Nothing of ``raw`` is kept but a keyed digest; the answer holds it once more, as §7.3 asks (``encoded_request``).

        Raises:
            Forbidden: the key is no controller's. BadInput: it cannot be carried out as it stands; the message repeats no identity.
            Conflict: its id was used for another request.
        """
        controller = self._controller(key)
        signer = self.signer()
        sent_id = _uuid4(body["subject_request_id"])
        place = f"{controller['id']}/{sent_id}"
        digest = self._keys.hmac("suppression", b"opendsr\n" + raw).hex()[:32]
        known = self._ledger.record("opendsr", place)
        if known is None:
            self._enter(controller, place, body, digest, domain=signer.domain)
            known = self._ledger.record("opendsr", place)
            assert known is not None
        elif known[0]["digest"] != digest:
            raise Conflict(f"subject_request_id {sent_id} was used for another request", hint="draw a new UUID for a new request")
        record = known[0]
        return self._answer(record) | {
            "received_time": rfc3339(record["received_at"]),
            "encoded_request": base64.b64encode(raw).decode(),
            "api_version": API_VERSION,
        }

    def status(self, sent_id: str, *, key: str) -> dict[str, Any]:
        """How far a request is (§8.3); ``NotFound`` also for another controller's."""
        record = self._found(sent_id, key)
        return self._answer(record) | {"request_status": record["status"], "api_version": API_VERSION}

    def cancel(self, sent_id: str, *, key: str) -> dict[str, Any]:
        """The controller takes it back, while it is pending (§9)."""
        record = self._found(sent_id, key)
        if record["status"] != "pending":
            raise Conflict(f"the request is {record['status']}: only a pending one can be cancelled (OpenDSR §9)")
        for ident in record["requests"]:
            if opendsr_status([self._erasures().get(ident)["state"]]) == "pending":
                self._erasures().withdraw(ident, {"reason": "cancelled by the controller"}, actor=f"controller:{record['controller']}")
        return {
            "controller_id": record["controller"],
            "received_time": rfc3339(self._clock.now()),
            "subject_request_id": record["subject_request_id"],
            "api_version": API_VERSION,
        }

    def headers(self, body: bytes) -> dict[str, str]:
        """Domain and signature over the bytes of an answer or a callback (§7.4, §8.3, §8.6)."""
        signer = self.signer()
        return {"X-OpenDSR-Processor-Domain": signer.domain, "X-OpenDSR-Signature": base64.b64encode(signer.sign(body)).decode()}

    # ── one request ─────────────────────────────────────────────────────────────────────────────
    def _enter(self, controller: Mapping[str, Any], place: str, body: Mapping[str, Any], digest: str, *, domain: str) -> None:
        """One erasure request for each identity, then the record that joins them. A repeat after a crash finds what was entered."""
        subjects = identities_of(body, controller["identities"])
        callbacks = self._callbacks(controller, body.get("status_callback_urls") or ())
        if (body.get("extensions") or {}).get(domain):
            raise BadInput("extensions: this processor has none", hint="send the identities in subject_identities")
        regulation = REGULATIONS[body["regulation"]]
        actor = f"controller:{controller['id']}"
        now = self._clock.now()
        asked_at = _time(body["submitted_time"], now)
        made = []
        for number, (kind, value) in enumerate(subjects):
            asked = {
                "subject": {"type": kind, "value": value},
                "regulation": regulation,
                "ground": "OpenDSR erasure request",
                "received_at": asked_at,
            }
            made.append(self._erasures().request(asked, actor=actor, idempotency=f"opendsr:{place}:{number}")["id"])

        def work(tx: LedgerTx) -> None:
            if tx.record("opendsr", place) is not None:
                return
            parts = [must_find(tx, "erasure", ident, what="erasure request") for ident in made]
            record = {
                "controller": controller["id"], "subject_request_id": place.partition("/")[2], "regulation": regulation, "requests": made,
                "callbacks": callbacks, "status": opendsr_status([part["state"] for part in parts]),
                "due_at": max(part["due_at"] for part in parts), "received_at": now, "submitted_time": asked_at,
                "digest": digest,
            }  # fmt: skip
            records: dict[tuple[str, str], Mapping[str, Any]] = {("opendsr", place): record}
            records |= {("opendsr_link", ident): {"opendsr": place} for ident in made}
            tx.append(act("opendsr.received", actor=actor, records=records))

        self._ledger.transact(work)

    @staticmethod
    def _callbacks(controller: Mapping[str, Any], urls: Sequence[str]) -> Sequence[dict[str, str]]:
        known = {one["url"]: one for one in controller["callbacks"]}
        for url in urls:
            if url not in known:
                raise BadInput(
                    "status_callback_urls: one is not registered for this controller",
                    hint="an admin registers callbacks: govern opendsr add NAME --callback URL",
                )
        return [dict(known[url]) for url in dict.fromkeys(urls)]

    def _controller(self, key: str) -> dict[str, Any]:
        ident = key.removeprefix("key:")
        for body in bodies(self._ledger, "controller"):
            if body["key"] == ident and body["removed_at"] is None:
                return body
        raise Forbidden("this key is no controller's", hint="an admin adds one: govern opendsr add NAME")

    def _found(self, sent_id: str, key: str) -> dict[str, Any]:
        controller = self._controller(key)
        found = self._ledger.record("opendsr", f"{controller['id']}/{sent_id.lower()}")
        if found is None:
            raise NotFound("this controller has sent no request with this id", hint="subject_request_id is the controller's own UUID")
        body: dict[str, Any] = found[0]
        return body

    @staticmethod
    def _answer(record: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "controller_id": record["controller"],
            "expected_completion_time": rfc3339(record["due_at"]),
            "subject_request_id": record["subject_request_id"],
        }

    @staticmethod
    def _shown(body: Mapping[str, Any]) -> dict[str, Any]:
        return {name: body[name] for name in ("id", "name", "key", "identities", "created_at", "removed_at")} | {
            "callbacks": [one["url"] for one in body["callbacks"]]
        }


def identities_of(body: Mapping[str, Any], known: Mapping[str, str]) -> list[tuple[str, str]]:
    """(type of person here, identifier) of each identity of a request, each once.

    Raises:
        BadInput: none, too many, a hashed one, a type that the controller does not send, or a value that is no identifier. The message
            names the place and never repeats the value.

    >>> one = {"identity_type": "email", "identity_value": "a@example.org", "identity_format": "raw"}
    >>> identities_of({"subject_identities": [one, one]}, {"email": "email"})
    [('email', 'a@example.org')]
    """
    listed = body.get("subject_identities") or ()
    if not 1 <= len(listed) <= _MOST_IDENTITIES:
        raise BadInput(f"subject_identities: a request names 1 to {_MOST_IDENTITIES} identities of one person, this one {len(listed)}")
    found: dict[str, tuple[str, str]] = {}
    for number, one in enumerate(listed):
        where = f"subject_identities.{number}"
        if one["identity_format"] != "raw":
            raise BadInput(
                f"{where}: {one['identity_format']} identities cannot be looked up: persons are known here by a keyed hash",
                hint="send identity_format raw over this TLS connection; it is hashed at the door and not kept",
            )
        kind = known.get(one["identity_type"])
        if kind is None:
            raise BadInput(
                f"{where}: this controller sends no identities of this type", hint=f"it sends {', '.join(sorted(known)) or 'none'}"
            )
        try:
            canonical = canonical_subject(kind, one["identity_value"])
        except BadInput as error:
            raise BadInput(f"{where}: {error.message}", hint=error.hint) from None
        found.setdefault(canonical, (kind, one["identity_value"]))
    return list(found.values())


def _uuid4(text: str) -> str:
    try:
        value = uuid.UUID(text)
    except ValueError:
        value = uuid.UUID(int=0)
    if value.version != 4 or str(value) != text:
        raise BadInput("subject_request_id must be a UUID of version 4 in lower case")
    return text


def _time(text: str, now: int) -> int:
    """When the person asked the controller, UTC nanoseconds: the controller's month began then. A clock ahead of ours counts as now."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min  # noqa: DTZ901 - without a zone, and so refused below
    if moment.tzinfo is None:
        raise BadInput("submitted_time must be RFC 3339 with an offset, for example 2026-11-20T15:00:00Z")
    return min(int(moment.timestamp()) * 1_000_000_000, now)
