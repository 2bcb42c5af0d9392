"""The end of an erasure: everything is looked at again, then certified, then said to be over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from governance.erasure.requests import Erasures
from governance.erasure.scope import ScopeFiles
from governance.model import ErasureState as S
from governance.ports import PredictionStore
from governance.registry.acts import SYSTEM
from governance.registry.datasets import Datasets
from governance.workflows.scoping import Scoping
from governance.workflows.successors import Successors

__all__ = ["Verifying"]

_OPEN = ("held", "not_reachable", "asked", "kept", "review", "pending", "waiting", "running")


class Verifying:
    """Looks again and ends a request; ``certify`` makes the paper."""

    def __init__(
        self,
        *,
        erasures: Erasures,
        scoping: Scoping,
        scopes: ScopeFiles,
        datasets: Datasets,
        predictions: PredictionStore,
        successors: Successors,
        certify: Callable[[str, Mapping[str, Any]], dict[str, Any]],
    ) -> None:
        self._erasures = erasures
        self._scoping = scoping
        self._scopes = scopes
        self._datasets = datasets
        self._predictions = predictions
        self._successors = successors
        self._certify = certify

    def may_end(self, request: str) -> bool:
        """False, and the state says so, while a human must decide about a successor."""
        record = self._erasures.record(request)
        waiting = [f"{item['id']}: {item['reason']}" for item in record["assets"] if item["status"] == "awaiting_decision"]
        if not waiting:
            return True
        if record["state"] == S.EXECUTING:
            reason = f"a human decides; {'; '.join(waiting)}"
            self._erasures.change(request, S.AWAITING_DECISION, kind="awaiting", reason=reason)
        return False

    def verify(self, request: str) -> None:
        """Look again, everywhere: decode every file of each dataset, ask the index and the records, look for the weights on disk."""
        record = self._erasures.record(request)
        if record["state"] == S.EXECUTING:
            reason = "the work is done; everything is looked at again"
            gone = {"gone_from": self._erasures.entries()}
            record = self._erasures.change(request, S.VERIFYING, kind="verifying", reason=reason, fields=gone)
        scope = self._scopes.read(request) or {"rows": {}, "predictions": []}
        left = self._left(request, record, scope)
        for asset in record["assets"]:
            if asset["status"] not in ("purged", "failed"):
                continue
            if asset["kind"] == "dataset":
                self._dataset(request, asset, scope, left)
            elif asset["kind"] == "index":
                stays = {
                    item["detail"].get("dataset")
                    for item in record["assets"]
                    if item["kind"] == "dataset" and item["status"] in ("held", "waiting", "retained")
                }
                stray = sum(len(rows) for name, rows in left.items() if name not in stays)
                self._judged(request, asset["id"], stray, "posting(s)")
            elif asset["kind"] == "predictions":
                self._judged(request, asset["id"], self._predictions.residual(scope["predictions"]), "record(s)")
        self._successors.verify(request, scope["rows"])
        unknown = self._predictions.unknown_subjects()
        late = self._scoping.late(request) if record.get("approved") else []
        fields: dict[str, Any] = {"unknown_subject_predictions": unknown}
        if late:
            fields["error"] = {"detail": f"found at the end: {', '.join(late)}", "hint": f"govern erasure decide {request} retry"}
        self._erasures.note(request, kind="verified-again", reason=None, fields=fields)

    def _dataset(self, request: str, asset: Mapping[str, Any], scope: Mapping[str, Any], left: Mapping[str, Any]) -> None:
        name = asset["detail"]["dataset"]
        found, files = self._datasets.residual(name, scope["rows"].get(name, []))
        clean = found == 0 and not left.get(name)
        detail: dict[str, Any] = {"residual_rows": found, "files_scanned": files}
        reason = f"{files} file(s) decoded, none holds the rows" if clean else f"{found} row(s) still found in {files} file(s)"
        if redacted := scope.get("redacted", {}).get(name):
            columns = {int(row): listed for row, listed in redacted.items()}
            looked, held = self._datasets.redacted_cells(name, columns)
            detail["shared"] = {**asset["detail"]["shared"], "cells": looked, "cells_left": held}
            clean = clean and not held
            reason += f"; of {len(columns)} row(s) about somebody else {looked} emptied cell(s) were read again, {held} hold a value"
        kept = asset["detail"].get("unpurged")  # the store cannot remove bytes: what was decoded is not all that there is
        if kept:
            reason += f"; deleted logically only: {kept}"
        level = "L1" if clean and not kept else "L0"
        # What the store itself says that it keeps is no failure that another try would mend; rows that nothing explains are one.
        ended = clean or (kept and not left.get(name))
        self._erasures.set_asset(request, asset["id"], status="done" if ended else "failed", level=level, reason=reason, detail=detail)

    def _left(self, request: str, record: Mapping[str, Any], scope: Mapping[str, Any]) -> dict[str, list[int]]:
        """What the index still has of the rows of an order; or of the person, without those about others too that the request retains."""
        if record.get("order"):
            index = self._datasets.index
            return {name: list(ids) for name, ids in scope["rows"].items() if index.versions_with(name, list(ids))}
        retained = {item["detail"]["dataset"] for item in record["assets"] if item["kind"] == "shared_rows"}
        left = {}
        for name, rows in self._erasures.located(request).items():
            stay = set(scope.get("shared", {}).get(name, ())) if name in retained else set()
            if rest := [row for row in rows if row not in stay]:
                left[name] = rest
        return left

    def _judged(self, request: str, asset: str, stray: int, what: str) -> None:
        self._erasures.set_asset(
            request,
            asset,
            status="failed" if stray else "done",
            level="L0" if stray else "L1",
            reason=f"{stray} {what} left" if stray else None,
        )

    def finish(self, request: str) -> None:
        """Certify, then complete, or partially, with what stands open named; so whoever sees the end finds the certificate."""
        record = self._erasures.record(request)
        if record["state"] == S.COMPLETED:
            self._scopes.remove(request)
        if record["state"] != S.VERIFYING:
            return
        broken = [item["id"] for item in record["assets"] if item["status"] == "failed"]
        if broken or record.get("error"):
            said = [f"something is left in {', '.join(broken)}"] if broken else []
            reason = "; ".join([*said, record["error"]["detail"]] if record.get("error") else said)
            residue = {"detail": reason, "hint": f"govern erasure decide {request} retry"}
            self._erasures.change(request, S.FAILED, kind="failed", reason=reason, fields={"error": residue})
            return
        opened = [item["id"] for item in record["assets"] if item["status"] in _OPEN]
        state = S.COMPLETED_PARTIAL if opened else S.COMPLETED
        at = record["history"][-1]["at"]
        attested = sum(item["status"] == "attested" for item in record["assets"])
        reason = f"open: {', '.join(opened)}" if opened else "everything that was found is erased"
        if attested and not opened:
            reason = f"everything that was found here is erased; {attested} asset(s) elsewhere rest on their owners' word"
        history = [*record["history"], {"state": state, "at": at, "actor": SYSTEM, "reason": reason}]
        ended = {"state": state, "completed_at": at, "incomplete": opened, "history": history}
        paper = self._certify(request, ended)
        fields = {"completed_at": ended["completed_at"], "incomplete": opened, "report": paper["id"]}
        self._erasures.change(request, state, kind="completed", reason=reason, fields=fields)
        if not opened:
            self._scopes.remove(request)
