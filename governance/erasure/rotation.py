"""A new epoch key: from now on persons are referred to under it, and what lies under older ones is re-keyed as durable work.

The entry in the ledger is durable before the key is there, and names the operation that goes on after a kill. A rotation needs no quiet
hour: rows, predictions and requests may come in meanwhile (:mod:`governance.registry.references` says why none is lost).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from governance.erasure.rekey import Rekey
from governance.evidence import derived_id, new_id
from governance.registry.acts import act
from governance.registry.asked import KIND, OVER
from governance.registry.find import bodies
from governance.registry.operations import Operations
from lineage.errors import Conflict
from lineage.ports import Clock, KeyStore, Ledger, LedgerTx
from lineage.rows import living_epochs

__all__ = ["MADE", "OPERATION", "Rotation", "last_rekeyed", "next_epoch"]

OPERATION: Final = "rekey"
"""Kind of the operation, and of the durable workflow that carries it out."""
MADE: Final = "govern.epoch.made"
"""Kind of the entry that says that an epoch key was made."""
_GOING: Final = ("queued", "running")


def next_epoch(living: str) -> str:
    """The name after the newest living one.

    >>> next_epoch("epoch-9")
    'epoch-10'
    """
    family, _, number = living.rpartition("-")
    return f"{family}-{int(number) + 1}"


def last_rekeyed(ledger: Ledger, epoch: str) -> dict[str, Any] | None:
    """The newest operation that brought everything under an epoch as far as it could; ``None``: none has ended yet."""
    ended = [one for one in bodies(ledger, "operation") if (one["kind"], one["subject"], one["state"]) == (OPERATION, epoch, "done")]
    return max(ended, key=lambda one: (one["ended_at"], one["id"]), default=None)


def _unlisted(tx: LedgerTx) -> dict[tuple[str, str], dict[str, Any]]:
    """Open requests of before it was listed who is asked about: set as they are, the reducer lists them."""
    return {
        ("erasure", body["id"]): body
        for body in bodies(tx, "erasure")
        if body["state"] not in OVER and body.get("suppression_ref") and tx.record(KIND, f"{body['suppression_ref']}/{body['id']}") is None
    }


class Rotation:
    """The doors. ``start(operation)`` begins the durable work."""

    def __init__(self, ledger: Ledger, keys: KeyStore, clock: Clock, *, rekey: Rekey, start: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._keys = keys
        self._clock = clock
        self._rekey = rekey
        self._start = start

    def plan(self) -> dict[str, Any]:
        """What a rotation would do, without doing it: ``{epoch, before, datasets, predictions}`` (:meth:`Rekey.plan`)."""
        before = living_epochs(self._keys)[0]
        return {"epoch": next_epoch(before), "before": before, **self._rekey.plan()}

    def rotate(self, *, actor: str, idempotency: str | None = None) -> dict[str, Any]:
        """Make the next epoch and begin to re-key; the same idempotency key is the same rotation.

        Returns:
            ``{epoch, operation, living}``; the operation's result says what was moved, and what could not be and why.

        Raises:
            Conflict: a rotation or re-keying is under way, or the idempotency key was used for other work.
            NotFound: there is no living epoch key.
        """
        return self._begin(actor, idempotency, make=True)

    def rekey(self, *, actor: str, idempotency: str | None = None) -> dict[str, Any]:
        """Bring under the newest epoch what still lies under older ones: a store that was away is there again. As :meth:`rotate`."""
        return self._begin(actor, idempotency, make=False)

    def _begin(self, actor: str, idempotency: str | None, *, make: bool) -> dict[str, Any]:
        now = self._clock.now()
        ident = derived_id(OPERATION, actor, idempotency) if idempotency else new_id(now)

        def work(tx: LedgerTx) -> tuple[str, bool]:
            found = tx.record("operation", ident)
            if found is not None:
                if found[0]["kind"] != OPERATION or found[0]["input"]["make"] != make:
                    raise Conflict("this Idempotency-Key was used for another request", hint="use a new key for new work")
                return str(found[0]["subject"]), False
            for other in bodies(tx, "operation"):
                if other["kind"] == OPERATION and other["state"] in _GOING:
                    raise Conflict(f"operation {other['id']} brings everything under {other['subject']} now", hint="govern keys epochs")
            newest = living_epochs(self._keys)[0]
            epoch = next_epoch(newest) if make else newest
            body = Operations.body(ident, OPERATION, subject=epoch, given={"epoch": epoch, "make": make}, actor=actor, now=now)
            said = {"epoch": epoch, "before": newest} if make else {"epoch": epoch}
            records = {("operation", ident): body, **_unlisted(tx)}
            tx.append(act("epoch.made" if make else "epoch.rekey", actor=actor, records=records, detail=said))
            return epoch, True

        epoch, fresh = self._ledger.transact(work)
        if make and fresh:  # else it was made, or the work makes it
            self._keys.rotate("epoch", to=epoch)
        self._start(ident)
        return {"epoch": epoch, "operation": ident, "living": living_epochs(self._keys)}
