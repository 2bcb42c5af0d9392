"""SHA-256 of short texts without giving the interpreter's lock away.

``hashlib`` lets other threads run during every call of more than 2047 bytes. For an event that takes ten microseconds this costs up to a
switch interval to get the lock back, at each event, beside a thread that folds.
"""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["sha256"]

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
