"""What a statement is pinned by: canonical JSON, its digest, and identifiers that carry their time."""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from typing import Any

__all__ = ["canonical", "derived_id", "digest_json", "digest_of", "new_id", "parse"]


def canonical(value: Any) -> bytes:
    r"""Sorted, compact UTF-8 JSON: the bytes that are hashed and kept.

    NaN and infinities are refused (``ValueError``), for they have no JSON form.

    >>> canonical({"b": 1, "a": "ü"})
    b'{"a":"\xc3\xbc","b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def parse(payload: bytes | None) -> Any:
    """The value of canonical bytes; ``None`` when the payload was destroyed."""
    return None if payload is None else json.loads(payload)


def digest_of(data: bytes) -> str:
    """``sha256:<hex>`` of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_json(value: Any) -> str:
    """``sha256:<hex>`` of the canonical form.

    >>> digest_json({}) == digest_of(b"{}")
    True
    """
    return digest_of(canonical(value))


def new_id(now: int) -> str:
    """A UUIDv7 (RFC 9562 §5.7) of ``now`` in UTC nanoseconds: it sorts by time, its random part comes from the operating system."""
    value = (now // 1_000_000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value & (1 << 128) - 1))


def derived_id(*parts: str) -> str:
    """The same identifier for the same parts, so that a repeated step finds what it made before (UUID version 8, RFC 9562 §5.8).

    >>> derived_id("erasure", "1") == derived_id("erasure", "1") != derived_id("erasure", "2")
    True
    """
    raw = bytearray(hashlib.sha256("\x1f".join(parts).encode()).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))
