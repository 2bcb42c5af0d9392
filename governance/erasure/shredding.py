"""Destroying an epoch key: the references made under it can then be linked to nobody, by nobody, ever again.

A reference is ``HMAC-SHA256(epoch key, canonical id)``. With the key gone, who knows an identifier cannot make the reference of it, so the
ledger, old requests and papers speak of someone who cannot be named. Nothing is rewritten: every leaf, proof and signature holds as
before. The suppression list has a key of its own and goes on working.

What still has to be found is not shredded: the newest epoch is refused, so is one under which requests are open or rows are indexed.
"""

from __future__ import annotations

import re
from typing import Any

from governance.erasure.states import FINAL
from governance.registry.acts import act
from governance.registry.datasets import Datasets
from governance.registry.find import bodies
from lineage.errors import BadInput, Conflict, Gone, NotFound
from lineage.ports import KeyStore, Ledger

__all__ = ["Shredding"]

_EPOCH = re.compile(r"epoch-[1-9][0-9]*")
_NAMED = 3


class Shredding:
    """Destroys epoch keys."""

    def __init__(self, ledger: Ledger, keys: KeyStore, datasets: Datasets) -> None:
        self._ledger = ledger
        self._keys = keys
        self._datasets = datasets

    def living(self) -> list[str]:
        """The names of the epoch keys that live, the newest first."""
        return self._keys.living("epoch-")

    def destroy(self, name: str, *, actor: str) -> dict[str, Any]:
        """Destroy one epoch key for ever; again gives the same answer. The ledger's entry is durable before the key goes.

        Returns:
            ``{epoch, entry, living}``: the entry that says it, and the epochs that are left.

        Raises:
            BadInput: no epoch. NotFound: there never was such a key.
            Conflict: it is the newest one, requests are open under it, or rows are indexed under no newer one.
        """
        if not _EPOCH.fullmatch(name):
            raise BadInput(f"{name[:80]!r} is no epoch", hint="govern keys destroy epoch-1; other keys are not destroyed by hand")
        living = self.living()
        if name in living:
            self._must_be_free(name, living)
        elif not self._was_destroyed(name):
            raise NotFound(f"there is no key {name}; epochs that live: {', '.join(living) or 'none'}", hint="govern keys epochs")
        said = act("epoch.destroyed", actor=actor, detail={"epoch": name}, identity=f"epoch-destroyed:{name}")
        (entry,) = self._ledger.append([said])
        self._keys.destroy(name)
        return {"epoch": name, "entry": entry.index, "living": self.living()}

    def _was_destroyed(self, name: str) -> bool:
        try:
            self._keys.secret(name)
        except Gone:
            return True
        except NotFound:
            return False
        return False

    def _must_be_free(self, name: str, living: list[str]) -> None:
        if name == living[0]:
            raise Conflict(
                f"{name} is the newest epoch: every new reference is made under it",
                hint="there has to be a newer one first, and no command makes one yet; govern keys epochs",
            )
        waiting = [body["id"] for body in bodies(self._ledger, "erasure") if body["state"] not in FINAL]
        if waiting:
            raise Conflict(
                f"{len(waiting)} erasure request(s) are open and may look for somebody under {name}: {', '.join(waiting[:_NAMED])}",
                hint="end them first: govern erasure list",
            )
        for dataset in self._datasets.names():
            lost = self._datasets.indexed_before(dataset)
            if lost:
                raise Conflict(
                    f"{lost} row(s) of {dataset} are indexed under an older epoch than {living[0]}: no later request would find them",
                    hint=f"index them again first: govern dataset scan {dataset} --repair",
                )
