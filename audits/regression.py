"""``regression.cases``: rows on which an earlier version erred must be right from now on. A case is named by its id only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audits.finding import Measured
from audits.model import Metric, RegressionCases
from audits.subject import ModelUnderAudit, class_indices, scores

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AUDIT", "cases"]

AUDIT = "regression.cases"


def cases(model: ModelUnderAudit, found: RegressionCases | None) -> Measured:
    """How many regression cases the model still gets wrong.

    Returns:
        metrics ``failed_cases`` and ``cases``; the reasons name the ids of the failed ones. Without a case both are zero.

    Raises:
        AuditError: an expected label is no class of the model, or the model cannot answer for a row.
    """
    if found is None or not found.ids:
        none = Metric(name="failed_cases", value=0.0, n=0, direction="lower", note="there is no regression case")
        return Measured(metrics=(none, Metric(name="cases", value=0.0)), library="govern audits.regression")
    expected = class_indices(found.expected, model.classes)
    predicted = scores(model, found.table).predicted
    failed: Sequence[str] = sorted(i for i, want, got in zip(found.ids, expected, predicted, strict=True) if want != got)
    n = len(found.ids)
    named = ", ".join(failed)
    return Measured(
        metrics=(
            Metric(name="failed_cases", value=float(len(failed)), n=n, direction="lower", note=f"failed: {named}" if failed else ""),
            Metric(name="cases", value=float(n), n=n),
        ),
        reasons=(f"{len(failed)} of {n} regression cases are still wrong: {named}",) if failed else (),
        assumptions=("the expected labels were stated by whoever opened the incident",),
        limits=("it shows these rows only, not rows like them",),
        library="govern audits.regression",
    )
