"""An age as people write it."""

from __future__ import annotations

import re

from lineage.errors import BadInput

__all__ = ["age"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_LONGEST = 9_000_000_000
"""Seconds: 285 years, which nanoseconds of 64 bits hold."""


def age(text: str, name: str = "the age") -> int:
    """Nanoseconds of a number with a unit: ``s``, ``m`` (minutes), ``h``, ``d`` or ``w``.

    Args:
        text: what was written.
        name: what it is called in the error.

    Raises:
        BadInput: it is none, or not above 0, or beyond 285 years.

    >>> age("90d") // 10**9
    7776000
    """
    found = re.fullmatch(r"([0-9]{1,10})([smhdw])", text.strip().lower())
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= _LONGEST:
        raise BadInput(f"{name} {text[:40]!r} is no age above 0", hint="a number and s, m, h, d or w: 90d")
    return seconds * 1_000_000_000
