"""Retry: what an error means for the job. One function, one table of decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from orchestrator.core.errors import (
    AccountError,
    DailyLimitReached,
    FileNotReady,
    JobLimitReached,
    ProviderError,
    RateLimited,
    RequestRejected,
    TemporaryError,
    UnknownOutcome,
)
from orchestrator.core.text import format_time

INITIAL_BACKOFF_SECONDS = 1.0  # seconds; doubles with every attempt
MAX_BACKOFF_SECONDS = 300.0
MAX_RETRY_AFTER_SECONDS = (
    26 * 3600.0
)  # a server's Retry-After is believed up to this: a daily limit resets within a day
MAX_RETRY_ATTEMPTS = 40  # failed calls in a row; with the delays above about three hours
SLOT_DELAY_SECONDS = 60.0
DAY_SECONDS = 86400.0
DAILY_LIMIT_SPREAD_SECONDS = 600.0  # seconds over which the jobs that waited for the next day are spread


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at this time; `counts` says whether it was an attempt."""

    at: float
    counts_as_attempt: bool


@dataclass(frozen=True, slots=True)
class HoldAccount:
    """Set the whole account aside."""


@dataclass(frozen=True, slots=True)
class FailJob:
    """The job has failed."""


RetryDecision = RetryAt | HoldAccount | FailJob


def decide_retry(error: ProviderError, attempts: int, now: float, jitter: float) -> RetryDecision:
    """Turn an error into a decision. `attempts` counts the failures before this one; `jitter` is 0 to 1."""
    match error:
        case JobLimitReached() | FileNotReady():
            return RetryAt(
                now + apply_jitter(_retry_after(error) or SLOT_DELAY_SECONDS / 10, jitter), counts_as_attempt=False
            )
        case DailyLimitReached():
            return RetryAt(
                now + (_retry_after(error) or DAY_SECONDS - now % DAY_SECONDS) + jitter * DAILY_LIMIT_SPREAD_SECONDS,
                counts_as_attempt=False,
            )
        case TemporaryError() | UnknownOutcome() if attempts + 1 >= MAX_RETRY_ATTEMPTS:
            return FailJob()
        case TemporaryError() if wish := _retry_after(error):
            return RetryAt(now + wish * (1 + jitter / 10), counts_as_attempt=True)
        case TemporaryError() | UnknownOutcome():
            return RetryAt(now + backoff(attempts, jitter), counts_as_attempt=True)
        case AccountError():
            return HoldAccount()
        case RequestRejected() | ProviderError():
            return FailJob()
        case _:
            assert_never(error)


def get_retry_hint(error: ProviderError, at: float) -> str:
    """What to do about an error that is tried again at this time: where that is far away, the time is said."""
    if not isinstance(error, RateLimited) or error.hint != error.default_hint:
        return error.hint
    if error.retry_after is not None:
        return f"No action needed: the service tries again at {format_time(at)}, the time that the provider named."
    if isinstance(error, DailyLimitReached):
        return f"No action needed: the service tries again when the next day (UTC) begins, at {format_time(at)}."
    return error.hint


def backoff(attempts: int, jitter: float) -> float:
    """Seconds before the next attempt: doubling, capped, spread by ±25 %."""
    return apply_jitter(min(INITIAL_BACKOFF_SECONDS * 2.0 ** min(attempts, 20), MAX_BACKOFF_SECONDS), jitter)


def proportional_poll_delay(waited: float, min_delay: float, max_delay: float, jitter: float) -> float:
    """Seconds before the next look at something unchanged for `waited` seconds: a fifth of that, within bounds."""
    return apply_jitter(min(max(waited / 5, min_delay), max_delay), jitter)


def apply_jitter(seconds: float, jitter: float) -> float:
    """±25 %, so that a thousand accounts do not ask in the same second."""
    return seconds * (0.75 + jitter / 2)


def _retry_after(error: TemporaryError) -> float | None:
    return min(error.retry_after, MAX_RETRY_AFTER_SECONDS) if error.retry_after is not None else None
