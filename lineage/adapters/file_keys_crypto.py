"""The cryptography of the file key store: wrapping, Ed25519, HMAC, and the certificate that signs papers.

``cryptography`` is imported where it is used: it costs some 50 ms, and most commands need no key.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from lineage.hashing import short_sha256

__all__ = ["MASTER_SIZE", "hmac_sha256", "hmacs_sha256", "new_ed25519", "public", "sign", "signing_certificate", "unwrap", "wrap"]

MASTER_SIZE = 32
_NONCE_SIZE = 12
_RSA_BITS = 3072
_YEARS = 10
_COMMON_NAME_LIMIT = 64  # RFC 5280, appendix A.1, ub-common-name


def wrap(master: bytes, secret: bytes, bound: bytes) -> dict[str, str]:
    """The secret under AES-256-GCM with a fresh nonce, base64; ``bound`` is authenticated with it."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE_SIZE)
    wrapped = AESGCM(master).encrypt(nonce, secret, bound)
    return {"nonce": base64.b64encode(nonce).decode(), "wrapped": base64.b64encode(wrapped).decode()}


def unwrap(master: bytes, document: Mapping[str, Any], bound: bytes) -> bytes:
    """The secret of :func:`wrap`.

    Raises:
        ValueError: another master key, other associated data, or an altered document.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        nonce = base64.b64decode(str(document["nonce"]), validate=True)
        wrapped = base64.b64decode(str(document["wrapped"]), validate=True)
        return AESGCM(master).decrypt(nonce, wrapped, bound)
    except (KeyError, InvalidTag) as error:
        raise ValueError("the key does not open") from error


def new_ed25519() -> bytes:
    """The 32 raw bytes of a new private key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().private_bytes_raw()


def sign(private: bytes, message: bytes) -> bytes:
    """The Ed25519 signature (RFC 8032), 64 bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private).sign(message)


def public(private: bytes) -> bytes:
    """The 32 raw bytes of the Ed25519 public key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104), 32 bytes."""
    return hmac.new(key, message, hashlib.sha256).digest()


def hmacs_sha256(key: bytes, messages: Iterable[bytes]) -> list[bytes]:
    """:func:`hmac_sha256` of each message; the key is prepared once, which is most of the work for a short message."""
    prepared = hmac.new(key, digestmod=short_sha256)
    made = []
    for message in messages:
        one = prepared.copy()
        one.update(message)
        made.append(one.digest())
    return made


def signing_certificate(name: str, *, now: int) -> tuple[bytes, bytes]:
    """A new RSA-3072 key (PKCS #8 PEM) and its self-signed certificate (PEM), fit to sign PDF files for ten years.

    RSA because ECDSA raises a paper to PDF 2.0 and Ed25519 signatures are not read by common viewers. Key usage is digitalSignature and
    nonRepudiation (RFC 5280 §4.2.1.3), no certificate authority.

    Args:
        name: who signs; cut to the 64 characters of a common name.
        now: UTC nanoseconds; the certificate begins a day earlier, for clocks that are behind.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    who = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Govern installation"),
            x509.NameAttribute(NameOID.COMMON_NAME, name[:_COMMON_NAME_LIMIT]),
        ]
    )
    start = dt.datetime.fromtimestamp(now // 1_000_000_000, dt.UTC)
    usage = {
        "digital_signature": True,
        "content_commitment": True,
        "key_encipherment": False,
        "data_encipherment": False,
        "key_agreement": False,
        "key_cert_sign": False,
        "crl_sign": False,
        "encipher_only": False,
        "decipher_only": False,
    }
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - dt.timedelta(days=1))
        .not_valid_after(start + dt.timedelta(days=365 * _YEARS + 2))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, certificate.public_bytes(serialization.Encoding.PEM)
