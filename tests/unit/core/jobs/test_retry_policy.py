from __future__ import annotations

import pytest
from core_values import NOW
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core import errors
from orchestrator.core.errors import (
    AccountError,
    DailyLimitReached,
    FileNotReady,
    JobLimitReached,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    TemporaryError,
    UnknownOutcome,
)
from orchestrator.core.jobs.retry_policy import (
    INITIAL_BACKOFF_SECONDS,
    MAX_BACKOFF_SECONDS,
    MAX_RETRY_AFTER_SECONDS,
    MAX_RETRY_ATTEMPTS,
    SLOT_DELAY_SECONDS,
    FailJob,
    HoldAccount,
    RetryAt,
    RetryDecision,
    apply_jitter,
    backoff,
    decide_retry,
    get_retry_hint,
    proportional_poll_delay,
)

NEXT_DAY = 1_036_800.0  # the first midnight after NOW
HALF = 0.5  # the jitter that changes nothing
jitters = st.floats(0, 1)
instants = st.floats(0, 1e10)
spans = st.floats(0, 1e7)


def retry_after(after: float, *, counts: bool = True) -> RetryAt:
    return RetryAt(NOW + after, counts)


@pytest.mark.parametrize(
    ("error", "attempts", "decision"),
    [
        # a wish of the server wins; without one the wait doubles
        (RateLimited("429", retry_after=20), 0, retry_after(21)),
        (RateLimited("429", retry_after=20), 9, retry_after(21)),
        (
            RateLimited("429", retry_after=10 * MAX_RETRY_AFTER_SECONDS),
            0,
            retry_after(MAX_RETRY_AFTER_SECONDS * 1.05),
        ),
        (ProviderUnavailable("503", retry_after=2), 0, retry_after(2.1)),
        (RateLimited("429", retry_after=0), 0, retry_after(INITIAL_BACKOFF_SECONDS)),
        (RateLimited("429"), 0, retry_after(INITIAL_BACKOFF_SECONDS)),
        (ProviderUnavailable("503"), 0, retry_after(INITIAL_BACKOFF_SECONDS)),
        (ProviderUnavailable("503"), 3, retry_after(8 * INITIAL_BACKOFF_SECONDS)),
        (ProviderUnavailable("503"), 30, retry_after(MAX_BACKOFF_SECONDS)),
        (UnknownOutcome("lost"), 0, retry_after(INITIAL_BACKOFF_SECONDS)),
        (UnknownOutcome("lost"), 3, retry_after(8 * INITIAL_BACKOFF_SECONDS)),
        # enough is enough
        (RateLimited("429", retry_after=20), MAX_RETRY_ATTEMPTS - 1, FailJob()),
        (ProviderUnavailable("503"), MAX_RETRY_ATTEMPTS - 1, FailJob()),
        (ProviderUnavailable("503"), MAX_RETRY_ATTEMPTS - 2, retry_after(MAX_BACKOFF_SECONDS)),
        (UnknownOutcome("lost"), MAX_RETRY_ATTEMPTS - 1, FailJob()),
        # no more today: the next day, spread over ten minutes, and never an end; unless the server says when
        (DailyLimitReached("429"), 10 * MAX_RETRY_ATTEMPTS, RetryAt(NEXT_DAY + 300, False)),
        (DailyLimitReached("429", retry_after=50), 0, retry_after(50 + 300, counts=False)),
        # waiting for others is no attempt, and never ends
        (JobLimitReached("full"), 0, retry_after(SLOT_DELAY_SECONDS / 10, counts=False)),
        (JobLimitReached("full", retry_after=20), 0, retry_after(21, counts=False)),
        (FileNotReady("checking", retry_after=20), 0, retry_after(21, counts=False)),
        (JobLimitReached("full"), 10 * MAX_RETRY_ATTEMPTS, retry_after(SLOT_DELAY_SECONDS / 10, counts=False)),
        (FileNotReady("checking"), 0, retry_after(SLOT_DELAY_SECONDS / 10, counts=False)),
        (FileNotReady("checking"), 10 * MAX_RETRY_ATTEMPTS, retry_after(SLOT_DELAY_SECONDS / 10, counts=False)),
        # what no repetition mends
        (errors.AuthenticationFailed("401"), 0, HoldAccount()),
        (errors.WrongOrganization("other"), 0, HoldAccount()),
        (errors.TrainingNotAllowed("403"), 0, HoldAccount()),
        (errors.QuotaExhausted("no credit"), 0, HoldAccount()),
        (RequestRejected("400"), 0, FailJob()),
        (errors.RemoteNotFound("404"), 0, FailJob()),
        (ProviderError("?"), 0, FailJob()),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ProviderError) else str(value),
)
def test_decision_follows_the_error_kind(error: ProviderError, attempts: int, decision: RetryDecision) -> None:
    assert decide_retry(error, attempts, NOW, HALF) == decision


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
    match decide_retry(kind("x", retry_after=wish), attempts, now, jitter):
        case RetryAt(at):
            assert issubclass(kind, TemporaryError | UnknownOutcome)
            assert now <= at <= now + MAX_RETRY_AFTER_SECONDS * 1.25 + 1
            if issubclass(kind, TemporaryError):  # the server's wish is never undercut
                assert at >= now + min(wish or 0, MAX_RETRY_AFTER_SECONDS)
        case HoldAccount():
            assert issubclass(kind, AccountError)
        case FailJob():
            assert not issubclass(kind, AccountError)


@given(attempts=st.integers(0, 10_000), jitter=jitters)
def test_backoff_stays_within_bounds(attempts: int, jitter: float) -> None:
    assert 0.75 * INITIAL_BACKOFF_SECONDS <= backoff(attempts, jitter) <= 1.25 * MAX_BACKOFF_SECONDS


@given(attempts=st.integers(0, 100), jitter=jitters)
def test_backoff_never_shrinks(attempts: int, jitter: float) -> None:
    assert backoff(attempts, jitter) <= backoff(attempts + 1, jitter)


@given(waited=spans, shortest=st.floats(0.01, 10), more=st.floats(0, 100), jitter=jitters)
def test_poll_delay_stays_within_bounds(waited: float, shortest: float, more: float, jitter: float) -> None:
    longest = shortest + more
    assert 0.75 * shortest <= proportional_poll_delay(waited, shortest, longest, jitter) <= 1.25 * longest


@pytest.mark.parametrize(("waited", "delay"), [(0, 2), (10, 2), (50, 10), (300, 60), (9000, 60), (-5, 2)])
def test_poll_delay_is_a_fifth_of_the_wait(waited: float, delay: float) -> None:
    assert proportional_poll_delay(waited, 2, 60, HALF) == delay


@pytest.mark.parametrize(("jitter", "factor"), [(0, 0.75), (0.5, 1), (1, 1.25)])
def test_spread_is_a_quarter_either_way(jitter: float, factor: float) -> None:
    assert apply_jitter(100, jitter) == 100 * factor


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (
            DailyLimitReached("429", retry_after=7200),
            "No action needed: the service tries again at 1970-01-12 15:46 UTC, the time that the provider named.",
        ),
        (
            DailyLimitReached("429"),
            "No action needed: the service tries again when the next day (UTC) begins, at 1970-01-12 15:46 UTC.",
        ),
        (RateLimited("429"), RateLimited.default_hint),
        (RateLimited("429", retry_after=5, hint="look here"), "look here"),
        (ProviderUnavailable("503", retry_after=5), ProviderUnavailable.default_hint),
    ],
)
def test_limit_error_names_the_next_attempt(error: ProviderError, hint: str) -> None:
    assert get_retry_hint(error, NOW + 7200) == hint
