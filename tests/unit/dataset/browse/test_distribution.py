"""Distributions and the histograms that are drawn from them."""

from __future__ import annotations

import pytest

from orchestrator.dataset.browse.distribution import MAX_BARS, Distribution, build_distribution
from orchestrator.dataset.browse.histogram import build_histograms, find_axis_end


@pytest.mark.parametrize(
    "values",
    [[1], [7] * 3, range(500), [*range(100, 200), 90_000], [0, 0, 3], [1_000_000] * 2, [*[50] * 99, 51, 200_000]],
)
def test_bars_hold_every_value_once(values: list[int]) -> None:
    found = build_distribution(values)
    assert (sum(found.counts), sum(found.sums), found.total) == (len(values), sum(values), sum(values))
    assert len(found.counts) <= MAX_BARS
    for bar, (count, total) in enumerate(zip(found.counts, found.sums, strict=True)):
        assert count * found.get_bound(bar) <= total
        assert bar == found.open_bar or total <= count * (found.get_bound(bar + 1) - 1)


def test_one_outlier_does_not_leave_one_bar() -> None:
    found = build_distribution([*range(100, 300), 120_000])
    assert found.open_bar == len(found.counts) - 1
    assert found.counts[-1] == 1
    assert sum(1 for count in found.counts if count) > 10
    assert (found.median, found.largest) == (200, 120_000)


def test_small_numbers_have_one_bar_each_from_the_smallest() -> None:
    found = build_distribution([1, 1, 2, 4])
    assert (found.start, found.width, found.counts, found.open_bar) == (1, 1, (2, 1, 0, 1), None)


def test_histograms_have_axes_and_the_cost_adds_up() -> None:
    tokens, turns = build_distribution([*range(100, 300), 120_000]), build_distribution([1, 1, 2])
    shown = build_histograms(tokens, turns, usd=10.0, price_note="Note.", estimated=True)
    assert [each.title for each in shown] == ["Tokens per example", "Cost by length", "Turns per example"]
    for each in shown:
        assert each.x_title
        assert each.y_title
        assert len(each.y_labels) == 3
        assert all(0 <= bar.x <= 100 and 0 <= bar.y <= 100 for bar in each.bars)
        assert [tick.x for tick in each.x_ticks] == sorted(tick.x for tick in each.x_ticks)
    assert shown[0].x_ticks[-1].label.startswith("≥ ")
    assert sum(float(row[1].strip("$")) for row in shown[1].rows) == pytest.approx(10, abs=0.2)
    assert "Partly estimated" in shown[0].note


def test_without_a_price_the_cost_is_the_share_of_the_tokens() -> None:
    values = build_distribution([10, 20, 30])
    cost = build_histograms(values, values, usd=None, price_note="", estimated=False)[1]
    assert cost.y_title == "Share of the tokens"
    assert [row[2] for row in cost.rows] == ["16.7%", "33.3%", "50.0%"]


def test_empty_dataset_has_no_histograms() -> None:
    assert build_histograms(Distribution(), Distribution(), usd=None, price_note="", estimated=False) == ()


@pytest.mark.parametrize(
    ("highest", "end"), [(1, 2), (2, 2), (3, 4), (4562, 6000), (0.07, 0.08), (7.3, 8), (100.0, 100)]
)
def test_axis_ends_at_a_round_number(highest: float, end: float) -> None:
    assert find_axis_end(highest) == pytest.approx(end)
