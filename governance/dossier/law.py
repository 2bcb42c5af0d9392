"""Which duties a certificate is evidence for, in our own words, by regulation; the official texts decide. No legal advice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from governance.dossier.facts import at, computed, text, whole
from reports.model import Fact

__all__ = ["CHECKED_ON", "law_data", "law_facts", "law_rows"]

CHECKED_ON = "2026-11-20"
"""When these words were last compared with what was at hand; the official texts decide."""

_AI_ACT = ("AI Act Art. 12", "An automatic record of the system’s life exists: the entries named in the history.")

_ROWS: dict[str, tuple[tuple[str, str], ...]] = {
    "gdpr": (
        ("GDPR Art. 17(1)", "Erasure without undue delay: what was found, what was done with it, and when."),
        ("GDPR Art. 17(3)", "Exceptions are named for each asset that was retained, never for the person as a whole."),
        ("GDPR Art. 12(3)", "The request was answered by the date printed as closed; the month runs from receipt."),
        ("GDPR Art. 19", "Recipients that were declared: who was told, when, and what they answered; others the controller has to show."),
        ("GDPR Art. 5(2)", "Accountability: the steps are in an append-only ledger whose checkpoint is in the footer."),
        _AI_ACT,
    ),
    "lgpd": (
        ("LGPD Art. 18, VI", "Elimination of personal data: what was found, what was done with it, and when."),
        ("LGPD Art. 16", "Grounds for keeping are named for each asset that was retained."),
        ("LGPD Art. 18, § 6", "Those who were given the data, as far as they were declared: who was told, and when."),
        ("LGPD Art. 6, X", "Accountability: the steps are in an append-only ledger whose checkpoint is in the footer."),
        _AI_ACT,
    ),
    "ccpa": (
        ("Cal. Civ. Code 1798.105", "Deletion on request: what was found, what was done with it, and when."),
        ("11 CCR 7022", "What stays on backups is stated; the service providers and third parties that were declared are told."),
        ("11 CCR 7101", "The record of the request itself is kept, without the person’s identifier."),
    ),
}
_NAMES = {
    "gdpr": "gdpr",
    "eu-gdpr": "gdpr",
    "uk-gdpr": "gdpr",
    "dsgvo": "gdpr",
    "rgpd": "gdpr",
    "lgpd": "lgpd",
    "ccpa": "ccpa",
    "cpra": "ccpa",
}


def law_rows(regulation: str) -> tuple[tuple[str, str], ...]:
    """(article, what the certificate is evidence for) for a regulation; empty when it is not one we know.

    >>> law_rows("GDPR")[0][0], law_rows("unheard-of")
    ('GDPR Art. 17(1)', ())
    """
    key = regulation.strip().lower().replace("_", "-").split(":")[0].split(" ")[0]
    return _ROWS.get(_NAMES.get(key, key), ())


def law_facts(request: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Which law pack the request froze, in which version, and the digest of its rules; gaps where it was not recorded."""
    pack, version = text(at(request, "law", "pack")), whole(at(request, "law", "version"))
    name = None if pack is None or version is None else f"{pack} version {version}"
    zone = text(at(request, "law", "zone"))
    clocks = "clocks, grounds and notices, frozen with the request" + (f"; days end in {zone}" if zone else "")
    missing = "the request was received before law packs had versions, or nobody recorded it"
    return (
        computed("Law pack", name, clocks, missing=missing),
        computed("Digest of the law pack", text(at(request, "law", "digest")), "its rules stand in the evidence", missing="not recorded"),
    )


def law_data(request: Mapping[str, Any]) -> dict[str, Any] | None:
    """The frozen pack for machines, with its rules where they are at hand: whoever has the paper can take their digest again."""
    if text(at(request, "law", "digest")) is None:
        return None
    terms = at(request, "law", "terms")
    return {
        "pack": text(at(request, "law", "pack")),
        "version": whole(at(request, "law", "version")),
        "digest": text(at(request, "law", "digest")),
        "terms": dict(terms) if isinstance(terms, Mapping) else None,
    }
