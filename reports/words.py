"""How values are written on a page: dates, numbers, digests, and the words for bases and tones."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from reports.model import Basis, Dossier, Drawing, Facts, Note, Table

__all__ = ["BASIS_WORDS", "KIND_WORDS", "TONE_WORDS", "basis_counts", "is_code", "moment", "shown", "texts"]

KIND_WORDS = {
    "model-trace": "Model trace",
    "dataset-impact": "Dataset impact",
    "prediction-trace": "Prediction trace",
    "incident-trace": "Incident trace",
    "erasure-certificate": "Erasure certificate",
    "disgorgement-certificate": "Disgorgement certificate",
}
TONE_WORDS = {"good": "Result", "warn": "Result, with reservations", "bad": "Result: not done or not shown", "plain": "Result"}
BASIS_WORDS = {
    Basis.COMPUTED: "computed by Govern from stored events and files",
    Basis.DECLARED: "declared by a person, not checked by Govern",
    Basis.GAP: "not known; printed, so that it is not overlooked",
}

_CODE = re.compile(
    r"^(?:(?:sha256|rs1|snapshot|git|ed25519|key):[0-9a-fA-F]{8,}\S*|[0-9a-fA-F]{16,}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}(?:…|-[0-9a-fA-F-]{22}))$"
)


def moment(nanoseconds: int) -> str:
    """UTC nanoseconds as ``2026-11-20 14:03:22 UTC``."""
    return datetime.fromtimestamp(nanoseconds // 1_000_000_000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def shown(value: str | float | bool | None) -> str:
    """A value as printed: yes/no, thousands apart by a no-break blank, six significant digits; ``—`` for nothing.

    >>> shown(1000), shown(12345).split(), shown(0.5), shown(True), shown(None)
    ('1000', ['12', '345'], '0.5', 'yes', '—')
    """
    match value:
        case None:
            return "—"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}".replace(",", "\N{NO-BREAK SPACE}") if abs(value) >= 10_000 else str(value)
        case float():
            return f"{value:.6g}"
        case _:
            return value


def is_code(text: str) -> bool:
    """Whether the text is a digest or an id, which is set in the mono face."""
    return bool(_CODE.match(text))


def basis_counts(dossier: Dossier) -> dict[Basis, int]:
    """How many facts and tables rest on what."""
    counts = dict.fromkeys(Basis, 0)
    for section in dossier.sections:
        for block in section.blocks:
            if isinstance(block, Facts):
                for fact in block.items:
                    counts[fact.basis] += 1
            elif isinstance(block, Table):
                counts[block.basis] += 1
    return counts


def texts(dossier: Dossier) -> list[str]:
    """Every text a paper prints, to look for characters the fonts lack."""
    found = [dossier.title, dossier.subject, dossier.verdict, dossier.installation, dossier.generator, *dossier.limits]
    for section in dossier.sections:
        found.append(section.title)
        for block in section.blocks:
            match block:
                case Facts(items=items):
                    found += [text for fact in items for text in (fact.label, shown(fact.value), fact.source)]
                case Table():
                    found += [block.caption, *block.columns, *(shown(cell) for row in block.rows for cell in row)]
                case Drawing():
                    found += [block.caption, *(part for triple in (*block.nodes, *block.edges) for part in triple)]
                case Note(text=text):
                    found.append(text)
    return found
