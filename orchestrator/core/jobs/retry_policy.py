"""Decides what a provider's error means for the job: retry, hold the account, or fail."""

# Theory of operation
#
# `decide_retry` is one table from error classes to decisions. Its order matters, because the classes are nested:
#
#   error                              decision                                        counts as an attempt
#   JobLimitReached, FileNotReady      retry at Retry-After, else after 6 s            no
#   DailyLimitReached                  retry at Retry-After, else at the next UTC day  no
#   temporary or unknown, 40th time    fail
#   TemporaryError with Retry-After    retry then                                      yes
#   TemporaryError, UnknownOutcome     retry after exponential back-off                yes
#   AccountError                       hold the account
#   RequestRejected, ProviderError     fail
#
# The first two do not count: they say that the provider works and that this job has to wait, possibly for days.
# Forty such replies must not fail a job that has done nothing wrong.
#
# UnknownOutcome is retried like a temporary error. That is safe because a retry never sends the create again: the job
# keeps its intent, waits for its end, and looks the result up first (next_action, remote_state.select_remote_job).
#
# A server's Retry-After is trusted up to MAX_RETRY_AFTER_SECONDS: a daily limit resets within a day, so a longer time
# is an error of the server, and would let a job sleep for weeks.
#
# Every delay has jitter. Without it a thousand accounts, whose calls fail in the same second, would all come back in
# the same second. It is passed in as a number from 0 to 1, so that tests are deterministic. After a Retry-After the
# jitter only adds time (up to 10 %), because an earlier call would break the limit again.

from __future__ import annotations

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
from orchestrator.core.structs import Struct
from orchestrator.core.text import format_time

INITIAL_BACKOFF_SECONDS = 1.0  # doubles with every attempt
MAX_BACKOFF_SECONDS = 300.0
MAX_RETRY_AFTER_SECONDS = 26 * 3600.0  # a day, and a margin for the server's clock
MAX_RETRY_ATTEMPTS = 40  # failed calls in a row; with the delays above about three hours
SLOT_DELAY_SECONDS = 60.0
DAY_SECONDS = 86400.0
DAILY_LIMIT_SPREAD_SECONDS = 600.0  # the jobs that waited for the next day start within this time after midnight


class RetryAt(Struct, frozen=True):
    """Retry the call."""

    at: float  # epoch seconds
    counts_as_attempt: bool  # towards MAX_RETRY_ATTEMPTS


class HoldAccount(Struct, frozen=True):
    """Hold the account: none of its calls can succeed until an operator acts."""


class FailJob(Struct, frozen=True):
    """Fail the job: the same call would fail again."""


RetryDecision = RetryAt | HoldAccount | FailJob


def decide_retry(error: ProviderError, attempts: int, now: float, jitter: float) -> RetryDecision:
    """Decide about an error. `attempts` counts the failures before this one; `jitter` is a random number, 0 to 1."""
    match error:
        case JobLimitReached() | FileNotReady():
            requested = _retry_after(error)
            delay = _add_jitter(requested, jitter) if requested else apply_jitter(SLOT_DELAY_SECONDS / 10, jitter)
            return RetryAt(now + delay, counts_as_attempt=False)
        case DailyLimitReached():
            return RetryAt(
                now + (_retry_after(error) or DAY_SECONDS - now % DAY_SECONDS) + jitter * DAILY_LIMIT_SPREAD_SECONDS,
                counts_as_attempt=False,
            )
        case TemporaryError() | UnknownOutcome() if attempts + 1 >= MAX_RETRY_ATTEMPTS:
            return FailJob()
        case TemporaryError() if requested := _retry_after(error):
            return RetryAt(now + _add_jitter(requested, jitter), counts_as_attempt=True)
        case TemporaryError() | UnknownOutcome():
            return RetryAt(now + backoff(attempts, jitter), counts_as_attempt=True)
        case AccountError():
            return HoldAccount()
        case RequestRejected() | ProviderError():
            return FailJob()
        case _:
            assert_never(error)


def get_retry_hint(error: ProviderError, at: float) -> str:
    """Return the hint of an error that is retried at `at`. For limits it contains the time: the wait may be long."""
    if not isinstance(error, RateLimited) or error.hint != error.default_hint:
        return error.hint
    if error.retry_after is not None:
        return f"No action needed: the service tries again at {format_time(at)}, the time that the provider named."
    if isinstance(error, DailyLimitReached):
        return f"No action needed: the service tries again when the next day (UTC) begins, at {format_time(at)}."
    return error.hint


def backoff(attempts: int, jitter: float) -> float:
    """Return the seconds before the next attempt: doubling, at most MAX_BACKOFF_SECONDS, ±25 %."""
    return apply_jitter(min(INITIAL_BACKOFF_SECONDS * 2.0 ** min(attempts, 20), MAX_BACKOFF_SECONDS), jitter)


def proportional_poll_delay(waited: float, min_delay: float, max_delay: float, jitter: float) -> float:
    """Return the seconds until the next poll of something unchanged for `waited` seconds: a fifth of that."""
    return apply_jitter(min(max(waited / 5, min_delay), max_delay), jitter)


def apply_jitter(seconds: float, jitter: float) -> float:
    """Spread a delay by ±25 %; `jitter` is a random number, 0 to 1."""
    return seconds * (0.75 + jitter / 2)


def _add_jitter(requested: float, jitter: float) -> float:
    """Spread a delay that the server requested by up to 10 %, without undercutting it."""
    return requested * (1 + jitter / 10)


def _retry_after(error: TemporaryError) -> float | None:
    return min(error.retry_after, MAX_RETRY_AFTER_SECONDS) if error.retry_after is not None else None
