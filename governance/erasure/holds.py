"""Holds: one asset of a request is kept for now, on a ground, until a day or until someone releases it. Never a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from governance.erasure.records import Records
from governance.erasure.states import FINAL
from governance.evidence import derived_id
from governance.model import ErasureState as S
from governance.registry.acts import SYSTEM, act
from governance.registry.find import bodies, must_find
from lineage.errors import BadInput, Conflict, NotFound
from lineage.ports import LedgerTx

__all__ = ["Holds", "held_by"]

_DONE = ("running", "done", "purged")


class Holds(Records):
    """The doors that set and release holds. A hold is in the ledger before its door answers, and the steps that destroy look for it."""

    def hold(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Hold one asset of the request: ``asset``, ``ground``; ``review_at``, when it is looked at; ``until``, when it ends by itself.

        Raises:
            NotFound: the request has no such asset. BadInput: no ground, or an end that has passed.
            Conflict: the asset is dealt with already.
        """
        asset, ground = str(body.get("asset") or ""), str(body.get("ground") or "").strip()
        hold_id = derived_id("hold", ident, asset)

        def work(tx: LedgerTx) -> None:
            record = must_find(tx, "erasure", ident, what="erasure request")
            now = self._now(record)
            if asset not in {item["id"] for item in record["assets"]}:
                raise NotFound(f"request {ident} has no asset {asset!r}", hint=f"govern erasure show {ident}")
            if not ground:
                raise BadInput("a hold needs its ground", hint=f"govern erasure hold {ident} {asset} --ground …")
            until = body.get("until")
            if until is not None and until <= now:
                raise BadInput("the end of a hold must be still to come", hint="until: a day after today")
            if record["state"] in FINAL or any(item["id"] == asset and item["status"] in _DONE for item in record["assets"]):
                raise Conflict(f"{asset} cannot be held: request {ident} has dealt with it", hint=f"govern erasure show {ident}")
            hold = {
                "id": hold_id,
                "asset": asset,
                "ground": ground,
                "incident": None,
                "request": ident,
                "set_by": actor,
                "since": now,
                "review_at": body.get("review_at"),
                "until": until,
                "released_at": None,
            }
            self._note(
                tx,
                record,
                actor=actor,
                kind="held",
                reason=f"{asset} is held: {ground}",
                beside={("hold", hold_id): hold},
                detail={"asset": asset},
            )

        self._ledger.transact(work)
        return self.get(ident)

    def release(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """Release one held asset of the request: ``asset``, ``reason``. What waited for it is queued again by itself.

        Raises:
            NotFound: the request holds no such asset (a hold of an incident ends with the incident).
        """
        asset = str(body.get("asset") or "")
        self._release(derived_id("hold", ident, asset), ident, asset, actor=actor, reason=str(body.get("reason") or "released"))
        self.resume_released([asset])
        return self.get(ident)

    def _release(self, hold_id: str, ident: str, asset: str, *, actor: str, reason: str) -> None:
        def work(tx: LedgerTx) -> None:
            record = must_find(tx, "erasure", ident, what="erasure request")
            found = tx.record("hold", hold_id)
            if found is None or found[0]["released_at"] is not None:
                raise NotFound(
                    f"request {ident} holds no asset {asset!r}", hint=f"govern erasure show {ident}; GET /api/v1/holds lists all"
                )
            hold = found[0] | {"released_at": self._now(record), "released_by": actor}
            said = f"the hold of {asset} ended: {reason}"
            self._note(tx, record, actor=actor, kind="released", reason=said, beside={("hold", hold_id): hold}, detail={"asset": asset})

        self._ledger.transact(work)

    def resume_released(self, assets: Sequence[str]) -> Sequence[str]:
        """Queue again the requests whose held assets are free now; returns their ids. An asset that another hold protects is not free."""
        held = self.held()
        free = [asset for asset in assets if asset not in held]
        resumed = []
        for record in bodies(self._ledger, "erasure"):
            waiting = [item for item in record["assets"] if item["status"] == "held"]
            if any(held_by(item, free) for item in waiting) and record["state"] == S.COMPLETED_PARTIAL:
                again = record["round"] + 1
                self.change(record["id"], S.QUEUED, kind="resumed", reason="a hold was released", fields={"round": again})
                self._enqueue(record["id"], again)
                resumed.append(record["id"])
        return resumed

    def _sweep_holds(self, now: int) -> tuple[list[str], list[str]]:
        """End the holds whose day has come, and tell once of those to be looked at; returns (assets released, reviews told)."""
        released, told = [], []
        for hold in bodies(self._ledger, "hold"):
            if hold["released_at"] is not None:
                continue
            if hold.get("until") is not None and now >= hold["until"] and hold.get("request"):
                self._release(hold["id"], hold["request"], hold["asset"], actor=SYSTEM, reason="its end has come")
                released.append(hold["asset"])
            elif hold.get("review_at") is not None and now >= hold["review_at"] and not hold.get("told"):
                detail = {"asset": hold["asset"], "request": hold.get("request"), "incident": hold.get("incident")}
                changed = {("hold", hold["id"]): hold | {"told": now}}
                self._ledger.append([act("hold.review-due", actor=SYSTEM, records=changed, detail=detail)])
                told.append(hold["asset"])
        if released:
            self.resume_released(released)
        return released, told


def held_by(item: Mapping[str, Any], assets: Sequence[str]) -> bool:
    """Whether one of the assets whose hold ended is what this asset of a request waits for."""
    if item["kind"] in ("predictions", "regression_case"):
        return any(asset.startswith("prediction:") for asset in assets) or item["id"] in assets
    return (
        item["id"] in assets
        or item["id"].split("@", maxsplit=1)[0] in assets
        or any(asset in assets for asset in item["detail"].get("waits_for", ()))
    )
