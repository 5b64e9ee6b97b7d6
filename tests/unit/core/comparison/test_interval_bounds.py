"""Bounds of intervals at the places where another method takes over."""

from __future__ import annotations

import math
from statistics import NormalDist, stdev

import pytest

from orchestrator.core.comparison.interval import Interval, estimate_mean, estimate_rate_difference

Z_95 = 1.6448536  # quantile of the normal distribution


def test_bound_is_the_quantile_of_the_drawn_means() -> None:
    # Of ten values, one is 1. The number of ones in a draw of ten is binomial: 0 in 35 %, at most 2 in 93 %, at most
    # 3 in 98.7 % of the draws. So the upper bound at 5 % is 3 / 10, and it would be 2 / 10 at 10 %.
    values = [0.1] * 9 + [1.1]  # moved, because a bound for values that are nearly all 0 would be added
    values = [value - 0.05 for value in values]
    assert estimate_mean(values, tail=0.05).high == pytest.approx(0.05 + 0.3)
    assert estimate_mean(values, tail=0.10).high == pytest.approx(0.05 + 0.2)
    assert estimate_mean(values, tail=0.05).low == pytest.approx(0.05)
    interval = estimate_mean(values, tail=0.05)
    assert [interval.estimate, interval.count] == pytest.approx([0.15, 10])


def test_quantile_counts_from_both_ends() -> None:
    # 40 draws: at a tail of 0.25 the tenth lowest and the tenth highest mean, which a mirrored sample mirrors.
    values = [0.1, 0.2, 0.4, 0.7, 0.9, -0.3, -0.8]
    interval = estimate_mean(values, tail=0.25, draws=40)
    mirrored = estimate_mean([-value for value in values], tail=0.25, draws=40)
    assert [mirrored.low, mirrored.high] == pytest.approx([-interval.high, -interval.low])
    assert interval.low < interval.estimate < interval.high
    # 20 draws: at a tail of 0.5 the two in the middle.
    middle = estimate_mean(values, tail=0.5, draws=20)
    assert interval.low < middle.low <= middle.high < interval.high


def test_tail_that_too_few_draws_reach_uses_the_normal_distribution() -> None:
    values = [0.3, -0.2, 0.1, 0.4, -0.1, 0.25, 0.05, -0.3] * 5
    few, enough = estimate_mean(values, tail=0.05, draws=100), estimate_mean(values, tail=0.1, draws=100)
    reach = Z_95 * stdev(values) / math.sqrt(40)
    assert few.low <= few.estimate - reach + 1e-7
    assert few.high >= few.estimate + reach - 1e-7
    assert enough.high - enough.low < 2 * NormalDist().inv_cdf(0.95) * stdev(values) / math.sqrt(40)


@pytest.mark.parametrize("count", [1000, 1001])
def test_many_values_use_the_normal_distribution(count: int) -> None:
    values = [(-1) ** number * 0.5 for number in range(count)]
    interval = estimate_mean(values, tail=0.05, draws=200)
    reach = Z_95 * stdev(values) / math.sqrt(count)
    assert interval.estimate == pytest.approx(0.0, abs=0.001)
    if count == 1001:
        assert interval.high - interval.estimate == pytest.approx(reach)
        assert interval.estimate - interval.low == pytest.approx(reach)
    else:
        assert interval.high - interval.low == pytest.approx(2 * reach, rel=0.15)
        assert interval.high - interval.low != pytest.approx(2 * reach)


@pytest.mark.parametrize(("nonzero", "is_exact"), [(0, True), (4, True), (5, False)])
def test_nearly_only_zeros_have_the_bound_of_an_event_never_seen(nonzero: int, is_exact: bool) -> None:
    values = [0.01] * nonzero + [0.0] * (50 - nonzero)
    interval = estimate_mean(values, tail=0.05)
    reach = 1 - 0.05 ** (1 / 50)  # 0.058: an event of this rate is missed in 50 probes with a chance of 5 %
    assert (interval.high == pytest.approx(interval.estimate + reach)) is is_exact
    assert (interval.low == pytest.approx(interval.estimate - reach)) is is_exact


def test_bounds_stay_within_what_is_possible() -> None:
    assert estimate_mean([1.0, 1.0, 0.9], tail=0.05).high == 1.0
    assert estimate_mean([-1.0, -1.0, -0.9], tail=0.05).low == -1.0
    assert estimate_mean([], tail=0.05) == Interval(-1.0, 0.0, 1.0, 0)
    assert estimate_mean([0.5], tail=0.05) == Interval(-1.0, 0.5, 1.0, 1)
    assert estimate_mean([0.5, 0.5], tail=0.05).count == 2
    assert estimate_mean([0.5, 0.5], tail=0.05).low > -1.0


def test_rate_difference_without_answers_is_unknown() -> None:
    assert estimate_rate_difference(0, 0, 3, 9, tail=0.05) == Interval(-1.0, 0.0, 1.0, 0)
    assert estimate_rate_difference(3, 9, 0, 0, tail=0.05) == Interval(-1.0, 0.0, 1.0, 0)


def test_rate_difference_of_certain_events_stays_within_what_is_possible() -> None:
    # Wilson's limits of 10 of 10 at z² = 2.7055: 10 / 12.7055 to 1.
    interval = estimate_rate_difference(10, 10, 0, 10, tail=0.05)
    reach = 1 - 10 / (10 + Z_95**2)
    assert interval.low == pytest.approx(1 - math.hypot(reach, reach), abs=1e-6)
    assert [interval.estimate, interval.high, interval.count] == pytest.approx([1.0, 1.0, 10])
    mirrored = estimate_rate_difference(0, 10, 10, 10, tail=0.05)
    assert [mirrored.low, mirrored.high] == pytest.approx([-1.0, -interval.low])


@pytest.mark.parametrize(
    ("interval", "margin", "needed"),
    [
        (Interval(-0.2, 0.0, 0.1, 10), 0.1, 40),  # the wider side counts: (0.2 / 0.1)² times 10
        (Interval(-0.1, 0.0, 0.2, 10), 0.1, 40),
        (Interval(-0.4, -0.2, 0.0, 10), 0.1, 40),
        (Interval(0.0, 0.2, 0.3, 10), 0.1, 40),
        (Interval(-1.0, 0.0, 1.0, 100), 0.1, 10_000),
        (Interval(-1.0, 0.0, 1.0, 101), 0.1, None),  # 10,100 are not worth a recommendation
        (Interval(-1.0, 0.0, 1.0, 0), 0.1, None),
        (Interval(0.0, 0.1, 0.2, 10), 0.1, None),
        (Interval(-0.15, 0.0, 0.15, 10), 0.1, 23),  # rounded up from 22.5
    ],
)
def test_needed_probes(interval: Interval, margin: float, needed: int | None) -> None:
    assert interval.count_needed_probes(margin) == needed
