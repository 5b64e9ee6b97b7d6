"""Advance: the only ways a job changes. Each returns a new Job with the next version; the old one is untouched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.core.errors import Failure, ProviderError, UnknownOutcome
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobEvent, JobState, next_state
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.jobs.pins import PinnedValues
from orchestrator.core.jobs.run import AccountState
from orchestrator.core.secret import Redactor


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A job's next version, and what the history says of it. A `note` of None is not worth a line.

    `standing` is what becomes of the account's standing with it, `losses` continue the job's curve, `pin`
    is what the provider chose for it, where that is given to others. `concern` is something that a person should
    know although the job goes on; `warned` is whether the job's warning is new, and has to be reported.
    """

    job: Job
    previous_state: JobState
    label: str | None
    failure: Failure | None = None
    request_id: str | None = None
    account_update: Callable[[AccountState], AccountState] | None = None
    losses: tuple[Loss, ...] = ()
    pinned_values: PinnedValues | None = None
    warning_candidate: Failure | None = None
    is_warning_new: bool = False

    def redacted(self, redact: Redactor, *, replica: str) -> Outcome:
        """The same without keys in what a provider said, brought about by this replica."""
        job = self.job
        return replace(
            self,
            job=replace(
                job,
                failure=job.failure and job.failure.redacted(redact),
                warning=job.warning and job.warning.redacted(redact),
                replica=replica,
            ),
            failure=self.failure and self.failure.redacted(redact),
        )


def advance(job: Job, event: JobEvent, *, now: float, request_id: str | None = None, **changes: Any) -> Outcome:
    """Follow the table. The job is due again at once, unless it ended or `changes` says otherwise."""
    state = next_state(job.state, event)
    ended = state in TERMINAL_STATES
    values: dict[str, Any] = {
        "state": state,
        "version": job.version + 1,
        "attempts": 0,
        "failure": None,
        "state_since": now,
        "changed_at": now,
        "warning": None,
        "wake_at": None if ended else now,
        "finished_at": now if ended else None,
    }
    after = replace(job, **(values | changes))
    return Outcome(job=after, previous_state=job.state, label=event, failure=after.failure, request_id=request_id)


def fail_job(job: Job, error: ProviderError, *, now: float) -> Outcome:
    """The job has failed. The intent of what was perhaps sent stays: it may still arrive."""
    until = job.intent_until if isinstance(error, UnknownOutcome) else None
    failure = Failure.from_error(error)
    return advance(job, JobEvent.FAILED, now=now, failure=failure, request_id=error.request_id, intent_until=until)


def renew_intent(job: Job, *, until: float) -> Outcome:
    """A fresh intent for another attempt in the same state."""
    after = replace(job, version=job.version + 1, intent_until=until, wake_at=until)
    return Outcome(job=after, previous_state=job.state, label=None)


def poll_again(job: Job, until: float, **changes: Any) -> Outcome:
    """Nothing happened: look again at `until`. Leaves no line in the history."""
    after = replace(job, version=job.version + 1, wake_at=until, attempts=0, failure=None, **changes)
    return Outcome(job=after, previous_state=job.state, label=None)


def retry_later(job: Job, failure: Failure, *, until: float, counts_as_attempt: bool, maybe_sent: bool) -> Outcome:
    """A call failed and is tried again at `until`. Unless it was perhaps `sent`, its intent ends here."""
    after = replace(
        job,
        version=job.version + 1,
        wake_at=until,
        attempts=job.attempts + 1 if counts_as_attempt else job.attempts,
        failure=failure,
        intent_until=job.intent_until if maybe_sent else None,
    )
    return Outcome(
        job=after, previous_state=job.state, label="tried again later", failure=failure, request_id=failure.request_id
    )


def sleep_until(job: Job, until: float | None, *, failure: Failure | None = None) -> Outcome:
    """Sleep until `until`, or until something wakes the job. A failure says why, and is worth a line."""
    after = replace(job, version=job.version + 1, wake_at=until, failure=failure or job.failure)
    return Outcome(job=after, previous_state=job.state, label="held" if failure else None, failure=failure)


def hold_job(job: Job, reason: Hold, *, request_id: str | None = None) -> Outcome:
    """Set the job aside; only its `until`, or a person, wakes it."""
    after = replace(job, version=job.version + 1, hold=reason, wake_at=reason.until)
    return Outcome(job=after, previous_state=job.state, label="held", failure=reason.failure, request_id=request_id)


def release_job(job: Job, *, now: float) -> Outcome:
    """Take a hold away; the job is due at once. A person has looked at it: a stall is counted from now."""
    after = replace(
        job,
        version=job.version + 1,
        hold=None,
        failure=None,
        attempts=0,
        wake_at=now,
        changed_at=now,
        warning=None,
    )
    return Outcome(job=after, previous_state=job.state, label="released")


def request_cancel(job: Job, *, now: float) -> Outcome:
    """Ask for the job's end; the next step, due at once, sees to it whatever the state.

    Asked again while an attempt may be under way it is the same job: a second change would make its answer stale.
    """
    if job.cancel_asked and now < (job.intent_until or 0):
        return Outcome(job=job, previous_state=job.state, label=None)
    after = replace(job, version=job.version + 1, cancel_asked=True, wake_at=now)
    return Outcome(job=after, previous_state=job.state, label="cancel asked")


def rebase_on_cancel(outcome: Outcome, latest: Job, *, now: float) -> Outcome | None:
    """The outcome of an attempt on the job as it was found, if all that came between is a cancel; otherwise None.

    One version further and asked only now: that one change was the cancel, and it changes nothing else.
    """
    job = outcome.job
    if latest.version != job.version or job.cancel_asked or not latest.cancel_asked:
        return None
    due = job.wake_at if job.state in TERMINAL_STATES else now
    return replace(outcome, job=replace(job, version=latest.version + 1, cancel_asked=True, wake_at=due))


def request_adoption(job: Job, remote_job_id: str, *, now: float) -> Outcome:
    """A person says which remote job is ours; the next step, due at once, looks whether it can be."""
    after = replace(
        job,
        version=job.version + 1,
        hold=None,
        failure=None,
        attempts=0,
        remote_job_id=remote_job_id,
        wake_at=now,
    )
    return Outcome(job=after, previous_state=job.state, label="adoption asked")
