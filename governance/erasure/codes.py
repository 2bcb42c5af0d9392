"""One-time codes and nonces that ask a person to show who they are. Pure: what is drawn and what time it is come in as arguments.

Bounds: a code has 8 digits, lives 15 minutes and is compared 5 times; a person is sent 5 codes a day over all requests about them. So who
guesses has at most 25 tries a day at 10^8 codes each (NIST SP 800-63B asks for 6 digits and a limit on tries).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from governance.erasure.clocks import SECOND

__all__ = ["ATTEMPTS", "DIGITS", "LIFETIME", "MOST_CODES", "Outcome", "asked", "attempted", "new_code", "new_nonce"]

DIGITS = 8
LIFETIME = 15 * 60 * SECOND
"""Nanoseconds for which a code or a nonce is good."""
ATTEMPTS = 5
MOST_CODES = 5
"""Codes sent about one person within a day, over all requests."""


class Outcome(StrEnum):
    """What became of an attempt."""

    RIGHT = "right"
    WRONG = "wrong"
    NONE = "no code was asked for"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"


def new_code(draw: Callable[[int], int]) -> str:
    """Eight digits; ``draw(n)`` is a uniform number below n from the operating system.

    >>> new_code(lambda n: 42)
    '00000042'
    """
    return f"{draw(10**DIGITS):0{DIGITS}d}"


def new_nonce(draw: Callable[[int], int]) -> str:
    """128 bits in hex: binds a code, or a provider's token, to one question of one request."""
    return f"{draw(2**128):032x}"


def asked(*, method: str, nonce: str, now: int, tag: str | None = None) -> dict[str, Any]:
    """A question for identity as the record keeps it. ``method`` is ``code``, ``oidc`` or ``ask`` (by another way, without a code)."""
    until = None if method == "ask" else now + LIFETIME
    return {"method": method, "nonce": nonce, "tag": tag, "asked_at": now, "expires_at": until, "attempts": 0, "touched_at": now}


def attempted(challenge: Mapping[str, Any] | None, method: str, now: int, tag: str | None = None) -> tuple[Outcome, dict[str, Any] | None]:
    """(what the attempt is, the challenge after it). Each attempt counts before it is compared; the comparison takes constant time.

    Args:
        challenge: of the record, or ``None``.
        method: ``code`` or ``oidc``.
        now: UTC nanoseconds, never before the challenge was last touched.
        tag: of the code that was given; ``None`` for a token, whose signature is judged elsewhere (then ``RIGHT`` means: may be judged).
    """
    if challenge is None or challenge["method"] != method:
        return Outcome.NONE, None if challenge is None else dict(challenge)
    after = {**challenge, "touched_at": max(now, challenge["touched_at"])}
    if challenge["attempts"] >= ATTEMPTS:
        return Outcome.EXHAUSTED, after
    if now >= challenge["expires_at"]:
        return Outcome.EXPIRED, after
    after["attempts"] = challenge["attempts"] + 1
    if tag is None:
        return Outcome.RIGHT, after
    return Outcome.RIGHT if hmac.compare_digest(tag, str(challenge["tag"])) else Outcome.WRONG, after
