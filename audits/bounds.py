"""Confidence intervals in closed form: rates, differences of rates, paired differences, areas under the ROC curve, medians.

Nothing here resamples, so the same counts always give the same interval.

Sources:
    Wilson 1927, JASA 22:209 (score interval).
    Newcombe 1998, Statistics in Medicine 17:857 (one rate), 17:873 (independent rates, method 10),
    17:2635 (paired rates, method 10: square-and-add with the correlation corrected for continuity).
    DeLong, DeLong, Clarke-Pearson 1988, Biometrics 44:837 (areas under correlated ROC curves).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Interval", "absolute", "auc", "auc_difference", "largest", "median_interval", "newcombe", "newcombe_paired", "wilson"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A point estimate with its lower and upper confidence bound."""

    value: float
    low: float
    high: float


def _z(confidence: float) -> float:
    if not 0.5 <= confidence < 1:
        raise ValueError(f"confidence {confidence} is not in [0.5, 1)")
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(hits: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of ``hits`` out of ``n``, in [0, 1].

    Raises:
        ValueError: ``n`` is zero, or ``hits`` is not between 0 and ``n``.
    Source: Newcombe 1998, 17:857, method 3.

    >>> tuple(round(x, 4) for x in (wilson(81, 263).low, wilson(81, 263).high))
    (0.2553, 0.3662)
    """
    if n <= 0 or not 0 <= hits <= n:
        raise ValueError(f"no rate of {hits} out of {n}")
    z = _z(confidence)
    p = hits / n
    centre = (2 * n * p + z * z) / (2 * (n + z * z))
    half = z * math.sqrt(z * z + 4 * n * p * (1 - p)) / (2 * (n + z * z))
    low = 0.0 if hits == 0 else max(0.0, centre - half)
    high = 1.0 if hits == n else min(1.0, centre + half)
    return Interval(p, low, high)


def newcombe(first: tuple[int, int], second: tuple[int, int], confidence: float = 0.95) -> Interval:
    """Interval of ``first - second``, two independent rates as (hits, n), in [-1, 1].

    Source: Newcombe 1998, 17:873, method 10.

    >>> d = newcombe((56, 70), (48, 80))
    >>> round(d.value, 4), round(d.low, 4), round(d.high, 4)
    (0.2, 0.0524, 0.3339)
    """
    a, b = wilson(*first, confidence), wilson(*second, confidence)
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Interval(value, max(-1.0, low), min(1.0, high))


def newcombe_paired(both: int, only_first: int, only_second: int, neither: int, confidence: float = 0.95) -> Interval:
    """Interval of ``rate(first) - rate(second)`` of two classifiers on the same rows, in [-1, 1].

    Args:
        both: rows where both succeed.
        only_first: rows where only the first succeeds.
        only_second: rows where only the second succeeds.
        neither: rows where none succeeds.
        confidence: two-sided.
    Source: Newcombe 1998, 17:2635, method 10.
    """
    e, f, g, h = both, only_first, only_second, neither
    n = e + f + g + h
    if n <= 0 or min(e, f, g, h) < 0:
        raise ValueError(f"no paired rates of counts {(e, f, g, h)}")
    first, second = wilson(e + f, n, confidence), wilson(e + g, n, confidence)
    margins = (e + f) * (g + h) * (e + g) * (f + h)
    cross = e * h - f * g
    if margins == 0:
        phi = 0.0
    else:
        # the numerator is pulled towards zero by n/2 when it is positive, and left alone when it is negative
        corrected = max(cross - n / 2, 0.0) if cross > 0 else float(cross)
        phi = corrected / math.sqrt(margins)
    dl1, du1 = first.value - first.low, first.high - first.value
    dl2, du2 = second.value - second.low, second.high - second.value
    value = (f - g) / n
    low = value - math.sqrt(max(0.0, dl1 * dl1 - 2 * phi * dl1 * du2 + du2 * du2))
    high = value + math.sqrt(max(0.0, du1 * du1 - 2 * phi * du1 * dl2 + dl2 * dl2))
    return Interval(value, max(-1.0, low), min(1.0, high))


def absolute(signed: Interval) -> Interval:
    """The interval of ``|x|`` that follows from an interval of ``x``; its coverage is at least as high."""
    if signed.low > 0:
        return signed
    if signed.high < 0:
        return Interval(-signed.value, -signed.high, -signed.low)
    return Interval(abs(signed.value), 0.0, max(-signed.low, signed.high))


def largest(intervals: Iterable[Interval]) -> Interval:
    """The interval of the largest of several quantities whose intervals hold together (adjust their confidence first)."""
    items = list(intervals)
    if not items:
        raise ValueError("the largest of no intervals")
    return Interval(max(i.value for i in items), max(i.low for i in items), max(i.high for i in items))


def _placements(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np

    x, y = scores[positive], scores[~positive]
    if len(x) == 0 or len(y) == 0:
        raise ValueError("an area under the curve needs both classes")
    wins = (x[:, None] > y[None, :]).astype(np.float64) + 0.5 * (x[:, None] == y[None, :])
    return wins.mean(axis=1), wins.mean(axis=0)


def _variance(values: NDArray[np.float64]) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else math.inf


def auc(scores: NDArray[np.float64], positive: NDArray[np.bool_], confidence: float = 0.95) -> Interval:
    """Area under the ROC curve, ties counted half, with DeLong's interval on the logit scale, in [0, 1].

    Raises:
        ValueError: a class is missing.
    Source: DeLong et al. 1988; the logit scale keeps the bounds inside (0, 1) (Pepe 2003, section 5.2.4).
    """
    over_x, over_y = _placements(scores, positive)
    area = float(over_x.mean())
    error = math.sqrt(_variance(over_x) + _variance(over_y))
    if not math.isfinite(error):
        return Interval(area, 0.0, 1.0)
    if area in (0.0, 1.0):
        # a perfect order leaves no variance to estimate; Wilson on the smaller class says how little that shows
        n = min(len(over_x), len(over_y))
        bound = wilson(n if area else 0, n, confidence)
        return Interval(area, bound.low, bound.high)
    step = _z(confidence) * error / (area * (1 - area))
    centre = math.log(area / (1 - area))
    return Interval(area, 1 / (1 + math.exp(-(centre - step))), 1 / (1 + math.exp(-(centre + step))))


def auc_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], positive: NDArray[np.bool_], confidence: float = 0.95
) -> Interval:
    """Interval of ``AUC(first) - AUC(second)`` of two scores of the same rows, in [-1, 1].

    Source: DeLong et al. 1988 (the covariance of correlated areas).
    """
    x1, y1 = _placements(first, positive)
    x2, y2 = _placements(second, positive)
    value = float(x1.mean() - x2.mean())
    error = math.sqrt(_variance(x1 - x2) + _variance(y1 - y2))
    if not math.isfinite(error):
        return Interval(value, -1.0, 1.0)
    half = _z(confidence) * error
    return Interval(value, max(-1.0, value - half), min(1.0, value + half))


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The median with its distribution-free interval between two order statistics (exact, by the binomial distribution).

    With too few values for the confidence (under 6 at 95 %), the bounds are infinite.
    """
    ordered = sorted(values)
    n = len(ordered)
    if n == 0:
        raise ValueError("the median of nothing")
    value = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    tail, rank, total = (1 - confidence) / 2, 0, 0.0
    for k in range(n):
        total += math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))
        if total > tail:
            rank = k
            break
    if rank == 0:
        return Interval(value, -math.inf, math.inf)
    return Interval(value, ordered[rank - 1], ordered[n - rank])
