"""From bytes to a JSON value and its identity: SHA-256 of the sorted compact JSON, ASCII escapes.

The rule is the standard library's ``json.dumps(value, sort_keys=True, separators=(",", ":"))``, and it is what the slow way runs. The
fast way gives the same bytes in a fifth of the time, or gives up; it is taken when the value holds no float and its text is plain
ASCII, where both writers escape alike. A property test and a fuzzed one hold the two equal.

Every JSON number keeps its own identity: one that Python cannot hold (``1e400``, ten thousand digits) stands in the canonical text by
its literal, and in the value as that literal's text.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
from collections.abc import Callable
from typing import Any, Final, NoReturn

import msgspec
import orjson

from lineage.errors import BadEvent
from lineage.hashing import sha256
from lineage.model import Json

__all__ = ["MAX_DEPTH", "SPEC_HINT", "event_digest", "load"]

MAX_DEPTH: Final = 256
"""Deepest nesting of objects and arrays taken."""
SPEC_HINT: Final = "see the OpenLineage specification 2-0-2, https://openlineage.io/spec/2-0-2/OpenLineage.json"


class _SlowError(Exception):
    """The fast way does not hold for this text."""


def _no_float(_literal: str) -> NoReturn:
    raise _SlowError


_FAST: Final = msgspec.json.Decoder(float_hook=_no_float)
_SORTED: Final = orjson.OPT_SORT_KEYS


def load(raw: bytes) -> tuple[Json, str]:
    """The value in ``raw`` and its identity, 64 hexadecimal digits.

    Raises:
        BadEvent: not JSON (RFC 8259), or nested deeper than :data:`MAX_DEPTH`.

    >>> load(b'{"b": 1, "a": "x"}')[1] == load(b'{"a":"x","b":1}')[1] == event_digest({"a": "x", "b": 1})
    True
    """
    try:
        body = _FAST.decode(raw)
        text = orjson.dumps(body, option=_SORTED)  # refuses what is deeper than 254, and integers beyond 64 bits
    except (_SlowError, msgspec.DecodeError, TypeError, ValueError, RecursionError):
        return _load_slowly(raw)
    if not text.isascii() or b"\x7f" in text:
        return _load_slowly(raw)
    return body, sha256(text).hexdigest()


def event_digest(body: Json) -> str:
    """The identity of a value.

    >>> event_digest({"b": 1, "a": "é"}) == event_digest({"a": "é", "b": 1})
    True
    """
    return hashlib.sha256(_canonical(body)).hexdigest()


def _canonical(body: Json) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode("ascii")


def _load_slowly(raw: bytes) -> tuple[Json, str]:
    body, odd = _parse(raw, str)
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        _check_depth(body)
    if not odd:
        return body, event_digest(body)
    # A mark that nobody can have foreseen stands before each odd literal, so that no string of the event passes for one.
    mark = secrets.token_hex(16)
    marked, _ = _parse(raw, lambda literal: mark + literal)
    text = re.sub(f'"{mark}([^"]+)"'.encode(), rb"\1", _canonical(marked))
    return body, hashlib.sha256(text).hexdigest()


def _parse(raw: bytes, unheld: Callable[[str], str]) -> tuple[Json, bool]:
    """(the value, whether ``unheld`` stands in it for a number that Python cannot hold)."""
    odd = False

    def real(literal: str) -> Any:
        nonlocal odd
        value = float(literal)
        if math.isfinite(value):
            return value
        odd = True
        return unheld(literal)

    def whole(literal: str) -> Any:
        nonlocal odd
        try:
            return int(literal)
        except ValueError:  # more digits than Python converts
            odd = True
            return unheld(literal)

    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=_no_constant, parse_float=real, parse_int=whole), odd
    except RecursionError:
        raise _deep() from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise BadEvent(f"the event is not JSON: {error}", hint=SPEC_HINT) from error


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _check_depth(body: Json) -> None:
    level, depth = [body], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise _deep()
        level = [
            child for value in level for child in (value.values() if isinstance(value, dict) else value) if isinstance(child, dict | list)
        ]


def _deep() -> BadEvent:
    return BadEvent(f"the event is nested deeper than {MAX_DEPTH}", hint="flatten the facet")
