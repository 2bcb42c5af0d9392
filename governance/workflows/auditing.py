"""Audits of a model version in the warm audit process, from the version's own code snapshot, on its own committed rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from audits.model import AuditRequest, Production, RegressionCases
from governance.evidence import new_id
from governance.ports import Auditor, Durable, PredictionStore, Steps
from governance.registry.audits import Findings
from governance.registry.committed import read_committed
from governance.registry.datasets import Datasets
from governance.registry.deployments import Deployments
from governance.registry.find import bodies
from governance.registry.models import Models
from governance.registry.operations import Operations
from governance.registry.policies import Policies, Snapshots
from governance.serving.tensors import table_of
from lineage.errors import GovernError
from lineage.ports import Clock, Ledger

__all__ = ["WORKFLOW", "Audits"]

WORKFLOW = "audit"


class Audits:
    """Audits versions and asks the gate. ``config(model)`` is the model's section of ``govern.yaml``."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        clock: Clock,
        models: Models,
        datasets: Datasets,
        policies: Policies,
        snapshots: Snapshots,
        operations: Operations,
        findings: Findings,
        deployments: Deployments,
        predictions: PredictionStore,
        auditor: Auditor,
        engine: Callable[[], Durable],
        announce: Callable[[dict[str, Any], dict[str, Any]], None],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._models = models
        self._datasets = datasets
        self._policies = policies
        self._snapshots = snapshots
        self._operations = operations
        self._findings = findings
        self._deployments = deployments
        self._predictions = predictions
        self._auditor = auditor
        self._engine = engine
        self._announce = announce

    def start(self, model: str, version: str, *, actor: str) -> dict[str, Any]:
        """Enter the operation and start the work."""
        number = self._models.resolve(model, version)["version"]
        ident = new_id(self._clock.now())
        self._operations.queue(ident, "audit", subject=f"{model}@{number}", given={"model": model, "version": number}, actor=actor)
        self._engine().start(WORKFLOW, f"audit:{ident}", ident)
        return {"operation": ident}

    def gate(self, model: str, version: str, *, actor: str) -> dict[str, Any]:
        """The decision over the latest findings."""
        return self._findings.gate(model, version, actor=actor)

    def define(self, engine: Durable) -> None:
        """Name the durable workflow."""
        engine.define(WORKFLOW, self._run)

    def _run(self, steps: Steps, ident: str) -> None:
        given = self._operations.record(ident)["input"]

        def audit() -> dict[str, Any]:
            self._operations.start(ident)
            self._operations.progress(ident, 0, None, "auditing")
            try:
                kept = self.carry_out(given["model"], given["version"])
            except GovernError as error:
                return {"error": {"detail": error.message, "hint": error.hint}}
            verdicts = {item["audit"]: item["verdict"] for item in kept["findings"]}
            return {"result": {"model": given["model"], "version": given["version"], "verdicts": verdicts, "digests": kept["digests"]}}

        outcome = steps.run("audit", audit)
        steps.run("finish", lambda: self._operations.finish(ident, result=outcome.get("result"), error=outcome.get("error")))

    def carry_out(self, model: str, version: int) -> dict[str, Any]:
        """Audit one version now; findings are entered in the ledger."""
        body = self._models.resolve(model, version)
        policy = self._policies.get(body["policy"])
        spec = body["spec"]
        tables = {
            item["role"]: read_committed(self._datasets, item["dataset"], item["version"], item["row_set"]) for item in spec["inputs"]
        }
        request = AuditRequest(
            model=model,
            version=str(version),
            model_digest=body["artifact"]["digest"],
            artifact=str(self._models.living_artifact(body)),
            snapshot=str(self._snapshots.path(spec["code"])),
            spec=spec | {"config": self._models.get(model).get("config") or {}},
            tables=tables,
            config=policy.audits,
            data={item["role"]: f"{item['dataset']}@{item['version']} {item['row_set']}" for item in spec["inputs"]},
            production=self._production(model, version),
            cases=self._cases(model, spec),
            seed=spec["seed"],
        )
        kept = self._findings.keep(model, version, self._auditor.run(request))
        self._announce(body, kept)
        return kept

    def announced(self, model: str, version: int) -> bool:
        """Whether the version was audited; if so its event, which a kill may have cut off, is emitted again, the same one."""
        kept = self._findings.get(model, version)
        if kept["findings"]:
            self._announce(self._models.resolve(model, version), kept)
        return bool(kept["findings"])

    def _production(self, model: str, version: int) -> Production | None:
        serving = self._deployments.active(model)
        if serving is None or serving["version"] == version:
            return None
        body = self._models.resolve(model, serving["version"])
        return Production(
            version=str(body["version"]),
            artifact=str(self._models.living_artifact(body)),
            snapshot=str(self._snapshots.path(body["spec"]["code"])),
            spec=body["spec"],
        )

    def _cases(self, model: str, spec: dict[str, Any]) -> RegressionCases | None:
        import pyarrow as pa

        living = [case for case in bodies(self._ledger, "case") if case["model"] == model and case.get("void") is None]
        rows, kept = [], []
        for case in living:
            prediction = self._predictions.get(case["prediction"])
            rows.append(table_of(json.loads(prediction["inputs"]), spec["features"]))
            kept.append(case)
        if not kept:
            return None
        return RegressionCases(
            ids=tuple(case["id"] for case in kept), table=pa.concat_tables(rows), expected=tuple(case["expect"] for case in kept)
        )
