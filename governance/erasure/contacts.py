"""How to reach the person who asked: kept under a key of the request's own, and unreadable once that key is destroyed.

The address is the one thing of a request that identifies a person in plain words. It lies in one private file per request, encrypted with
AES-256-GCM (NIST SP 800-38D) under a key that the key store makes for the request. Shredding destroys the key first, so that a copy of the
file (a backup, a block that the disk kept) stays unreadable; then the file goes.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Mapping
from typing import Protocol

from lineage.errors import BadInput, Gone, NotFound, Tampered
from lineage.ports import KeyStore

__all__ = ["CHANNELS", "ContactStore", "Contacts", "checked_contact", "code_tag", "contact_key"]

CHANNELS = ("email",)
"""Ways to reach a person that a notifier knows."""

_NONCE = 12
_ADDRESS = re.compile(r"[^\s@<>\",;:\x00-\x1f\x7f]{1,64}@[^\s@<>\",;:\x00-\x1f\x7f]{1,253}")
"""One address that can stand in a header without being two; whether it is reached is shown by the code that comes back."""


class ContactStore(Protocol):
    """Small private blobs by request, outside the ledger."""

    def put(self, request: str, blob: bytes) -> None:
        """Keep it, durable when this returns."""
        ...

    def get(self, request: str) -> bytes | None: ...
    def remove(self, request: str) -> None:
        """Delete it, if it is there."""
        ...

    def names(self) -> set[str]:
        """The requests of which there is one."""
        ...


def contact_key(request: str) -> str:
    """The name of a request's own key in the key store."""
    return f"contact-{request}"


def checked_contact(value: object) -> dict[str, str]:
    """``{channel, address}``; ``BadInput`` otherwise, never repeating the address."""
    if not isinstance(value, Mapping) or set(value) != {"channel", "address"} or value["channel"] not in CHANNELS:
        raise BadInput(f"contact must be {{channel, address}} with channel {' or '.join(CHANNELS)}", hint="govern erasure request --help")
    address = value["address"]
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address.strip()):
        raise BadInput("contact.address is not one e-mail address", hint="name@example.org, without a display name")
    return {"channel": str(value["channel"]), "address": address.strip()}


class Contacts:
    """Encrypts, reads and shreds. The nonce is fresh for each file; the request's id is authenticated with it."""

    def __init__(self, keys: KeyStore, store: ContactStore) -> None:
        self._keys = keys
        self._store = store

    def keep(self, request: str, contact: Mapping[str, str]) -> None:
        """Encrypt and keep a contact."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE)
        plain = json.dumps(dict(contact), sort_keys=True).encode()
        self._store.put(request, nonce + AESGCM(self._key(request)).encrypt(nonce, plain, request.encode()))

    def read(self, request: str) -> dict[str, str]:
        """The contact.

        Raises:
            NotFound: none was given. Gone: it was shredded. Tampered: the file was altered, or is another request's.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        blob = self._store.get(request)
        if blob is None:
            raise NotFound(f"erasure request {request} has no contact", hint="tell the person by another way, then record it")
        try:
            plain = AESGCM(self._key(request)).decrypt(blob[:_NONCE], blob[_NONCE:], request.encode())
        except (NotFound, Gone) as error:
            raise Gone(f"the contact of erasure request {request} was shredded") from error
        except InvalidTag as error:
            raise Tampered(
                f"the contact of erasure request {request} does not open: its file was altered, or its key is not here",
                hint="tell the person by another way; keys are in no backup",
            ) from error
        found: dict[str, str] = json.loads(plain)
        return found

    def shred(self, request: str) -> None:
        """Destroy the key, then the file; again is no error."""
        with contextlib.suppress(NotFound):  # a key that was never made: neither contact nor code was asked of this request
            self._keys.destroy(contact_key(request))
        self._store.remove(request)

    def strays(self, known: set[str]) -> set[str]:
        """Requests of which there is a contact and no record: the process died between the two."""
        return self._store.names() - known

    def _key(self, request: str) -> bytes:
        return self._keys.hmac(contact_key(request), b"govern contact aes-256-gcm 1")


def code_tag(keys: KeyStore, request: str, nonce: str, code: str) -> str:
    """What a one-time code is compared with: its HMAC-SHA256 under the request's own key, hex. The code itself is kept nowhere."""
    return keys.hmac(contact_key(request), f"govern one-time code 1\n{request}\n{nonce}\n{code}".encode()).hex()
