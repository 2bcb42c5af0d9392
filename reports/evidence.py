"""What is attached to a paper: the canonical evidence, and an envelope that anybody can check without us.

The envelope is a DSSE envelope (https://github.com/secure-systems-lab/dsse, v1.0.2) with one member beside it, ``govern``: the public
key, and the anchor: the parts of the ledger entry that names the evidence (so that its leaf can be computed again), the inclusion proof
(RFC 9162 §2.1.3) and the checkpoint, a C2SP signed note.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lineage.errors import BadInput
from lineage.ledger.entries import leaf_data
from lineage.model import Checkpoint, LedgerEntry, NewEntry
from lineage.ports import Ledger

__all__ = [
    "ENVELOPE_NAME",
    "EVIDENCE_NAME",
    "PAYLOAD_TYPE",
    "Anchor",
    "Envelope",
    "Signers",
    "anchor_entry",
    "anchor_in",
    "key_name",
    "pae",
    "parse_envelope",
    "write_envelope",
]

PAYLOAD_TYPE = "application/vnd.govern.dossier+json"
EVIDENCE_NAME = "evidence.json"
ENVELOPE_NAME = "evidence.dsse.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """Where the ledger holds the evidence's digest: the entry's parts, the proof, the signed checkpoint."""

    note: str
    """The checkpoint, a signed note whose tree holds the entry."""
    index: int
    size: int
    """Leaves of the tree the proof and the checkpoint are over."""
    proof: tuple[bytes, ...]
    kind: str
    recorded_at: int
    actor: str
    identity: str | None
    salt: bytes
    payload: bytes
    """JSON whose member ``evidence`` is ``sha256:<hex>`` of the evidence."""
    checkpoint_key: bytes = b""
    """The 32 public bytes the checkpoint is signed with; whether to trust them is the reader's question."""

    def leaf(self) -> bytes:
        """The leaf's data, computed again from the entry's parts."""
        return leaf_data(
            index=self.index,
            kind=self.kind,
            recorded_at=self.recorded_at,
            actor=self.actor,
            identity=self.identity,
            salt=self.salt,
            payload=self.payload,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signers:
    """The keys that sign a paper: RSA for the file, Ed25519 for the evidence."""

    pdf_key_pem: bytes
    pdf_certificate_pem: bytes
    sign_evidence: Callable[[bytes], bytes]
    """Ed25519 over the bytes given."""
    evidence_public: bytes
    """The 32 raw public bytes that go with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A parsed envelope; nothing in it is verified yet."""

    payload: bytes
    payload_type: str
    keyid: str
    signature: bytes
    public: bytes
    renderer: str
    """What rendered the pages, e.g. ``govern-pages/1 reportlab/5.1.0``."""
    anchor: Anchor | None


def anchor_entry(evidence_sha256: bytes, *, kind: str, subject: str, actor: str) -> NewEntry:
    """The ledger entry that anchors a paper: kind of paper, what it is about, and the evidence's digest."""
    body = {"evidence": "sha256:" + evidence_sha256.hex(), "kind": kind, "subject": subject}
    payload = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return NewEntry(kind="govern.report.anchored", payload=payload, actor=actor)


def anchor_in(ledger: Ledger, entry: NewEntry, *, checkpoint_key: bytes) -> Anchor:
    """Append the entry, sign a checkpoint over it, and return the anchor.

    Args:
        ledger: the open ledger.
        entry: from :func:`anchor_entry`.
        checkpoint_key: 32 public bytes of the key that signs checkpoints.
    """
    (stored,) = ledger.append([entry])
    checkpoint = ledger.checkpoint()
    return _anchor_of(stored, checkpoint, tuple(ledger.inclusion(stored.index, checkpoint.size)), checkpoint_key)


def _anchor_of(entry: LedgerEntry, checkpoint: Checkpoint, proof: tuple[bytes, ...], checkpoint_key: bytes) -> Anchor:
    if entry.salt is None or entry.payload is None:
        raise BadInput(f"ledger entry {entry.index} was destroyed and can anchor nothing")
    return Anchor(
        note=checkpoint.note,
        index=entry.index,
        size=checkpoint.size,
        proof=proof,
        kind=entry.kind,
        recorded_at=entry.recorded_at,
        actor=entry.actor,
        identity=entry.identity,
        salt=entry.salt,
        payload=entry.payload,
        checkpoint_key=checkpoint_key,
    )


def key_name(public: bytes) -> str:
    """How a public key is named: ``ed25519:`` and the first 16 hex characters of its SHA-256."""
    return "ed25519:" + hashlib.sha256(public).hexdigest()[:16]


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is really signed.

    >>> pae("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def write_envelope(evidence: bytes, *, signers: Signers, anchor: Anchor | None, renderer: str) -> bytes:
    """The signed envelope as compact JSON with sorted keys."""
    signature = signers.sign_evidence(pae(PAYLOAD_TYPE, evidence))
    value = {
        "payload": _b64(evidence),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": key_name(signers.evidence_public), "sig": _b64(signature)}],
        "govern": {
            "public": _b64(signers.evidence_public),
            "renderer": renderer,
            "anchor": None if anchor is None else _anchor_json(anchor),
        },
    }
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parse_envelope(data: bytes) -> Envelope:
    """The parts of an envelope.

    Raises:
        BadInput: not such an envelope; the message says what is missing or malformed.
    """
    try:
        value = json.loads(data)
        (signature,) = value["signatures"]
        govern = value["govern"]
        return Envelope(
            payload=_raw(value["payload"]),
            payload_type=str(value["payloadType"]),
            keyid=str(signature["keyid"]),
            signature=_raw(signature["sig"]),
            public=_raw(govern["public"]),
            renderer=str(govern["renderer"]),
            anchor=None if govern["anchor"] is None else _anchor(govern["anchor"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{ENVELOPE_NAME} is not the envelope of a paper: {type(error).__name__} {error}") from error


def _anchor_json(anchor: Anchor) -> dict[str, Any]:
    return {
        "index": anchor.index,
        "size": anchor.size,
        "proof": [_b64(part) for part in anchor.proof],
        "checkpoint": anchor.note,
        "checkpoint_key": _b64(anchor.checkpoint_key),
        "entry": {
            "kind": anchor.kind,
            "recorded_at": anchor.recorded_at,
            "actor": anchor.actor,
            "identity": anchor.identity,
            "salt": _b64(anchor.salt),
            "payload": _b64(anchor.payload),
        },
    }


def _anchor(value: Mapping[str, Any]) -> Anchor:
    entry = value["entry"]
    return Anchor(
        note=str(value["checkpoint"]),
        index=_whole(value["index"]),
        size=_whole(value["size"]),
        proof=tuple(_raw(part) for part in value["proof"]),
        kind=str(entry["kind"]),
        recorded_at=_whole(entry["recorded_at"]),
        actor=str(entry["actor"]),
        identity=None if entry["identity"] is None else str(entry["identity"]),
        salt=_raw(entry["salt"]),
        payload=_raw(entry["payload"]),
        checkpoint_key=_raw(value["checkpoint_key"]),
    )


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _raw(text: Any) -> bytes:
    if not isinstance(text, str):
        raise TypeError("base64 text expected")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {text[:20]!r}") from error
