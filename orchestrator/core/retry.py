"""Retry: what an error means for the job. One function, one table of decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from orchestrator.core.duration import format_time
from orchestrator.core.errors import (
    AccountError,
    DailyLimit,
    NotReady,
    ProviderError,
    RateLimited,
    RequestRejected,
    SlotsTaken,
    TemporaryError,
    UnknownOutcome,
)

FIRST_DELAY = 1.0  # seconds; doubles with every attempt
LONGEST_DELAY = 300.0
LONGEST_WISH = 26 * 3600.0  # a server's Retry-After is believed up to this: a daily limit resets within a day
MOST_ATTEMPTS = 40  # failed calls in a row; with the delays above about three hours
SLOT_DELAY = 60.0
DAY = 86400.0
DAWN = 600.0  # seconds over which the jobs that waited for the next day are spread


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at this time; `counts` says whether it was an attempt."""

    at: float
    counts: bool


@dataclass(frozen=True, slots=True)
class HoldAccount:
    """Set the whole account aside."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job has failed."""


Decision = RetryAt | HoldAccount | GiveUp


def decide(error: ProviderError, attempts: int, now: float, jitter: float) -> Decision:
    """Turn an error into a decision. `attempts` counts the failures before this one; `jitter` is 0 to 1."""
    match error:
        case SlotsTaken() | NotReady():
            return RetryAt(now + spread(_wish(error) or SLOT_DELAY / 10, jitter), counts=False)
        case DailyLimit():
            return RetryAt(now + (_wish(error) or DAY - now % DAY) + jitter * DAWN, counts=False)
        case TemporaryError() | UnknownOutcome() if attempts + 1 >= MOST_ATTEMPTS:
            return GiveUp()
        case TemporaryError() if wish := _wish(error):
            return RetryAt(now + wish * (1 + jitter / 10), counts=True)
        case TemporaryError() | UnknownOutcome():
            return RetryAt(now + backoff(attempts, jitter), counts=True)
        case AccountError():
            return HoldAccount()
        case RequestRejected() | ProviderError():
            return GiveUp()
        case _:
            assert_never(error)


def hint_for(error: ProviderError, at: float) -> str:
    """What to do about an error that is tried again at this time: where that is far away, the time is said."""
    if not isinstance(error, RateLimited) or error.hint != error.default_hint:
        return error.hint
    if error.retry_after is not None:
        return f"Nothing to do: the provider names the time; it is tried again at {format_time(at)}."
    if isinstance(error, DailyLimit):
        return f"Nothing to do: it is tried again when the next day begins, at {format_time(at)}."
    return error.hint


def backoff(attempts: int, jitter: float) -> float:
    """Seconds before the next attempt: doubling, capped, spread by ±25 %."""
    return spread(min(FIRST_DELAY * 2.0 ** min(attempts, 20), LONGEST_DELAY), jitter)


def poll_delay(waited: float, shortest: float, longest: float, jitter: float) -> float:
    """Seconds before the next look at something unchanged for `waited` seconds: a fifth of that, within bounds."""
    return spread(min(max(waited / 5, shortest), longest), jitter)


def spread(seconds: float, jitter: float) -> float:
    """±25 %, so that a thousand accounts do not ask in the same second."""
    return seconds * (0.75 + jitter / 2)


def _wish(error: TemporaryError) -> float | None:
    return min(error.retry_after, LONGEST_WISH) if error.retry_after is not None else None
