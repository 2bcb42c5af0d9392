"""The model side of an erasure: retrain without the rows, audit, gate, redeploy, destroy the predecessor; or wait for a human."""

from __future__ import annotations

import contextvars
import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from governance.erasure.absences import Absences
from governance.erasure.requests import Erasures
from governance.erasure.scope import Searcher
from governance.errors import BudgetExceeded, GateRefused, Held, Superseded
from governance.evidence import derived_id, digest_json
from governance.ports import Steps, Trainer
from governance.registry.audits import Findings
from governance.registry.datasets import Datasets
from governance.registry.deployments import Deployments
from governance.registry.models import Models, spec_from_json
from governance.registry.policies import Policies, Snapshots
from governance.workflows.auditing import Audits
from governance.workflows.scoping import hold_of
from governance.workflows.training import Trainings
from lineage.errors import Gone, GovernError
from reports.claims import MOST_PROOFS
from trainers.model import TrainRecord, TrainSpec

__all__ = ["Successors"]


class Successors:
    """Replaces model versions whose committed row sets hold erased rows."""

    def __init__(
        self,
        *,
        erasures: Erasures,
        searcher: Searcher,
        models: Models,
        datasets: Datasets,
        deployments: Deployments,
        policies: Policies,
        snapshots: Snapshots,
        findings: Findings,
        trainings: Trainings,
        audits: Audits,
        trainer: Trainer,
        retire: Callable[[str, int], None],
        scratch: Path,
    ) -> None:
        self._erasures = erasures
        self._searcher = searcher
        self._models = models
        self._datasets = datasets
        self._deployments = deployments
        self._policies = policies
        self._snapshots = snapshots
        self._findings = findings
        self._trainings = trainings
        self._audits = audits
        self._trainer = trainer
        self._retire = retire
        self._scratch = scratch

    # ── one model version, without a training ───────────────────────────────────────────────────
    def settle(self, steps: Steps, request: str, asset: Mapping[str, Any], turn: int) -> None:
        """Do to one model version what needs no training; each part is a durable step that can be repeated."""
        ident, detail = asset["id"], asset["detail"]
        decision = detail.get("decision")
        if asset["status"] == "awaiting_decision" and decision:
            steps.run(f"decided {ident} {turn}", lambda: self._decided(request, ident, detail, decision))
        elif asset["status"] == "pending" and asset["action"] == "review":
            steps.run(f"review {ident} {turn}", lambda: self._unknown_rows(request, ident, detail))
        elif asset["status"] == "pending" and asset["action"] == "retire":
            steps.run(f"retire {ident} {turn}", lambda: self._retired(request, ident, detail))
        elif asset["status"] == "pending" and asset["action"] == "destroy":
            steps.run(
                f"destroy {ident} {turn}", lambda: self._destroy(request, ident, detail, "it was not in service; no successor is needed")
            )

    # ── one recipe of a model, for all requests of a batch ──────────────────────────────────────
    def renew(self, steps: Steps, batch: str, group: Mapping[str, Any]) -> int | None:
        """One successor for all versions of one recipe; answers its number, or ``None`` where a human has to decide.

        Args:
            steps: of the batch's workflow.
            batch: its id.
            group: ``{model, lead, versions: [{version, environments, requests}]}``; the lead's code, parameters and seed are used.
        """
        name = f"{group['model']}@{group['lead']}"
        trained = steps.run(f"train {name}", lambda: self._train(batch, group))
        if trained["version"] is None:
            steps.run(f"wait {name}", lambda: self._wait_all(group, trained, trained["reason"]))
            return None
        steps.run(f"measure {name}", lambda: self._measure(batch, group, trained))
        steps.run(f"release {name}", lambda: self._release_all(group, trained))
        return int(trained["version"])

    def recipe(self, model: str, version: int) -> str:
        """What a retrain of the version would do, whatever the rows: the same digest, the same successor."""
        body = dict(self._models.resolve(model, version)["spec"])
        inputs = [(given["role"], given["dataset"]) for given in body.pop("inputs")]
        return digest_json(body | {"inputs": inputs, "policy": self._models.resolve(model, version)["policy"]})

    def _spec_now(self, model: str, version: int) -> TrainSpec:
        """The version's spec over the datasets as they are now: same code, parameters and seed."""
        spec = spec_from_json(self._models.resolve(model, version)["spec"])
        inputs = []
        for given in spec.inputs:
            info = self._datasets.version(given.dataset, "latest")
            inputs.append(dataclasses.replace(given, version=info.version, row_set=info.row_set.digest, rows=info.rows))
        return dataclasses.replace(spec, inputs=tuple(inputs))

    def _train(self, batch: str, group: Mapping[str, Any]) -> dict[str, Any]:
        model, lead = group["model"], group["lead"]
        before = self._models.resolve(model, lead)
        run_id = derived_id("successor", batch, f"{model}@{lead}")
        requests = sorted({request for one in group["versions"] for request in one["requests"]})
        operation = f"erasure:{requests[0]}" if len(requests) == 1 else f"erasure-batch:{batch}"
        try:
            return self._trainings.carry_out(
                self._spec_now(model, lead), run_id=run_id, policy=before["policy"], operation=operation, predecessor=lead
            )
        except Superseded:
            raise
        except BudgetExceeded as error:
            return {"version": None, "run_id": run_id, "reason": error.message, "status": "REFUSED"}
        except GovernError as error:
            return {"version": None, "run_id": run_id, "reason": error.message, "status": "FAIL"}

    def _measure(self, batch: str, group: Mapping[str, Any], trained: Mapping[str, Any]) -> None:
        """Audit the successor and make it a second time, side by side: neither needs the other."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="reproduce") as beside:
            inside = contextvars.copy_context()  # the token of the batch
            reproduction = beside.submit(inside.run, self._reproduce, batch, group, trained)
            self._audit(group["model"], trained["version"])
            reproduction.result()

    def _audit(self, model: str, version: int) -> None:
        if not self._audits.announced(model, version):
            self._audits.carry_out(model, version)
        self._findings.gate(model, str(version))

    def _reproduce(self, batch: str, group: Mapping[str, Any], trained: Mapping[str, Any]) -> bool | None:
        """A second worker with a home of its own and nothing cached: the same digest, or not; ``None`` when the policy does not ask."""
        body = self._models.resolve(group["model"], trained["version"])
        spec = spec_from_json(body["spec"])
        if spec.privacy is not None or not self._policies.get(body["policy"]).erasure.reproduce:
            return None
        tables = self._trainings.tables(spec)
        # From scratch, whatever shortcut the successor took. Inside the home: weights that a kill leaves there are swept at the next start.
        with tempfile.TemporaryDirectory(prefix="govern-reproduce-", dir=self._scratch) as folder:
            record = self._trainer(
                spec,
                run_id=derived_id("reproduction", batch, body["run_id"]),
                tables=tables,
                snapshot=self._snapshots.path(spec.code),
                artifacts=Path(folder),
                alone=True,
            )
        same = record.artifact is not None and record.artifact.digest == body["artifact"]["digest"]
        for request, _ident, detail in _members(group):
            self._note_successor(request, detail, trained["version"], reproduced=same, reproduction=_second_run(record))
        return same

    def _release_all(self, group: Mapping[str, Any], trained: Mapping[str, Any]) -> None:
        """Redeploy where the predecessors served, if the gate passes; else wait for a human."""
        request, _ident, detail = next(_members(group))
        reason = self._may_not_serve(request, detail, trained["version"])
        if reason is not None:
            self._wait_all(group, trained, reason)
            return
        for request, ident, detail in _members(group):
            self._deploy_and_destroy(request, ident, detail, trained["version"])

    def _may_not_serve(self, request: str, detail: Mapping[str, Any], version: int) -> str | None:
        """Why a successor may not serve: what it took over is not what a training from scratch makes, or its gate says no."""
        if _shortcut(self._models.resolve(detail["model"], version)) and self._reproduced(request, detail, version) is False:
            return "a training from scratch did not make the same weights: what was taken over may not serve"
        return self._gate_says_no(detail["model"], version)

    def _gate_says_no(self, model: str, version: int) -> str | None:
        decision = self._findings.decision(model, version)
        if decision is not None and decision["outcome"] == "pass":
            return None
        gates = (decision or {"gates": []})["gates"]
        blocking = [gate["reason"] for gate in gates if gate["severity"] == "block" and gate["outcome"] != "pass"]
        return "the successor's gate says no: " + "; ".join(blocking)

    def _wait_all(self, group: Mapping[str, Any], trained: Mapping[str, Any], reason: str) -> None:
        for request, ident, detail in _members(group):
            self._wait(request, ident, detail, trained, reason)

    # ── for one request ─────────────────────────────────────────────────────────────────────────
    def _release(self, request: str, ident: str, detail: Mapping[str, Any], trained: Mapping[str, Any]) -> None:
        reason = self._may_not_serve(request, detail, trained["version"])
        if reason is not None:
            self._wait(request, ident, detail, trained, reason)
            return
        self._deploy_and_destroy(request, ident, detail, trained["version"])

    def _reproduced(self, request: str, detail: Mapping[str, Any], version: int) -> bool | None:
        """What the second worker said of a successor."""
        listed = self._erasures.record(request)["successors"]
        return next((one["reproduced"] for one in listed if (one["model"], one["version"]) == (detail["model"], version)), None)

    def _deploy_and_destroy(self, request: str, ident: str, detail: Mapping[str, Any], version: int) -> None:
        body = self._models.resolve(detail["model"], version)
        deployed = []
        try:
            for environment in detail["environments"]:
                # Named by what is replaced, not by the request: requests that share a successor share its deployment.
                made = self._deployments.activate(
                    derived_id("redeploy", ident, str(version), environment), body, environment, reason=f"erasure {request}"
                )
                deployed.append({"id": made["id"], "environment": environment, "active_from": made["active_from"]})
        except (GateRefused, Gone, Held) as error:
            self._wait(request, ident, detail, {"version": version}, error.message)
            return
        self._note_successor(request, detail, version, deployed=deployed)
        self._destroy(request, ident, detail, f"replaced by {detail['model']}@{version}")

    def _destroy(self, request: str, ident: str, detail: Mapping[str, Any], reason: str) -> None:
        self._retire(detail["model"], detail["version"])
        try:
            gone = self._models.destroy(detail["model"], detail["version"], request=request)
        except Held as error:
            self._erasures.set_asset(request, ident, status="held", level=None, reason=f"held: {error.message}")
            return
        self._erasures.set_asset(request, ident, status="purged", reason=reason, detail={"weights_destroyed": gone})

    def _retired(self, request: str, ident: str, detail: Mapping[str, Any]) -> None:
        """Taken out of service everywhere, without a successor, and destroyed."""
        hold = hold_of(self._erasures.held(), ident)
        if hold is not None:
            self._erasures.set_asset(request, ident, status="held", level=None, reason=f"held: {hold['ground']}")
            return
        self._deployments.withdraw(detail["model"], detail["version"], reason=f"erasure {request}: retired")
        self._destroy(request, ident, detail, "retired: taken out of service without a successor, and destroyed")

    def _unknown_rows(self, request: str, ident: str, detail: Mapping[str, Any]) -> None:
        missing = ", ".join(detail["unknown"])
        self._erasures.set_asset(
            request, ident, status="review", reason=f"not_reachable: the committed rows of {missing} are not kept here"
        )

    def _wait(self, request: str, ident: str, detail: Mapping[str, Any], trained: Mapping[str, Any], reason: str) -> None:
        """The predecessor serves or is withdrawn meanwhile, as its policy says."""
        version = trained.get("version")
        if version is not None:
            self._note_successor(request, detail, version)
        before = self._models.resolve(detail["model"], detail["version"])
        policy = self._policies.get(before["policy"]).erasure
        if policy.meanwhile == "withdraw":
            self._deployments.withdraw(detail["model"], detail["version"], reason=f"erasure {request}: no successor that may serve")
        said = {"successor": version, "meanwhile": policy.meanwhile, "keep_until": policy.keep_until_ns}
        self._erasures.set_asset(request, ident, status="awaiting_decision", reason=reason, detail=said)

    def end_of_grace(self, request: str, ident: str, detail: Mapping[str, Any]) -> None:
        """The day until which the predecessor might serve is over, and nobody has decided: it is withdrawn; the decision stays open."""
        self._deployments.withdraw(detail["model"], detail["version"], reason=f"erasure {request}: nobody decided in time")
        self._erasures.set_asset(request, ident, detail={"meanwhile": "withdraw", "keep_until": None})

    def _decided(self, request: str, ident: str, detail: Mapping[str, Any], decision: str) -> None:
        model, version, successor = detail["model"], detail["version"], detail.get("successor")
        if decision == "keep":
            self._erasures.set_asset(
                request, ident, status="kept", level=None, reason="a human decided to keep the predecessor; it still rests on the rows"
            )
        elif decision == "withdraw":
            self._deployments.withdraw(model, version, reason=f"erasure {request}: withdrawn by decision")
            self._destroy(request, ident, detail, "withdrawn from service by decision, and destroyed")
        elif successor is None:
            self._erasures.set_asset(
                request, ident, status="awaiting_decision", reason="there is no successor to release", detail={"decision": None}
            )
        else:
            self._findings.gate(model, str(successor))
            self._release(request, ident, {**detail, "decision": None}, {"version": successor})

    def _note_successor(self, request: str, detail: Mapping[str, Any], version: int, **fields: Any) -> None:
        """Add or update the successor in the request's record."""
        body = self._models.resolve(detail["model"], version)
        trained_on = next(given for given in body["spec"]["inputs"] if given["role"] == "train")
        entry = {
            "model": detail["model"],
            "predecessor": detail["version"],
            "version": version,
            "run_id": body["run_id"],
            "artifact_digest": body["artifact"]["digest"],
            "row_set": {"digest": trained_on["row_set"], "count": trained_on["rows"]},
            "decision": self._findings.decision(detail["model"], version),
            "shortcut": _shortcut(body),
            "from_scratch": _from_scratch(body),
        }
        listed = self._erasures.record(request)["successors"]
        blank: dict[str, Any] = {
            "excluded": None,
            "non_membership": None,
            "reproduced": None,
            "reproduction": None,
            "deployed": [],
            "predecessor_destroyed": False,
        }
        same = ("model", "predecessor", "version")
        old: dict[str, Any] = next((item for item in listed if all(item[name] == entry[name] for name in same)), {})
        merged = {**blank, **old, **entry, **fields}
        others = [item for item in listed if item is not old]
        self._erasures.note(request, kind="successor", reason=None, fields={"successors": [*others, merged]})

    # ── looking again ───────────────────────────────────────────────────────────────────────────
    def verify(self, request: str, rows: Mapping[str, Sequence[int]]) -> None:
        """Prove that each successor's committed row sets hold none of the rows, and that the predecessor's weights are away."""
        record = self._erasures.record(request)
        absent = Absences(self._datasets, most=MOST_PROOFS)
        for successor in record["successors"]:
            body = self._models.resolve(successor["model"], successor["version"])
            absences = [absent.shown(given, rows.get(given["dataset"], ())) for given in body["spec"]["inputs"]]
            self._note_successor(
                request,
                {"model": successor["model"], "version": successor["predecessor"]},
                successor["version"],
                excluded=None not in absences,
                non_membership=[absence for absence in absences if absence],
            )
        record = self._erasures.record(request)
        for asset in record["assets"]:
            if asset["kind"] != "model" or asset["status"] != "purged":
                continue
            detail = asset["detail"]
            predecessor = self._models.resolve(detail["model"], detail["version"])
            digest = predecessor["artifact"]["digest"]
            # the same weights may be those of a version that lives: they stay for it, and it is judged by its own rows
            same = [one for one in self._models.all_versions() if one["artifact"]["digest"] == digest and one["destroyed_at"] is None]
            there = self._models.artifact_path(digest, must_exist=False).exists()
            kept = self._models.checkpoints_path(predecessor["run_id"]).exists()
            away = predecessor["destroyed_at"] is not None and (bool(same) or not there) and not kept
            serving = [
                body for body in self._deployments.list(detail["model"], active=True)["deployments"] if body["version"] == detail["version"]
            ]
            made = next(
                (
                    item
                    for item in record["successors"]
                    if item["predecessor"] == detail["version"] and item["model"] == detail["model"] and item["deployed"]
                ),
                None,
            )
            excluded = made is None or made["excluded"] is True or self._gone(made)
            if not away or serving or not excluded:
                why = (
                    "checkpoints are still on disk"
                    if kept
                    else "weights are still on disk"
                    if not away
                    else "still in service"
                    if serving
                    else "the successor's row set holds an erased row"
                )
                self._erasures.set_asset(request, asset["id"], status="failed", level=None, reason=why)
                continue
            if made is not None:
                self._note_successor(request, detail, made["version"], predecessor_destroyed=True)
            level = "L2" if made is None or made["reproduced"] is not True else "L4" if made.get("shortcut") else "L3"
            named = ", ".join(f"{one['model']}@{one['version']}" for one in same)
            also = {"reason": f"{asset['reason']}; the same weights are also those of {named}"} if same else {}
            self._erasures.set_asset(request, asset["id"], status="done", level=level, **also)

    def _gone(self, made: Mapping[str, Any]) -> bool:
        """Whether the successor was itself destroyed since: what it rested on is of no account then."""
        return self._models.resolve(made["model"], made["version"])["destroyed_at"] is not None


def _shortcut(version: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a successor that was not trained as a whole took over; ``None`` where everything was trained."""
    replayed = version.get("replayed")
    if replayed and replayed["position"]:
        carried = sum(one["position"] <= replayed["position"] for one in replayed["checkpoints"])
        said = ("rows", "epochs", "position", "retrain_fraction", "changed", "expected")
        return {"strategy": version["spec"]["strategy"], "carried": carried} | {name: replayed[name] for name in said}
    done = version.get("retrained")
    if not done or not done["taken_over"]:
        return None
    told = ("constituents", "taken_over", "rows", "rows_trained", "retrain_fraction")
    return {"strategy": version["spec"]["strategy"]} | {name: done[name] for name in told}


def _from_scratch(version: Mapping[str, Any]) -> str | None:
    """Why a successor whose strategy has a shortcut was trained without it; ``None`` where it was taken, or there is none."""
    done = version.get("replayed")
    if not done or done["position"]:
        return None
    return str(done["reason"] or "the first checkpoint already rests on a row that is erased, or changed since")


def _second_run(record: TrainRecord) -> dict[str, Any]:
    """What is kept of a reproduction: that it was a run of its own, and what it made."""
    return {
        "run_id": record.run_id,
        "artifact_digest": record.artifact.digest if record.artifact else None,
        "environment": record.spec.environment,
        "ended_at": record.ended_at,
    }


def _members(group: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(request, asset id, detail) for each request that each version of the group is replaced for."""
    for one in group["versions"]:
        detail = {"model": group["model"], "version": one["version"], "environments": one["environments"]}
        for request in one["requests"]:
            yield request, f"model:{group['model']}@{one['version']}", detail
