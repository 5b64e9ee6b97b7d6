"""Intervals: the true value is inside as often as promised, and no interval claims more than its probes show."""

from __future__ import annotations

import random

import pytest

from orchestrator.core.comparison.interval import Interval, estimate_mean, estimate_rate_difference


def test_interval_of_a_mean_holds_the_true_mean_as_often_as_promised() -> None:
    generator = random.Random(1)
    misses = 0
    for _ in range(200):
        values = [generator.choice((-0.4, 0.0, 0.0, 0.4)) + 0.1 for _ in range(60)]
        interval = estimate_mean(values, tail=0.05, draws=400)
        misses += not interval.low <= 0.1 <= interval.high
    assert 8 <= misses <= 34  # 10 % of 200, with three standard deviations


def test_same_values_give_the_same_interval() -> None:
    values = [0.1, -0.2, 0.3, 0.0, 0.5, 0.9]
    assert estimate_mean(values, tail=0.05) == estimate_mean(list(values), tail=0.05)


def test_few_equal_answers_do_not_prove_equality() -> None:
    assert not estimate_mean([0.0] * 30, tail=0.05).is_inside(0.05)
    assert estimate_mean([0.0] * 100, tail=0.05).is_inside(0.05)
    assert estimate_mean([0.0] * 100, tail=0.05).high == pytest.approx(0.0295, abs=0.001)  # the rule of three
    assert (estimate_mean([], tail=0.05).low, estimate_mean([0.5], tail=0.05).high) == (-1.0, 1.0)


def test_smaller_tail_gives_a_wider_interval_even_beyond_the_number_of_draws() -> None:
    generator = random.Random(2)
    values = [generator.uniform(-0.5, 0.5) for _ in range(100)]
    widths = [each.high - each.low for each in (estimate_mean(values, tail=tail) for tail in (0.05, 0.005, 0.0005))]
    assert widths == sorted(widths)
    assert widths[2] > 1.15 * widths[1]


def test_rate_difference_is_newcombes_interval() -> None:
    # Newcombe 1998, table II, example (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339.
    interval = estimate_rate_difference(56, 70, 48, 80, tail=0.025)
    assert interval.low == pytest.approx(0.0524, abs=1e-4)
    assert interval.high == pytest.approx(0.3339, abs=1e-4)


def test_rate_that_never_occurred_has_a_bound() -> None:
    interval = estimate_rate_difference(0, 120, 0, 1080, tail=0.05)
    assert 0 < interval.high < 0.03
    assert not estimate_rate_difference(0, 20, 0, 180, tail=0.05).is_inside(0.10)
    assert estimate_rate_difference(0, 0, 3, 9, tail=0.05).low == -1


def test_needed_probes_grow_as_the_margin_comes_near() -> None:
    interval = Interval(-0.02, 0.04, 0.10, 100)
    assert interval.count_needed_probes(0.08) == 225
    assert interval.count_needed_probes(0.05) == 3600
    assert interval.count_needed_probes(0.04) is None
    assert interval.count_needed_probes(0.041) is None  # more than anyone would buy
    assert (interval.is_inside(0.1), interval.is_inside(0.09), interval.is_outside(0.01)) == (True, False, False)
    assert Interval(0.06, 0.1, 0.2, 9).is_outside(0.05)
    assert Interval(-0.2, -0.1, -0.06, 9).is_outside(0.05)
