"""A rotation's work in durable steps: the key, then each dataset, then the count of what is left; begun again where it stopped.

Each step can be repeated: a key that is there is not made twice, a row that was moved is not moved again.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from governance.erasure.rekey import Rekey
from governance.erasure.rotation import OPERATION
from governance.ports import Durable, Steps
from governance.registry.datasets import Datasets
from governance.registry.operations import Operations
from lineage.errors import GovernError
from lineage.ports import KeyStore

__all__ = ["Rekeying"]


class Rekeying:
    """Carries the operations of :class:`governance.erasure.rotation.Rotation` out."""

    def __init__(self, *, keys: KeyStore, datasets: Datasets, rekey: Rekey, operations: Operations) -> None:
        self._keys = keys
        self._datasets = datasets
        self._rekey = rekey
        self._operations = operations

    def define(self, engine: Durable) -> None:
        """Name the durable workflow."""
        engine.define(OPERATION, self._run)

    def _run(self, steps: Steps, ident: str) -> None:
        try:
            names = steps.run("epoch", partial(self._epoch, ident))
            told = []
            for done, name in enumerate(names):
                self._operations.progress(ident, done, len(names), f"re-keying {name}")
                told.append(steps.run(f"rekey {name}", partial(self._rekey.dataset, name)))
            steps.run("finish", partial(self._finish, ident, told))
        except GovernError as error:
            self._operations.finish(ident, error={"detail": error.message, "hint": error.hint or "govern keys rekey"})

    def _epoch(self, ident: str) -> list[str]:
        """The key, where a kill came before it was made; and the datasets there are. One that is registered later knows no older epoch."""
        given = self._operations.record(ident)["input"]
        self._operations.start(ident)
        if given["make"]:
            self._keys.rotate("epoch", to=given["epoch"])
        return list(self._datasets.names())

    def _finish(self, ident: str, told: list[dict[str, Any]]) -> None:
        self._datasets.references.settle()
        result = {"epoch": self._operations.record(ident)["subject"], "datasets": told, "predictions": self._rekey.predictions()}
        self._operations.finish(ident, result=result)
