"""API keys: 256 random bits, shown once, kept as SHA-256, each with roles."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from governance.evidence import new_id
from governance.registry.acts import SYSTEM, act
from governance.registry.find import bodies, must_find
from lineage.errors import BadInput, Forbidden
from lineage.ports import Clock, KeyStore, Ledger

__all__ = ["ROLES", "Access", "Principal"]

ROLES = ("ingest", "predict", "engineer", "privacy", "auditor", "admin", "controller")
"""What a key may be allowed (design §10). ``controller`` is another organisation that sends OpenDSR requests, and sees its own alone."""

_PREFIX = "gv_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: ``id`` is ``key:<id>``, never a person's name."""

    id: str
    roles: frozenset[str]


class Access:
    """Creates, lists, revokes and checks API keys, and gives the public verification keys out."""

    def __init__(
        self, ledger: Ledger, keys: KeyStore, clock: Clock, *, installation: str, origin: str, certificate: Callable[[], bytes]
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._clock = clock
        self._installation = installation
        self._origin = origin
        self._certificate = certificate
        self._living: dict[bytes, Principal] = {}
        self._revocations = 0
        self._gate = threading.Lock()
        self._local = Principal(id="key:local", roles=frozenset(ROLES))

    def local_owner(self) -> Principal:
        """The principal of a process that holds the home itself."""
        return self._local

    def create(self, name: str, roles: Sequence[str], *, actor: str = SYSTEM) -> dict[str, Any]:
        """A new key; ``api_key`` is told this once and never again."""
        unknown = sorted(set(roles) - set(ROLES))
        if unknown or not roles:
            raise BadInput(f"roles must be some of {', '.join(ROLES)}" + (f"; not {', '.join(unknown)}" if unknown else ""))
        now = self._clock.now()
        ident = new_id(now).replace("-", "")[-12:]
        secret = _PREFIX + ident + "_" + secrets.token_urlsafe(32)
        body = {"id": ident, "name": name, "roles": sorted(set(roles)), "hash": _hash(secret), "created_at": now, "revoked_at": None}
        self._ledger.append([act("key.created", actor=actor, records={("key", ident): body})])
        return {"id": ident, "name": name, "roles": body["roles"], "api_key": secret}

    def list(self) -> dict[str, Any]:
        """Every key without its hash."""
        return {"keys": [{name: value for name, value in body.items() if name != "hash"} for body in bodies(self._ledger, "key")]}

    def revoke(self, ident: str, *, actor: str) -> dict[str, Any]:
        """The key stops working with the next request."""
        ident = ident.removeprefix("key:")
        body = must_find(self._ledger, "key", ident, what="API key")
        if body["revoked_at"] is None:
            body = {**body, "revoked_at": self._clock.now()}
            self._ledger.append([act("key.revoked", actor=actor, records={("key", ident): body})])
            with self._gate:
                self._revocations += 1
                self._living.clear()
        return {"id": ident, "revoked_at": body["revoked_at"]}

    def authenticate(self, api_key: str) -> Principal:
        """Who holds the key; ``Forbidden`` when it is unknown or revoked (compared in constant time)."""
        seen = self._revocations
        ident = api_key.removeprefix(_PREFIX).split("_", 1)[0]
        found = self._ledger.record("key", ident) if ident else None
        expected = found[0]["hash"] if found else _hash("")
        if not hmac.compare_digest(_hash(api_key), expected) or found is None or found[0]["revoked_at"] is not None:
            raise Forbidden("this API key is unknown or revoked", hint="ask an admin for `govern keys create`, and set GOVERN_API_KEY")
        who = Principal(id=f"key:{ident}", roles=frozenset(found[0]["roles"]))
        with self._gate:
            if seen == self._revocations:  # no key was revoked since it was looked up
                self._living[_digest(api_key)] = who
        return who

    def known(self, api_key: str) -> Principal | None:
        """Who holds a key that :meth:`authenticate` found living, unless a key was revoked since; ``None``: ask it again.

        Every revocation forgets all that is known here, before it is acknowledged.
        """
        return self._living.get(_digest(api_key))

    def public(self) -> dict[str, Any]:
        """The public keys that a verifier needs, as `govern verify --keys` reads them."""
        return {
            "installation": self._installation,
            "checkpoint": {"name": self._origin, "key": self._keys.public_ed25519("checkpoint").hex()},
            "evidence": {
                "keyid": hashlib.sha256(self._keys.public_ed25519("evidence")).hexdigest(),
                "key": self._keys.public_ed25519("evidence").hex(),
            },
            "pdf": {"certificate": self._certificate().decode()},
        }


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
