"""Privacy budgets: what differentially private trainings may spend on a dataset over its life, reserved before step one, never refunded.

Spends compose sequentially: over several trainings on the same rows the sum of the epsilons bounds the whole (Dwork & Roth 2014, Theorem 3.16).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from governance.errors import BudgetExceeded
from governance.registry.acts import SYSTEM, act
from governance.registry.find import bodies
from lineage.ports import Clock, Ledger, LedgerTx
from trainers.model import TrainRecord, TrainSpec

__all__ = ["Budgets"]


class Budgets:
    """The ledger of spends. ``limit(model)`` is the model's declared lifetime budget ``{epsilon, delta}``, or ``None``."""

    def __init__(self, ledger: Ledger, clock: Clock, limit: Callable[[str], dict[str, float] | None]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._limit = limit

    def reserve(self, spec: TrainSpec, run_id: str) -> None:
        """Reserve the whole target of a DP training; ``BudgetExceeded`` when the declared budget does not allow it. Idempotent by run."""
        if spec.privacy is None:
            return
        dataset = next(given.dataset for given in spec.inputs if given.role == "train")
        wanted, limit = spec.privacy, self._limit(spec.model)

        def work(tx: LedgerTx) -> None:
            if tx.record("spend", run_id) is not None:
                return
            spent = [body for body in bodies(tx, "spend") if body["dataset"] == dataset and body["model"] == spec.model]
            epsilon = sum(body["epsilon"] for body in spent) + wanted.epsilon
            delta = sum(body["delta"] for body in spent) + wanted.delta
            if limit is not None and (epsilon > limit["epsilon"] + 1e-9 or delta > limit.get("delta", 1.0) + 1e-15):
                raise BudgetExceeded(
                    f"{spec.model} on {dataset}: another ({wanted.epsilon:g}, {wanted.delta:g}) would make ({epsilon:g}, {delta:g}), "
                    f"over the lifetime budget ({limit['epsilon']:g}, {limit.get('delta', 1.0):g})",
                    hint="govern budget show",
                )
            body = {
                "run_id": run_id, "model": spec.model, "dataset": dataset, "epsilon": wanted.epsilon, "delta": wanted.delta, "unit": wanted.unit,
                "state": "reserved", "at": self._clock.now(),
            }  # fmt: skip
            tx.append(act("budget.reserved", actor=SYSTEM, records={("spend", run_id): body}, identity=f"spend:{run_id}"))

        self._ledger.transact(work)

    def settle(self, record: TrainRecord) -> None:
        """Mark the reservation as spent. What was reserved stays reserved in full, also when the accountants say less."""
        found = self._ledger.record("spend", record.run_id)
        if found is not None and found[0]["state"] == "reserved":
            body = found[0] | {"state": "spent"}
            self._ledger.append(
                [act("budget.spent", actor=SYSTEM, records={("spend", record.run_id): body}, identity=f"spent:{record.run_id}")]
            )

    def list(self) -> dict[str, Any]:
        """Each model and dataset with its spends, their sum, and its limit."""
        groups: dict[tuple[str, str], dict[str, Any]] = {}
        for body in bodies(self._ledger, "spend"):
            group = groups.setdefault(
                (body["model"], body["dataset"]),
                {
                    "model": body["model"],
                    "dataset": body["dataset"],
                    "epsilon": 0.0,
                    "delta": 0.0,
                    "spends": [],
                    "limit": self._limit(body["model"]),
                },
            )
            group["epsilon"] += body["epsilon"]
            group["delta"] += body["delta"]
            group["spends"].append(body)
        return {"budgets": [groups[key] for key in sorted(groups)], "composition": "sequential (sum of epsilons and deltas)"}
