"""SHA-256 of short texts without giving the interpreter's lock away.

``hashlib`` lets other threads run during every call of more than 2047 bytes. For an event that takes ten microseconds this costs up to a
switch interval to get the lock back, at each event, beside a thread that folds.

Where millions of rows are hashed one by one, CPython's own SHA-256 takes half the time of OpenSSL's, which looks up a provider for
every object; above some hundred bytes OpenSSL wins. A build without it (FIPS) uses OpenSSL's for all.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from typing import Any, Final

__all__ = ["SHORT", "sha256", "short_sha256"]

SHORT: Final = 512
"""Bytes up to which :data:`short_sha256` is the faster one."""

_HELD: Final = 2047
_SHORT: Final = 16 * _HELD


def sha256(*parts: bytes) -> hashlib._Hash:
    """The hash object over the parts, one after the other.

    >>> sha256(b"a", b"b" * 5000).digest() == hashlib.sha256(b"a" + b"b" * 5000).digest()
    True
    """
    made = hashlib.sha256()
    for part in parts:
        size = len(part)
        if size <= _HELD or size > _SHORT:
            made.update(part)
        else:
            view = memoryview(part)
            for at in range(0, size, _HELD):
                made.update(view[at : at + _HELD])
    return made


def _own() -> Callable[..., Any]:
    for name in ("_sha2", "_sha256"):  # Python 3.12 and later, and before
        try:
            found: Callable[..., Any] = importlib.import_module(name).sha256
        except (ImportError, AttributeError):
            continue
        return found
    return hashlib.sha256


short_sha256: Final = _own()
"""The constructor of hash objects to use for many short texts; equal to ``hashlib.sha256``."""
