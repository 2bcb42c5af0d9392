"""What lies under old epochs is brought under the newest one, as far as somebody's identifier is still at hand.

A reference cannot be turned into another: it is a keyed hash. But the stores of rows still name their persons, so old and new reference of
each can be made side by side and one put in place of the other: in the row index, tombstoned versions included, and in the prediction
records. What is left is counted with the reason: rows that no readable version holds any more, predictions about persons whom no dataset
names, a store that is away. For these the old key has to live on, or somebody decides otherwise.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from governance.ports import PredictionStore
from governance.registry.acts import SYSTEM
from governance.registry.datasets import Datasets
from lineage.errors import GovernError
from lineage.ports import KeyStore
from lineage.rows import living_epochs, refs_under

__all__ = ["Rekey", "why_left"]


def why_left(rows: int, epochs: Collection[str]) -> str | None:
    """Why rows of an index stay under old references, in words; ``None`` where none do."""
    if not rows:
        return None
    older = " and ".join(epochs) or "an epoch that was destroyed"
    return f"{rows} row(s) that the index knows are held by no version that can be read: nobody's identifier is at hand, {older} finds them"


class Rekey:
    """Re-keys the index of one dataset, and the predictions about its persons. Each can be repeated, and then changes nothing."""

    def __init__(self, keys: KeyStore, datasets: Datasets, predictions: PredictionStore) -> None:
        self._keys = keys
        self._datasets = datasets
        self._predictions = predictions

    def dataset(self, name: str) -> dict[str, Any]:
        """Bring one dataset under the newest epoch; requests that are open learn it first.

        Returns:
            ``{dataset, moved, predictions, left, why}``: rows of persons that were moved, prediction records that were, rows that
            were not, and the reason; ``left`` is ``None`` where nothing could be looked at.
        """
        try:
            return self._dataset(name)
        except GovernError as error:  # a store that is away, or a value that is no identifier: this one is told, the others go on
            return {"dataset": name, "moved": 0, "predictions": 0, "left": None, "why": error.message}

    def predictions(self) -> dict[str, Any]:
        """Prediction records that only an older epoch names a person for: ``{left, why}``."""
        newest = living_epochs(self._keys)[0]
        left = sum(count for epoch, _ref, count in self._predictions.named() if epoch != newest)
        why = f"{left} prediction record(s) are about persons whom no dataset names: nobody's identifier is at hand" if left else None
        return {"left": left, "why": why}

    def plan(self) -> dict[str, Any]:
        """What a re-keying would do, without doing it.

        Returns:
            ``{datasets: [{dataset, persons, rows, unreadable, why}], predictions: {named, unknown}}``: ``unreadable`` counts rows that
            the index knows and no readable version holds, ``unknown`` the predictions about persons whom no dataset names.
        """
        known: set[str] = set()
        listed: list[dict[str, Any]] = []
        for name in self._datasets.names():
            try:
                persons = self._datasets.persons(name)
                rows, unreadable = self._datasets.coverage(name)
            except GovernError as error:
                listed.append({"dataset": name, "persons": None, "rows": None, "unreadable": None, "why": error.message})
                continue
            for epoch in living_epochs(self._keys):
                known.update(refs_under(self._keys, epoch, persons))
            why = why_left(unreadable, [living_epochs(self._keys)[0]])
            listed.append({"dataset": name, "persons": len(persons), "rows": rows, "unreadable": unreadable, "why": why})
        named = self._predictions.named()
        unknown = sum(count for _epoch, ref, count in named if ref not in known)
        return {"datasets": listed, "predictions": {"named": sum(count for *_, count in named), "unknown": unknown}}

    # ── inside ──────────────────────────────────────────────────────────────────────────────────
    def _dataset(self, name: str) -> dict[str, Any]:
        if not self._datasets.infos(name):
            return {"dataset": name, "moved": 0, "predictions": 0, "left": 0, "why": None}
        persons = self._datasets.persons(name)
        epoch, *older = living_epochs(self._keys)
        self._datasets.references.carry(persons, epoch)  # before a row is moved, or a request that is open would lose sight of it
        moves = self._moves(persons)
        moved, left = self._datasets.rekey(name, moves.items())
        told = self._predictions.rekey(moves, epoch=epoch)
        if left:  # rows of an older state, whose persons another dataset may still name
            everybody = {person for other in self._datasets.names() for person in self._datasets.persons(other)}
            more, left = self._datasets.rekey(name, self._moves(everybody).items())
            moved += more
        if lost := self._datasets.indexed_before(name):  # the old key is gone, or two persons had one reference under its rules
            self._datasets.write(name, None, mode="replace", key=None, actor=SYSTEM, repair=True)
            moved += lost
            left = self._datasets.rekey(name, self._moves(persons).items())[1]
        return {"dataset": name, "moved": moved, "predictions": told, "left": left, "why": why_left(left, older)}

    def _moves(self, persons: Collection[str]) -> dict[str, str]:
        """Old reference → new one, under every older epoch that lives; the new ones stand for themselves, so that they are not left over.

        Two persons whom older rules spelled alike had one reference: nobody can say whose a row is from it alone, so it is not moved.
        """
        epoch, *older = living_epochs(self._keys)
        listed = list(persons)
        new = refs_under(self._keys, epoch, listed)
        moves = dict(zip(new, new, strict=True))
        several: set[str] = set()
        for old in older:
            for before, after in zip(refs_under(self._keys, old, listed), new, strict=True):
                if moves.setdefault(before, after) != after:
                    several.add(before)
        return {before: after for before, after in moves.items() if before not in several}
