"""The erasure itself, in durable steps: purge, retrain, audit, decide, redeploy, destroy, look again, certify.

Every step can be repeated: a purge that is done finds nothing to do, a training has its run id from the request, a deployment its id.
The order of the steps follows from the result of the first; so a restart goes on where the work stopped. One erasure runs at a time in
a home: the scope is searched again at its start, for an earlier one may have replaced the model that was planned for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from governance.erasure.requests import Erasures
from governance.erasure.scope import ScopeFiles, Searcher
from governance.model import ErasureState as S
from governance.plan import asset_to_json, plan_assets
from governance.ports import Durable, PredictionStore, Steps
from governance.registry.acts import SYSTEM, act
from governance.registry.datasets import Datasets
from governance.workflows.successors import Successors
from lineage.errors import GovernError
from lineage.model import PurgeReport
from lineage.ports import Ledger

__all__ = ["WORKFLOW", "Erasing"]

WORKFLOW = "erasure"

_OPEN = ("held", "not_reachable", "kept", "review", "pending")


class Erasing:
    """Carries requests out. ``announce_purge`` emits the purge as a run (old version → new version); ``certify`` makes the paper."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        erasures: Erasures,
        searcher: Searcher,
        scopes: ScopeFiles,
        datasets: Datasets,
        predictions: PredictionStore,
        successors: Successors,
        announce_purge: Callable[[str, PurgeReport], None],
        certify: Callable[[str, Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        self._ledger = ledger
        self._erasures = erasures
        self._searcher = searcher
        self._scopes = scopes
        self._datasets = datasets
        self._predictions = predictions
        self._successors = successors
        self._announce_purge = announce_purge
        self._certify = certify
        self._one_at_a_time = threading.Lock()

    def define(self, engine: Durable) -> None:
        """Name the durable workflow."""
        engine.define(WORKFLOW, self._run)

    def _run(self, steps: Steps, argument: str) -> None:
        request, _, _round = argument.rpartition(".")
        with self._one_at_a_time:
            try:
                self._execute(steps, request)
            except GovernError as error:
                self._fail(request, error)

    def _fail(self, request: str, error: GovernError) -> None:
        state = self._erasures.record(request)["state"]
        if state in (S.QUEUED, S.EXECUTING, S.VERIFYING):
            fields = {"error": {"detail": error.message, "hint": error.hint}}
            self._erasures.change(request, S.FAILED, kind="failed", reason=error.message, fields=fields)

    def _execute(self, steps: Steps, request: str) -> None:
        """The order of the steps. It follows from the result of the first one alone, so that a resumed workflow takes the same way."""
        work = steps.run("begin", lambda: self._begin(request))
        if work["execute"]:
            for asset in [item for item in work["assets"] if item["kind"] == "dataset"]:
                steps.run(f"purge {asset['id']}", partial(self._purge, request, asset))
            steps.run("forget predictions", lambda: self._forget(request))
            for asset in [item for item in work["assets"] if item["kind"] == "model"]:
                self._successors.replace(steps, request, asset)
            if not steps.run("may end", lambda: self._may_end(request)):
                return
        steps.run("verify", lambda: self._verify(request))
        steps.run("certificate", lambda: self._finish(request))

    # ── steps ───────────────────────────────────────────────────────────────────────────────────
    def _begin(self, request: str) -> dict[str, Any]:
        """Search again, freeze what was found beside what was frozen, mark what is held.

        Returns:
            ``{execute, assets}``: the work as it stands now, which the order of all later steps follows.
        """
        record = self._erasures.record(request)
        if record["state"] == S.QUEUED:
            scope, searched = self._searcher.search(record["subject_refs"], frozen=self._scopes.read(request))
            self._scopes.write(request, searched.pop("scope"))
            for name, ids in scope.rows.items():
                if ids:
                    self._datasets.keep_rows(name, ids)
            assets = _renewed(record["assets"], [asset_to_json(asset) for asset in plan_assets(scope)], self._erasures.held())
            fields = {"assets": assets, "searched": searched, "error": None}
            record = self._erasures.change(request, S.EXECUTING, kind="executing", reason="the work began", fields=fields)
        return {"execute": record["state"] == S.EXECUTING, "assets": record["assets"]}

    def _purge(self, request: str, asset: Mapping[str, Any]) -> dict[str, Any] | None:
        """Purge one dataset unless it is held; also prove afterwards, by decoding every file, that nothing is left."""
        if asset["status"] != "pending" or asset["action"] != "purge":
            return None
        name = asset["detail"]["dataset"]
        rows = (self._scopes.read(request) or {"rows": {}})["rows"].get(name, [])
        report = self._datasets.purge(name, rows, request=request)
        self._announce_purge(request, report)
        detail = {
            "rows_deleted": max(report.rows_deleted, asset["detail"].get("rows_deleted", 0)) or len(rows),
            "versions_removed": self._tombstones(name, report, asset["detail"].get("versions_removed", ())),
            "new_version": report.new_version.version,
            "residual_rows": report.residual_rows,
            "files_scanned": report.files_scanned,
            "bytes_rewritten": report.bytes_rewritten,
            "new_row_set": report.new_version.row_set.digest,
            "unpurged": report.unpurged,
        }
        self._erasures.set_asset(request, asset["id"], status="purged", detail=detail)
        return {"rows": detail["rows_deleted"], "version": detail["new_version"]}

    def _tombstones(self, name: str, report: PurgeReport, before: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What stays of the versions that were removed, by this round and earlier ones: count and digests."""
        found = {item["version"]: dict(item) for item in before}
        for info in self._datasets.infos(name):
            if info.version in report.versions_removed:
                row_set = {"digest": info.row_set.digest, "count": info.row_set.count}
                found[info.version] = {"version": info.version, "rows": info.rows, "digest": info.digest, "row_set": row_set}
        return [found[version] for version in sorted(found)]

    def _forget(self, request: str) -> None:
        """Erase prediction inputs, answers and regression cases of the subject, and its postings in the index."""
        record = self._erasures.record(request)
        scope = self._scopes.read(request) or {"predictions": []}
        held = self._erasures.held()
        wanted = [ident for ident in scope["predictions"] if f"prediction:{ident}" not in held]
        kept = [ident for ident in scope["predictions"] if f"prediction:{ident}" in held]
        if "predictions" in {asset["id"] for asset in record["assets"] if asset["status"] == "retained"}:
            wanted = []
        if wanted:
            self._predictions.forget(wanted, request=request)
        void = []
        for asset in [item for item in record["assets"] if item["kind"] == "regression_case"]:
            case = self._ledger.record("case", asset["id"].removeprefix("case:"))
            if case and case[0]["void"] is None and case[0]["prediction"] in wanted:
                void.append((("case", case[0]["id"]), case[0] | {"void": request}))
        if void:
            self._ledger.append([act("case.void", actor=SYSTEM, records=dict(void), detail={"request": request})])
        for asset in record["assets"]:
            if asset["status"] not in ("pending", "held"):
                continue
            if asset["kind"] == "predictions":
                status = "held" if kept else "purged"
                self._erasures.set_asset(
                    request,
                    asset["id"],
                    status=status,
                    reason=f"{len(kept)} record(s) held" if kept else None,
                    detail={"forgotten": len(wanted), "held": len(kept)},  # of all attempts: the last may find nothing left to do
                )
            if asset["kind"] == "regression_case":
                case = self._ledger.record("case", asset["id"].removeprefix("case:"))
                waits = bool(case and case[0]["void"] is None)
                self._erasures.set_asset(
                    request,
                    asset["id"],
                    status="held" if waits else "done",
                    level=None if waits else "L1",
                    reason="its prediction is held" if waits else None,
                )
            if asset["kind"] == "index":
                self._erasures.set_asset(request, asset["id"], status="purged")
            if asset["kind"] not in ("dataset", "index", "predictions", "regression_case", "model") and asset["action"] == "notify":
                self._erasures.set_asset(
                    request, asset["id"], status="not_reachable", reason=f"not_reachable: {asset['detail'].get('reason')}"
                )

    def _may_end(self, request: str) -> bool:
        """False, and the state says so, while a human must decide about a successor."""
        record = self._erasures.record(request)
        waiting = [f"{item['id']}: {item['reason']}" for item in record["assets"] if item["status"] == "awaiting_decision"]
        if not waiting:
            return True
        if record["state"] == S.EXECUTING:
            reason = f"a human decides; {'; '.join(waiting)}"
            self._erasures.change(request, S.AWAITING_DECISION, kind="awaiting", reason=reason)
        return False

    def _verify(self, request: str) -> None:
        """Look again, everywhere: decode every file of each dataset, ask the index and the records, look for the weights on disk."""
        record = self._erasures.record(request)
        if record["state"] == S.EXECUTING:
            record = self._erasures.change(request, S.VERIFYING, kind="verifying", reason="the work is done; everything is looked at again")
        scope = self._scopes.read(request) or {"rows": {}, "predictions": []}
        left = self._datasets.index.lookup(record["subject_refs"])
        for asset in record["assets"]:
            if asset["status"] not in ("purged", "failed"):
                continue
            if asset["kind"] == "dataset":
                name = asset["detail"]["dataset"]
                found, files = self._datasets.residual(name, scope["rows"].get(name, []))
                clean = found == 0 and not left.get(name)
                detail = {"residual_rows": found, "files_scanned": files}
                reason = f"{files} file(s) decoded, none holds the rows" if clean else f"{found} row(s) still found in {files} file(s)"
                kept = asset["detail"].get("unpurged")  # the store cannot remove bytes: what was decoded is not all that there is
                if kept:
                    reason += f"; deleted logically only: {kept}"
                self._erasures.set_asset(
                    request,
                    asset["id"],
                    status="done" if clean else "failed",
                    level="L1" if clean and not kept else "L0",
                    reason=reason,
                    detail=detail,
                )
            elif asset["kind"] == "index":
                held = {
                    item["detail"].get("dataset")
                    for item in record["assets"]
                    if item["kind"] == "dataset" and item["status"] in ("held", "retained")
                }
                stray = sum(len(rows) for name, rows in left.items() if name not in held)
                self._erasures.set_asset(
                    request,
                    asset["id"],
                    status="failed" if stray else "done",
                    level="L0" if stray else "L1",
                    reason=f"{stray} posting(s) left" if stray else None,
                )
            elif asset["kind"] == "predictions":
                stray = self._predictions.residual(scope["predictions"])
                self._erasures.set_asset(
                    request,
                    asset["id"],
                    status="failed" if stray else "done",
                    level="L0" if stray else "L1",
                    reason=f"{stray} record(s) left" if stray else None,
                )
        self._successors.verify(request, scope["rows"])
        unknown = self._predictions.unknown_subjects()
        self._erasures.note(request, kind="verified-again", reason=None, fields={"unknown_subject_predictions": unknown})

    def _finish(self, request: str) -> None:
        """Certify, then complete, or partially, with what stands open named; so whoever sees the end finds the certificate."""
        record = self._erasures.record(request)
        if record["state"] == S.COMPLETED:
            self._scopes.remove(request)
        if record["state"] != S.VERIFYING:
            return
        broken = [item["id"] for item in record["assets"] if item["status"] == "failed"]
        if broken:
            reason = f"something is left in {', '.join(broken)}"
            residue = {"detail": reason, "hint": f"govern erasure decide {request} retry"}
            self._erasures.change(request, S.FAILED, kind="failed", reason=reason, fields={"error": residue})
            return
        opened = [item["id"] for item in record["assets"] if item["status"] in _OPEN]
        state = S.COMPLETED_PARTIAL if opened else S.COMPLETED
        at = record["history"][-1]["at"]
        reason = f"open: {', '.join(opened)}" if opened else "everything that was found is erased"
        history = [*record["history"], {"state": state, "at": at, "actor": SYSTEM, "reason": reason}]
        ended = {"state": state, "completed_at": at, "incomplete": opened, "history": history}
        paper = self._certify(request, ended)
        fields = {"completed_at": ended["completed_at"], "incomplete": opened, "report": paper["id"]}
        self._erasures.change(request, state, kind="completed", reason=reason, fields=fields)
        if not opened:
            self._scopes.remove(request)


def _renewed(
    before: Sequence[Mapping[str, Any]], fresh: Sequence[Mapping[str, Any]], held: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The assets as found now, with what earlier rounds did to them, and what is held marked."""
    known = {item["id"]: item for item in before}
    assets = []
    for found in fresh:
        item = _carried(known.get(found["id"]), found)
        hold = held.get(item["id"]) or held.get(item["id"].split("@")[0])
        if hold and item["status"] in ("pending", "held"):
            item |= {"status": "held", "reason": f"held: {hold['ground']}", "level": None}
        elif item["status"] == "held":
            item |= {"status": "pending", "reason": None}
        assets.append(item)
    stay = {item["id"] for item in assets if item["kind"] == "dataset" and item["status"] == "held"}
    for item in assets:
        _wait_for_rows(item, stay)
    present = {item["id"] for item in assets}
    return assets + [dict(item) for ident, item in known.items() if ident not in present]


def _wait_for_rows(item: dict[str, Any], stay: Collection[str]) -> None:
    """A model whose rows stay, for their dataset is held, is held with it: a successor would rest on the same rows."""
    if item["kind"] != "model" or item["status"] != "pending" or item["action"] != "retrain":
        return
    read = {f"dataset:{name.rpartition('@')[0]}" for name, hits in item["detail"]["inputs"].items() if hits}
    if waits := sorted(read.intersection(stay)):
        reason = f"held with {', '.join(waits)}: a successor would rest on the same rows"
        item |= {"status": "held", "reason": reason, "level": None, "detail": item["detail"] | {"waits_for": waits}}


def _carried(before: Mapping[str, Any] | None, fresh: Mapping[str, Any]) -> dict[str, Any]:
    """The fresh asset, with what an earlier round did to it."""
    if before is None or before["status"] in ("pending", "none") or (before["status"] == "retained" and fresh["action"] == "retain"):
        return dict(fresh)
    kept = {name: before[name] for name in ("action", "status", "level", "reason")}
    if before["status"] == "failed":  # tried again
        kept |= {"status": "pending", "level": None, "reason": None}
        kept |= {"action": "destroy"} if fresh["detail"].get("destroyed") else {}
    elif fresh["detail"].get("destroyed") and before["status"] in ("awaiting_decision", "held", "kept"):
        kept |= {"status": "purged", "reason": "destroyed by another request meanwhile"}
    elif fresh["found"] > before["found"] and before["status"] in ("done", "purged"):  # the subject came back after the purge
        kept |= {name: fresh[name] for name in ("action", "status", "level", "reason")}
    row_set = {"row_set": fresh["detail"]["row_set"]} if "row_set" in fresh["detail"] else {}
    return {**fresh, **kept, "found": max(before["found"], fresh["found"]), "detail": {**fresh["detail"], **before["detail"], **row_set}}
