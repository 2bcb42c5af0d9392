"""One batch: all requests that wait for a model, one training for each of its recipes, and then each request goes on by itself.

The order of the steps follows from the results of the first two, so that a batch that was killed goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from governance.erasure.requests import Erasures
from governance.errors import Superseded
from governance.model import ErasureState as S
from governance.ports import Durable, Steps
from governance.registry import fence
from governance.registry.acts import SYSTEM, act
from governance.registry.deployments import Deployments
from governance.registry.find import must_find
from governance.workflows.batching import WORKFLOW, Batching
from governance.workflows.erasing import Erasing
from governance.workflows.scoping import waits_for_batch
from governance.workflows.successors import Successors
from lineage.errors import GovernError
from lineage.ports import Clock, Ledger, LedgerTx

__all__ = ["Retraining"]


class Retraining:
    """Carries batches out. ``wake`` plans again: what ended may let another batch begin."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        clock: Clock,
        erasures: Erasures,
        batching: Batching,
        erasing: Erasing,
        successors: Successors,
        deployments: Deployments,
        wake: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._erasures = erasures
        self._batching = batching
        self._erasing = erasing
        self._successors = successors
        self._deployments = deployments
        self._wake = wake

    def define(self, engine: Durable) -> None:
        """Name the durable workflow."""
        engine.define(WORKFLOW, self._run)

    def _run(self, steps: Steps, batch: str) -> None:
        with self._erasing.alone():
            token = fence.take(self._ledger, "batch", batch)
            try:
                with fence.held("batch", batch, token):
                    self._execute(steps, batch)
            except Superseded:
                return  # whoever took it over ends it
            except GovernError as error:
                self._fail(batch, error)
        self._wake()

    def _execute(self, steps: Steps, batch: str) -> None:
        members = steps.run("members", lambda: self._members(batch))
        for request in members:
            self._erasing.rows_again(steps, request)
        groups = steps.run("gather", lambda: self._gather(batch, members))
        made = [self._successors.renew(steps, batch, group) for group in groups["retrain"]]
        for request, asset in groups["destroy"]:
            self._successors.settle(steps, request, asset, 0)
        for request in members:
            self._erasing.go_on(steps, request)
        steps.run("end", lambda: self._end(batch, [number for number in made if number is not None]))

    # ── steps ───────────────────────────────────────────────────────────────────────────────────
    def _members(self, batch: str) -> list[str]:
        """Every request whose rows are gone and that waits for the model now: more may have come than were planned for."""
        body = self._body(batch)
        members = sorted(one.id for one in self._batching.waiting() if one.purged and body["model"] in one.models)
        self._change(batch, requests=members)
        return members

    def _gather(self, batch: str, members: list[str]) -> dict[str, Any]:
        """The versions to be replaced, by recipe, and those that serve nowhere any more: these are destroyed without a successor."""
        model = self._body(batch)["model"]
        live: dict[int, list[str]] = {}
        for body in self._deployments.list(model, active=True)["deployments"]:
            live.setdefault(body["version"], []).append(body["environment"])
        wanted: dict[int, list[str]] = {}
        destroy: list[tuple[str, dict[str, Any]]] = []
        for request in members:
            for asset in self._erasures.record(request)["assets"]:
                if not waits_for_batch(asset) or asset["detail"]["model"] != model:
                    continue
                if asset["detail"]["version"] in live:
                    wanted.setdefault(asset["detail"]["version"], []).append(request)
                else:
                    destroy.append((request, asset | {"action": "destroy"}))
        recipes: dict[str, list[int]] = {}
        for version in sorted(wanted):
            recipes.setdefault(self._successors.recipe(model, version), []).append(version)
        groups = [
            {
                "model": model,
                "lead": versions[-1],
                "versions": [{"version": one, "environments": sorted(live[one]), "requests": wanted[one]} for one in versions],
            }
            for versions in recipes.values()
        ]
        return {"retrain": sorted(groups, key=lambda group: group["lead"]), "destroy": destroy}

    def _end(self, batch: str, successors: list[int]) -> None:
        self._change(batch, state="done", ended_at=self._clock.now(), successors=successors)

    def _fail(self, batch: str, error: GovernError) -> None:
        for request in self._body(batch)["requests"]:
            record = self._erasures.record(request)
            if record["state"] in (S.EXECUTING, S.VERIFYING):
                fields = {"error": {"detail": error.message, "hint": error.hint}}
                self._erasures.change(request, S.FAILED, kind="failed", reason=error.message, fields=fields)
        self._change(batch, state="failed", ended_at=self._clock.now(), reason=error.message)

    # ── the record ──────────────────────────────────────────────────────────────────────────────
    def _body(self, batch: str) -> Mapping[str, Any]:
        return must_find(self._ledger, "batch", batch, what="batch")

    def _change(self, batch: str, **fields: Any) -> None:
        guard = fence.guard()

        def work(tx: LedgerTx) -> None:
            guard(tx)
            body = must_find(tx, "batch", batch, what="batch")
            if any(body[name] != value for name, value in fields.items()) and body["ended_at"] is None:
                changed = body | fields
                kind = {"done": "batch.done", "failed": "batch.failed"}.get(changed["state"], "batch.changed")
                tx.append(act(kind, actor=SYSTEM, records={("batch", batch): changed}))

        self._ledger.transact(work)
