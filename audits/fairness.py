"""``fair.rates``: how decisions and errors differ between groups of a protected attribute, with bounds on every difference.

Groups under the minimum size give no difference to gate on (it is unknown, not zero); cells under the suppression limit are not printed.
Differences over several groups take the largest over all pairs, each pair's interval made wider (Bonferroni), since the largest of
several noisy differences is biased upwards.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from audits.bounds import Interval, absolute, largest, newcombe, wilson
from audits.finding import Measured, metric, percent, table, unknown
from audits.model import Metric
from audits.subject import AuditError, ModelUnderAudit, class_indices, scores, truth

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["group_labels", "rates"]

_RATES = ("selection_rate", "error_rate", "true_positive_rate", "false_positive_rate")


def group_labels(table_: pa.Table, attribute: str, config: Mapping[str, Any]) -> list[str]:
    """The group of every row: the column's text, or ``<=a``, ``a-b``, ``>b`` when ``bins`` are given; ``unknown`` for a null.

    Raises:
        AuditError: no such column, or bins on a column that holds no numbers.
    """
    column = str(config.get("column", attribute))
    if column not in table_.column_names:
        raise AuditError(f"there is no column {column!r} for the protected attribute {attribute!r}")
    values = table_.column(column).to_pylist()
    bins: Sequence[float] = config.get("bins", ())
    if not bins:
        return ["unknown" if v is None else str(v) for v in values]
    edges = sorted(float(b) for b in bins)
    names = [f"<={edges[0]:g}", *(f"{a:g}-{b:g}" for a, b in itertools.pairwise(edges)), f">{edges[-1]:g}"]
    try:
        return ["unknown" if v is None else names[int(np.searchsorted(edges, float(v), side="left"))] for v in values]
    except (TypeError, ValueError) as error:
        raise AuditError(f"column {column!r} has bins but does not hold numbers") from error


def _counts(member: NDArray[np.bool_], chosen: NDArray[np.bool_], actual: NDArray[np.bool_]) -> dict[str, tuple[int, int]]:
    """Rate → (hits, n) of one group."""
    wrong = chosen != actual
    return {
        "selection_rate": (int((member & chosen).sum()), int(member.sum())),
        "error_rate": (int((member & wrong).sum()), int(member.sum())),
        "true_positive_rate": (int((member & chosen & actual).sum()), int((member & actual).sum())),
        "false_positive_rate": (int((member & chosen & ~actual).sum()), int((member & ~actual).sum())),
    }


def _difference(attribute: str, rate: str, groups: Mapping[str, dict[str, tuple[int, int]]], min_group: int, confidence: float) -> Metric:
    """The largest difference of one rate between groups of enough rows."""
    name = f"{rate}_difference"
    large = {g: c[rate] for g, c in groups.items() if c[rate][1] >= min_group}
    n = sum(c[1] for c in large.values())
    small = sorted(set(groups) - set(large))
    if len(large) < 2:
        note = f"fewer than two groups of {attribute} have {min_group} rows to count on" + (
            f" (too small: {', '.join(small)})" if small else ""
        )
        return unknown(name, note, n=n, direction="lower", group=attribute)
    pairs = list(itertools.combinations(sorted(large), 2))
    each = 1 - (1 - confidence) / len(pairs)
    found: Interval = largest(absolute(newcombe(large[a], large[b], each)) for a, b in pairs)
    method = f"newcombe-wilson {percent(confidence)}" + (f", bonferroni over {len(pairs)} pairs" if len(pairs) > 1 else "")
    return metric(
        name, found, method=method, n=n, direction="lower", group=attribute, note=f"left out: {', '.join(small)}" if small else ""
    )


def _odds(attribute: str, tpr: Metric, fpr: Metric) -> Metric:
    """Equalized-odds difference: the larger of the two (each interval as it stands)."""
    parts = [m for m in (tpr, fpr) if m.value is not None and m.low is not None and m.high is not None]
    name = "equalized_odds_difference"
    if len(parts) < 2:
        return unknown(name, tpr.note or fpr.note, direction="lower", group=attribute)
    worst = largest(Interval(m.value or 0.0, m.low or 0.0, m.high or 0.0) for m in parts)
    return metric(name, worst, method=f"larger of two, {tpr.method}", n=tpr.n + fpr.n, direction="lower", group=attribute)


def rates(model: ModelUnderAudit, tables: Mapping[str, pa.Table], config: Mapping[str, Any]) -> Measured:
    """Selection, error, true and false positive rates by group, and their largest differences.

    Args:
        model: the candidate.
        tables: ``test`` is measured on.
        config: ``protected`` (attribute → {column, bins}), ``favourable`` (class; the last one), ``min_group`` (30),
            ``suppress_below`` (10), ``confidence`` (0.95).

    Returns:
        metrics ``<rate>`` per group (``sex=female``), ``<rate>_difference`` and ``equalized_odds_difference`` per attribute (``sex``).

    Raises:
        AuditError: no protected attribute, no such column, no labels, outputs that are not finite.
    Source: rates as in Hardt, Price, Srebro 2016, arXiv:1610.02413; names as in fairlearn.
    """
    confidence = float(config.get("confidence", 0.95))
    min_group, suppress = int(config.get("min_group", 30)), int(config.get("suppress_below", 10))
    protected: Mapping[str, Mapping[str, Any]] = config.get("protected", {})
    if not protected:
        raise AuditError("no protected attribute is named: nothing could be compared")
    test = tables["test"]
    favourable = int(class_indices([config.get("favourable", model.classes[-1])], model.classes)[0])
    actual = truth(model, test) == favourable
    chosen = scores(model, test).predicted == favourable
    metrics: list[Metric] = []
    rows: list[list[Any]] = []
    for attribute in sorted(protected):
        labels = np.array(group_labels(test, attribute, protected[attribute]))
        groups = {str(g): _counts(labels == g, chosen, actual) for g in sorted(set(labels))}
        for group, counts in groups.items():
            where = f"{attribute}={group}"
            row: list[Any] = [attribute, group, counts["selection_rate"][1]]
            for rate in _RATES:
                hits, n = counts[rate]
                direction = "lower" if rate in ("error_rate", "false_positive_rate") else "higher"
                if n < suppress:
                    metrics.append(unknown(rate, f"under {suppress} rows: suppressed", direction=direction, group=where))
                    row.append(f"suppressed (n<{suppress})")
                    continue
                found = wilson(hits, n, confidence)
                metrics.append(metric(rate, found, method=f"wilson {percent(confidence)}", n=n, direction=direction, group=where))
                row.append(f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}] n={n}")
            if counts["selection_rate"][1] < suppress:
                row[2] = f"<{suppress}"
            rows.append(row)
        differences = {rate: _difference(attribute, rate, groups, min_group, confidence) for rate in _RATES}
        metrics += [*differences.values(), _odds(attribute, differences["true_positive_rate"], differences["false_positive_rate"])]
    return Measured(
        metrics=tuple(metrics),
        tables={"groups": table(("attribute", "group", "rows", *(r.replace("_", " ") for r in _RATES)), rows)},
        assumptions=("the recorded label is taken as the truth; it may itself carry a past unfairness",),
        limits=(
            "differences within a group, and groups that are not named, are not seen",
            f"a group under {min_group} rows is reported but not compared",
        ),
        library="govern audits.bounds (Wilson 1927, Newcombe 1998)",
    )
