"""Messages to persons: over SMTP (RFC 5321, TLS by RFC 3207 or RFC 8314), or into a folder from which someone else takes them.

Neither writes an address anywhere but into the message: not into a log, an error, or a file's name.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime, localtime
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

from lineage.errors import BadInput, StoreUnavailable

__all__ = ["SmtpNotifier", "SmtpPlace", "SpoolNotifier", "message"]

_SECONDS = 20.0
_PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpPlace:
    """Where a mail server is and how it is spoken to."""

    host: str
    port: int
    tls: str
    """``implicit`` (smtps), ``starttls`` (smtp), ``none`` (smtp with ``?tls=none``, to this machine only)."""
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def read(cls, url: str, sender: str) -> Self:
        """The place that a URL names: ``smtps://user:password@mail.example.org``, ``smtp://…:587`` (STARTTLS is required).

        Raises:
            BadInput: no such URL, no sender, or a connection without TLS to another machine. The message never repeats the URL.
        """
        if "@" not in sender or any(c in sender for c in "\r\n"):
            raise BadInput("GOVERN_MAIL_FROM must be the address that messages come from", hint="GOVERN_MAIL_FROM=privacy@example.org")
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            port, parts = 0, urlsplit("")
        if not port or not parts.hostname:
            raise BadInput("GOVERN_SMTP_URL is no smtp:// or smtps:// address", hint="smtps://USER:PASSWORD@mail.example.org")
        tls = _tls(parts)
        if tls == "none" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise BadInput(
                "GOVERN_SMTP_URL: without TLS only a mail server on this machine is spoken to", hint="use smtps://, or drop tls=none"
            )
        return cls(
            host=parts.hostname,
            port=port,
            tls=tls,
            sender=sender,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )


def _tls(parts: SplitResult) -> str:
    if parts.scheme == "smtps":
        return "implicit"
    return "none" if parts.query == "tls=none" else "starttls"


def message(*, sender: str, address: str, subject: str, text: str, reference: str) -> EmailMessage:
    """The message as it is sent. Its id follows from its content, so that a repeated one can be told by the receiver."""
    made = EmailMessage(policy=WIRE)
    made["From"], made["To"], made["Subject"], made["Date"] = sender, address, subject, format_datetime(localtime())
    digest = hashlib.sha256(f"{reference}\x1f{subject}\x1f{text}".encode()).hexdigest()[:32]
    made["Message-ID"] = f"<{digest}@{sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    made.set_content(text)
    return made


class SmtpNotifier:
    """One connection a message (:class:`governance.ports.Notifier`). ``context`` is who is trusted; the system's roots without it."""

    def __init__(self, place: SmtpPlace, *, context: ssl.SSLContext | None = None) -> None:
        self._place = place
        self._context = context

    def send(self, *, address: str, subject: str, text: str, reference: str) -> None:
        """Hand over to the mail server.

        Raises:
            StoreUnavailable: it is away, does not trust us, or refuses the message; tells the kind of trouble, never the address.
        """
        place = self._place
        made = message(sender=place.sender, address=address, subject=subject, text=text, reference=reference)
        try:
            with self._connected() as server:
                if place.user:
                    server.login(place.user, place.password)
                server.send_message(made)
        except smtplib.SMTPResponseException as error:  # its text may repeat the address
            raise self._away(f"answered {error.smtp_code}") from None
        except smtplib.SMTPRecipientsRefused:
            raise self._away("refused the recipient") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise self._away(type(error).__name__) from None

    def _connected(self) -> smtplib.SMTP:
        place = self._place
        if place.tls == "none":
            return smtplib.SMTP(place.host, place.port, timeout=_SECONDS)
        context = self._context or ssl.create_default_context()
        if place.tls == "implicit":
            return smtplib.SMTP_SSL(place.host, place.port, timeout=_SECONDS, context=context)
        server = smtplib.SMTP(place.host, place.port, timeout=_SECONDS)
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
        return server

    def _away(self, why: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"the mail server {self._place.host}:{self._place.port} did not take the message ({why})",
            hint="look at GOVERN_SMTP_URL, try again",
        )


class SpoolNotifier:
    """Writes each message as one ``.eml`` file (RFC 5322), for its owner only; whoever takes it from the folder removes it."""

    def __init__(self, folder: Path, *, sender: str = "govern@localhost") -> None:
        self._folder = folder
        self._sender = sender

    def send(self, *, address: str, subject: str, text: str, reference: str) -> None:
        """Write the file, durable when this returns. Its name is random."""
        made = message(sender=self._sender, address=address, subject=subject, text=text, reference=reference)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            name = secrets.token_hex(16)
            scratch = self._folder / f".{name}"
            handle = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(made.as_bytes())
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(self._folder / f"{name}.eml")
        except OSError as error:
            raise StoreUnavailable(
                f"the spool folder {self._folder} took no message: {error.strerror}", hint="check the folder and its free space"
            ) from error
