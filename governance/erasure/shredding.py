"""Destroying an epoch key: the references made under it can then be linked to nobody, by nobody, ever again.

A reference is ``HMAC-SHA256(epoch key, canonical id)``. With the key gone, who knows an identifier cannot make the reference of it, so the
ledger, old requests and papers speak of someone who cannot be named. Nothing is rewritten: every leaf, proof and signature holds as
before. The suppression list has a key of its own and goes on working.

What still has to be found is not shredded: the newest epoch is refused, so is one that an open request needs, under which rows are indexed,
or which alone names the person of a prediction, unless those are to count as predictions about unknown persons from then on.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from governance.erasure.rotation import last_rekeyed
from governance.erasure.states import FINAL
from governance.ports import PredictionStore
from governance.registry.acts import act
from governance.registry.asked import known_under
from governance.registry.datasets import Datasets
from governance.registry.find import bodies
from lineage.errors import BadInput, Conflict, Gone, NotFound
from lineage.ports import KeyStore, Ledger

__all__ = ["Shredding"]

_EPOCH = re.compile(r"epoch-[1-9][0-9]*")
_NAMED = 3
_AGAIN = "govern keys rekey"


class Shredding:
    """Destroys epoch keys."""

    def __init__(self, ledger: Ledger, keys: KeyStore, datasets: Datasets, predictions: PredictionStore) -> None:
        self._ledger = ledger
        self._keys = keys
        self._datasets = datasets
        self._predictions = predictions

    def living(self) -> list[str]:
        """The names of the epoch keys that live, the newest first."""
        return self._keys.living("epoch-")

    def epochs(self) -> dict[str, Any]:
        """The living epochs and what still needs each.

        Returns:
            ``{epochs, use: [{epoch, predictions, requests}], rekeyed}``: predictions whose person only this epoch names, open requests
            that know no newer one; ``rekeyed``: the operation that last brought everything under the newest, with its result.
        """
        living = self.living()
        predictions, requests = Counter[str](), Counter[str]()
        for epoch, _ref, count in self._predictions.named():
            predictions[epoch] += count
        for body in self._open():
            requests[next((epoch for epoch in living if epoch in known_under(body)), "")] += 1
        use = [{"epoch": epoch, "predictions": predictions[epoch], "requests": requests[epoch]} for epoch in living]
        done = last_rekeyed(self._ledger, living[0]) if living else None
        return {"epochs": living, "use": use, "rekeyed": done and {"operation": done["id"], **done["result"]}}

    def destroy(self, name: str, *, actor: str, unlink: bool = False) -> dict[str, Any]:
        """Destroy one epoch key for ever; again gives the same answer. The ledger's entry is durable before the key goes.

        Args:
            name: the epoch.
            actor: who does it.
            unlink: predictions whose person only this epoch names count as predictions about unknown persons from now on.

        Returns:
            ``{epoch, entry, living}``: the entry that says it, and the epochs that are left.

        Raises:
            BadInput: no epoch. NotFound: there never was such a key.
            Conflict: it is the newest one, or something can be found by it alone: a request, rows, predictions.
        """
        if not _EPOCH.fullmatch(name):
            raise BadInput(f"{name[:80]!r} is no epoch", hint="govern keys destroy epoch-1; other keys are not destroyed by hand")
        with self._datasets.still():  # who is about to keep a reference under it keeps it first, and it is found by what follows
            living = self.living()
            if name in living:
                self._must_be_free(name, living, unlink=unlink)
            elif not self._was_destroyed(name):
                raise NotFound(f"there is no key {name}; epochs that live: {', '.join(living) or 'none'}", hint="govern keys epochs")
            said = act("epoch.destroyed", actor=actor, detail={"epoch": name}, identity=f"epoch-destroyed:{name}")
            (entry,) = self._ledger.append([said])
            self._predictions.unlink(name)
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

    def _open(self) -> list[dict[str, Any]]:
        """The open requests that are about a person."""
        return [body for body in bodies(self._ledger, "erasure") if body["state"] not in FINAL and body.get("suppression_ref")]

    def _must_be_free(self, name: str, living: list[str], *, unlink: bool) -> None:
        if name == living[0]:
            raise Conflict(f"{name} is the newest epoch: every new reference is made under it", hint="govern keys rotate epoch")
        waiting = [body["id"] for body in self._open() if self._needs(body, name, living[0])]
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
                    hint=f"re-key them first: {_AGAIN}",
                )
        self._must_be_rekeyed(living[0])
        left = sum(count for epoch, _ref, count in self._predictions.named() if epoch == name)
        if left and not unlink:
            raise Conflict(
                f"{left} prediction record(s) name their person under {name} alone: no later request would find them",
                hint=f"{_AGAIN} finds those whom a dataset names; with --unlink-predictions the others count as of unknown persons",
            )

    def _needs(self, body: dict[str, Any], name: str, newest: str) -> bool:
        """Whether an open request finds something by this epoch only."""
        known = known_under(body)
        if newest not in known:
            return True
        old = [ref for epoch, ref in known.items() if epoch == name]
        return bool(self._datasets.index.lookup(old) or self._predictions.by_subject(old))

    def _must_be_rekeyed(self, newest: str) -> None:
        """What no version can be read of is found by no look at the stores: the re-keying has counted it."""
        done = last_rekeyed(self._ledger, newest)
        if done is None:
            raise Conflict(f"what was indexed before {newest} was not re-keyed yet", hint=_AGAIN)
        stuck = [f"{one['dataset']}: {one['why']}" for one in done["result"]["datasets"] if one["left"] != 0]
        if stuck:
            raise Conflict(f"not everything could be brought under {newest}; {'; '.join(stuck[:_NAMED])}", hint=_AGAIN)
