"""Is the file whole: one signature, over every byte, and nothing in it that the signature does not cover.

A general PDF verifier says "valid" about the bytes a signature covers. Here the question is stricter, and so is the profile: one revision,
one signature whose byte range leaves out only its own hexadecimal text, and a signature container that is byte for byte what its signed
parts make it, so that not one bit of the file can change unnoticed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from lineage.errors import Tampered

__all__ = ["Signature", "check_signature"]

_SMALLEST_KEY = 3072


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature that covers the whole file."""

    certificate: bytes
    """The signer's certificate, DER; whether to trust it is the reader's question."""
    signed_at: str | None
    """The time the signer's clock said, ISO 8601; nobody else attests it."""


def check_signature(pdf: bytes, reader: Any) -> Signature:
    """The file's one signature, once it is known to cover every byte.

    Args:
        pdf: the whole file.
        reader: pyHanko's reader over the same bytes.

    Raises:
        Tampered: what is wrong, in one sentence.
    """
    signatures = list(reader.embedded_signatures)
    if len(signatures) != 1:
        raise Tampered(f"the file carries {len(signatures)} signatures; a paper carries exactly one")
    if reader.xrefs.total_revisions != 1:
        raise Tampered(f"the file was changed after it was signed: it has {reader.xrefs.total_revisions} revisions, a paper has one")
    signature = signatures[0]
    container = _covered(pdf, [int(n) for n in signature.sig_object["/ByteRange"]])
    if bytes(signature.pkcs7_content) != container:
        raise Tampered("the signature the reader sees is not the one in the byte range")
    if str(signature.sig_object["/SubFilter"]) != "/ETSI.CAdES.detached":
        raise Tampered("the signature is not of the PAdES kind")
    start, length, second, rest = (int(n) for n in signature.sig_object["/ByteRange"])
    digest = hashlib.sha256(pdf[start : start + length] + pdf[second : second + rest]).digest()
    return _container(container, digest)


def _covered(pdf: bytes, ranges: list[int]) -> bytes:
    """The raw container; raises unless only its own hexadecimal text is left out of the byte range."""
    if len(ranges) != 4:
        raise Tampered("the signature's byte range is not two pieces")
    start, length, second, rest = ranges
    if start != 0 or second + rest != len(pdf):
        extra = len(pdf) - second - rest
        raise Tampered(
            f"the signature does not cover the whole file: {extra} bytes follow it"
            if start == 0
            else "the signature does not begin at byte 0"
        )
    if not 0 < length < second:
        raise Tampered("the signature's byte range is not in order")
    hole = pdf[length:second]
    digits = hole[1:-1]
    if hole[:1] != b"<" or hole[-1:] != b">" or not digits or len(digits) % 2:
        raise Tampered("the signature leaves out more than its own text")
    try:
        raw = bytes.fromhex(digits.decode("ascii"))
    except ValueError as error:
        raise Tampered("the signature's own text is not hexadecimal") from error
    if digits not in {raw.hex().encode(), raw.hex().upper().encode()}:
        raise Tampered("the signature's own text is not in the form in which it is written")
    return raw


def _container(raw: bytes, digest: bytes) -> Signature:
    from asn1crypto import cms

    try:
        content = cms.ContentInfo.load(raw, strict=False)
        size = len(content.dump())
        signed = content["content"]
        (info,) = signed["signer_infos"]
        (choice,) = signed["certificates"]
        certificate = choice.chosen.dump()
        attributes = {attribute["type"].native: attribute["values"] for attribute in info["signed_attrs"]}
        rebuilt = _rebuild(content, info, certificate)
    except Tampered:
        raise
    except Exception as error:  # asn1crypto raises whatever its parsing met in broken bytes
        raise Tampered(f"the signature's container cannot be read: {error}") from error
    if any(raw[size:]):
        raise Tampered("something stands behind the signature's container")
    if rebuilt != raw[:size]:
        raise Tampered("the signature's container holds something that the signature does not cover")
    if attributes.keys() - {"content_type", "message_digest", "signing_time", "signing_certificate_v2", "cms_algorithm_protection"}:
        raise Tampered("the signature states attributes that a paper's does not")
    try:
        if attributes["content_type"][0].native != "data" or len(attributes) != len(info["signed_attrs"]):
            raise Tampered("the signature is not over the file's bytes")
        if attributes["message_digest"][0].native != digest:
            raise Tampered("the file's bytes are not those that were signed")
        named = attributes["signing_certificate_v2"][0]["certs"][0]
        if named["hash_algorithm"]["algorithm"].native != "sha256" or named["cert_hash"].native != hashlib.sha256(certificate).digest():
            raise Tampered("the signature names another certificate than the one attached")
        when = attributes["signing_time"][0].native.isoformat() if "signing_time" in attributes else None
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise Tampered(f"the signature lacks a part that a paper's has: {error}") from error
    _verify_rsa(certificate, info["signed_attrs"].untag().dump(), info["signature"].native)
    return Signature(certificate=certificate, signed_at=when)


def _rebuild(content: Any, info: Any, certificate: bytes) -> bytes:
    """The only container that the signed parts can stand in (RFC 5652 §5.1), DER."""
    from asn1crypto import cms, x509

    parsed = x509.Certificate.load(certificate)
    sha256 = content["content"]["digest_algorithms"][0]
    if sha256["algorithm"].native != "sha256" or sha256["parameters"].native is not None:
        raise Tampered("the signature is not by SHA-256")
    scheme = info["signature_algorithm"]
    if scheme["algorithm"].native not in {"rsassa_pkcs1v15", "sha256_rsa"}:
        raise Tampered("the signature is not by RSA (PKCS #1 v1.5)")
    algorithm = cms.DigestAlgorithm({"algorithm": "sha256"})
    rebuilt = cms.ContentInfo(
        {
            "content_type": "signed_data",
            "content": cms.SignedData(
                {
                    "version": "v1",
                    "digest_algorithms": cms.DigestAlgorithms((algorithm,)),
                    "encap_content_info": {"content_type": "data"},
                    "certificates": [parsed],
                    "signer_infos": [
                        cms.SignerInfo(
                            {
                                "version": "v1",
                                "sid": cms.SignerIdentifier(
                                    {"issuer_and_serial_number": {"issuer": parsed.issuer, "serial_number": parsed.serial_number}}
                                ),
                                "digest_algorithm": algorithm,
                                "signed_attrs": cms.CMSAttributes.load(info["signed_attrs"].untag().dump()),
                                "signature_algorithm": cms.SignedDigestAlgorithm({"algorithm": scheme["algorithm"].native}),
                                "signature": info["signature"].native,
                            }
                        )
                    ],
                }
            ),
        }
    )
    return bytes(rebuilt.dump())


def _verify_rsa(certificate: bytes, message: bytes, signature: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.x509 import load_der_x509_certificate

    try:
        key = load_der_x509_certificate(certificate).public_key()
    except ValueError as error:
        raise Tampered(f"the certificate attached cannot be read: {error}") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _SMALLEST_KEY:
        raise Tampered(f"the certificate's key is not RSA of at least {_SMALLEST_KEY} bits")
    try:
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise Tampered("the signature does not fit the file") from error
