"""An age as people write it."""

from __future__ import annotations

import re

from lineage.errors import BadInput

__all__ = ["PATTERN", "age"]

PATTERN = "^([1-9][0-9]{0,3}w|[1-9][0-9]{0,4}d|[1-9][0-9]{0,5}[smh])$"
"""At most 9 999 weeks: 191 years, which nanoseconds of 64 bits hold."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def age(text: str, name: str = "the age") -> int:
    """Nanoseconds of a number with a unit: ``s``, ``m`` (minutes), ``h``, ``d`` or ``w``.

    Args:
        text: what was written.
        name: what it is called in the error.

    Raises:
        BadInput: it is none, or does not fit :data:`PATTERN`.

    >>> age("90d") // 10**9
    7776000
    """
    if not re.fullmatch(PATTERN, text, re.ASCII):
        raise BadInput(f"{name} {text[:40]!r} is no age above 0", hint="a number and s, m, h, d or w: 90d")
    return int(text[:-1]) * _UNITS[text[-1]] * 1_000_000_000
