from __future__ import annotations

import pytest
from core_values import NOW
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core import errors
from orchestrator.core.errors import (
    AccountError,
    DailyLimit,
    NotReady,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SlotsTaken,
    TemporaryError,
    UnknownOutcome,
)
from orchestrator.core.retry import (
    FIRST_DELAY,
    LONGEST_DELAY,
    LONGEST_WISH,
    MOST_ATTEMPTS,
    SLOT_DELAY,
    Decision,
    GiveUp,
    HoldAccount,
    RetryAt,
    backoff,
    decide,
    hint_for,
    poll_delay,
    spread,
)

NEXT_DAY = 1_036_800.0  # the first midnight after NOW
HALF = 0.5  # the jitter that changes nothing
jitters = st.floats(0, 1)
instants = st.floats(0, 1e10)
spans = st.floats(0, 1e7)


def again(after: float, *, counts: bool = True) -> RetryAt:
    return RetryAt(NOW + after, counts)


@pytest.mark.parametrize(
    ("error", "attempts", "decision"),
    [
        # a wish of the server wins; without one the wait doubles
        (RateLimited("429", retry_after=20), 0, again(21)),
        (RateLimited("429", retry_after=20), 9, again(21)),
        (RateLimited("429", retry_after=10 * LONGEST_WISH), 0, again(LONGEST_WISH * 1.05)),
        (ProviderUnavailable("503", retry_after=2), 0, again(2.1)),
        (RateLimited("429", retry_after=0), 0, again(FIRST_DELAY)),
        (RateLimited("429"), 0, again(FIRST_DELAY)),
        (ProviderUnavailable("503"), 0, again(FIRST_DELAY)),
        (ProviderUnavailable("503"), 3, again(8 * FIRST_DELAY)),
        (ProviderUnavailable("503"), 30, again(LONGEST_DELAY)),
        (UnknownOutcome("lost"), 0, again(FIRST_DELAY)),
        (UnknownOutcome("lost"), 3, again(8 * FIRST_DELAY)),
        # enough is enough
        (RateLimited("429", retry_after=20), MOST_ATTEMPTS - 1, GiveUp()),
        (ProviderUnavailable("503"), MOST_ATTEMPTS - 1, GiveUp()),
        (ProviderUnavailable("503"), MOST_ATTEMPTS - 2, again(LONGEST_DELAY)),
        (UnknownOutcome("lost"), MOST_ATTEMPTS - 1, GiveUp()),
        # no more today: the next day, spread over ten minutes, and never an end; unless the server says when
        (DailyLimit("429"), 10 * MOST_ATTEMPTS, RetryAt(NEXT_DAY + 300, False)),
        (DailyLimit("429", retry_after=50), 0, again(50 + 300, counts=False)),
        # waiting for others is no attempt, and never ends
        (SlotsTaken("full"), 0, again(SLOT_DELAY / 10, counts=False)),
        (SlotsTaken("full", retry_after=90), 0, again(90, counts=False)),
        (SlotsTaken("full"), 10 * MOST_ATTEMPTS, again(SLOT_DELAY / 10, counts=False)),
        (NotReady("checking"), 0, again(SLOT_DELAY / 10, counts=False)),
        (NotReady("checking"), 10 * MOST_ATTEMPTS, again(SLOT_DELAY / 10, counts=False)),
        # what no repetition mends
        (errors.AuthenticationFailed("401"), 0, HoldAccount()),
        (errors.WrongOrganization("other"), 0, HoldAccount()),
        (errors.TrainingNotAllowed("403"), 0, HoldAccount()),
        (errors.QuotaExhausted("no credit"), 0, HoldAccount()),
        (RequestRejected("400"), 0, GiveUp()),
        (errors.RemoteMissing("404"), 0, GiveUp()),
        (ProviderError("?"), 0, GiveUp()),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ProviderError) else str(value),
)
def test_decide(error: ProviderError, attempts: int, decision: Decision) -> None:
    assert decide(error, attempts, NOW, HALF) == decision


def every(kind: type[ProviderError]) -> set[type[ProviderError]]:
    return {kind}.union(*(every(child) for child in kind.__subclasses__()))


@given(
    kind=st.sampled_from(sorted(every(ProviderError), key=str)),
    attempts=st.integers(0, 10_000),
    wish=st.none() | spans,
    now=instants,
    jitter=jitters,
)
def test_a_decision_is_always_made_and_never_lies_in_the_past(
    kind: type[ProviderError], attempts: int, wish: float | None, now: float, jitter: float
) -> None:
    match decide(kind("x", retry_after=wish), attempts, now, jitter):
        case RetryAt(at):
            assert issubclass(kind, TemporaryError | UnknownOutcome)
            assert now <= at <= now + LONGEST_WISH * 1.25 + 1
        case HoldAccount():
            assert issubclass(kind, AccountError)
        case GiveUp():
            assert not issubclass(kind, AccountError)


@given(attempts=st.integers(0, 10_000), jitter=jitters)
def test_backoff_stays_within_bounds(attempts: int, jitter: float) -> None:
    assert 0.75 * FIRST_DELAY <= backoff(attempts, jitter) <= 1.25 * LONGEST_DELAY


@given(attempts=st.integers(0, 100), jitter=jitters)
def test_backoff_never_shrinks(attempts: int, jitter: float) -> None:
    assert backoff(attempts, jitter) <= backoff(attempts + 1, jitter)


@given(waited=spans, shortest=st.floats(0.01, 10), more=st.floats(0, 100), jitter=jitters)
def test_poll_delay_stays_within_bounds(waited: float, shortest: float, more: float, jitter: float) -> None:
    longest = shortest + more
    assert 0.75 * shortest <= poll_delay(waited, shortest, longest, jitter) <= 1.25 * longest


@pytest.mark.parametrize(("waited", "delay"), [(0, 2), (10, 2), (50, 10), (300, 60), (9000, 60), (-5, 2)])
def test_poll_delay_is_a_fifth_of_the_wait(waited: float, delay: float) -> None:
    assert poll_delay(waited, 2, 60, HALF) == delay


@pytest.mark.parametrize(("jitter", "factor"), [(0, 0.75), (0.5, 1), (1, 1.25)])
def test_spread_is_a_quarter_either_way(jitter: float, factor: float) -> None:
    assert spread(100, jitter) == 100 * factor


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (
            DailyLimit("429", retry_after=7200),
            "Nothing to do: the provider names the time; it is tried again at 1970-01-12 15:46 UTC.",
        ),
        (DailyLimit("429"), "Nothing to do: it is tried again when the next day begins, at 1970-01-12 15:46 UTC."),
        (RateLimited("429"), RateLimited.default_hint),
        (RateLimited("429", retry_after=5, hint="look here"), "look here"),
        (ProviderUnavailable("503", retry_after=5), ProviderUnavailable.default_hint),
    ],
)
def test_a_limit_says_when_it_is_tried_again(error: ProviderError, hint: str) -> None:
    assert hint_for(error, NOW + 7200) == hint
