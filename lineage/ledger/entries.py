"""How an entry becomes a leaf, and how a later entry says that a payload was destroyed.

::

    header = {"actor":…,"format":1,"identity":…,"index":…,"kind":…,"recorded_at":…}    JSON, keys sorted, no spaces, UTF-8
    leaf   = SHA-256(salt ‖ header ‖ LF ‖ payload)                                      the leaf's data in the Merkle tree

The salt is 32 random bytes and a JSON header holds no line feed, so the three parts cannot be shifted against each other. Once salt
and payload are destroyed the leaf tells nothing about them, and every proof over it still holds. The header stands inside the hash,
so it too can no longer be checked against the leaf; therefore the entry that records the destruction repeats the header.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import lru_cache

from lineage.errors import BadInput
from lineage.hashing import sha256
from lineage.model import Json, LedgerEntry, NewEntry

__all__ = [
    "FORMAT",
    "REDACTED",
    "SALT_SIZE",
    "Redaction",
    "canonical_json",
    "header_bytes",
    "header_of",
    "leaf_data",
    "leaf_of",
    "matches",
    "parse_header",
    "parse_redaction",
    "redaction",
    "seal",
]

FORMAT = 1
"""Version of the entry encoding; it stands inside the hashed bytes."""
SALT_SIZE = 32
REDACTED = "govern.ledger.redacted"
"""Kind of the entry that says a payload was destroyed, and what stands in its place."""


def canonical_json(value: Json) -> bytes:
    """JSON with sorted keys and no spaces, UTF-8: the form in which Govern hashes and keeps its own acts.

    >>> canonical_json({"b": 1, "a": "é"}).decode()
    '{"a":"é","b":1}'

    Raises:
        BadInput: not JSON (a NaN, a foreign type).
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise BadInput(f"not a JSON value: {error}") from error


def header_bytes(*, index: int, kind: str, recorded_at: int, actor: str, identity: str | None) -> bytes:
    """The canonical header of an entry; ``recorded_at`` in UTC nanoseconds.

    The same bytes as :func:`canonical_json` of the fields, which a test holds, without sorting the same six keys for every entry.
    """
    if identity is None:
        name = "null"
    elif identity.isascii() and identity.isalnum():
        name = f'"{identity}"'
    else:
        name = canonical_json(identity).decode()
    return (
        f'{{"actor":{_quoted(actor)},"format":{FORMAT},"identity":{name},"index":{index},'
        f'"kind":{_quoted(kind)},"recorded_at":{recorded_at}}}'
    ).encode()


@lru_cache(maxsize=256)
def _quoted(text: str) -> str:
    return canonical_json(text).decode()


def leaf_of(header: bytes, salt: bytes, payload: bytes) -> bytes:
    """The leaf's data, 32 bytes, from the header as it stands.

    Raises:
        BadInput: the salt is not 32 bytes, or the header holds a line feed.
    """
    if len(salt) != SALT_SIZE or b"\n" in header:
        raise BadInput(f"a leaf needs a salt of {SALT_SIZE} bytes and a header on one line")
    return sha256(b"%b%b\n" % (salt, header), payload).digest()


def leaf_data(*, index: int, kind: str, recorded_at: int, actor: str, identity: str | None, salt: bytes, payload: bytes) -> bytes:
    """The leaf's data, 32 bytes, from the header's fields."""
    return leaf_of(header_bytes(index=index, kind=kind, recorded_at=recorded_at, actor=actor, identity=identity), salt, payload)


def seal(entry: NewEntry, *, index: int, recorded_at: int, salt: bytes) -> LedgerEntry:
    """The entry as it will stand in the log at ``index``.

    Raises:
        BadInput: an empty kind or actor, or one with a control character.
    """
    for name, text in (("kind", entry.kind), ("actor", entry.actor)):
        if not text or not text.isprintable():
            raise BadInput(f"a ledger entry's {name} is printable and not empty: {text!r}")
    leaf = leaf_data(
        index=index,
        kind=entry.kind,
        recorded_at=recorded_at,
        actor=entry.actor,
        identity=entry.identity,
        salt=salt,
        payload=entry.payload,
    )
    return LedgerEntry(
        index=index,
        kind=entry.kind,
        recorded_at=recorded_at,
        actor=entry.actor,
        payload=entry.payload,
        salt=salt,
        leaf=leaf,
        identity=entry.identity,
    )


def header_of(entry: LedgerEntry) -> bytes:
    """The canonical header of an entry of the log."""
    return header_bytes(index=entry.index, kind=entry.kind, recorded_at=entry.recorded_at, actor=entry.actor, identity=entry.identity)


def parse_header(header: bytes) -> dict[str, Json]:
    """The fields of a canonical header.

    Raises:
        BadInput: not a header, or of a format this version does not know.
    """
    try:
        fields = json.loads(header)
    except ValueError as error:
        raise BadInput("an entry's header is not JSON") from error
    if not isinstance(fields, dict) or set(fields) != {"actor", "format", "identity", "index", "kind", "recorded_at"}:
        raise BadInput("an entry's header does not have the fields of one")
    if fields["format"] != FORMAT:
        raise BadInput(f"an entry of format {fields['format']!r}; this version reads {FORMAT}", hint="pip install --upgrade govern-ml")
    return fields


def matches(entry: LedgerEntry) -> bool | None:
    """Whether header, salt and payload give the entry's leaf; ``None`` when they were destroyed."""
    if entry.payload is None and entry.salt is None:
        return None
    if entry.payload is None or entry.salt is None or len(entry.salt) != SALT_SIZE:
        return False
    return leaf_of(header_of(entry), entry.salt, entry.payload) == entry.leaf


# ── what replaces a destroyed payload ───────────────────────────────────────────────────────────
@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """What an entry of kind :data:`REDACTED` says."""

    index: int
    """The entry whose payload was destroyed."""
    header: str
    """Its canonical header, repeated because its leaf can no longer attest it."""
    leaf: str
    """Its leaf, hex."""
    reason: str
    replacement: bytes | None
    """What every fold reads in its place; ``None`` when nothing does."""


def redaction(entry: LedgerEntry, *, reason: str, actor: str, replacement: bytes | None = None) -> NewEntry:
    """The entry that records the destruction of ``entry``'s payload, to be appended before it is destroyed."""
    body = {
        "header": header_of(entry).decode(),
        "index": entry.index,
        "leaf": entry.leaf.hex(),
        "reason": reason,
        "replacement": None if replacement is None else base64.b64encode(replacement).decode(),
    }
    return NewEntry(kind=REDACTED, payload=canonical_json(body), actor=actor)


def parse_redaction(payload: bytes) -> Redaction:
    """What a redacting entry's payload says.

    Raises:
        BadInput: not such a payload.
    """
    try:
        body = json.loads(payload)
        raw = body["replacement"]
        return Redaction(
            index=int(body["index"]),
            header=str(body["header"]),
            leaf=str(body["leaf"]),
            reason=str(body["reason"]),
            replacement=None if raw is None else base64.b64decode(raw, validate=True),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"not a redaction: {error}") from error
