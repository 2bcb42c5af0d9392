"""Receipts of predictions, without inputs or persons."""

from __future__ import annotations

import json
from typing import Any

from governance.ports import PredictionStore
from governance.registry.answers import Answers

__all__ = ["PredictionDoor"]


class PredictionDoor:
    """Receipts, without inputs or persons."""

    def __init__(self, store: PredictionStore, answers: Answers) -> None:
        self._store = store
        self._answers = answers

    def get(self, ident: str) -> dict[str, Any]:
        """The receipt of a prediction."""
        body = self._store.get(ident)
        shown = {name: body.get(name) for name in ("id", "at", "deployment", "model", "version")}
        return shown | {"subject_known": body.get("subject_ref") is not None, "outputs": json.loads(body["outputs"])["outputs"]}

    def trace(self, ident: str) -> dict[str, Any]:
        """What made it."""
        return self._answers.trace(prediction=ident)
