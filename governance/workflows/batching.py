"""The planner's shell: what the ledger says goes in, batches that are due are entered and started, and the next moment comes out."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from governance.erasure.requests import Erasures
from governance.evidence import new_id
from governance.model import ErasureState as S
from governance.plan import Alert, Batch, ModelFacts, Recent, Rules, Running, Schedule, Waiting, path_of, schedule
from governance.plan.paths import MONTH, spent_since
from governance.ports import Durable
from governance.registry.acts import SYSTEM, act
from governance.registry.find import bodies
from governance.registry.models import Models
from governance.registry.policies import Policies
from governance.workflows.scoping import waits_for_batch
from lineage.ports import Clock, Ledger, LedgerTx

__all__ = ["WORKFLOW", "Batching", "waiting_of"]

WORKFLOW = "erasure-batch"

_WAITING = frozenset({S.APPROVED, S.PARTIALLY_APPROVED, S.SUPPRESSED, S.QUEUED, S.EXECUTING})


def waiting_of(record: Mapping[str, Any]) -> Waiting | None:
    """The request as the planner sees it, or ``None``: an unverified or unapproved one plans nothing, whatever it says."""
    approved = record.get("approved")
    if record["state"] not in _WAITING or not record.get("verified") or not approved:
        return None
    models = frozenset(asset["detail"]["model"] for asset in record["assets"] if waits_for_batch(asset))
    if not models:
        return None
    return Waiting(
        id=record["id"],
        approved_at=approved["at"],
        due_at=record["due_at"],
        models=models,
        purged=record["state"] == S.EXECUTING and record.get("purged_at") is not None,
        urgent=_decided(record),
    )


def _decided(record: Mapping[str, Any]) -> bool:
    """Whether a human sent the request on in its present round; what the home does by itself keeps to cadence and interval."""
    queued = [step["actor"] for step in record["history"] if step["state"] == S.QUEUED]
    return record["round"] > 1 and bool(queued) and queued[-1] != SYSTEM


class Batching:
    """Plans batches from the ledger's records and starts those that are due. All that it knows is there: a restart loses nothing."""

    def __init__(self, *, ledger: Ledger, clock: Clock, erasures: Erasures, models: Models, policies: Policies) -> None:
        self._ledger = ledger
        self._clock = clock
        self._erasures = erasures
        self._models = models
        self._policies = policies
        self._planning = threading.Lock()

    # ── looking ─────────────────────────────────────────────────────────────────────────────────
    def waiting(self) -> list[Waiting]:
        """Every approved request some models of which wait for a batch."""
        found = (waiting_of(record) for record in bodies(self._ledger, "erasure"))
        return [one for one in found if one is not None]

    def facts(self, names: frozenset[str]) -> dict[str, ModelFacts]:
        """What the planner must know of these models."""
        now = self._clock.now()
        batches: dict[str, list[dict[str, Any]]] = {}
        for body in bodies(self._ledger, "batch"):
            batches.setdefault(body["model"], []).append(body)
        return {name: self._of(name, batches.get(name, []), now) for name in sorted(names)}

    def _of(self, name: str, batches: list[dict[str, Any]], now: int) -> ModelFacts:
        versions = bodies(self._ledger, "version", prefix=f"{name}@")
        ended = [Recent(started_at=one["started_at"], ended_at=one["ended_at"]) for one in batches if one["ended_at"] is not None]
        running = [one["started_at"] for one in batches if one["ended_at"] is None]
        path = path_of(ended, [version["ended_at"] - version["started_at"] for version in versions])
        return ModelFacts(
            model=name,
            path=max(1, path.ns),
            rules=self._rules(versions),
            last_at=max((one["started_at"] for one in batches), default=None),
            running=Running(started_at=max(running)) if running else None,
            spent=spent_since(ended, now - MONTH),
        )

    def _rules(self, versions: list[dict[str, Any]]) -> Rules:
        """Those of the policy under which the newest living version was trained."""
        living = [version for version in versions if version["destroyed_at"] is None]
        if not living:
            return Rules()
        policy = self._policies.get(living[-1]["policy"]).erasure
        return Rules(cadence=policy.cadence_ns, least_interval=policy.min_interval_ns, cost_cap=policy.cost_cap_ns)

    def schedule(self, more: Waiting | None = None) -> Schedule:
        """The plan as it stands; with ``more``, as it would stand with one more request."""
        waiting = [one for one in self.waiting() if more is None or one.id != more.id] + ([more] if more else [])
        names = frozenset(name for one in waiting for name in one.models)
        return schedule(self._clock.now(), waiting, self.facts(names))

    # ── acting ──────────────────────────────────────────────────────────────────────────────────
    def wake(self, engine: Durable) -> int | None:
        """Plan, start what is due, say on each request when it is expected to end, enter what a human must know.

        Returns:
            the moment at which to wake again, or ``None``: when something changes.
        """
        with self._planning:
            planned = self.schedule()
            for batch in planned.batches:
                ident = self._enter(batch) if batch.ready else None
                if ident is not None:
                    engine.start(WORKFLOW, f"{WORKFLOW}:{ident}", ident)
            self._tell(planned)
            for alert in planned.alerts:
                self._alert(alert)
        return planned.wake_at

    def resume(self, engine: Durable) -> None:
        """Start the batches that were entered and have not ended; what runs or has run under the same id is not started again."""
        for body in bodies(self._ledger, "batch"):
            if body["ended_at"] is None:
                engine.start(WORKFLOW, f"{WORKFLOW}:{body['id']}", body["id"])

    def _enter(self, batch: Batch) -> str | None:
        """The id of the new batch; ``None`` when one of the model runs: two processes may have planned at the same moment."""
        now = self._clock.now()
        ident = new_id(now)
        body = {
            "id": ident, "model": batch.model, "state": "running", "requests": list(batch.requests), "because": batch.because,
            "created_at": now, "started_at": now, "ended_at": None, "fence": 0, "successors": [], "reason": None,
        }  # fmt: skip

        def work(tx: LedgerTx) -> str | None:
            if any(other["model"] == batch.model and other["ended_at"] is None for other in bodies(tx, "batch")):
                return None
            tx.append(act("batch.started", actor=SYSTEM, records={("batch", ident): body}))
            return ident

        return self._ledger.transact(work)

    def _tell(self, planned: Schedule) -> None:
        """Write on each request which model waits until when; written only where it changed."""
        of: dict[str, dict[str, Any]] = {}
        for batch in planned.batches:
            for request in batch.requests:
                told = of.setdefault(request, {"models": {}, "eta": 0})
                told["models"][batch.model] = {"at": batch.at, "because": batch.because}
                told["eta"] = max(told["eta"], batch.ends_at)
        for request, told in of.items():
            before = self._erasures.record(request).get("schedule")
            if before is None or not _same_plan(before, told):
                self._erasures.note(request, kind="scheduled", reason=None, fields={"schedule": told})

    def _alert(self, alert: Alert) -> None:
        """One entry for each kind of alert, model and set of requests."""
        said = {"kind": alert.kind, "model": alert.model, "requests": list(alert.requests), "detail": alert.detail}
        identity = f"erasure-alert:{alert.kind}:{alert.model}:{','.join(alert.requests)}"
        self._ledger.append([act("batch.alert", actor=SYSTEM, detail={"alerts": [said]}, identity=identity)])


def _same_plan(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether nothing changed that is worth an entry: a batch that is due at once is due at another nanosecond at each look."""
    if before["models"].keys() != now["models"].keys():
        return False
    return all(
        before["models"][name]["because"] == one["because"] and (one["because"] == "at once" or before["models"][name]["at"] == one["at"])
        for name, one in now["models"].items()
    )
