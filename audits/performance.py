"""``perf.noninferior``: is the candidate good enough, and not worse than the version in production, on the same rows?

Without a production version the floor alone decides: bounds of accuracy and of the area under the ROC curve.
With one, differences are paired: both versions are measured on the same test rows, row by row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from audits.bounds import auc, auc_difference, newcombe_paired, wilson
from audits.finding import Measured, metric, percent, table, unknown
from audits.model import Metric
from audits.subject import AuditError, ModelUnderAudit, Scores, class_indices, scores, truth

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["noninferior"]

NO_PRODUCTION = "no version is in production"


def _positive(model: ModelUnderAudit, config: Mapping[str, Any]) -> int:
    favourable = config.get("favourable", model.classes[-1])
    return int(class_indices([favourable], model.classes)[0])


def _ranking(logits: NDArray[np.float64], positive: int) -> NDArray[np.float64]:
    """Logit of the positive class against the best of the others."""
    others = np.delete(logits, positive, axis=1)
    ranking: NDArray[np.float64] = logits[:, positive] - others.max(axis=1)
    return ranking


def _auc_metrics(actual: NDArray[np.int64], positive: int, mine: Scores, production: Scores | None, confidence: float) -> list[Metric]:
    is_positive = actual == positive
    n = len(actual)
    if is_positive.all() or not is_positive.any():
        note = "the test rows hold one class only"
        absent = [unknown("auc", note, n=n)]
        return [*absent, unknown("auc_difference", note, n=n) if production else unknown("auc_difference", NO_PRODUCTION, applicable=False)]
    rank = _ranking(mine.logits, positive)
    found = [metric("auc", auc(rank, is_positive, confidence), method=f"delong, logit scale, {percent(confidence)}", n=n)]
    if production is None:
        found.append(unknown("auc_difference", NO_PRODUCTION, applicable=False))
    else:
        delta = auc_difference(rank, _ranking(production.logits, positive), is_positive, confidence)
        found.append(metric("auc_difference", delta, method=f"delong paired {percent(confidence)}", n=n, note="candidate minus production"))
    return found


def noninferior(
    model: ModelUnderAudit, tables: Mapping[str, pa.Table], config: Mapping[str, Any], *, production: Scores | None = None
) -> Measured:
    """Accuracy and AUC with their bounds, and their paired difference to production.

    Args:
        model: the candidate.
        tables: ``test`` is measured on.
        config: ``confidence`` (0.95), ``favourable`` (the class that counts as positive for AUC; the last one).
        production: what the version in production says about the same test rows, in the same order.

    Returns:
        metrics ``accuracy``, ``auc``, ``accuracy_difference``, ``auc_difference`` (candidate minus production) and ``majority_share``.

    Raises:
        AuditError: no rows or labels, outputs that are not finite, or production scores of other rows.
    """
    confidence = float(config.get("confidence", 0.95))
    test = tables["test"]
    actual = truth(model, test)
    n = len(actual)
    mine = scores(model, test)
    right = mine.predicted == actual
    found = [metric("accuracy", wilson(int(right.sum()), n, confidence), method=f"wilson {percent(confidence)}", n=n)]
    counts = np.bincount(actual, minlength=len(model.classes))
    found.append(
        Metric(name="majority_share", value=round(float(counts.max()) / n, 6), n=n, note="accuracy of always answering the commonest class")
    )
    reasons: tuple[str, ...] = ()
    tables_out: dict[str, Any] = {}
    if production is None:
        found.append(unknown("accuracy_difference", NO_PRODUCTION, applicable=False))
        reasons = ("no version is in production: the floor alone was judged",)
    else:
        if production.logits.shape != mine.logits.shape:
            raise AuditError(f"production gave outputs of shape {production.logits.shape}, the candidate {mine.logits.shape}")
        theirs = production.predicted == actual
        both, only_new = int((right & theirs).sum()), int((right & ~theirs).sum())
        only_old, none = int((~right & theirs).sum()), int((~right & ~theirs).sum())
        delta = newcombe_paired(both, only_new, only_old, none, confidence)
        found.append(
            metric("accuracy_difference", delta, method=f"newcombe paired {percent(confidence)}", n=n, note="candidate minus production")
        )
        tables_out["paired"] = table(
            ("", "production right", "production wrong"), (("candidate right", both, only_new), ("candidate wrong", only_old, none))
        )
    found += _auc_metrics(actual, _positive(model, config), mine, production, confidence)
    return Measured(
        metrics=tuple(found),
        reasons=reasons,
        tables=tables_out,
        assumptions=("the test rows are independent draws of those the model will meet", "the test rows were not used in training"),
        limits=("it says nothing about rows of another kind or of a later time",),
        library="govern audits.bounds (Wilson 1927, Newcombe 1998, DeLong 1988)",
    )
