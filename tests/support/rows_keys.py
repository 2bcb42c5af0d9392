"""A key store and a clock in memory, with the real rules: HMAC-SHA256, epochs newest first, destroyed keys are gone."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from lineage.errors import NotFound
from lineage.rows import RULES


class MemoryKeys:
    def __init__(self, epochs: int = 1, *, first_rules: int = RULES) -> None:
        self._first_rules = first_rules
        self._keys = {"rowset": b"r" * 32}
        for n in range(1, epochs + 1):
            self._keys[f"epoch-{n}"] = bytes([n]) * 32

    def hmac(self, name: str, message: bytes) -> bytes:
        if name not in self._keys:
            raise NotFound(f"no key {name}")
        return hmac.digest(self._keys[name], message, hashlib.sha256)

    def hmacs(self, name: str, messages: Iterable[bytes]) -> list[bytes]:
        return [self.hmac(name, message) for message in messages]

    def living(self, prefix: str) -> list[str]:
        return sorted((k for k in self._keys if k.startswith(prefix)), key=lambda k: int(k.rpartition("-")[2]), reverse=True)

    def canonicalisation(self, name: str) -> int:
        return self._first_rules if name == "epoch-1" else RULES

    def destroy(self, name: str) -> None:
        del self._keys[name]

    def secret(self, name: str) -> bytes:
        raise NotFound(f"no key {name}")

    def sign_ed25519(self, name: str, message: bytes) -> bytes:
        raise NotFound(f"no key {name} to sign {len(message)} bytes")

    def public_ed25519(self, name: str) -> bytes:
        raise NotFound(f"no key {name}")


class TickingClock:
    """Each look is a second later."""

    def __init__(self, start: int = 1_700_000_000_000_000_000) -> None:
        self._now = start

    def now(self) -> int:
        self._now += 1_000_000_000
        return self._now
