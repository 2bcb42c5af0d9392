"""Attach the evidence to the pages and sign the whole file: PAdES B-B, RSA, SHA-256, one revision, an invisible field.

RSA, because an ECDSA key makes pyHanko raise the file to PDF 2.0 and other viewers do not know Ed25519; invisible, because a stamp would
bring in a font that is not embedded.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from lineage.errors import BadInput
from reports.evidence import ENVELOPE_NAME, EVIDENCE_NAME, Signers

__all__ = ["FIELD", "sign_pdf"]

FIELD = "Govern"
"""Name of the one signature field."""

_RESERVED = 8192
_DESCRIPTIONS = {
    EVIDENCE_NAME: "What this paper says, as canonical JSON (RFC 8785)",
    ENVELOPE_NAME: "The evidence signed (DSSE, Ed25519), with its place in the ledger",
}

T = TypeVar("T")


def sign_pdf(pages: bytes, attachments: Mapping[str, bytes], signers: Signers) -> bytes:
    """The signed file: pages, attachments, one signature over every byte.

    Raises:
        BadInput: the PDF key is not RSA of at least 3072 bits, or does not belong to the certificate.
    """
    return _outside_any_loop(lambda: _sign(pages, attachments, signers))


def _outside_any_loop(work: Callable[[], T]) -> T:
    """Run in a thread of its own where an event loop already runs in this one (pyHanko starts its own)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def _sign(pages: bytes, attachments: Mapping[str, bytes], signers: Signers) -> bytes:
    from pyhanko.pdf_utils import embed, generic
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.pdf_utils.writer import copy_into_new_writer
    from pyhanko.sign import fields
    from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner

    writer = copy_into_new_writer(PdfFileReader(io.BytesIO(pages)))
    associated = generic.ArrayObject()
    for name, data in attachments.items():
        stream = embed.EmbeddedFileObject.from_file_data(
            writer, data, params=embed.EmbeddedFileParams(embed_checksum=False), mime_type="application/json"
        )
        spec = embed.FileSpec(
            file_spec_string=name,
            file_name=name,
            embedded_data=stream,
            description=_DESCRIPTIONS.get(name),
        )
        embed.embed_file(writer, spec)
        names = writer.root["/Names"]["/EmbeddedFiles"]["/Names"]
        # set here: pyHanko would raise the file to PDF 2.0 for it, though PDF/A-3 (on 1.7) has it too
        names[-1]["/AFRelationship"] = generic.pdf_name("/Source" if name == EVIDENCE_NAME else "/Supplement")
        associated.append(names.raw_get(-1))
    writer.root["/AF"] = associated
    meta = PdfSignatureMetadata(
        field_name=FIELD,
        md_algorithm="sha256",
        subfilter=fields.SigSeedSubFilter.PADES,
        certify=True,
        docmdp_permissions=fields.MDPPerm.NO_CHANGES,
        reason="Issued by Govern",
    )
    out = io.BytesIO()
    PdfSigner(meta, _simple_signer(signers), new_field_spec=fields.SigFieldSpec(FIELD)).sign_pdf(
        writer, bytes_reserved=_RESERVED, output=out
    )
    return out.getvalue()


def _simple_signer(signers: Signers) -> Any:
    from asn1crypto import keys, pem, x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509 import load_pem_x509_certificate
    from pyhanko.sign.signers import SimpleSigner
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    key = serialization.load_pem_private_key(signers.pdf_key_pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < 3072:
        raise BadInput("papers are signed with an RSA key of at least 3072 bits", hint="govern doctor")
    if load_pem_x509_certificate(signers.pdf_certificate_pem).public_key() != key.public_key():
        raise BadInput("the certificate for papers does not belong to their key", hint="govern doctor")
    encoding = serialization.Encoding.DER
    raw = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _, _, certificate = pem.unarmor(signers.pdf_certificate_pem)
    return SimpleSigner(
        signing_cert=x509.Certificate.load(certificate),
        signing_key=keys.PrivateKeyInfo.load(raw),
        cert_registry=SimpleCertificateStore(),  # type: ignore[no-untyped-call]
        prefer_pss=False,
    )
