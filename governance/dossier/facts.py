"""How JSON becomes facts: a missing key is a gap that is printed, never a blank and never a crash."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from reports.model import Basis, Fact

__all__ = ["Scalar", "at", "computed", "declared", "gap", "items", "mapping", "plural", "scrub", "short", "text", "when", "whole"]

Scalar = str | int | float | bool | None

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_DIGEST = re.compile(r"^(?:[a-z0-9]+:)?[0-9a-f]{32,}$")
_UUID = re.compile(r"^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$")
_SUBJECT_TYPES = ("applicant", "citizen", "client", "customer", "employee", "patient", "person", "subject", "user")


def at(value: Any, *path: str) -> Any:
    """The value at a path of keys, ``None`` where one is missing or no object.

    >>> at({"a": {"b": 1}}, "a", "b"), at({"a": 3}, "a", "b")
    (1, None)
    """
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def mapping(value: Any) -> Mapping[str, Any]:
    """The value when it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Any]:
    """The value when it is a list, else an empty one."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else []


def whole(value: Any) -> int | None:
    """A count, or ``None`` for what is none (``True`` is none)."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def when(value: Any) -> str | None:
    """UTC nanoseconds as ``2026-11-20 14:03:22 UTC``; ``None`` for anything else."""
    moment = whole(value)
    if moment is None:
        return None
    return datetime.fromtimestamp(moment // 1_000_000_000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def scrub(words: str, subject_type: str = "") -> str:
    """The words without what could name a person: e-mail addresses, and ``<type of subject>:<identifier>``.

    >>> scrub("applicant:17 wrote from ann@example.org")
    'applicant:[withheld] wrote from [withheld]'
    """
    kinds = {*_SUBJECT_TYPES, subject_type.lower()} - {""}
    subject = re.compile(r"\b(" + "|".join(sorted(map(re.escape, kinds))) + r"):\s?[^\s,;)\]]+", re.IGNORECASE)
    return subject.sub(r"\1:[withheld]", _EMAIL.sub("[withheld]", words))


def text(value: Any, subject_type: str = "") -> str | None:
    """A scalar as scrubbed words; ``None`` for nothing, an object or a list."""
    if value is None or value == "" or isinstance(value, Mapping | list | tuple):
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    return scrub(str(value), subject_type)


def short(value: Any) -> str:
    """A digest or id for a table cell: its kind and first 12 characters; ``—`` for nothing.

    >>> short("sha256:" + "ab" * 32), short("1"), short(None)
    ('sha256:abababababab…', '1', '—')
    """
    words = text(value)
    if words is None:
        return "—"
    if _UUID.match(words):
        return words[:13] + "…"
    if _DIGEST.match(words):
        kind, colon, rest = words.rpartition(":")
        return f"{kind}{colon}{rest[:12]}…"
    return words


def plural(count: int, one: str, many: str | None = None) -> str:
    """The count with its noun.

    >>> plural(1, "row"), plural(2, "row")
    ('1 row', '2 rows')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"


def computed(label: str, value: Scalar, source: str = "", *, missing: str = "not recorded") -> Fact:
    """A computed fact, or the gap that stands where its value is missing."""
    return gap(label, missing) if value is None or value == "" else Fact(label=label, value=value, basis=Basis.COMPUTED, source=source)


def declared(label: str, value: Scalar, source: str, *, missing: str = "nobody declared it") -> Fact:
    """A declared fact with who said it and when, or a gap."""
    return gap(label, missing) if value is None or value == "" else Fact(label=label, value=value, basis=Basis.DECLARED, source=source)


def gap(label: str, missing: str) -> Fact:
    """A gap: what is missing, and why."""
    return Fact(label=label, value=None, basis=Basis.GAP, source=missing)
