"""The whole contract as data: every route with its roles, in the order of the documents."""

from __future__ import annotations

from typing import Final

from governance.api.call import Route
from governance.api.routes import (
    backups,
    datasets,
    deployments,
    disgorgements,
    erasure,
    erasure_plans,
    erasure_tasks,
    export,
    incidents,
    intake,
    keys,
    ledger,
    lineage,
    marquez,
    marquez_names,
    models,
    opendsr,
    ops,
    predictions,
    recipients,
    reports,
    serving,
    trace,
    webhooks,
)

__all__ = ["ROLES_BY_ROUTE", "ROUTES"]

ROUTES: Final[tuple[Route, ...]] = (
    *ops.ROUTES,
    *lineage.ROUTES,
    *marquez.ROUTES,
    *marquez_names.ROUTES,
    *trace.ROUTES,
    *export.ROUTES,
    *datasets.ROUTES,
    *models.ROUTES,
    *deployments.ROUTES,
    *serving.ROUTES,
    *predictions.ROUTES,
    *erasure.ROUTES,
    *intake.ROUTES,
    *opendsr.ROUTES,
    *recipients.ROUTES,
    *erasure_plans.ROUTES,
    *erasure_tasks.ROUTES,
    *disgorgements.ROUTES,
    *incidents.ROUTES,
    *reports.ROUTES,
    *ledger.ROUTES,
    *backups.ROUTES,
    *keys.ROUTES,
    *webhooks.ROUTES,
)

ROLES_BY_ROUTE: Final[dict[str, frozenset[str]]] = {f"{route.method} {route.path}": route.roles for route in ROUTES}
"""``"POST /api/v1/lineage"`` → the roles that may; empty: no key is needed."""
