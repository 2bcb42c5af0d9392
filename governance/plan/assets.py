"""What an erasure will do, decided before the first destructive step, negatives included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from governance.evidence import digest_json
from governance.model import Asset, Plan, PlannedModel
from trainers.cost import expected_replay
from trainers.model import TrainSpec

__all__ = ["ForeignReach", "Scope", "SharedRows", "VersionFacts", "asset_to_json", "plan", "plan_assets", "plan_digest", "plan_to_json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionFacts:
    """A model version as the plan sees it: how many of the rows each of its committed row sets holds."""

    model: str
    version: int
    hits: Mapping[str, int]
    """``dataset@version`` of training inputs → rows of the subject in the committed row set; all inputs are listed, zeros too."""
    environments: tuple[str, ...]
    """Where it is live."""
    destroyed: bool
    spec: TrainSpec
    """How it was trained."""
    unknown: tuple[str, ...] = ()
    """Inputs whose commitments are not kept here: nothing can be said of them."""
    retire: bool = False
    """Where it serves it is taken out of service without a successor: nothing is left to train on, or an order says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignReach:
    """Something downstream of the rows that this installation cannot open."""

    id: str
    kind: str
    """model-elsewhere | dataset-elsewhere."""
    reason: str
    namespace: str = ""
    """The OpenLineage namespace in which it lies."""
    owners: tuple[str, ...] = ()
    """Who owns it as events state, without what may be a person's name (:func:`governance.erasure.owners.owner_names`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRows:
    """Rows of the subject in one dataset that are about somebody else too, and what the dataset's rule says of them."""

    rule: str
    """purge | redact | retain."""
    ground: str | None
    """Why they are retained."""
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """All that a search found, and all that was searched."""

    rows: Mapping[str, tuple[int, ...]]
    """Registered dataset → row ids that are to be erased; an empty tuple where nothing was found."""
    row_sets: Mapping[str, str]
    """Dataset → digest of the committed set of those rows."""
    predictions: int | None
    """Prediction records about the person; ``None`` where none were searched, for no person is meant."""
    cases: tuple[str, ...]
    versions: tuple[VersionFacts, ...]
    foreign: tuple[ForeignReach, ...] = ()
    shared: Mapping[str, SharedRows] = field(default_factory=dict)
    """Dataset → rows about several people. Those that are retained are not among :attr:`rows`."""

    @property
    def empty(self) -> bool:
        """True when nothing was found anywhere."""
        rests = any(sum(facts.hits.values()) and not facts.destroyed for facts in self.versions)
        return not any(self.rows.values()) and not self.predictions and not self.cases and not self.shared and not rests


def plan(request: str, scope: Scope) -> Plan:
    """What the request will do, as the scope stands: the arrow from Impact to Plan of the river.

    Every place that was searched is an asset; the models that serve and rest on the rows are to be retrained by their own recipe.
    """
    assets = tuple(plan_assets(scope))
    again = {asset.id for asset in assets if asset.action == "retrain"}
    retrain = tuple(
        PlannedModel(model=facts.model, version=facts.version, environments=facts.environments, spec=facts.spec)
        for facts in scope.versions
        if f"model:{facts.model}@{facts.version}" in again
    )
    rows = {name: ids for name, ids in sorted(scope.rows.items()) if ids}
    return Plan(request=request, assets=assets, retrain=retrain, rows=rows, digest=plan_digest(request, assets))


def plan_to_json(planned: Plan) -> dict[str, Any]:
    """What a request's record keeps of its plan: never the row ids, which lie in a private file of the request."""
    found = {asset.id: asset.found for asset in planned.assets}
    return {
        "digest": planned.digest,
        "assets": [asset_to_json(asset) for asset in planned.assets],
        "retrain": [
            {
                "model": one.model,
                "version": one.version,
                "environments": list(one.environments),
                "code": one.spec.code,
                "seed": one.spec.seed,
            }
            | {"strategy": one.spec.strategy, "expected_fraction": _expected(one.spec, found[f"model:{one.model}@{one.version}"])}
            for one in planned.retrain
        ],
    }


def _expected(spec: TrainSpec, rows: int) -> float | None:
    """Share of a full training that is expected to be done again for so many rows, alone in their batch; ``None`` where it is not known.

    Of shards it is not: it depends on how many persons the rows are about (:func:`trainers.cost.expected_fraction`).
    """
    if spec.replay is not None:
        return expected_replay(spec.replay.epochs, rows, spec.replay.checkpoints)
    return 1.0 if spec.sharding is None else None


def plan_assets(scope: Scope) -> list[Asset]:
    """One asset per place that was searched, with what is to be done there."""
    assets = [
        Asset(
            id=f"dataset:{name}",
            kind="dataset",
            found=len(rows),
            action="purge" if rows else "none",
            detail=({"dataset": name, "row_set": scope.row_sets[name]} if rows else {"dataset": name}) | _shared(scope, name),
        )
        for name, rows in sorted(scope.rows.items())
    ]
    assets += [_retained(name, one) for name, one in sorted(scope.shared.items()) if one.rule == "retain"]
    total = sum(len(rows) for rows in scope.rows.values())
    assets.append(Asset(id="index:rows", kind="index", found=total, action="purge" if total else "none"))
    if scope.predictions is not None:
        assets.append(Asset(id="predictions", kind="predictions", found=scope.predictions, action="purge" if scope.predictions else "none"))
    assets += [Asset(id=f"case:{case}", kind="regression_case", found=1, action="destroy") for case in scope.cases]
    for facts in scope.versions:
        hits = sum(facts.hits.values())
        if facts.destroyed:
            action = "none"
        elif facts.unknown:
            action = "review"
        elif not hits:
            action = "none"
        else:
            action = "destroy" if not facts.environments else "retire" if facts.retire else "retrain"
        assets.append(
            Asset(
                id=f"model:{facts.model}@{facts.version}",
                kind="model",
                found=hits,
                action=action,
                detail={
                    "model": facts.model,
                    "version": facts.version,
                    "environments": list(facts.environments),
                    "inputs": dict(facts.hits),
                    "destroyed": facts.destroyed,
                    "unknown": list(facts.unknown),
                },
            )
        )
    assets += [_elsewhere(reach) for reach in scope.foreign]
    if total:
        assets.append(
            Asset(
                id="findings",
                kind="findings",
                found=0,
                action="retain",
                detail={
                    "reason": "audit findings hold aggregates over groups, never a row; groups under the policy's minimum are suppressed"
                },
            )
        )
    return assets


def _elsewhere(reach: ForeignReach) -> Asset:
    detail = {"reason": reach.reason, "namespace": reach.namespace, "owners": list(reach.owners)}
    return Asset(id=reach.id, kind=reach.kind, found=1, action="notify", detail=detail)


def _shared(scope: Scope, name: str) -> dict[str, Any]:
    """How many of the rows to be erased are about somebody else too, and the rule for them."""
    one = scope.shared.get(name)
    return {} if one is None or one.rule == "retain" else {"shared": {"rule": one.rule, "rows": len(one.rows)}}


def _retained(name: str, one: SharedRows) -> Asset:
    """Rows that stay as they are, in the dataset and in the models that were trained on them."""
    reason = f"they are about other people too, and stay in the dataset and in models trained on it, on this ground: {one.ground}"
    detail = {"dataset": name, "reason": reason, "shared": {"rule": one.rule, "rows": len(one.rows)}}
    return Asset(id=f"shared:{name}", kind="shared_rows", found=len(one.rows), action="retain", detail=detail)


def asset_to_json(asset: Asset) -> dict[str, Any]:
    """An asset as the request record keeps it, not yet worked on."""
    waiting = asset.action in ("purge", "retrain", "retire", "destroy", "notify", "review")
    return {
        "id": asset.id,
        "kind": asset.kind,
        "found": asset.found,
        "action": asset.action,
        "status": "pending" if waiting else ("retained" if asset.action == "retain" else "none"),
        "level": None,
        "reason": _why_nothing(asset),
        "detail": dict(asset.detail),
    }


def _why_nothing(asset: Asset) -> str | None:
    if asset.action == "retain":
        return str(asset.detail.get("reason"))
    if asset.action != "none":
        return None
    if asset.kind == "model" and asset.detail.get("destroyed"):
        return "destroyed before this request"
    return "its committed row sets hold none of the rows" if asset.kind == "model" else "searched, nothing found"


def plan_digest(request: str, assets: Sequence[Asset]) -> str:
    """``sha256:<hex>`` over the request and its assets: what the approver approved."""
    return digest_json({"request": request, "assets": [asset_to_json(asset) for asset in assets]})
