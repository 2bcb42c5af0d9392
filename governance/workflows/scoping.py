"""The scope of a request as it stands now: searched again, joined with what was done before, held where a hold is.

A scope is frozen before the first step and only ever grows: what is found later (a copy that a late event tells of, a version that a
training registered meanwhile) becomes one more asset, and the request does not end before it is dealt with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from governance.erasure.requests import Erasures
from governance.erasure.scope import ScopeFiles, Searcher
from governance.model import ErasureState as S
from governance.plan import asset_to_json, plan
from governance.registry.datasets import Datasets

__all__ = ["ELSEWHERE", "Scoping", "hold_of", "renewed", "waits_for_batch"]

ELSEWHERE = frozenset({"model-elsewhere", "dataset-elsewhere"})
"""Kinds of assets that nothing here can open: their owners are given tasks."""

_BEGUN = "the work began"


class Scoping:
    """Searches again. ``settle`` waits until the graph has what was acknowledged."""

    def __init__(
        self, *, erasures: Erasures, searcher: Searcher, scopes: ScopeFiles, datasets: Datasets, settle: Callable[[], int]
    ) -> None:
        self._erasures = erasures
        self._searcher = searcher
        self._scopes = scopes
        self._datasets = datasets
        self._settle = settle

    def begin(self, request: str) -> dict[str, Any]:
        """Search again, freeze what was found beside what was frozen, mark what is held.

        Returns:
            ``{execute, assets}``: the work as it stands now, which the order of all later steps follows.
        """
        record = self._erasures.record(request)
        if record["state"] == S.QUEUED:
            # a new round asks a store again that was away; within a round it waits
            record["assets"] = [item | {"status": "pending"} if item["status"] == "waiting" else item for item in record["assets"]]
            fields = self._look(request, record) | {"error": None, "purged_at": None}
            record = self._erasures.change(request, S.EXECUTING, kind="executing", reason=_BEGUN, fields=fields)
        return {"execute": record["state"] == S.EXECUTING, "assets": record["assets"]}

    def again(self, request: str) -> list[dict[str, Any]]:
        """What was not there, or was dealt with, when it was looked at last, and is to be dealt with now; the scope is open for it."""
        record = self._erasures.record(request)
        if record["state"] != S.EXECUTING:
            return []
        fields = self._look(request, record)
        before = {item["id"]: item for item in record["assets"]}
        late = [item for item in fields["assets"] if item["status"] == "pending" and not _same_work(before.get(item["id"]), item)]
        if late:
            named = ", ".join(item["id"] for item in late)
            self._erasures.note(request, kind="reopened", reason=f"found since the scope was frozen: {named}", fields=fields)
        elif fields["assets"] != record["assets"]:
            self._erasures.note(request, kind="looked", reason=None, fields=fields)
        return late

    def late(self, request: str) -> list[str]:
        """What :meth:`again` would find, without entering it; asked when the request is about to end."""
        record = self._erasures.record(request)
        self._settle()
        scope, _searched = self._searcher.search_for(record, frozen=self._scopes.read(request))
        before = {item["id"]: item for item in record["assets"]}
        fresh = renewed(record["assets"], [asset_to_json(asset) for asset in plan(request, scope).assets], self._erasures.held())
        return [item["id"] for item in fresh if item["status"] == "pending" and not _same_work(before.get(item["id"]), item)]

    def elsewhere(self, record: Mapping[str, Any]) -> list[str]:
        """What lies elsewhere and rests on the rows, by events that came since the scope was last looked at; nothing is entered."""
        known = {item["id"] for item in record["assets"]}
        return [reach.id for reach in self._searcher.elsewhere(self._scopes.read(record["id"])) if reach.id not in known]

    def _look(self, request: str, record: Mapping[str, Any]) -> dict[str, Any]:
        self._settle()
        scope, searched = self._searcher.search_for(record, frozen=self._scopes.read(request))
        self._scopes.write(request, searched.pop("scope"))
        for name, ids in scope.rows.items():
            if ids:
                self._datasets.keep_rows(name, ids)
        fresh = [asset_to_json(asset) for asset in plan(request, scope).assets]
        return {"assets": renewed(record["assets"], fresh, self._erasures.held()), "searched": searched}


def waits_for_batch(asset: Mapping[str, Any]) -> bool:
    """Whether the asset is a model version that a batch is to replace."""
    return bool(asset["kind"] == "model" and asset["action"] == "retrain" and asset["status"] == "pending")


def _same_work(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> bool:
    return before is not None and before["status"] in ("pending", "running") and before["action"] == now["action"]


def renewed(
    before: Sequence[Mapping[str, Any]], fresh: Sequence[Mapping[str, Any]], held: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The assets as found now, with what earlier rounds did to them, and what is held marked."""
    known = {item["id"]: item for item in before}
    records = any(asset.startswith("prediction:") for asset in held)
    assets = []
    for found in fresh:
        item = _carried(known.get(found["id"]), found)
        hold = hold_of(held, item["id"])
        if hold and item["status"] in ("pending", "held"):
            item |= {"status": "held", "reason": f"held: {hold['ground']}", "level": None}
        elif item["status"] == "held" and not (item["kind"] in ("predictions", "regression_case") and records):
            item |= {"status": "pending", "reason": None}
        assets.append(item)
    stay = {item["id"] for item in assets if item["kind"] == "dataset" and item["status"] in ("held", "waiting")}
    for item in assets:
        _wait_for_rows(item, stay)
    present = {item["id"] for item in assets}
    return assets + [dict(item) for ident, item in known.items() if ident not in present]


def hold_of(held: Mapping[str, Mapping[str, Any]], asset: str) -> Mapping[str, Any] | None:
    """The hold on an asset, or on the whole model of a version."""
    return held.get(asset) or held.get(asset.split("@", maxsplit=1)[0])


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
    if before is None or before["status"] in ("pending", "running", "none"):
        return dict(fresh)
    if before["status"] == "retained" and fresh["action"] == "retain":
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
