"""Open an incident on a prediction: trace it, hold the model version and the record, keep a regression case; close it and the holds end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from governance.evidence import derived_id, digest_json, new_id
from governance.ports import PredictionStore
from governance.registry.acts import act
from governance.registry.find import bodies, must_find
from lineage.errors import BadInput, Conflict
from lineage.ports import Clock, Ledger, LedgerTx

__all__ = ["Incidents"]

_GROUND = "incident under investigation: the assets are preserved (cf. Regulation (EU) 2024/1689, Article 73(6))"


class Incidents:
    """``trace(prediction)`` answers what made it; ``released(assets)`` is told which holds ended."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        predictions: PredictionStore,
        *,
        trace: Callable[[str], dict[str, Any]],
        released: Callable[[Sequence[str]], Sequence[str]],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._predictions = predictions
        self._trace = trace
        self._released = released

    def open(self, body: Mapping[str, Any], *, actor: str, idempotency: str | None = None) -> dict[str, Any]:
        """Open one; answers ``{id, trace, holds, case, …}``. ``assets`` in the body adds more assets to the hold."""
        prediction, summary = str(body.get("prediction") or ""), str(body.get("summary") or "").strip()
        if not summary:
            raise BadInput("an incident needs a summary", hint="govern incident open --prediction ID --summary …")
        receipt = self._predictions.get(prediction)
        trace = self._trace(prediction)
        now = self._clock.now()
        ident = derived_id("incident", actor, idempotency) if idempotency else new_id(now)
        model, version = receipt["model"], receipt["version"]
        assets = [f"model:{model}@{version}", f"prediction:{prediction}", *[str(asset) for asset in body.get("assets") or ()]]
        holds: list[dict[str, Any]] = [
            {"id": str(derived_id("hold", ident, asset)), "asset": asset, "ground": _GROUND, "incident": ident, "since": now,
             "review_at": now + 30 * 86_400 * 1_000_000_000, "released_at": None}
            for asset in dict.fromkeys(assets)
        ]  # fmt: skip
        case = self._case(ident, receipt, prediction, body.get("expect"), now)
        record = {
            "id": ident, "state": "open", "model": model, "version": version, "prediction": prediction, "summary": summary,
            "expect": case["expect"] if case else None, "opened_at": now, "closed_at": None, "opened_by": actor,
            "holds": [hold["asset"] for hold in holds], "case": case["id"] if case else None, "trace_digest": digest_json(_stable(trace)),
        }  # fmt: skip

        def work(tx: LedgerTx) -> dict[str, Any]:
            found = tx.record("incident", ident)
            if found is not None:
                if found[0]["prediction"] != prediction:
                    raise Conflict("this Idempotency-Key was used for another incident", hint="use a new key for new work")
                return dict(found[0])
            records: dict[tuple[str, str], Mapping[str, Any]] = {("incident", ident): record}
            records |= {("hold", hold["id"]): hold for hold in holds}
            if case:
                records["case", case["id"]] = case
            tx.append(act("incident.opened", actor=actor, records=records))
            return record

        kept = self._ledger.transact(work)
        return kept | {"trace": trace}

    def _case(self, incident: str, receipt: Mapping[str, Any], prediction: str, expect: Any, now: int) -> dict[str, Any] | None:
        if expect in (None, ""):
            return None
        outputs = {item["name"]: item for item in json.loads(receipt["outputs"])["outputs"]}
        if len(outputs["label"]["data"]) != 1:
            raise BadInput("a regression case needs a prediction of one row", hint="ask for the rows one by one")
        classes = outputs["scores"]["parameters"]["classes"].split(",")
        if str(expect) not in classes:
            raise BadInput(f"expect must be one of the model's labels {', '.join(classes)}, not {str(expect)!r}")
        label = expect if outputs["label"]["datatype"] == "BYTES" else int(expect)
        return {
            "id": derived_id("case", incident), "model": receipt["model"], "prediction": prediction, "expect": label, "incident": incident,
            "created_at": now, "void": None,
        }  # fmt: skip

    def list(self) -> dict[str, Any]:
        """Incidents, oldest first."""
        return {"incidents": sorted(bodies(self._ledger, "incident"), key=lambda body: body["opened_at"])}

    def get(self, ident: str) -> dict[str, Any]:
        """One incident with its trace as it is known now."""
        body = must_find(self._ledger, "incident", ident, what="incident")
        return body | {"trace": self._trace(body["prediction"])}

    def paper(self, ident: str) -> dict[str, Any]:
        """The incident as its paper tells it: each hold with its ground and until when."""
        body = self.get(ident)
        holds = [
            {"asset": hold["asset"], "ground": hold["ground"], "until": hold["released_at"] or hold["review_at"]}
            for hold in bodies(self._ledger, "hold")
            if hold["incident"] == ident
        ]
        return body | {"holds": sorted(holds, key=lambda hold: hold["asset"]), "created_at": body["opened_at"]}

    def close(self, ident: str, body: Mapping[str, Any], *, actor: str) -> dict[str, Any]:
        """End the incident and its holds; erasures that waited for them go on. The regression case stays."""
        reason = str(body.get("reason") or "closed")

        def work(tx: LedgerTx) -> tuple[dict[str, Any], list[str]]:
            record = must_find(tx, "incident", ident, what="incident")
            if record["state"] == "closed":
                return record, []
            now = self._clock.now()
            ended = [
                hold | {"released_at": now} for hold in bodies(tx, "hold") if hold["incident"] == ident and hold["released_at"] is None
            ]
            record = record | {"state": "closed", "closed_at": now}
            records: dict[tuple[str, str], Mapping[str, Any]] = {("incident", ident): record}
            records |= {("hold", hold["id"]): hold for hold in ended}
            tx.append(act("incident.closed", actor=actor, records=records, detail={"reason": reason}))
            return record, [hold["asset"] for hold in ended]

        record, assets = self._ledger.transact(work)
        return record | {"resumed": list(self._released(assets))}

    def holds(self) -> dict[str, Any]:
        """Every hold, the living ones first."""
        return {"holds": sorted(bodies(self._ledger, "hold"), key=lambda hold: (hold["released_at"] is not None, hold["since"]))}


def _stable(trace: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a trace answer that does not depend on when it was asked."""
    return {name: trace.get(name) for name in ("model", "run", "datasets", "params", "seed", "code", "environment")}
