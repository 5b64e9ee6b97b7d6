"""When a job that the provider has is looked at again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.polling import BUDGET, FEW, Span, next_look, span_around, span_of

HALF = 0.5  # no jitter
SECONDS = st.floats(0, 1e6)


def look(passed: float, span: Span | None) -> float:
    return next_look(passed, span, shortest=2, longest=60, jitter=HALF)


def test_unknown_it_grows_with_the_wait() -> None:
    assert [look(passed, None) for passed in (0, 10, 45, 1000)] == [2, 10, 45, 60]


def test_in_the_middle_it_is_rare() -> None:
    assert look(600, Span(1500, 2000)) == 60


def test_the_last_look_before_the_soonest_end_is_at_it() -> None:
    assert look(1480, Span(1500, 2000)) == 20


def test_near_the_end_it_spends_what_was_saved() -> None:
    assert look(1500, Span(1500, 1600)) < look(1500, Span(1500, 2000)) < BUDGET


def test_overdue_it_keeps_to_the_budget() -> None:
    assert look(5000, Span(1500, 2000)) == BUDGET


@pytest.mark.parametrize("span", [Span(900, 1000), Span(1500, 2500), Span(1000, 4000)])
def test_on_the_whole_it_takes_a_third_of_the_requests_of_one_every_ten_seconds(span: Span) -> None:
    end = (span.soonest + span.latest) / 2
    passed, looks = 0.0, 0
    while passed < end:
        passed += look(passed, span)
        looks += 1
    assert looks <= end / 10 / 3 + 2


@given(passed=SECONDS, soonest=SECONDS, more=SECONDS, jitter=st.floats(0, 1))
def test_it_stays_within_bounds(passed: float, soonest: float, more: float, jitter: float) -> None:
    seconds = next_look(passed, Span(soonest, soonest + more), shortest=2, longest=60, jitter=jitter)
    assert 0.75 * 2 <= seconds <= 1.25 * 60


def test_a_few_say_nothing() -> None:
    assert span_of([60.0] * (FEW - 1), ended=FEW - 1, open_=0) is None


def test_rare_ones_do_not_widen_the_span() -> None:
    span = span_of([1.0, *([100.0] * 98), 9999.0], ended=100, open_=0)
    assert span is not None
    assert 95 < span.soonest < 100 < span.latest < 105


def test_while_most_are_open_the_quick_ones_do_not_say_when_the_last_ends() -> None:
    quick = span_of([100.0] * 10, ended=10, open_=90)
    known = span_of([100.0] * 10, ended=90, open_=10)
    assert quick is not None
    assert known is not None
    assert quick.latest > 1.5 * known.latest


def test_an_estimate_is_taken_with_a_tenth_before_and_behind() -> None:
    span = span_around(100)
    assert (span.soonest, span.latest) == pytest.approx((90, 110))


@pytest.mark.parametrize("passed", [0.4, 8.0, 80.0])
def test_a_short_job_that_is_late_is_not_waited_for_long(passed: float) -> None:
    look = next_look(passed, Span(0.0, 0.3), shortest=0.1, longest=60.0, jitter=0.5)
    assert 0.05 <= look <= passed / 4
