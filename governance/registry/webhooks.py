"""Webhook endpoints: added with a secret that is told once, listed, rotated, stopped, and told again what did not reach them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from governance.evidence import new_id
from governance.ports import Sender
from governance.registry.acts import act
from governance.registry.find import bodies, must_find
from governance.registry.messages import SCHEMES, standard_headers, told_key
from governance.registry.posting import checked_events
from lineage.errors import BadInput, Conflict, Gone, NotFound
from lineage.ports import Clock, KeyStore, Ledger, LedgerTx

__all__ = ["Webhooks"]

_OVERLAP: Final = 86_400 * 1_000_000_000
"""How long the key before a rotation signs beside the new one."""
_MOST_URL: Final = 2048
_MOST_SHOWN: Final = 100
_WAITS: Final = (("waiting", "outbox"), ("dead", "dead"))
"""What an answer calls them → the kind of the records."""
_OWNERS: Final[Mapping[str, tuple[str, str]]] = {
    "recipient": ("recipient", "govern recipients remove ID"),
    "opendsr": ("controller", "govern opendsr remove ID"),
}
_SHOWN: Final = ("id", "kind", "url", "events", "scheme", "state", "attempts", "next_at", "error", "delivered_at", "created_at")


class Webhooks:
    """The endpoints of one home. A signing key is made in the key store, used there, and destroyed with its endpoint.

    Args:
        ledger: where endpoints are control records.
        keys: holds the signing keys.
        clock: the time.
        sender: says whether a URL may be sent to.
    """

    def __init__(self, ledger: Ledger, keys: KeyStore, clock: Clock, sender: Sender) -> None:
        self._ledger = ledger
        self._keys = keys
        self._clock = clock
        self._sender = sender

    # ── doors ───────────────────────────────────────────────────────────────────────────────────
    def add(self, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """A new endpoint for the events of ``events`` from now on; ``secret`` is told this once.

        Raises:
            BadInput: an event that there is none of, or a URL that nothing is sent to.
        """
        events = checked_events(body["events"])
        record, secret = self.prepared("subscriber", body["url"], events=events, scheme=body.get("scheme", "v1"), actor=actor)

        def work(tx: LedgerTx) -> None:
            listed = {"endpoints": [*_subscribed(tx), {"id": record["id"], "events": events}]}
            records = {("webhook", record["id"]): record, ("subscriptions", "webhooks"): listed}
            tx.append(act("webhook.added", actor=actor, records=records))

        self._ledger.transact(work)
        return self._shown(record) | {"secret": secret}

    def prepared(
        self, kind: str, url: str, *, events: Sequence[str] = (), scheme: str = "v1", actor: str
    ) -> tuple[dict[str, Any], str | None]:
        """(the record of a new endpoint, what its receiver verifies with); the caller enters it with what it belongs to.

        ``subscriber`` hears events, ``recipient`` its notices, ``opendsr`` status callbacks: these are signed by the processor's
        certificate and have no key of their own.

        Raises:
            BadInput: nothing is sent to the URL, or no such scheme.
        """
        self._check(url, scheme)
        now = self._clock.now()
        ident = new_id(now).replace("-", "")[-12:]
        keys: list[dict[str, Any]] = []
        secret = None
        if kind == "opendsr":
            scheme = "opendsr"
        else:
            keys = [{"name": self._key_name(scheme, ident, 1), "until": None}]
            secret = self._made(scheme, keys[0]["name"])
        record = {
            "id": ident, "kind": kind, "url": url, "events": list(events), "scheme": scheme, "keys": keys, "state": "active",
            "attempts": 0, "next_at": 0, "error": None, "delivered_at": None, "created_at": now, "created_by": actor,
        }  # fmt: skip
        return record, secret

    def list(self) -> dict[str, Any]:
        """Every endpoint without its secret; how much waits for it and how much was given up."""
        return {
            "webhooks": [
                self._shown(body) | {name: self._ledger.count(kind, prefix=f"{body['id']}/") for name, kind in _WAITS}
                for body in sorted(bodies(self._ledger, "webhook"), key=lambda body: body["created_at"])
            ]
        }

    def get(self, ident: str) -> dict[str, Any]:
        """One endpoint with its messages that wait and those that were given up, the first hundred of each."""
        body = self._found(self._ledger, ident)
        shown = self._shown(body)
        for name, kind in _WAITS:
            shown[name] = self._ledger.count(kind, prefix=f"{ident}/")
            shown[f"{name}_messages"] = [
                {"id": row["id"], "type": row["type"], "at": row["at"], "error": row["error"]}
                for _, row, _ in self._ledger.records(kind, prefix=f"{ident}/", limit=_MOST_SHOWN)
            ]
        return shown

    def remove(self, ident: str, *, actor: str) -> dict[str, Any]:
        """The endpoint gets nothing more, what waited is dropped, and its keys are destroyed."""

        def work(tx: LedgerTx) -> dict[str, Any]:
            body = self._found(tx, ident)
            if body["kind"] != "subscriber":
                owner, listing = _OWNERS[body["kind"]]
                raise Conflict(f"webhook {ident} belongs to a {owner}: it goes with it", hint=listing)
            left = {"endpoints": [one for one in _subscribed(tx) if one["id"] != ident]}
            records = {("subscriptions", "webhooks"): left}
            tx.append(act("webhook.removed", actor=actor, records=records, drop=self.removal(tx, body)))
            return body

        body = self._ledger.transact(work)
        self.destroy_keys(body)
        return {"id": ident, "removed": True}

    @staticmethod
    def removal(tx: LedgerTx, body: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What goes with an endpoint: its record, what waits for it and what was given up."""
        ident = body["id"]
        rows = [(name, place) for name in ("outbox", "dead") for place, _, _ in tx.records(name, prefix=f"{ident}/")]
        return [("webhook", ident), *rows]

    def destroy_keys(self, body: Mapping[str, Any]) -> None:
        """Destroy the signing keys of a removed endpoint."""
        for key in body["keys"]:
            if self._there(key["name"]):
                self._keys.destroy(key["name"])

    def rotate(self, ident: str, *, actor: str) -> dict[str, Any]:
        """A new key; for a day the one before signs beside it. ``secret`` is told this once."""
        body = self._found(self._ledger, ident)
        if not body["keys"]:
            raise Conflict(f"webhook {ident} is signed with the OpenDSR certificate and has no key to rotate")
        now = self._clock.now()
        number = 1 + max(int(key["name"].rpartition("-")[2]) for key in body["keys"])
        name = self._key_name(body["scheme"], ident, number)
        secret = self._made(body["scheme"], name)

        def work(tx: LedgerTx) -> Sequence[str]:
            found = self._found(tx, ident)
            before = [key | {"until": key["until"] or now + _OVERLAP} for key in found["keys"]]
            living = [key for key in before if key["until"] > now and self._there(key["name"])]
            changed = found | {"keys": [{"name": name, "until": None}, *living]}
            tx.append(act("webhook.rotated", actor=actor, records={("webhook", ident): changed}))
            return [key["name"] for key in before if key not in living]

        for old in self._ledger.transact(work):
            if self._there(old):
                self._keys.destroy(old)
        return {"id": ident, "secret": secret}

    def resume(self, ident: str, *, actor: str) -> dict[str, Any]:
        """Send again to an endpoint that was disabled: what waits, in order, at once."""

        def work(tx: LedgerTx) -> None:
            body = self._found(tx, ident)
            changed = body | {"state": "active", "attempts": 0, "next_at": 0, "error": None}
            tx.append(act("webhook.resumed", actor=actor, records={("webhook", ident): changed}))

        self._ledger.transact(work)
        return self.get(ident)

    def replay(self, ident: str, *, actor: str) -> dict[str, Any]:
        """Put what was given up into the outbox again, in its old order, and send at once."""

        def work(tx: LedgerTx) -> int:
            body = self._found(tx, ident)
            rows = tx.records("dead", prefix=f"{ident}/")
            records: dict[tuple[str, str], Mapping[str, Any]] = {("outbox", place): row | {"error": None} for place, row, _ in rows}
            records["webhook", ident] = body | {"state": "active", "attempts": 0, "next_at": 0, "error": None}
            tx.append(act("webhook.replayed", actor=actor, records=records, drop=[("dead", place) for place, _, _ in rows]))
            return len(rows)

        return {"id": ident, "replayed": self._ledger.transact(work)}

    def headers(self, endpoint: Mapping[str, Any], row: Mapping[str, Any], body: bytes) -> dict[str, str]:
        """The signed headers of an attempt made now; ``NotFound`` where the key is gone (`govern webhooks rotate ID` makes another)."""
        now = self._clock.now()
        living = [key["name"] for key in endpoint["keys"] if key["until"] is None or key["until"] > now]
        sign = self._hmac if endpoint["scheme"] == "v1" else self._keys.sign_ed25519
        return standard_headers(row["id"], now, body, scheme=endpoint["scheme"], keys=living, sign=sign)

    def _there(self, name: str) -> bool:
        """Whether a key is in the store: a restore brings none back."""
        try:
            self._keys.secret(name)
        except (NotFound, Gone):
            return False
        return True

    def _hmac(self, name: str, message: bytes) -> bytes:
        """The signature of a key that is there; one that a restore did not bring back is not made anew under its name."""
        self._keys.secret(name)
        return self._keys.hmac(name, message)

    # ── small things ────────────────────────────────────────────────────────────────────────────
    def _check(self, url: str, scheme: str) -> None:
        if scheme not in SCHEMES:
            raise BadInput(f"a webhook is signed by {' or '.join(SCHEMES)}, not {scheme[:20]!r}", hint="--scheme v1")
        if len(url) > _MOST_URL:
            raise BadInput(f"the URL is longer than {_MOST_URL} characters")
        self._sender.check(url)

    @staticmethod
    def _key_name(scheme: str, ident: str, number: int) -> str:
        return f"webhook{'' if scheme == 'v1' else '-ed25519'}-{ident}-{number}"

    def _made(self, scheme: str, name: str) -> str:
        """Make a key, and say what its receiver needs."""
        if scheme == "v1a":
            return told_key(scheme, self._keys.public_ed25519(name))
        self._keys.hmac(name, b"")  # made on first use
        return told_key(scheme, self._keys.secret(name))

    @staticmethod
    def _found(source: Ledger | LedgerTx, ident: str) -> dict[str, Any]:
        return must_find(source, "webhook", ident, what="webhook")

    @staticmethod
    def _shown(body: Mapping[str, Any]) -> dict[str, Any]:
        return {name: body[name] for name in _SHOWN}


def _subscribed(tx: LedgerTx) -> list[dict[str, Any]]:
    found = tx.record("subscriptions", "webhooks")
    return list(found[0]["endpoints"]) if found else []
