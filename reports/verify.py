"""Verify a paper offline, from the file and the public keys alone. Four verdicts, never one.

1. intact: one signature, over every byte of the file, and it holds.
2. complete: the evidence is attached, canonical, signed by DSSE; what it claims and carries proofs of holds (:mod:`reports.claims`); and
   its pages are what it says: they are rendered again and compared.
3. trusted: the keys that signed are the ones the reader was given.
4. anchored: the ledger entry's parts give its leaf, the leaf is in the checkpoint's tree, the checkpoint is signed.

Each is true, false, or ``None``: could not be checked, or is not there. Unknown is never a pass.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lineage.errors import BadInput, GovernError, Tampered
from lineage.ledger import merkle, notes
from reports.claims import check_claims, proof_files
from reports.codec import parse_evidence
from reports.evidence import ENVELOPE_NAME, EVIDENCE_NAME, PAYLOAD_TYPE, Anchor, Envelope, key_name, pae, parse_envelope
from reports.model import Dossier
from reports.words import KIND_WORDS, moment

__all__ = ["TrustedKeys", "Verification", "verify"]

_ALWAYS_UNCHECKED = (
    "Whether what people declared is true; the paper marks such statements as declared.",
    "Whether the ledger was rewritten later: compare the checkpoint with a newer one (govern ledger prove) or with another paper.",
    "When the file was signed: no timestamp authority attests it.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKeys:
    """The public keys that a reader trusts, got from another place than the paper."""

    installation: str
    checkpoint_name: str
    checkpoint: bytes
    """32 public bytes."""
    evidence: bytes
    """32 public bytes."""
    certificate: bytes
    """DER."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TrustedKeys:
        """From ``GET /api/v1/keys/public``: ``{installation, checkpoint:{name,key}, evidence:{keyid,key}, pdf:{certificate}}``.

        A key is base64 or hex of its 32 bytes; the checkpoint's may be a C2SP verifier key; the certificate is PEM.

        Raises:
            BadInput: a part is missing or malformed; the message names it.
        """
        try:
            name = str(value["checkpoint"]["name"])
            text = str(value["checkpoint"]["key"])
            if "+" in text and text.startswith(name + "+"):
                name, checkpoint = notes.parse_verifier_key(text)
            else:
                checkpoint = _key(text, "checkpoint.key")
            return cls(
                installation=str(value["installation"]),
                checkpoint_name=name,
                checkpoint=checkpoint,
                evidence=_key(str(value["evidence"]["key"]), "evidence.key"),
                certificate=_certificate(str(value["pdf"]["certificate"])),
            )
        except (KeyError, TypeError) as error:
            raise BadInput(
                f"the public keys lack {error}", hint="take them from GET /api/v1/keys/public, or from public/keys.json of the home"
            ) from error


@dataclass(slots=True, kw_only=True)
class Verification:
    """What was found out about a paper."""

    intact: bool | None = None
    complete: bool | None = None
    trusted: bool | None = None
    anchored: bool | None = None
    sentences: list[str] = field(default_factory=list)
    """What was found, for people, in the order of the checks."""
    not_checked: list[str] = field(default_factory=list)
    """What these verdicts do not rest on."""
    facts: dict[str, Any] = field(default_factory=dict)
    """kind, subject, as_of, installation, evidence, ledger position: as the paper states them."""

    @property
    def exit_code(self) -> int:
        """0 all four hold; 3 something is broken; 5 valid, signer not known to be trusted; 6 valid, not anchored; 4 pages not compared."""
        if False in (self.intact, self.complete, self.anchored) or self.intact is None:
            return 3
        if self.trusted is not True:
            return 5
        if self.anchored is None:
            return 6
        return 0 if self.complete else 4

    def to_json(self) -> dict[str, Any]:
        """The verdicts and everything beside them as plain JSON values."""
        return {
            "intact": self.intact,
            "complete": self.complete,
            "trusted": self.trusted,
            "anchored": self.anchored,
            "exit_code": self.exit_code,
            "sentences": list(self.sentences),
            "not_checked": list(self.not_checked),
            "facts": dict(self.facts),
        }


def verify(pdf: bytes, keys: TrustedKeys | None = None, *, proofs: Sequence[bytes] = ()) -> Verification:
    """The four verdicts on a paper.

    Args:
        pdf: the whole file.
        keys: the public keys the reader trusts; without them a sound paper is valid but untrusted (exit 5).
        proofs: files of proofs that the paper names by their digests, where it says of very many rows that they are not among others;
            one that it does not name is passed over, and the verification says so.

    Raises:
        BadInput: the bytes are not a PDF at all.
    """
    if not pdf.startswith(b"%PDF-"):
        raise BadInput("this file is not a PDF", hint="give the paper itself, as `govern report` or `govern erasure certificate` wrote it")
    result = Verification(not_checked=list(_ALWAYS_UNCHECKED))
    result.facts["sha256"] = "sha256:" + hashlib.sha256(pdf).hexdigest()
    try:
        reader = _reader(pdf)
        certificate = _intact(pdf, reader, result)
        attached = _attachments(reader)
    except GovernError as error:
        result.intact = False
        result.sentences.append(f"Not intact: {error.message}.")
        result.not_checked.insert(0, "Evidence, pages, keys and ledger: a file that is not intact is not read further.")
        return result
    envelope = _complete(reader, attached, proofs, result)
    _trusted(certificate, envelope, keys, result)
    _anchored(attached.get(EVIDENCE_NAME, b""), envelope, keys, result)
    return result


# ── 1. intact ───────────────────────────────────────────────────────────────────────────────────
def _reader(pdf: bytes) -> Any:
    from pyhanko.pdf_utils.reader import PdfFileReader

    try:
        reader = PdfFileReader(io.BytesIO(pdf))
        reader.root  # noqa: B018 - read now, so that broken bytes show here
    except Exception as error:  # the parser raises whatever it met in broken bytes
        raise Tampered(f"it cannot be read as a PDF: {_one_line(error)}") from error
    return reader


def _intact(pdf: bytes, reader: Any, result: Verification) -> bytes:
    from reports.signature import check_signature

    try:
        signature = check_signature(pdf, reader)
    except Tampered:
        raise
    except Exception as error:  # the same
        raise Tampered(f"its signature cannot be read: {_one_line(error)}") from error
    result.intact = True
    result.sentences.append(f"Intact: one signature covers all {len(pdf)} bytes of the file, and it holds.")
    result.facts["certificate"] = "sha256:" + hashlib.sha256(signature.certificate).hexdigest()
    if signature.signed_at:
        result.facts["signed_at"] = signature.signed_at
    return signature.certificate


def _attachments(reader: Any) -> dict[str, bytes]:
    try:
        found = [(str(name), {bytes(streams[key].data) for key in streams}) for name, streams in _named_files(reader.root)]
    except Exception as error:  # the same
        raise Tampered(f"its attachments cannot be read: {_one_line(error)}") from error
    if len({name for name, _ in found}) != len(found) or any(len(forms) != 1 for _, forms in found):
        raise Tampered("an attachment is there twice, in two forms")
    return {name: forms.pop() for name, forms in found}


def _named_files(root: Any) -> list[tuple[Any, Any]]:
    for key in ("/Names", "/EmbeddedFiles", "/Names"):
        if key not in root:
            return []
        root = root[key]
    return [(root[i], root[i + 1]["/EF"]) for i in range(0, len(root), 2)]


# ── 2. complete ─────────────────────────────────────────────────────────────────────────────────
def _complete(reader: Any, attached: Mapping[str, bytes], proofs: Sequence[bytes], result: Verification) -> Envelope | None:
    envelope = None
    try:
        if set(attached) != {EVIDENCE_NAME, ENVELOPE_NAME}:
            raise Tampered(
                f"a paper carries {EVIDENCE_NAME} and {ENVELOPE_NAME}; this file carries {', '.join(sorted(attached)) or 'nothing'}"
            )
        envelope = parse_envelope(attached[ENVELOPE_NAME])
        dossier = _evidence(attached[EVIDENCE_NAME], envelope)
        _state(dossier, attached[EVIDENCE_NAME], result)
        proved = _claims(dossier, proofs, result)
        agree = _pages_agree(reader, dossier, attached[EVIDENCE_NAME], envelope, result)
        result.complete = agree if proved else None
    except GovernError as error:
        result.complete = False
        result.sentences.append(f"Not complete: {error.message}.")
    return envelope


def _evidence(evidence: bytes, envelope: Envelope) -> Dossier:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if envelope.payload_type != PAYLOAD_TYPE or envelope.payload != evidence:
        raise Tampered("the signed evidence is not the evidence attached")
    if envelope.keyid != key_name(envelope.public):
        raise Tampered("the evidence's key does not bear its own name")
    try:
        Ed25519PublicKey.from_public_bytes(envelope.public).verify(envelope.signature, pae(envelope.payload_type, envelope.payload))
    except (InvalidSignature, ValueError) as error:
        raise Tampered("the signature of the evidence does not hold") from error
    return parse_evidence(evidence)


def _state(dossier: Dossier, evidence: bytes, result: Verification) -> None:
    result.facts |= {
        "kind": dossier.kind,
        "title": dossier.title,
        "subject": dossier.subject,
        "verdict": dossier.verdict,
        "as_of": dossier.as_of,
        "installation": dossier.installation,
        "evidence": "sha256:" + hashlib.sha256(evidence).hexdigest(),
    }
    kind = KIND_WORDS.get(dossier.kind, dossier.kind)
    result.sentences.append(f"The paper: {kind} of {dossier.subject}, as of {moment(dossier.as_of)}, by {dossier.installation}.")


def _claims(dossier: Dossier, proofs: Sequence[bytes], result: Verification) -> bool:
    """Whether everything that the paper claims could be checked; ``Tampered`` when something does not hold."""
    given = {"sha256:" + hashlib.sha256(file).hexdigest(): file for file in proofs}
    named = {one["digest"] for one in proof_files(dossier.kind, dossier.data)}
    result.not_checked += [f"The file {one}, given with --proofs: the paper does not name it." for one in sorted(given.keys() - named)]
    claims = check_claims(dossier.kind, dossier.data, given)
    for claim in claims:
        (result.sentences if claim.holds else result.not_checked).append(claim.sentence)
    if claims:
        result.not_checked.append(
            "Whether any file still holds the rows, and whether a training took place: the stores and workers show that."
        )
    return all(claim.holds for claim in claims)


def _pages_agree(reader: Any, dossier: Dossier, evidence: bytes, envelope: Envelope, result: Verification) -> bool | None:
    from reports.pages import check_catalogue, pages_digest
    from reports.pdf import Seal, render_pdf, renderer

    try:
        check_catalogue(reader.root)
        digest, count = pages_digest(reader)
        seal = Seal(evidence_sha256=hashlib.sha256(evidence).digest(), keyid=envelope.keyid, anchor=envelope.anchor)
        again, _ = pages_digest(_reader(render_pdf(dossier, seal)))
    except GovernError:
        raise
    except Exception as error:  # a signed file may still hold what neither parser nor renderer can take
        raise Tampered(f"its pages cannot be compared with the evidence: {_one_line(error)}") from error
    if again == digest:
        result.sentences.append(f"Complete: the evidence is attached and signed, and rendered again it gives the same {count} pages.")
        return True
    if envelope.renderer != renderer():
        result.sentences.append("The evidence is attached and signed; its pages were not compared.")
        result.not_checked.insert(
            0, f"Whether the pages say what the evidence says: they were made by {envelope.renderer}, and this is {renderer()}."
        )
        return None
    raise Tampered("the pages do not say what the evidence says: rendered again, it gives other pages")


# ── 3. trusted ──────────────────────────────────────────────────────────────────────────────────
def _trusted(certificate: bytes, envelope: Envelope | None, keys: TrustedKeys | None, result: Verification) -> None:
    if keys is None:
        result.sentences.append("Untrusted: no public keys were given, so nothing says who signed.")
        result.not_checked.insert(0, "Who signed: give the installation's public keys, got from another place than the paper.")
        return
    strangers = []
    if certificate != keys.certificate:
        strangers.append("the file")
    if envelope is None or envelope.public != keys.evidence:
        strangers.append("the evidence")
    if envelope is not None and envelope.anchor is not None and envelope.anchor.checkpoint_key != keys.checkpoint:
        strangers.append("the checkpoint")
    result.trusted = not strangers
    if strangers:
        result.sentences.append(
            f"Untrusted: {' and '.join(strangers)} signed by a key that is not among those given for {keys.installation}."
        )
    else:
        result.sentences.append(f"Trusted: signed with the keys given for {keys.installation}.")


# ── 4. anchored ─────────────────────────────────────────────────────────────────────────────────
def _anchored(evidence: bytes, envelope: Envelope | None, keys: TrustedKeys | None, result: Verification) -> None:
    anchor = None if envelope is None else envelope.anchor
    if anchor is None:
        result.sentences.append("Not anchored: the paper names no entry of a ledger.")
        return
    try:
        origin = _check_anchor(anchor, evidence, keys)
    except GovernError as error:
        result.anchored = False
        result.sentences.append(f"The anchor is broken: {error.message}.")
        return
    result.anchored = True
    result.facts["ledger"] = {"origin": origin, "index": anchor.index, "size": anchor.size, "recorded_at": anchor.recorded_at}
    result.sentences.append(
        f"Anchored: entry {anchor.index} of {origin} names this evidence; the signed checkpoint at size {anchor.size} holds it."
    )


def _check_anchor(anchor: Anchor, evidence: bytes, keys: TrustedKeys | None) -> str:
    """The origin of the ledger, once every step from the evidence to the checkpoint holds."""
    try:
        named = json.loads(anchor.payload)["evidence"]
    except (ValueError, KeyError, TypeError) as error:
        raise Tampered("the ledger entry names no evidence") from error
    if named != "sha256:" + hashlib.sha256(evidence).hexdigest():
        raise Tampered("the ledger entry names other evidence")
    checkpoint = notes.parse_checkpoint(anchor.note)
    name = checkpoint.origin
    if keys is not None and anchor.checkpoint_key == keys.checkpoint:
        name = keys.checkpoint_name
    checkpoint = notes.verify_checkpoint(anchor.note, name=name, public=anchor.checkpoint_key)
    if checkpoint.size != anchor.size:
        raise Tampered(f"the proof is for a tree of {anchor.size} leaves, the checkpoint of {checkpoint.size}")
    if not merkle.verify_inclusion(anchor.leaf(), anchor.index, anchor.size, anchor.proof, checkpoint.root):
        raise Tampered("the ledger entry is not in the checkpoint's tree")
    return checkpoint.origin


# ── small ones ──────────────────────────────────────────────────────────────────────────────────
def _key(text: str, what: str) -> bytes:
    raw = b""
    try:
        raw = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadInput(f"{what} is neither base64 nor hex") from error
    if len(raw) == 33 and raw[:1] == b"\x01":
        raw = raw[1:]
    if len(raw) != 32:
        raise BadInput(f"{what} is not an Ed25519 key: it has {len(raw)} bytes, not 32")
    return raw


def _certificate(text: str) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(text.encode()).public_bytes(Encoding.DER)
    except ValueError as error:
        raise BadInput(f"pdf.certificate is not a PEM certificate: {error}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
