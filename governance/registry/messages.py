"""How a message looks on the wire: Standard Webhooks 1.0.0 (standardwebhooks.com), or an OpenDSR 2.0 status callback. Pure.

Standard Webhooks signs ``<id>.<seconds>.<body>``: ``v1`` is HMAC-SHA256 under a secret that both sides hold (``whsec_`` + base64), ``v1a``
is Ed25519, whose public part (``whpk_`` + base64) is all that the receiver needs. The id stays the same over all attempts, so that a
receiver acts once on what may come twice; the time is the attempt's, so that an old message cannot be played again.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from governance.evidence import canonical
from governance.registry.posting import rfc3339

__all__ = ["SCHEMES", "body_of", "standard_headers", "told_key"]

SCHEMES: Final = ("v1", "v1a")
_SECOND: Final = 1_000_000_000


def body_of(row: Mapping[str, Any]) -> bytes:
    """The body of a message: ``{type, timestamp, data}``; of an OpenDSR callback the members that §8.6 asks for."""
    if row["type"] == "opendsr.status":
        return canonical(row["data"])
    return canonical({"type": row["type"], "timestamp": rfc3339(row["at"]), "data": row["data"]})


def standard_headers(
    ident: str, now: int, body: bytes, *, scheme: str, keys: Sequence[str], sign: Callable[[str, bytes], bytes]
) -> dict[str, str]:
    """The three headers of a message, with one signature for each key.

    Args:
        ident: the message's id, without a full stop.
        now: UTC nanoseconds of the attempt.
        body: as it is sent.
        scheme: ``v1`` or ``v1a``.
        keys: names of the signing keys, the present one first.
        sign: (key, message) → signature.
    """
    seconds = now // _SECOND
    content = b"%b.%d.%b" % (ident.encode(), seconds, body)
    signatures = (f"{scheme},{base64.b64encode(sign(key, content)).decode()}" for key in keys)
    return {
        "content-type": "application/json",
        "user-agent": "Govern-Webhooks/1",
        "webhook-id": ident,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signatures),
    }


def told_key(scheme: str, key: bytes) -> str:
    """What a receiver is given to verify with: the secret of ``v1``, the public key of ``v1a``."""
    return ("whsec_" if scheme == "v1" else "whpk_") + base64.b64encode(key).decode()
