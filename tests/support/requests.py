"""A core whose erasure service reaches persons: contacts under keys, a notifier that keeps what it was given, a provider of identities."""

from __future__ import annotations

import re
from typing import Any

from governance.adapters.contact_files import ContactFiles
from governance.erasure.contacts import Contacts
from lineage.errors import StoreUnavailable
from tests.support.core import Core

__all__ = ["Outbox", "code_in", "reachable"]


class Outbox:
    """The notifier's port in memory; ``away`` makes it refuse as a mail server does that is down."""

    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []
        self.away = False

    def send(self, *, address: str, subject: str, text: str, reference: str) -> None:
        if self.away:
            raise StoreUnavailable("the mail server did not take the message")
        self.sent.append({"address": address, "subject": subject, "text": text, "reference": reference})


def reachable(core: Core, *, claims: Any = None) -> Outbox:
    """Give the core's erasure service its contacts, an outbox and perhaps a provider; returns the outbox."""
    outbox = Outbox()
    core.erasures._contacts = Contacts(core.keys, ContactFiles(core.root / "contacts"))
    core.erasures._notifier = outbox
    core.erasures._claims = claims
    return outbox


def code_in(message: dict[str, str]) -> str:
    """The one-time code of a message, as the person would copy it."""
    found = re.search(r"[0-9]{4} [0-9]{4}", message["text"])
    assert found is not None
    return found[0]
