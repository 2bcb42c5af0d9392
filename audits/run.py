"""Run the audits that a request asks for: one finding each, whatever happens. An exception becomes an ERROR finding, never a pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from audits import explanation, fairness, performance, regression, robustness
from audits.finding import Context, Measured, conclude, failed
from audits.model import AuditRequest, Finding, finding_digest, finding_from_json, finding_to_json
from audits.subject import ModelUnderAudit, Scores, scores
from lineage.errors import GovernError

__all__ = [
    "AUDITS",
    "context_of",
    "error_findings",
    "finding_digest",
    "finding_from_json",
    "finding_to_json",
    "planned",
    "production_scores",
    "run_audits",
]

AUDITS = ("perf.noninferior", "fair.rates", "robust.evasion", "explain.additive", regression.AUDIT)
"""Every audit there is, in the order they run. The regression cases run always."""

_DEFAULT_CASES: Mapping[str, Any] = {"require": [{"metric": "failed_cases", "op": "<=", "threshold": 0, "bound": "value"}]}


def planned(request: AuditRequest) -> dict[str, Mapping[str, Any]]:
    """Audit → parameters, of every finding the request will give: those configured, and the regression cases."""
    config = dict(request.config)
    config.setdefault(regression.AUDIT, _DEFAULT_CASES)
    return config


def context_of(request: AuditRequest) -> Context:
    """Whom the findings are about."""
    data = tuple(request.data[role] for role in sorted(request.data))
    return Context(model=request.model, version=request.version, model_digest=request.model_digest, data=data, seed=request.seed)


def error_findings(request: AuditRequest, reason: str) -> list[Finding]:
    """One ERROR finding per planned audit: nothing could be measured, for the same reason."""
    context = context_of(request)
    return [failed(audit, reason, config, context) for audit, config in planned(request).items()]


def production_scores(model: ModelUnderAudit, request: AuditRequest) -> Scores:
    """What the version in production says about the candidate's test rows (to be called where its code is loaded)."""
    return scores(model, request.tables["test"])


def run_audits(
    request: AuditRequest,
    model: ModelUnderAudit,
    production: Scores | GovernError | None = None,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Finding]:
    """One finding per planned audit, in the order of :data:`AUDITS`.

    Args:
        request: rows, parameters, seed.
        model: the candidate.
        production: what the version in production said about the same test rows; the error it ended with; or ``None`` when there is none.
        clock: seconds, for the duration.
    """
    known: dict[str, Callable[[Mapping[str, Any]], Measured]] = {
        "perf.noninferior": lambda c: performance.noninferior(model, request.tables, c, production=_present(request, production)),
        "fair.rates": lambda c: fairness.rates(model, request.tables, c),
        "robust.evasion": lambda c: robustness.evasion(model, request.tables, c, seed=request.seed),
        "explain.additive": lambda c: explanation.additive(model, request.tables, c, seed=request.seed),
        regression.AUDIT: lambda _: regression.cases(model, request.cases),
    }
    context = context_of(request)
    plan = planned(request)
    found = []
    for audit in [*(a for a in AUDITS if a in plan), *sorted(set(plan) - set(AUDITS))]:
        began = clock()
        config = plan[audit]
        if audit not in known:
            found.append(failed(audit, f"there is no audit {audit!r}; there are {', '.join(AUDITS)}", config, context))
            continue
        try:
            found.append(conclude(audit, known[audit](config), config, context, round(clock() - began, 3)))
        except GovernError as error:
            found.append(failed(audit, error.message, config, context, round(clock() - began, 3)))
        except Exception as error:  # noqa: BLE001 - the model's code may raise anything; its text may hold row values and is left out
            reason = f"the audit ended with {type(error).__name__}{_where(error)}"
            found.append(failed(audit, reason, config, context, round(clock() - began, 3)))
    return found


def _present(request: AuditRequest, production: Scores | GovernError | None) -> Scores | None:
    """Production's scores, or its error raised: a comparison that was asked for and could not be made is no floor alone."""
    if isinstance(production, GovernError):
        raise production
    if request.production is not None and production is None:
        raise GovernError(f"version {request.production.version} is in production, but what it says about the test rows is missing")
    return production


def _where(error: BaseException) -> str:
    """`` at file:line`` of the innermost frame; no values."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f" at {trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
