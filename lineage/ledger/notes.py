"""Signed notes and checkpoints as C2SP writes them, so that outside witnesses and tools can read ours.

Sources: C2SP ``signed-note.md`` (the text, the key id, the signature line) and ``tlog-checkpoint.md`` (origin, size, root).
Only Ed25519 (signature type 0x01) is made and verified; lines by other keys are kept and left alone, as the specification asks.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from lineage.errors import BadInput, Tampered
from lineage.model import Checkpoint

__all__ = [
    "Note",
    "NoteSignature",
    "checkpoint_text",
    "key_id",
    "parse_checkpoint",
    "parse_note",
    "parse_verifier_key",
    "sign_note",
    "verifier_key",
    "verify_checkpoint",
    "verify_note",
]

_ED25519 = b"\x01"
_ROOT_SIZE = 32
_DASH = "\N{EM DASH} "


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line of a note."""

    name: str
    key_id: bytes
    """The first 4 bytes of SHA-256(name ‖ LF ‖ type ‖ public key)."""
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A signed note, taken apart but not yet verified."""

    text: str
    """What was signed, with its last line feed."""
    signatures: tuple[NoteSignature, ...]


def key_id(name: str, public: bytes) -> bytes:
    """The 4 bytes by which a signature line names its Ed25519 key."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def verifier_key(name: str, public: bytes) -> str:
    """The key as C2SP writes it: ``name+hash+base64``, to be kept by whoever verifies."""
    _check_name(name)
    return f"{name}+{key_id(name, public).hex()}+{base64.b64encode(_ED25519 + public).decode()}"


def parse_verifier_key(text: str) -> tuple[str, bytes]:
    """Name and 32 public bytes of a verifier key.

    Raises:
        BadInput: not a verifier key, not Ed25519, or its hash is not that of name and key.
    """
    name, _, rest = text.strip().partition("+")
    digest, _, encoded = rest.partition("+")
    key = _decode(encoded, "the verifier key")
    if key[:1] != _ED25519 or len(key) != 33:
        raise BadInput(f"verifier key of {name!r} is not Ed25519", hint="take it from `govern ledger checkpoint --key`")
    if key_id(name, key[1:]).hex() != digest:
        raise BadInput(f"verifier key of {name!r} does not fit its own hash {digest!r}")
    return name, key[1:]


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """The text of a checkpoint: origin, size and base64 root, each on a line."""
    _check_name(origin)
    return f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"


def sign_note(text: str, *, name: str, public: bytes, sign: Callable[[bytes], bytes]) -> str:
    """The note: the text, an empty line, and one signature line by ``sign`` (Ed25519 over the text's UTF-8).

    Raises:
        BadInput: the name holds a space or ``+``, or the text does not end in a line feed.
    """
    _check_name(name)
    if not text.endswith("\n"):
        raise BadInput("the text of a note ends in a line feed")
    signature = sign(text.encode())
    return f"{text}\n{_DASH}{name} {base64.b64encode(key_id(name, public) + signature).decode()}\n"


def parse_note(note: str) -> Note:
    """Text and signatures of a note, not verified.

    Raises:
        BadInput: it is not a signed note.
    """
    text, gap, block = note.rpartition("\n\n")
    if not gap or not block.endswith("\n"):
        raise BadInput("not a signed note: no empty line before the signatures")
    signatures = []
    for line in block[:-1].split("\n"):
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        raw = _decode(encoded, "a signature")
        if not line.startswith(_DASH) or not name or len(raw) < 5:
            raise BadInput(f"not a signature line: {line!r}")
        signatures.append(NoteSignature(name=name, key_id=raw[:4], signature=raw[4:]))
    return Note(text=text + "\n", signatures=tuple(signatures))


def verify_note(note: str, *, name: str, public: bytes) -> str:
    """The text of the note once a signature by this key is verified.

    Raises:
        BadInput: it is not a signed note.
        Tampered: no signature by this key, or one that does not fit the text.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    parsed = parse_note(note)
    wanted = key_id(name, public)
    ours = [s for s in parsed.signatures if s.name == name and s.key_id == wanted]
    if not ours:
        raise Tampered(f"the note carries no signature by the key {name}+{wanted.hex()}")
    key = Ed25519PublicKey.from_public_bytes(public)
    for signature in ours:
        try:
            key.verify(signature.signature, parsed.text.encode())
        except InvalidSignature as error:
            raise Tampered(f"the signature by {name}+{wanted.hex()} does not fit the note's text") from error
    return parsed.text


def parse_checkpoint(note: str) -> Checkpoint:
    """The checkpoint a note carries, **not verified**; further lines (extensions) are allowed.

    Raises:
        BadInput: it is not a checkpoint.
    """
    lines = parse_note(note).text.split("\n")
    if len(lines) < 4 or not lines[0]:
        raise BadInput("not a checkpoint: origin, size and root are missing")
    if not (lines[1].isascii() and lines[1].isdigit()) or (len(lines[1]) > 1 and lines[1].startswith("0")):
        raise BadInput(f"not a checkpoint: the size {lines[1]!r} is no decimal number")
    root = _decode(lines[2], "the checkpoint's root")
    if len(root) != _ROOT_SIZE:
        raise BadInput("not a checkpoint: the root is not 32 bytes")
    return Checkpoint(origin=lines[0], size=int(lines[1]), root=root, note=note)


def verify_checkpoint(note: str, *, name: str, public: bytes) -> Checkpoint:
    """The checkpoint of a note whose signature by this key, and whose origin, were verified.

    Raises:
        BadInput: it is not a checkpoint.
        Tampered: another origin, or the signature does not hold.
    """
    verify_note(note, name=name, public=public)
    checkpoint = parse_checkpoint(note)
    if checkpoint.origin != name:
        raise Tampered(f"the checkpoint is of {checkpoint.origin!r}, not of {name!r}")
    return checkpoint


def _check_name(name: str) -> None:
    if not name or "+" in name or any(c.isspace() for c in name):
        raise BadInput(f"a key name or origin is not empty and holds no space and no plus: {name!r}")


def _decode(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput(f"{what} is not base64: {text!r}") from error
