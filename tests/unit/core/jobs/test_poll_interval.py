"""When a job that the provider has is looked at again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.jobs.poll_interval import (
    MIN_ENDED_JOBS,
    SECONDS_PER_POLL,
    EndWindow,
    end_window_around,
    end_window_from_durations,
    next_poll_delay,
)

HALF = 0.5  # no jitter
SECONDS = st.floats(0, 1e6)


def poll_delay(passed: float, span: EndWindow | None) -> float:
    return next_poll_delay(passed, span, min_delay=2, max_delay=60, jitter=HALF)


def test_poll_delay_without_an_estimate_grows_with_the_wait() -> None:
    assert [poll_delay(passed, None) for passed in (0, 10, 45, 1000)] == [2, 10, 45, 60]


def test_polls_are_rare_in_the_middle() -> None:
    assert poll_delay(600, EndWindow(1500, 2000)) == 60


def test_last_early_poll_is_at_the_soonest_end() -> None:
    assert poll_delay(1480, EndWindow(1500, 2000)) == 20


def test_polls_are_frequent_near_the_end() -> None:
    assert poll_delay(1500, EndWindow(1500, 1600)) < poll_delay(1500, EndWindow(1500, 2000)) < SECONDS_PER_POLL


def test_overdue_job_is_polled_within_the_budget() -> None:
    assert poll_delay(5000, EndWindow(1500, 2000)) == SECONDS_PER_POLL


@pytest.mark.parametrize("span", [EndWindow(900, 1000), EndWindow(1500, 2500), EndWindow(1000, 4000)])
def test_poll_rule_needs_a_third_of_the_requests_of_fixed_polling(span: EndWindow) -> None:
    end = (span.earliest + span.latest) / 2
    passed, looks = 0.0, 0
    while passed < end:
        passed += poll_delay(passed, span)
        looks += 1
    assert looks <= end / 10 / 3 + 2


@given(passed=SECONDS, soonest=SECONDS, more=SECONDS, jitter=st.floats(0, 1))
def test_poll_delay_stays_within_its_bounds(passed: float, soonest: float, more: float, jitter: float) -> None:
    seconds = next_poll_delay(passed, EndWindow(soonest, soonest + more), min_delay=2, max_delay=60, jitter=jitter)
    assert 0.75 * 2 <= seconds <= 1.25 * 60


def test_few_durations_give_no_estimate() -> None:
    assert (
        end_window_from_durations([60.0] * (MIN_ENDED_JOBS - 1), ended_count=MIN_ENDED_JOBS - 1, open_count=0) is None
    )


def test_outliers_do_not_widen_the_span() -> None:
    span = end_window_from_durations([1.0, *([100.0] * 98), 9999.0], ended_count=100, open_count=0)
    assert span is not None
    assert 95 < span.earliest < 100 < span.latest < 105


def test_first_finished_jobs_do_not_limit_the_span() -> None:
    quick = end_window_from_durations([100.0] * 10, ended_count=10, open_count=90)
    known = end_window_from_durations([100.0] * 10, ended_count=90, open_count=10)
    assert quick is not None
    assert known is not None
    assert quick.latest > 1.5 * known.latest


def test_estimate_has_a_margin_of_a_tenth() -> None:
    span = end_window_around(100)
    assert (span.earliest, span.latest) == pytest.approx((90, 110))


@pytest.mark.parametrize("passed", [0.4, 8.0, 80.0])
def test_late_short_job_is_polled_soon(passed: float) -> None:
    look = next_poll_delay(passed, EndWindow(0.0, 0.3), min_delay=0.1, max_delay=60.0, jitter=0.5)
    assert 0.05 <= look <= passed / 4


def test_window_has_a_margin_on_both_sides_of_the_known_durations() -> None:
    window = end_window_from_durations([100.0] * 5 + [200.0] * 5, ended_count=10, open_count=10)
    assert window is not None
    assert 80 <= window.earliest < 100
    assert 200 < window.latest <= 240
