"""The rows' side of an erasure: datasets purged, predictions and cases forgotten, owners of what lies elsewhere asked; each repeatable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from governance.erasure.requests import Erasures
from governance.erasure.scope import ScopeFiles
from governance.erasure.tasks import Tasks
from governance.ports import PredictionStore
from governance.registry import fence
from governance.registry.acts import SYSTEM, act
from governance.registry.datasets import Datasets
from governance.registry.find import bodies, must_find
from governance.workflows.scoping import ELSEWHERE, hold_of
from lineage.errors import StoreUnavailable
from lineage.model import PurgeReport
from lineage.ports import Ledger, LedgerTx

__all__ = ["Purging"]


class Purging:
    """Purges and forgets. ``announce_purge`` emits the purge as a run (old version → new version)."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        erasures: Erasures,
        scopes: ScopeFiles,
        datasets: Datasets,
        predictions: PredictionStore,
        tasks: Tasks,
        announce_purge: Callable[[str, PurgeReport], None],
    ) -> None:
        self._ledger = ledger
        self._erasures = erasures
        self._scopes = scopes
        self._datasets = datasets
        self._predictions = predictions
        self._tasks = tasks
        self._announce_purge = announce_purge

    def purge(self, request: str, asset: Mapping[str, Any]) -> dict[str, Any] | None:
        """Purge one dataset unless it is held; also prove, by decoding every file, that nothing is left."""
        if asset["status"] != "pending" or asset["action"] != "purge" or not self._begun(request, asset["id"]):
            return None
        name = asset["detail"]["dataset"]
        scope = self._scopes.read(request) or {"rows": {}}
        rows = scope["rows"].get(name, [])
        whose = self._datasets.person(self._erasures.record(request)["subject_refs"])
        try:
            report = self._datasets.purge(name, rows, request=request, whose=whose)
        except StoreUnavailable as error:  # this one waits, the others go on; a later round purges it
            self._erasures.set_asset(request, asset["id"], status="waiting", level=None, reason=f"its store is away: {error.message}")
            return None
        self._announce_purge(request, report)
        redacted = self._redacted(request, scope, report)
        deleted = report.rows_deleted - len(report.redacted)
        detail = {
            "rows_deleted": max(deleted, asset["detail"].get("rows_deleted", 0)) or len(rows) - len(redacted),
            "versions_removed": self._tombstones(name, report, asset["detail"].get("versions_removed", ())),
            "new_version": report.new_version.version,
            "residual_rows": report.residual_rows,
            "files_scanned": report.files_scanned,
            "bytes_rewritten": report.bytes_rewritten,
            "new_row_set": report.new_version.row_set.digest,
            "unpurged": report.unpurged,
        }
        if (shared := asset["detail"].get("shared")) and shared["rule"] == "redact":
            columns = sorted({column for listed in redacted.values() for column in listed})
            detail["shared"] = {**shared, "kept": len(redacted), "columns": columns}
        self._erasures.set_asset(request, asset["id"], status="purged", reason=None, detail=detail)
        return {"rows": detail["rows_deleted"], "version": detail["new_version"]}

    def _redacted(self, request: str, scope: Mapping[str, Any], report: PurgeReport) -> dict[str, list[str]]:
        """Row → its emptied columns, of this round and earlier ones: kept beside the frozen rows, to be looked at again at the end."""
        found: dict[str, list[str]] = dict(scope.get("redacted", {}).get(report.dataset, {}))
        found |= {str(row): list(columns) for row, columns in report.redacted}
        if report.redacted:
            self._scopes.write(request, {**scope, "redacted": {**scope.get("redacted", {}), report.dataset: found}})
        return found

    def _begun(self, request: str, asset: str) -> bool:
        """Mark the asset as being worked on, unless it is held: in one transaction, so that a hold comes before it or too late."""
        guard = fence.guard()

        def work(tx: LedgerTx) -> bool:
            guard(tx)
            hold = hold_of({body["asset"]: body for body in bodies(tx, "hold") if body["released_at"] is None}, asset)
            status = {"status": "held", "reason": f"held: {hold['ground']}"} if hold else {"status": "running", "reason": None}
            body = must_find(tx, "erasure", request, what="erasure request")
            assets = [item | status if item["id"] == asset else item for item in body["assets"]]
            if assets != body["assets"]:
                tx.append(act("erasure.asset", actor=SYSTEM, records={("erasure", request): body | {"assets": assets}}))
            return hold is None

        return self._ledger.transact(work)

    def _tombstones(self, name: str, report: PurgeReport, before: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What stays of the versions that were removed, by this round and earlier ones: count and digests."""
        found = {item["version"]: dict(item) for item in before}
        for info in self._datasets.infos(name):
            if info.version in report.versions_removed:
                row_set = {"digest": info.row_set.digest, "count": info.row_set.count}
                found[info.version] = {"version": info.version, "rows": info.rows, "digest": info.digest, "row_set": row_set}
        return [found[version] for version in sorted(found)]

    def forget(self, request: str) -> None:
        """Erase prediction inputs, answers and regression cases of the subject, and its postings in the index."""
        record = self._erasures.record(request)
        scope = self._scopes.read(request) or {"predictions": []}
        held = self._erasures.held()
        wanted = [ident for ident in scope["predictions"] if f"prediction:{ident}" not in held]
        kept = [ident for ident in scope["predictions"] if f"prediction:{ident}" in held]
        chosen = {asset["id"] for asset in record["assets"] if asset["status"] != "retained"}
        if "predictions" not in chosen:
            wanted = []
        if wanted:
            self._predictions.forget(wanted, request=request)
        self._void([asset["id"] for asset in record["assets"] if asset["kind"] == "regression_case"], wanted, request)
        for asset in record["assets"]:
            if asset["kind"] in ELSEWHERE and asset["status"] in ("pending", "asked", "not_reachable"):
                if self._tasks.unasked(record, asset):
                    self._tasks.ask(request, asset["id"])
                continue
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
            elif asset["kind"] == "regression_case":
                case = self._ledger.record("case", asset["id"].removeprefix("case:"))
                waits = bool(case and case[0]["void"] is None)
                self._erasures.set_asset(
                    request,
                    asset["id"],
                    status="held" if waits else "done",
                    level=None if waits else "L1",
                    reason="its prediction is held" if waits else None,
                )
            elif asset["kind"] == "index":
                self._erasures.set_asset(request, asset["id"], status="purged")

    def _void(self, assets: Sequence[str], forgotten: Sequence[str], request: str) -> None:
        void = []
        for asset in assets:
            case = self._ledger.record("case", asset.removeprefix("case:"))
            if case and case[0]["void"] is None and case[0]["prediction"] in forgotten:
                void.append((("case", case[0]["id"]), case[0] | {"void": request}))
        if void:
            self._ledger.append([act("case.void", actor=SYSTEM, records=dict(void), detail={"request": request})])
