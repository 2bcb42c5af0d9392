"""Who is suppressed: from the approval of an erasure on, nothing new is done with the person's rows, although they are not purged yet.

Two lists, for two purposes. While the request is open its references find the rows that are still there: trainings leave them out,
predictions about the person are not made. The suppression references stay when the references are gone (24 months by default): with them
rows of the person that come in again are recognised and left out (cf. California Civil Code § 1798.99.86: data brokers must not take a
deleted person in again).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from governance.errors import Suppressed
from governance.registry.find import bodies
from governance.registry.references import steady
from lineage.ports import KeyStore, Ledger, RowIndex
from lineage.rows import suppression_refs

__all__ = ["OPEN", "Suppression"]

OPEN = frozenset(
    {
        "approved",
        "partially_approved",
        "suppressed",
        "queued",
        "executing",
        "verifying",
        "awaiting_decision",
        "failed",
        "completed_partial",
    }
)
"""States of a request in which its subject's rows may still be somewhere, and are not to be used; an approval is needed besides."""


class Suppression:
    """Answers who is suppressed now."""

    def __init__(self, ledger: Ledger, keys: KeyStore, index: RowIndex) -> None:
        self._ledger = ledger
        self._keys = keys
        self._index = index

    def rows(self) -> dict[str, frozenset[int]]:
        """Dataset → the row ids of suppressed persons that are not purged yet."""
        found = steady(self._references, lambda references: self._index.lookup(references) if references else {})
        return {name: frozenset(rows) for name, rows in found.items()}

    def _references(self) -> list[str]:
        return [
            reference
            for body in bodies(self._ledger, "erasure")
            if body["state"] in OPEN and body.get("approved")
            for reference in body["subject_refs"]
        ]

    def listed(self, canonical_ids: Iterable[str]) -> list[bool]:
        """For each identifier whether it stands on the suppression list."""
        known = {ident for ident, _body, _revision in self._ledger.records("suppression")}
        if not known:
            return [False for _ in canonical_ids]
        return [not known.isdisjoint(suppression_refs(self._keys, one)) for one in canonical_ids]

    def refuse(self, canonical_id: str) -> None:
        """Nothing, unless an erasure of the person is approved and not over.

        Raises:
            Suppressed: it is; the message names nobody.
        """
        for reference in suppression_refs(self._keys, canonical_id):
            found = self._ledger.record("suppression", reference)
            request = self._ledger.record("erasure", found[0]["request"]) if found is not None else None
            if request is not None and request[0]["state"] in OPEN:
                raise Suppressed(
                    "the erasure of the person whom this is about was approved: no prediction is made, and none is kept",
                    hint=f"a human answers, without the model; govern erasure show {request[0]['id']}",
                )

    def without(self, dataset: str, row_ids: Sequence[int]) -> list[int]:
        """The rows that may be trained on."""
        away = self.rows().get(dataset, frozenset())
        return [row for row in row_ids if row not in away] if away else list(row_ids)
