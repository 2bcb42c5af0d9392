"""Orders: a dataset and all that descends from it is erased, whoever the rows are about (algorithmic disgorgement).

An order goes the way of any request from the search of its scope on: frozen, previewed, approved by a second key, purged, retrained or
retired, looked at again, certified. What differs is how it begins: no person asks, so no identity is shown; whoever enters it names the
order, its ground and the day by which it has to be carried out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from governance.erasure.records import Records
from governance.evidence import derived_id, new_id
from governance.model import ErasureState as S
from governance.plan import plan, plan_to_json
from governance.registry.acts import act
from lineage.errors import BadInput, Conflict
from lineage.ports import LedgerTx

__all__ = ["MODELS", "ORDER", "Orders"]

ORDER: Final = "ORDER"
"""What stands for the regulation of an order."""
MODELS: Final = ("retrain", "retire")
"""What becomes of models in service: trained again without the rows where rows are left to train on, else retired; or all retired."""
_REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ./:_,()-]{0,199}")
_MOST_WORDS: Final = 1000
_BACKUPS: Final = "Backups of this home are outside what was searched; restoring one must replay the suppression list before it serves"


class Orders(Records):
    """The door through which orders come."""

    def disgorge(self, body: Mapping[str, Any], *, actor: str, idempotency: str | None = None) -> dict[str, Any]:
        """Enter an order, search its scope and freeze it; another key approves it like any request.

        Args:
            body: ``dataset``; ``version``, one of its versions; ``ground``; ``reference``, the order's number; ``due_at``, UTC
                nanoseconds; ``models``, one of :data:`MODELS`; ``dry_run``, to be told the plan and enter nothing.
            actor: who enters it.
            idempotency: the same key is the same order.

        Returns:
            the request; of a dry run ``{order, digest, assets, retrain}``.

        Raises:
            BadInput: no ground, no number, a day that has passed. NotFound: no such dataset or version.
            Conflict: the idempotency key was used for another order.
        """
        now = self._clock.now()
        order = self._order(body, now)
        if body.get("dry_run"):
            scope, _searched = self._searcher.search_order(order)
            planned = plan_to_json(plan("dry-run", scope))
            return {"order": order, "dry_run": True} | planned
        self._searcher.must_have(order)
        ident = derived_id("order", actor, idempotency) if idempotency else new_id(now)
        said = f"order {order['reference']}"
        record = {
            "id": ident, "state": S.SCOPING, "order": order, "regulation": ORDER, "ground": order["ground"], "subject_type": None,
            "subject_refs": [], "suppression_ref": None, "created_at": now, "received_at": now, "clock": said, "due_at": order["due_at"],
            "requested_by": actor, "verified": {"method": said, "verifier": actor, "at": now, "by": actor}, "contact": None,
            "history": [
                {"state": S.RECEIVED, "at": now, "actor": actor, "reason": None},
                {"state": S.VERIFIED, "at": now, "actor": actor, "reason": f"{said}: no person asks, and none is identified"},
                {"state": S.SCOPING, "at": now, "actor": actor, "reason": None},
            ],
            "assets": [], "successors": [], "suspensions": [], "alerts": {}, "notices": [], "backups": _BACKUPS, "round": 0,
        }  # fmt: skip

        def work(tx: LedgerTx) -> bool:
            found = tx.record("erasure", ident)
            if found is None:
                tx.append(act("erasure.ordered", actor=actor, records={("erasure", ident): record}))
            elif found[0].get("order") != order:
                raise Conflict("this Idempotency-Key was used for another order", hint="use a new key for new work")
            return found is None

        if self._ledger.transact(work):
            self._scope(ident)
        return self.get(ident)

    if TYPE_CHECKING:

        def _scope(self, ident: str) -> None:
            """:meth:`governance.erasure.identity.Identity._scope`, of the class that joins both."""

    @staticmethod
    def _order(body: Mapping[str, Any], now: int) -> dict[str, Any]:
        ground, reference = str(body.get("ground") or "").strip(), str(body.get("reference") or "").strip()
        hint = "govern erasure disgorge DATASET --ground … --reference … --due …"
        if not ground or len(ground) > _MOST_WORDS:
            raise BadInput(f"an order has a ground, in at most {_MOST_WORDS} characters that name no person", hint=hint)
        if not _REFERENCE.fullmatch(reference):
            raise BadInput("an order is named by its number: letters, digits, spaces and . / : _ , ( ) - only, at most 200", hint=hint)
        models, due = body.get("models") or MODELS[0], body.get("due_at")
        if models not in MODELS:
            raise BadInput(f"models are {' or '.join(MODELS)}d", hint="--models retire")
        if not isinstance(due, int) or isinstance(due, bool) or due <= now:
            raise BadInput("an order has a day by which it has to be carried out, and it is still to come", hint=hint)
        version = body.get("version")
        return {
            "dataset": str(body.get("dataset") or ""), "version": None if version is None else str(version), "ground": ground,
            "reference": reference, "due_at": due, "models": models,
        }  # fmt: skip
