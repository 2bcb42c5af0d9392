"""Times as callers write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from lineage.errors import BadInput

__all__ = ["LAST", "SCHEMA", "nanoseconds"]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FIRST: Final = -(2**63)
LAST: Final = 2**63 - 1
"""What an int64 holds, from 1677 to 2262; a time beyond is the nearest of them, for nothing happened there."""

SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date", "description": "its first instant, UTC"},
        {"type": "integer", "minimum": 0, "description": "UTC nanoseconds"},
    ]
}
"""JSON Schema of a time as :func:`nanoseconds` reads it."""


def nanoseconds(text: str, name: str = "time") -> int:
    """UTC nanoseconds of an RFC 3339 time, a day (its first instant) or a whole number of nanoseconds; raises ``BadInput``.

    >>> nanoseconds("1970-01-01T01:00:00.000002+01:00")
    2000
    """
    digits = re.fullmatch(r"[0-9]+", text)
    if digits and len(text) != 8:  # eight digits are a day, 20261120, where there is such a day
        return min(int(text), LAST) if len(text) < 20 else LAST
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        if digits:
            return int(text)
        raise BadInput(f"{name} is not a time", hint="write 2026-11-20T12:00:00Z, 2026-11-20 or UTC nanoseconds") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    gone = moment - EPOCH
    return max(FIRST, min(LAST, (gone.days * 86_400 + gone.seconds) * 1_000_000_000 + gone.microseconds * 1_000))
