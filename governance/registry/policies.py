"""Policies and code snapshots as they were when something was decided by them: kept by digest, for a retrain must use the same."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from governance.registry.acts import act
from lineage.errors import BadInput, NotFound, Tampered
from lineage.ports import Clock, Ledger

if TYPE_CHECKING:
    from governance.policy import Policy

__all__ = ["Policies", "Snapshots"]


class Policies:
    """Policy texts by digest."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._parsed: dict[str, Policy] = {}

    def keep(self, text: str, *, actor: str) -> Policy:
        """Parse the text, enter it in the ledger once, and return what it says."""
        policy = _parse(text)
        record = {"digest": policy.digest, "name": policy.name, "version": str(policy.version), "text": text}
        self._ledger.append(
            [act("policy.kept", actor=actor, records={("policy", policy.digest): record}, identity=f"policy:{policy.digest}")]
        )
        return policy

    def get(self, digest: str) -> Policy:
        """The policy of a digest; parsed once, for a digest never means anything else (each prediction asks)."""
        if digest in self._parsed:
            return self._parsed[digest]
        found = self._ledger.record("policy", digest)
        if found is None:
            raise NotFound(f"no policy {digest} is kept in this home")
        policy = self._parsed[digest] = _parse(found[0]["text"])
        return policy


class Snapshots:
    """Content-addressed archives of users' code, one file each: ``<sha256>.tar``."""

    def __init__(self, folder: Path, ledger: Ledger, clock: Clock) -> None:
        self._folder = folder
        self._ledger = ledger
        self._clock = clock

    def put(self, digest: str, data: bytes, *, actor: str) -> bool:
        """Keep an archive under its digest; true when it is new. ``BadInput`` when the bytes are others than the digest says."""
        _check(digest)
        if hashlib.sha256(data).hexdigest() != digest:
            raise BadInput(f"snapshot {digest[:12]}…: the bytes have another SHA-256", hint="send the archive that `govern train` packed")
        path = self.path(digest, must_exist=False)
        new = not path.exists()
        if new:
            scratch = path.with_suffix(".tmp")
            scratch.write_bytes(data)
            scratch.replace(path)
        record = {"digest": digest, "size": len(data), "created_at": self._clock.now()}
        self._ledger.append([act("snapshot.kept", actor=actor, records={("snapshot", digest): record}, identity=f"snapshot:{digest}")])
        return new

    def get(self, digest: str) -> bytes:
        """The archive; ``Tampered`` when the file no longer has its digest."""
        data = self.path(digest).read_bytes()
        if hashlib.sha256(data).hexdigest() != digest.removeprefix("snapshot:"):
            raise Tampered(f"snapshot {digest} was changed on disk", hint="restore it from a backup; it is named by its SHA-256")
        return data

    def path(self, digest: str, *, must_exist: bool = True) -> Path:
        """Where the archive lies."""
        digest = digest.removeprefix("snapshot:")
        _check(digest)
        path = self._folder / f"{digest}.tar"
        if must_exist and not path.exists():
            raise NotFound(
                f"code snapshot {digest[:12]}… is not in this home",
                hint="upload it with PUT /api/v1/snapshots/{sha256}, or run `govern train`",
            )
        return path


def _parse(text: str) -> Policy:
    from governance.policy import parse_policy  # pydantic and yaml come with it: only who uses a policy waits for them

    return parse_policy(text)


def _check(digest: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise BadInput(f"{digest!r} is no SHA-256 in hex")
