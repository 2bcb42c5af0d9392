"""How persons are reached and known here: mail, the spool folder, the OpenID Provider, the contacts, the law packs, as settings say.

Read apart from :mod:`governance.settings`: who sets none of these reads none of their libraries.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from governance.erasure.contacts import Contacts
from governance.erasure.packs import Packs
from governance.ports import IdentityClaims, Notifier
from lineage.errors import BadInput, StoreUnavailable
from lineage.ports import KeyStore

__all__ = ["IdentitySettings", "request_parts"]

_MOST_BYTES: Final = 1_000_000
_SECONDS: Final = 10.0
_HERE: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """What ``GOVERN_*`` variables say about persons who ask."""

    smtp_url: str = field(default="", repr=False)
    """The mail server, ``GOVERN_SMTP_URL``: ``smtps://user:password@host`` or ``smtp://…`` (STARTTLS)."""
    mail_from: str = ""
    """The address that messages come from, ``GOVERN_MAIL_FROM``; needed with ``GOVERN_SMTP_URL``."""
    spool: str = ""
    """A folder for messages where there is no mail server, ``GOVERN_SPOOL``."""
    oidc_issuer: str = ""
    """``GOVERN_OIDC_ISSUER``: the OpenID Provider, as ``iss`` names it."""
    oidc_audience: str = ""
    """``GOVERN_OIDC_AUDIENCE``: our client id."""
    oidc_jwks: str = ""
    """``GOVERN_OIDC_JWKS``: a file, or an ``https://`` URL, with the provider's keys."""
    oidc_claim: str = "sub"
    """``GOVERN_OIDC_CLAIM``: the claim that names the data subject."""

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The settings of an environment.

        Raises:
            BadInput: two ways to send, or a provider of which a part is missing.
        """
        given = {name: environment.get(f"GOVERN_{name.upper()}", "").strip() for name in cls.__slots__}
        found = cls(**{name: text for name, text in given.items() if text})
        if found.smtp_url and found.spool:
            raise BadInput("GOVERN_SMTP_URL and GOVERN_SPOOL are two ways to send", hint="unset one of them")
        oidc = (found.oidc_issuer, found.oidc_audience, found.oidc_jwks)
        if any(oidc) and not all(oidc):
            raise BadInput("an OpenID Provider needs GOVERN_OIDC_ISSUER, GOVERN_OIDC_AUDIENCE and GOVERN_OIDC_JWKS", hint="set all three")
        if found.oidc_jwks.startswith("http://") and urlsplit(found.oidc_jwks).hostname not in _HERE:
            raise BadInput("GOVERN_OIDC_JWKS: keys of another machine are read over https://", hint="use https://, or a file")
        return found

    def notifier(self) -> Notifier | None:
        """The way to send, or ``None``."""
        if not (self.smtp_url or self.spool):
            return None
        from governance.adapters.mail import SmtpNotifier, SmtpPlace, SpoolNotifier

        if self.smtp_url:
            return SmtpNotifier(SmtpPlace.read(self.smtp_url, self.mail_from))
        return SpoolNotifier(Path(self.spool), **({"sender": self.mail_from} if self.mail_from else {}))

    def claims(self) -> IdentityClaims | None:
        """The OpenID Provider, or ``None``."""
        if not self.oidc_issuer:
            return None
        from governance.adapters.oidc import OidcClaims

        return OidcClaims(issuer=self.oidc_issuer, audience=self.oidc_audience, claim=self.oidc_claim, read=_reader(self.oidc_jwks))


def request_parts(home: Path, keys: KeyStore, settings: IdentitySettings | None = None) -> dict[str, Any]:
    """What the erasure service takes beside its stores: ``{packs, contacts, notifier, claims}``."""
    from governance.adapters.contact_files import ContactFiles

    found = settings or IdentitySettings.read()
    return {
        "packs": Packs(lambda: _texts(home / "packs")),
        "contacts": Contacts(keys, ContactFiles(home / "contacts")),
        "notifier": found.notifier(),
        "claims": found.claims(),
    }


def _texts(folder: Path) -> dict[str, str]:
    """The law packs that an installation adds: ``*.yaml`` in ``packs`` of its home."""
    try:
        return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")}
    except (OSError, UnicodeDecodeError) as error:
        raise StoreUnavailable(f"the law packs in {folder} cannot be read ({type(error).__name__})", hint="check the folder") from error


def _reader(where: str) -> Callable[[], bytes]:
    def read_file() -> bytes:
        try:
            return Path(where).read_bytes()[:_MOST_BYTES]
        except OSError as error:
            raise StoreUnavailable(f"GOVERN_OIDC_JWKS: {where} cannot be read: {error.strerror}", hint="check the file") from error

    def read_url() -> bytes:
        import httpx2

        try:
            answer = httpx2.get(where, timeout=_SECONDS)
            answer.raise_for_status()
        except httpx2.HTTPError as error:
            raise StoreUnavailable(
                f"the provider's keys at {where} cannot be read ({type(error).__name__})", hint="look at GOVERN_OIDC_JWKS, try again"
            ) from error
        return bytes(answer.content[:_MOST_BYTES])

    return read_url if where.startswith(("https://", "http://")) else read_file
