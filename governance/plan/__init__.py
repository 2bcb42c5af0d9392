"""What an erasure will do, and when: pure functions over what a search found and over what waits. Facts in, plan out."""

from __future__ import annotations

from governance.plan.assets import (
    ForeignReach,
    Scope,
    SharedRows,
    VersionFacts,
    asset_to_json,
    plan,
    plan_assets,
    plan_digest,
    plan_to_json,
)
from governance.plan.batches import Alert, Batch, ModelFacts, Rules, Running, Schedule, Waiting, schedule
from governance.plan.paths import Path, Recent, path_of

__all__ = [
    "Alert",
    "Batch",
    "ForeignReach",
    "ModelFacts",
    "Path",
    "Recent",
    "Rules",
    "Running",
    "Schedule",
    "Scope",
    "SharedRows",
    "VersionFacts",
    "Waiting",
    "asset_to_json",
    "path_of",
    "plan",
    "plan_assets",
    "plan_digest",
    "plan_to_json",
    "schedule",
]
