"""Webhook: a provider's word that something happened to a job of ours. It is looked at, never believed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.transitions import Outcome

POLLED_STATES: Final = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING})
WEBHOOK_POLL_FACTOR: Final = 10.0  # times as long as usual that an account with webhooks goes without a look
MAX_WEBHOOK_POLL_SECONDS: Final = 600.0  # seconds, should a webhook be lost
WEBHOOK_TRUST_SECONDS: Final = (
    7 * 24 * 3600.0
)  # an account whose webhooks stay away for longer is polled as if it had none


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderWebhook:
    """One that is genuine. `id` is the same when it is sent again; it is about no job when that is None."""

    id: str
    remote_job_id: str | None


def wake_job(job: Job, *, now: float, min_delay: float) -> Outcome | None:
    """Make the job due now, or `shortest` seconds after the last webhook did; None when it is looked at by then.

    A look that is under way began before the webhook and may have missed what it tells: the new version drops it.
    Unless that look was made by a webhook: then it comes again soon, see `Job.told`.
    """
    if job.state not in POLLED_STATES or job.hold or job.woken_by_webhook:
        return None
    soonest = now if job.webhook_at is None else max(now, job.webhook_at + min_delay)
    if job.wake_at is not None and now < job.wake_at <= soonest:
        return None
    after = replace(job, version=job.version + 1, wake_at=soonest, webhook_at=soonest)
    return Outcome(job=after, previous_state=job.state, label="webhook arrived")


def max_poll_seconds(usual_seconds: float, seen_at: float | None, now: float) -> float:
    """Seconds between two looks at most: more than usual where webhooks arrive, given when the last one came."""
    if seen_at is None or now - seen_at >= WEBHOOK_TRUST_SECONDS:
        return usual_seconds
    return max(usual_seconds, min(usual_seconds * WEBHOOK_POLL_FACTOR, MAX_WEBHOOK_POLL_SECONDS))
