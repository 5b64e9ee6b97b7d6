"""Webhooks from providers: they make a job due, and allow longer polling intervals.

The content of a webhook is not used: the job is polled, so a forged or outdated webhook can only cause a poll.
"""

from __future__ import annotations

from typing import Final

from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.core.structs import Struct, replace

POLLED_STATES: Final = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING})
WEBHOOK_POLL_FACTOR: Final = 10.0  # how much longer the polling interval of an account with webhooks is
MAX_WEBHOOK_POLL_SECONDS: Final = 600.0  # polling interval at most, because a webhook may be lost
WEBHOOK_TRUST_SECONDS: Final = 7 * 24 * 3600.0  # without webhooks for this time, the usual intervals apply again


class ProviderWebhook(Struct, frozen=True, kw_only=True):
    """A verified webhook."""

    id: str  # the same when the provider sends the webhook again
    remote_job_id: str | None  # None: it is not about a job


def wake_job(job: Job, *, now: float, min_delay: float) -> Outcome | None:
    """Make the job due now, or `min_delay` seconds after the last webhook; None if it is due by then anyway.

    A poll that is in progress began before the webhook and may have missed the change: the new version makes its
    outcome stale, and the job is polled again. If a webhook caused that poll, nothing is done (`woken_by_webhook`):
    otherwise a provider that sends webhooks all the time would make every poll stale.
    """
    if job.state not in POLLED_STATES or job.hold or job.woken_by_webhook:
        return None
    soonest = now if job.webhook_at is None else max(now, job.webhook_at + min_delay)
    if job.wake_at is not None and now < job.wake_at <= soonest:
        return None
    after = replace(job, version=job.version + 1, wake_at=soonest, webhook_at=soonest)
    return Outcome(job=after, previous_state=job.state, label="webhook arrived")


def max_poll_seconds(usual_seconds: float, seen_at: float | None, now: float) -> float:
    """Return the maximum polling interval in seconds; it is longer if webhooks arrive, the last one at `seen_at`."""
    if seen_at is None or now - seen_at >= WEBHOOK_TRUST_SECONDS:
        return usual_seconds
    return max(usual_seconds, min(usual_seconds * WEBHOOK_POLL_FACTOR, MAX_WEBHOOK_POLL_SECONDS))
