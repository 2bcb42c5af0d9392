"""What a request would do, how long it would take and what it would cost, told before anyone approves it, and while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from governance.erasure.requests import Erasures
from governance.model import ErasureState as S
from governance.plan import ModelFacts, Schedule, Waiting
from governance.workflows.batching import Batching, waiting_of
from governance.workflows.scoping import waits_for_batch
from lineage.errors import Conflict
from lineage.ports import Clock

__all__ = ["Previews"]

_PLANNED = frozenset(
    {S.IN_REVIEW, S.APPROVED, S.PARTIALLY_APPROVED, S.SUPPRESSED, S.QUEUED, S.EXECUTING, S.VERIFYING, S.AWAITING_DECISION, S.FAILED}
)
_OVER = {S.COMPLETED, S.COMPLETED_PARTIAL}
_SECOND = 1_000_000_000


class Previews:
    """Answers with the plan of one request."""

    def __init__(self, *, erasures: Erasures, batching: Batching, clock: Clock) -> None:
        self._erasures = erasures
        self._batching = batching
        self._clock = clock

    def plan(self, ident: str) -> dict[str, Any]:
        """``{purge, retrain, destroy, notify, retained, nothing, eta, seconds, alerts, …}``; times in UTC nanoseconds.

        Before the approval: as it would be if it were approved now.

        Raises:
            Conflict: the identity is not verified yet, or the request is over: there is nothing to plan.
        """
        record = self._erasures.record(ident)
        if S(record["state"]) not in _PLANNED | _OVER or not record["assets"]:
            raise Conflict(f"erasure request {ident} is {record['state']}: it has no plan", hint=f"govern erasure show {ident}")
        now = self._clock.now()
        one = waiting_of(record) or _as_if_approved(record, now)
        planned = self._batching.schedule(one) if one is not None else Schedule()
        facts = self._batching.facts(frozenset(one.models if one else ()))
        recipes = (record.get("plan") or {}).get("retrain") or []
        listed = [_retrain(planned, facts[name], record["assets"], recipes) for name in sorted(facts)]
        sections = {
            "purge": _of(record["assets"], "purge"),
            "retire": _of(record["assets"], "retire"),
            "destroy": _of(record["assets"], "destroy"),
            "notify": _of(record["assets"], "notify"),
            "review": _of(record["assets"], "review"),
            "retained": _of(record["assets"], "retain"),
        }
        ends = [item["ends_at"] for item in listed]
        return {
            "request": ident,
            "state": record["state"],
            "digest": (record.get("plan") or {}).get("digest"),
            "approved": bool(record.get("approved")),
            "due_at": record["due_at"],
            "eta": record.get("completed_at") if record["state"] in _OVER else max(ends, default=now),
            "in_time": max(ends, default=now) <= record["due_at"],
            "seconds": round(sum(item["seconds"] for item in listed), 1),
            "retrain": listed,
            **sections,
            "nothing": sum(asset["action"] == "none" for asset in record["assets"]),
            "progress": _progress(record["assets"]),
            "alerts": [
                {"kind": alert.kind, "model": alert.model, "detail": alert.detail} for alert in planned.alerts if ident in alert.requests
            ],
        }


def _as_if_approved(record: Mapping[str, Any], now: int) -> Waiting | None:
    models = frozenset(asset["detail"]["model"] for asset in record["assets"] if waits_for_batch(asset))
    if not models or record["state"] != S.IN_REVIEW:
        return None
    return Waiting(id=record["id"], approved_at=now, due_at=record["due_at"], models=models, purged=False)


def _retrain(
    planned: Schedule, facts: ModelFacts, assets: Sequence[Mapping[str, Any]], recipes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    batch = planned.of(facts.model)
    assert batch is not None  # the request names the model
    versions = [asset["detail"] for asset in assets if waits_for_batch(asset) and asset["detail"]["model"] == facts.model]
    numbers = sorted(detail["version"] for detail in versions)
    lead: Mapping[str, Any] = next((one for one in reversed(recipes) if one["model"] == facts.model and one["version"] in numbers), {})
    return {
        "model": facts.model,
        "versions": numbers,
        "strategy": lead.get("strategy"),
        "expected_fraction": lead.get("expected_fraction"),
        "environments": sorted({name for detail in versions for name in detail["environments"]}),
        "at": batch.at,
        "because": batch.because,
        "ends_at": batch.ends_at,
        "with_requests": len(batch.requests) - 1,
        "seconds": round(facts.path / _SECOND, 1),
        "spent_30d_seconds": round(facts.spent / _SECOND, 1),
    }


def _of(assets: Sequence[Mapping[str, Any]], action: str) -> list[dict[str, Any]]:
    chosen = [asset for asset in assets if asset["action"] == action]
    return [
        {"asset": asset["id"], "found": asset["found"], "status": asset["status"], "reason": asset["reason"]}
        | ({"shared": asset["detail"]["shared"]} if "shared" in asset["detail"] else {})
        for asset in chosen
    ]


def _progress(assets: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many of the assets that need work were worked on; purged ones are still to be looked at again."""
    work = [asset for asset in assets if asset["action"] not in ("none", "retain")]
    done = sum(asset["status"] in ("done", "held", "not_reachable", "attested", "retained", "kept") for asset in work)
    return {"done": done, "worked_on": sum(asset["status"] == "purged" for asset in work), "total": len(work)}
