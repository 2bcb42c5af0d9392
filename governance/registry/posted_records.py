"""What the records of webhooks, the outbox, recipients and OpenDSR controllers may hold (see :mod:`governance.registry.acts`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["POSTED_FIELDS"]

_MESSAGE: Final = frozenset({"id", "endpoint", "type", "at", "data", "notice", "task", "error"})

POSTED_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "webhook": frozenset(
        {
            "id",
            "kind",
            "url",
            "events",
            "scheme",
            "keys",
            "state",
            "attempts",
            "next_at",
            "error",
            "delivered_at",
            "created_at",
            "created_by",
        }
    ),
    "subscriptions": frozenset({"endpoints"}),
    "outbox": _MESSAGE,
    "dead": _MESSAGE,
    "recipient": frozenset({"id", "name", "role", "via", "webhook", "assets", "keys", "created_at", "created_by"}),
    "recipients": frozenset({"recipients"}),
    "recipient_notice": frozenset(
        {
            "id",
            "request",
            "asset",
            "recipient",
            "name",
            "role",
            "via",
            "regulation",
            "state",
            "at",
            "told_at",
            "acknowledged_at",
            "acknowledged_by",
            "reference",
            "excuse",
            "ground",
            "error",
            "said",
        }
    ),
    "task": frozenset(
        {
            "id",
            "request",
            "asset",
            "asked",
            "owner",
            "owner_basis",
            "recipient",
            "webhook",
            "state",
            "due_at",
            "at",
            "told_at",
            "answered_at",
            "answered_by",
            "answered_as",
            "reason",
            "evidence",
            "error",
        }
    ),
    "controller": frozenset({"id", "name", "key", "identities", "callbacks", "created_at", "created_by", "removed_at"}),
    "opendsr": frozenset(
        {
            "controller",
            "subject_request_id",
            "regulation",
            "requests",
            "callbacks",
            "status",
            "due_at",
            "received_at",
            "submitted_time",
            "digest",
        }
    ),
    "opendsr_link": frozenset({"opendsr"}),
}
"""Record kind → the fields its body may have. Nothing here refers to a person; a URL is the operator's own."""
