"""Signs what this processor says in OpenDSR with the private key of its domain's certificate (:class:`governance.ports.ResponseSigner`).

OpenDSR §4: the certificate is issued by a trusted authority, for the domain, and is not self-signed; signatures follow FIPS 186: RSASSA-
PKCS1-v1_5 or ECDSA, over the SHA-256 digest of the body.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lineage.errors import BadInput, StoreUnavailable
from lineage.ports import Clock

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

__all__ = ["CertificateSigner"]

_SECOND: Final = 1_000_000_000


class CertificateSigner:
    """The processor's certificate and key, checked when they are read.

    Args:
        domain: the name under which OpenDSR requests are received.
        certificate: PEM file: the domain's certificate first, then what leads to its root.
        key: PEM file of its private key, without a password.
        clock: whether the certificate is valid now.

    Raises:
        BadInput: a file that cannot be read, a key of another certificate, another domain, a self-signed or expired certificate.
    """

    def __init__(self, domain: str, certificate: Path, key: Path, clock: Clock) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec, rsa

        self.domain = domain
        self.certificate_pem = _read(certificate, "GOVERN_OPENDSR_CERTIFICATE")
        secret = _read(key, "GOVERN_OPENDSR_KEY")
        try:
            leaf = x509.load_pem_x509_certificates(self.certificate_pem)[0]
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
        except (ValueError, x509.ExtensionNotFound) as error:
            raise BadInput(
                f"{certificate} holds no certificate for a domain (PEM)", hint="GOVERN_OPENDSR_CERTIFICATE names its file"
            ) from error
        try:
            private = serialization.load_pem_private_key(secret, password=None)
        except (ValueError, TypeError) as error:
            raise BadInput(f"{key} holds no private key (PEM without a password)", hint="GOVERN_OPENDSR_KEY names its file") from error
        if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) or private.public_key() != leaf.public_key():
            raise BadInput(f"{key} is not the RSA or EC key of {certificate}", hint="GOVERN_OPENDSR_KEY names the certificate's own key")
        if leaf.issuer == leaf.subject:
            raise BadInput(f"{certificate} is self-signed: OpenDSR §4.1 does not allow it", hint="have it issued by a trusted authority")
        if domain.lower() not in {name.lower() for name in names}:
            raise BadInput(
                f"{certificate} is not issued for {domain} but for {', '.join(names) or 'no domain'}", hint="correct GOVERN_OPENDSR_DOMAIN"
            )
        moment = dt.datetime.fromtimestamp(clock.now() // _SECOND, dt.UTC)
        if not leaf.not_valid_before_utc <= moment <= leaf.not_valid_after_utc:
            raise BadInput(f"{certificate} is not valid now: it ends {leaf.not_valid_after_utc:%Y-%m-%d}", hint="renew it")
        self._until = leaf.not_valid_after_utc
        self._clock = clock
        self._key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = private

    def sign(self, body: bytes) -> bytes:
        """The signature over the SHA-256 digest of the body; raises ``StoreUnavailable`` once the certificate has expired."""
        if dt.datetime.fromtimestamp(self._clock.now() // _SECOND, dt.UTC) > self._until:
            raise StoreUnavailable(
                f"the OpenDSR certificate expired on {self._until:%Y-%m-%d}", hint="renew it, and start the server again"
            )
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(body, padding.PKCS1v15(), hashes.SHA256())
        return self._key.sign(body, ec.ECDSA(hashes.SHA256()))


def _read(path: Path, variable: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{variable}: {path} cannot be read: {error.strerror}", hint=f"correct {variable}") from error
