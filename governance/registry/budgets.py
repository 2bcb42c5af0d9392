"""Privacy budgets: what differentially private trainings may spend on a dataset over its life, reserved before step one, never refunded.

Spends compose sequentially: over several trainings on the same rows the sum of the epsilons bounds the whole
(Dwork & Roth 2014, Theorem 3.16).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from governance.errors import BudgetExceeded
from governance.registry.acts import SYSTEM, act
from governance.registry.find import bodies
from lineage.errors import BadInput
from lineage.ports import Clock, Ledger, LedgerTx
from trainers.model import TrainRecord, TrainSpec

if TYPE_CHECKING:
    from governance.policy import Policy

__all__ = ["Budgets", "lifetime_limit"]


def lifetime_limit(config: Mapping[str, Any], policy: Policy | None) -> dict[str, float] | None:
    """``{epsilon, delta}`` that all private trainings of a model may spend together; ``None`` when nobody set a limit.

    ``budget`` of the model's ``govern.yaml`` wins; without one, ``privacy`` of its policy. A budget without delta limits epsilon alone.

    Raises:
        BadInput: ``budget`` is not an object with an epsilon above 0 and, if at all, a delta above 0.
    """
    declared = config.get("budget")
    if declared is None:
        given = policy.privacy if policy is not None else None
        return {"epsilon": given.lifetime_epsilon, "delta": given.delta} if given is not None else None
    body = {"delta": 1.0, **declared} if isinstance(declared, Mapping) else {}
    if set(body) != {"epsilon", "delta"} or not all(_positive(number) for number in body.values()):
        raise BadInput("budget must be {epsilon: NUMBER, delta: NUMBER} with numbers above 0", hint="govern doctor govern.yaml")
    return {"epsilon": float(body["epsilon"]), "delta": float(body["delta"])}


def _positive(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number) and number > 0


class Budgets:
    """The ledger of spends. ``limit(model, policy digest)`` is the model's lifetime budget, see :func:`lifetime_limit`."""

    def __init__(self, ledger: Ledger, clock: Clock, limit: Callable[[str, str | None], dict[str, float] | None]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._limit = limit

    def check(self, spec: TrainSpec, run_id: str, *, policy: str) -> None:
        """``BudgetExceeded`` when :meth:`reserve` would refuse now. Nothing is written."""
        if spec.privacy is not None:
            self._allow(self._ledger, spec, run_id, self._limit(spec.model, policy))

    def reserve(self, spec: TrainSpec, run_id: str, *, policy: str) -> None:
        """Reserve the whole target of a DP training; ``BudgetExceeded`` when the lifetime budget does not allow it. Idempotent by run."""
        if spec.privacy is None:
            return
        wanted, limit = spec.privacy, self._limit(spec.model, policy)

        def work(tx: LedgerTx) -> None:
            if not self._allow(tx, spec, run_id, limit):
                return
            body = {
                "run_id": run_id, "model": spec.model, "dataset": _dataset(spec), "epsilon": wanted.epsilon, "delta": wanted.delta,
                "unit": wanted.unit, "state": "reserved", "at": self._clock.now(), "policy": policy,
            }  # fmt: skip
            tx.append(act("budget.reserved", actor=SYSTEM, records={("spend", run_id): body}, identity=f"spend:{run_id}"))

        self._ledger.transact(work)

    @staticmethod
    def _allow(source: Ledger | LedgerTx, spec: TrainSpec, run_id: str, limit: Mapping[str, float] | None) -> bool:
        """Whether the run is still to be reserved; it is not when it was before."""
        if spec.privacy is None or source.record("spend", run_id) is not None:
            return False
        wanted, dataset = spec.privacy, _dataset(spec)
        spent = [body for body in bodies(source, "spend") if body["dataset"] == dataset and body["model"] == spec.model]
        epsilon = sum(body["epsilon"] for body in spent) + wanted.epsilon
        delta = sum(body["delta"] for body in spent) + wanted.delta
        if limit is not None and (epsilon > limit["epsilon"] + 1e-9 or delta > limit["delta"] + 1e-15):
            raise BudgetExceeded(
                f"{spec.model} on {dataset}: another ({wanted.epsilon:g}, {wanted.delta:g}) would make ({epsilon:g}, {delta:g}), "
                f"over the lifetime privacy budget ({limit['epsilon']:g}, {limit['delta']:g})",
                hint="govern budget show",
            )
        return True

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
        spends = sorted(bodies(self._ledger, "spend"), key=lambda body: (body["at"], body["run_id"]))
        newest = {body["model"]: body["policy"] for body in spends}
        for body in spends:
            group = groups.setdefault(
                (body["model"], body["dataset"]),
                {
                    "model": body["model"],
                    "dataset": body["dataset"],
                    "epsilon": 0.0,
                    "delta": 0.0,
                    "spends": [],
                    "limit": None,
                },
            )
            group["limit"] = self._limit(body["model"], newest[body["model"]])
            group["epsilon"] += body["epsilon"]
            group["delta"] += body["delta"]
            group["spends"].append(body)
        return {"budgets": [groups[key] for key in sorted(groups)], "composition": "sequential (sum of epsilons and deltas)"}


def _dataset(spec: TrainSpec) -> str:
    """The dataset whose rows are trained on."""
    return next(given.dataset for given in spec.inputs if given.role == "train")
