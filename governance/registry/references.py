"""Under which reference a row or a prediction is kept, and how an open request learns the references of a newer epoch.

A reference is made with the newest epoch key. A request holds those of the epochs that lived on its day and no identifier, so after a
rotation it would not find what comes in under the new one. What comes in names its person, and so can be told by the suppression key,
which has no epochs: before a row is indexed, each open request about its person is given the reference under the new epoch, in one
transaction.

Why none is missed: whoever indexes first reads which epoch is newest and then looks for open requests inside a transaction of the ledger;
a request takes its references inside its own. Transactions come one after the other, so a request that does not know the epoch is there
when it is looked for. Hence, while an epoch lives, *every request that is open when something is indexed under the epoch knows it*.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any, TypeVar

from governance.registry.acts import SYSTEM, act
from governance.registry.asked import FIRST_EPOCH, KIND, known_under
from governance.registry.gate import Gate
from lineage.ports import KeyStore, Ledger, LedgerTx
from lineage.rows import living_epochs, refs_by_epoch, refs_under, suppression_refs

__all__ = ["References", "steady"]

R = TypeVar("R")
A = TypeVar("A")

_FEW = 16
"""Persons whose open requests are looked up one by one; for more, the open requests are listed."""


class References:
    """Makes references for what is written now. ``gate`` holds as far as references are kept: one process, or a whole home."""

    def __init__(self, ledger: Ledger, keys: KeyStore, gate: Gate | None = None) -> None:
        self._ledger = ledger
        self._keys = keys
        self._gate = gate or Gate()
        self._settled: set[str] = set()

    def newest(self, canonicals: Collection[str]) -> tuple[str, list[str]]:
        """The newest epoch and the reference of each person under it, once each open request about one of them knows it too.

        Raises:
            NotFound: there is no living epoch key. StoreUnavailable: the ledger cannot be written.
        """
        epoch = living_epochs(self._keys)[0]
        self.carry(canonicals, epoch)
        return epoch, refs_under(self._keys, epoch, canonicals)

    def carry(self, canonicals: Collection[str], epoch: str) -> int:
        """Give each open request about one of the persons its references under the living epochs; returns how many learned one.

        Args:
            canonicals: identifiers, held in memory only.
            epoch: what a request that knows it needs nothing for.
        """
        if epoch == FIRST_EPOCH or epoch in self._settled:
            return 0
        if len(canonicals) <= _FEW:
            persons = {ref: one for one in canonicals for ref in suppression_refs(self._keys, one)}
            waiting = self._ledger.transact(lambda tx: _lacking(tx, epoch, persons)) if persons else set()
        else:
            waiting = self._ledger.transact(lambda tx: _lacking(tx, epoch, None))
            persons = {} if not waiting else {ref: one for one in canonicals for ref in suppression_refs(self._keys, one) if ref in waiting}
        told = {ref: persons[ref] for ref in waiting if ref in persons}
        return self._ledger.transact(lambda tx: self._tell(tx, told)) if told else 0

    def settle(self) -> bool:
        """Whether every open request knows the newest epoch: then every later one does, and nobody has to be looked for any more."""
        epoch = living_epochs(self._keys)[0]
        if epoch not in self._settled and not self._ledger.transact(lambda tx: _lacking(tx, epoch, None)):
            self._settled.add(epoch)
        return epoch in self._settled

    def unsettle(self) -> None:
        """Requests came from elsewhere (a restore), which may know older epochs only."""
        self._settled.clear()

    def in_use(self) -> AbstractContextManager[None]:
        """From before a reference is made until it is kept: no epoch key is destroyed meanwhile."""
        return self._gate.inside()

    def unused(self) -> AbstractContextManager[None]:
        """Nobody is about to keep a reference."""
        return self._gate.alone()

    def _tell(self, tx: LedgerTx, persons: Mapping[str, str]) -> int:
        told = 0
        for ref, canonical in persons.items():
            fresh = refs_by_epoch(self._keys, canonical)
            for _ident, open_, _revision in tx.records(KIND, prefix=f"{ref}/"):
                found = tx.record("erasure", open_["request"])
                if found is None or fresh.keys() <= set(open_["epochs"]):
                    continue
                body: dict[str, Any] = found[0]
                known = fresh | {epoch: one for epoch, one in known_under(body).items() if epoch not in fresh}
                changed = body | {"subject_refs": list(known.values()), "epochs": list(known)}
                learned = [epoch for epoch in fresh if epoch not in open_["epochs"]]
                tx.append(act("erasure.carried", actor=SYSTEM, records={("erasure", body["id"]): changed}, detail={"epochs": learned}))
                told += 1
        return told


def _lacking(tx: LedgerTx, epoch: str, persons: Iterable[str] | None) -> set[str]:
    """The suppression references about which a request is open that does not know the epoch; among some, or among all."""
    listed: Iterator[Any] = (
        iter(tx.records(KIND)) if persons is None else chain.from_iterable(tx.records(KIND, prefix=f"{ref}/") for ref in persons)
    )
    return {ident.partition("/")[0] for ident, open_, _revision in listed if epoch not in open_["epochs"]}


def steady(read: Callable[[], R], look: Callable[[R], A]) -> A:
    """What ``look`` finds by references that were the same before and after it.

    Who moves rows from an old reference to a new one tells the requests about it first. So what was not found because it was moved
    meanwhile is looked for again, under the reference that the request has learned.
    """
    before = read()
    while True:
        found = look(before)
        after = read()
        if after == before:
            return found
        before = after
