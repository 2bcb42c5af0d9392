"""Encrypted contacts as files, one per request, for their owner only (:class:`governance.erasure.contacts.ContactStore`)."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from lineage.errors import StoreUnavailable

__all__ = ["ContactFiles"]


class ContactFiles:
    """A folder of blobs named by request. It is no part of a backup that outlives the requests: the keys are in none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, request: str, blob: bytes) -> None:
        """Replace the file, durably."""
        try:
            self._folder.mkdir(exist_ok=True, mode=0o700)
            path = self._path(request)
            scratch = path.with_name(f"{request}.{secrets.token_hex(4)}.tmp")
            handle = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        except OSError as error:
            raise StoreUnavailable(f"a contact cannot be kept in {self._folder}: {error.strerror}", hint="check the free space") from error

    def get(self, request: str) -> bytes | None:
        """The blob, or ``None``."""
        try:
            return self._path(request).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, request: str) -> None:
        """Delete the file, if it is there, and what a kill left half-written beside it."""
        for path in (self._path(request), *self._folder.glob(f"{request}.*.tmp")):
            path.unlink(missing_ok=True)

    def names(self) -> set[str]:
        """The requests of which there is a file, a half-written one too."""
        return {path.name.partition(".")[0] for path in self._folder.glob("*.*")}

    def _path(self, request: str) -> Path:
        return self._folder / f"{request}.sealed"
