"""What tells others: the outbox's courier, webhooks and the OpenDSR certificate over the adapters of one home."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from governance.adapters.webhook_sender import WebhookSender, networks
from governance.ports import ResponseSigner
from governance.registry.courier import Courier
from governance.registry.outbox import Outbox
from governance.registry.webhooks import Webhooks
from governance.settings import Settings
from lineage.errors import BadInput, StoreUnavailable
from lineage.ports import Clock, KeyStore, Ledger

__all__ = ["Posting"]


class Posting:
    """The pieces, joined; :meth:`start` sends what waits, also from before.

    Raises:
        BadInput: ``GOVERN_WEBHOOK_NETWORKS`` cannot be read.
    """

    def __init__(self, ledger: Ledger, keys: KeyStore, clock: Clock, settings: Settings) -> None:
        self._sender = WebhookSender(networks(settings.webhook_networks))
        self.webhooks = Webhooks(ledger, keys, clock, self._sender)
        self._courier = Courier(Outbox(ledger, clock, chance=random.random), self._sender, self._headers, clock)
        self._settings, self._clock = settings, clock
        self._opendsr: ResponseSigner | None = None
        self._signed: Callable[[bytes], dict[str, str]] | None = None

    def start(self) -> None:
        """Begin to send."""
        self._courier.start()

    def close(self) -> None:
        """End after what is under way."""
        self._courier.close()
        self._sender.close()

    def signer(self) -> ResponseSigner | None:
        """What signs OpenDSR answers; ``None`` where no domain is set.

        Raises:
            StoreUnavailable: the certificate cannot speak for the domain now. The home serves all the same.
        """
        if self._opendsr is None:
            try:
                self._opendsr = _opendsr(self._settings, self._clock)
            except BadInput as error:
                raise StoreUnavailable(f"the OpenDSR facade cannot sign: {error.message}", hint=error.hint) from error
        return self._opendsr

    def answers_with(self, headers: Callable[[bytes], dict[str, str]]) -> None:
        """How an OpenDSR callback is signed."""
        self._signed = headers

    def _headers(self, endpoint: Mapping[str, Any], row: Mapping[str, Any], body: bytes) -> dict[str, str]:
        if endpoint["kind"] == "opendsr" and self._signed is not None:
            return {"content-type": "application/json", "user-agent": "Govern-OpenDSR/2", **self._signed(body)}
        return self.webhooks.headers(endpoint, row, body)


def _opendsr(settings: Settings, clock: Clock) -> ResponseSigner | None:
    given = (settings.opendsr_domain, settings.opendsr_certificate, settings.opendsr_key)
    if not any(given):
        return None
    if not all(given):
        raise BadInput(
            "the OpenDSR facade needs GOVERN_OPENDSR_DOMAIN, GOVERN_OPENDSR_CERTIFICATE and GOVERN_OPENDSR_KEY: one is missing",
            hint="set all three, or none",
        )
    from governance.adapters.opendsr_signer import CertificateSigner

    return CertificateSigner(settings.opendsr_domain, Path(settings.opendsr_certificate), Path(settings.opendsr_key), clock)
