"""Intervals against published values and exact enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audits.bounds import Interval, absolute, auc, auc_difference, largest, median_interval, newcombe, newcombe_paired, wilson


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_as_printed_by_newcombe_1998_table_1(hits, n, low, high):
    found = wilson(hits, n)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_is_as_printed_in_his_1998_table_2_method_10(first, second, low, high):
    found = newcombe(first, second)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_newcombe_paired_by_hand():
    # both 36, only first 12, only second 2, neither 0: rates .96 and .76, correlation -24/sqrt(48*2*38*12), left alone as it is negative
    p, q = wilson(48, 50), wilson(38, 50)
    phi = (36 * 0 - 12 * 2) / math.sqrt(48 * 2 * 38 * 12)
    low = 0.2 - math.sqrt((p.value - p.low) ** 2 - 2 * phi * (p.value - p.low) * (q.high - q.value) + (q.high - q.value) ** 2)
    high = 0.2 + math.sqrt((p.high - p.value) ** 2 - 2 * phi * (p.high - p.value) * (q.value - q.low) + (q.value - q.low) ** 2)
    found = newcombe_paired(36, 12, 2, 0)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (round(found.low, 4), round(found.high, 4)) == (0.0569, 0.3404)


def test_newcombe_paired_pulls_a_positive_correlation_towards_zero():
    # cross product 60*30 - 4*6 = 1776, less n/2 = 50
    n, p, q = 100, wilson(64, 100), wilson(66, 100)
    phi = (1776 - n / 2) / math.sqrt(64 * 36 * 66 * 34)
    low = -0.02 - math.sqrt((p.value - p.low) ** 2 - 2 * phi * (p.value - p.low) * (q.high - q.value) + (q.high - q.value) ** 2)
    assert newcombe_paired(60, 4, 6, 30).low == pytest.approx(low)


def test_the_paired_interval_covers_the_truth_by_exact_enumeration():
    # two classifiers on 30 rows, P(both, only first, only second, neither) given: sum the probability of every outcome that covers
    n, p = 30, (0.6, 0.15, 0.1, 0.15)
    covered = 0.0
    for e, f, g in itertools.product(range(n + 1), repeat=3):
        h = n - e - f - g
        if h < 0:
            continue
        found = newcombe_paired(e, f, g, h)
        if found.low <= p[1] - p[2] <= found.high:
            ways = math.factorial(n) // (math.factorial(e) * math.factorial(f) * math.factorial(g) * math.factorial(h))
            covered += ways * p[0] ** e * p[1] ** f * p[2] ** g * p[3] ** h
    assert 0.94 < covered < 0.99


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95, 0.99]))
@settings(max_examples=50)
def test_a_rate_lies_inside_its_interval_and_more_confidence_is_wider(counts, confidence):
    found, wider = wilson(*counts, confidence), wilson(*counts, 0.995)
    assert 0 <= wider.low <= found.low <= found.value <= found.high <= wider.high <= 1


@given(st.tuples(*[st.integers(0, 60)] * 4).filter(lambda t: sum(t) > 0))
@settings(max_examples=50)
def test_swapping_the_two_classifiers_mirrors_the_paired_interval(counts):
    e, f, g, h = counts
    one, other = newcombe_paired(e, f, g, h), newcombe_paired(e, g, f, h)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.low <= one.value <= one.high


@pytest.mark.parametrize(("hits", "n"), [(1, 0), (-1, 3), (4, 3)])
def test_a_rate_of_nothing_is_refused(hits, n):
    with pytest.raises(ValueError, match="no rate"):
        wilson(hits, n)


def test_the_size_of_a_difference_follows_from_its_sign():
    assert absolute(Interval(-0.2, -0.3, -0.1)) == Interval(0.2, 0.1, 0.3)
    assert absolute(Interval(-0.1, -0.3, 0.2)) == Interval(0.1, 0.0, 0.3)
    assert absolute(Interval(0.2, 0.1, 0.3)) == Interval(0.2, 0.1, 0.3)
    assert largest([Interval(0.1, 0.0, 0.3), Interval(0.2, 0.1, 0.25)]) == Interval(0.2, 0.1, 0.3)
    with pytest.raises(ValueError, match="no intervals"):
        largest([])


def test_auc_counts_pairs_and_ties_half():
    scores, positive = np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, True, False, True])
    # pairs (positive, negative): .4>.1, .4=.4, .8>.1, .8>.4 -> 3.5 of 4
    assert auc(scores, positive).value == 0.875


def test_auc_error_is_delong_by_hand():
    scores, positive = np.array([3.0, 1.0, 2.0, 0.0, 4.0, 1.5]), np.array([True, True, True, False, False, False])
    over_x, over_y = np.array([2 / 3, 1 / 3, 2 / 3]), np.array([1.0, 0.0, 2 / 3])
    error = math.sqrt(over_x.var(ddof=1) / 3 + over_y.var(ddof=1) / 3)
    area = 5 / 9
    step = 1.959963984540054 * error / (area * (1 - area))
    found = auc(scores, positive)
    assert found.value == pytest.approx(area)
    assert found.low == pytest.approx(1 / (1 + math.exp(-(math.log(area / (1 - area)) - step))))


def test_auc_of_a_perfect_order_is_not_certain_and_of_one_class_is_refused():
    perfect = auc(np.arange(20.0), np.arange(20) >= 10)
    assert perfect.value == 1.0
    assert perfect.low == pytest.approx(wilson(10, 10).low)
    assert auc(np.array([1.0, 0.0]), np.array([True, False])) == Interval(1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="both classes"):
        auc(np.arange(3.0), np.array([True, True, True]))


def test_auc_of_a_score_against_itself_differs_by_nothing():
    rng = np.random.default_rng(0)
    scores, positive = rng.normal(size=50), rng.random(50) < 0.5
    assert auc_difference(scores, scores, positive) == Interval(0.0, 0.0, 0.0)
    better = auc_difference(scores + 2 * positive, scores, positive)
    assert better.low > 0


def test_the_median_interval_is_two_order_statistics():
    # binomial(10, 1/2): P(X <= 1) = 0.0107, so the second and the ninth value
    assert median_interval(list(range(1, 11))) == Interval(5.5, 2, 9)
    assert median_interval([1.0, 2.0, 3.0]) == Interval(2.0, -math.inf, math.inf)
