"""The functions that change a job. Each returns an Outcome with the job's next version; the old Job is untouched."""

# Theory of operation
#
# Every version of a job is made by one of these functions (or by `provider_webhook.wake_job`, which only wakes it;
# the fields in FIELDS_OWNED_ELSEWHERE of the store have other writers). A step of the daemon, or an operator's
# action, loads a job, calls one of the functions, and passes the Outcome to the store (store/queries/outcomes.py).
# The store writes it with a compare and set: UPDATE ... WHERE version = outcome.job.version - 1. Each function
# therefore increments the version exactly once. If another replica or an operator wrote a version in between, the
# update matches no row, and the outcome is stale: it is dropped, and the job is loaded and decided again. There are
# no locks on jobs.
#
# One kind of stale outcome must not be dropped. While a request to the provider is in progress, an operator may
# request a cancel; that writes a version. If the request then created a remote job and its outcome was dropped,
# nobody would know the remote job that is being paid for. `rebase_on_cancel` puts such an outcome on top of the
# cancel. This is safe because `request_cancel` changes only `cancel_asked` and `wake_at`, and because it writes no
# second version while an attempt may be in progress. If `request_cancel` ever changes another field,
# `rebase_on_cancel` has to merge it.
#
# What the functions do with the fields that describe the wait:
#
#                     state   attempts   failure   wake_at        intent_until           changed_at, warning
#   advance           next    0          None      now            (kept) [1]             now, None
#   fail_job          FAILED  0          set       None           kept if maybe created  now, None
#   renew_intent      -       -          -         the deadline   set                    -
#   poll_again        -       0          None      until          -                      -
#   retry_later       -       + 1 [2]    set       until          kept if maybe sent     -
#   sleep_until       -       -          set [3]   until or None  -                      -
#   hold_job          -       -          -         hold's end     -                      -
#   deselect_job      -       -          -         None or now    -                      -
#   release_job       -       0          None      now            -                      now, None
#   request_adoption  -       0          None      now            -                      now, None
#   request_cancel    -       -          -         now            -                      -
#
#   [1] `changes` may override every value; the caller clears `intent_until` when the answer has arrived.
#   [2] not for a limit, a missing slot or a file that is not ready: these say nothing about a defect.
#   [3] only if the caller passes one.
#
# `intent_until` is what prevents a second create: until this time a request that creates something may still arrive
# at the provider. It is removed only when it is certain what happened; next_action waits for it before anything is
# looked up or sent.

from __future__ import annotations

from typing import Any

from orchestrator.core.account_state import AccountHeld, AccountUpdate
from orchestrator.core.errors import Failure, ProviderError, UnknownOutcome
from orchestrator.core.hold import NOT_SELECTED_HOLD, Hold
from orchestrator.core.jobs.checkpoint import Checkpoint
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobEvent, JobState, next_state
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.jobs.pins import PinnedValues
from orchestrator.core.secret import Redactor
from orchestrator.core.structs import Struct, replace


class Outcome(Struct, frozen=True, kw_only=True):
    """The result of a step: the job's next version, and everything that is recorded together with it.

    An outcome is plain data: it can be logged, compared and recorded again on top of a cancel.
    """

    job: Job  # the next version
    previous_state: JobState  # for the history, the notifications and the metrics
    label: str | None  # the note of the history's line; None: not worth a line
    failure: Failure | None = None  # what the history's line shows, also where the job itself has no failure
    detail: str | None = None  # the message of the history's line where there is no failure
    request_id: str | None = None  # the provider's id of the request, for its support
    account_update: AccountUpdate | None = None  # what the step changes in the job's account
    losses: tuple[Loss, ...] = ()  # new points of the job's curve
    checkpoints: tuple[Checkpoint, ...] = ()  # models that the provider kept besides the final one
    pinned_values: PinnedValues | None = None  # chosen by the provider for this job, and sent with the run's others
    warning_candidate: Failure | None = None  # worth an operator's attention; `stall.with_warning` decides
    is_warning_new: bool = False  # the job's warning is new: write a line and notify

    def redacted(self, redact: Redactor, *, replica: str) -> Outcome:
        """Return a copy without keys in the provider's texts, recorded in the name of this replica."""
        job, update = self.job, self.account_update
        return replace(
            self,
            job=replace(
                job,
                failure=job.failure and job.failure.redacted(redact),
                warning=job.warning and job.warning.redacted(redact),
                hold=job.hold and job.hold.redacted(redact),
                replica=replica,
            ),
            failure=self.failure and self.failure.redacted(redact),
            account_update=AccountHeld(update.hold.redacted(redact)) if isinstance(update, AccountHeld) else update,
        )


def advance(job: Job, event: JobEvent, *, now: float, request_id: str | None = None, **changes: Any) -> Outcome:
    """Move the job to the next state. Raises IllegalTransition if `event` cannot happen in its state.

    The job is due again at `now` unless it has ended; an ended job has no hold. `changes` overrides any field.
    """
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
        "hold": None if ended else job.hold,
    }
    after = replace(job, **(values | changes))
    return Outcome(job=after, previous_state=job.state, label=event, failure=after.failure, request_id=request_id)


def fail_job(job: Job, error: ProviderError, *, now: float) -> Outcome:
    """End the job with this error. The intent of a request that may have been sent stays: it may still arrive."""
    until = job.intent_until if isinstance(error, UnknownOutcome) else None
    failure = Failure.from_error(error)
    return advance(job, JobEvent.FAILED, now=now, failure=failure, request_id=error.request_id, intent_until=until)


def renew_intent(job: Job, *, until: float) -> Outcome:
    """Write another intent in the same state, for another attempt. `until` is its deadline."""
    after = replace(job, version=job.version + 1, intent_until=until, wake_at=until)
    return Outcome(job=after, previous_state=job.state, label=None)


def poll_again(job: Job, until: float, **changes: Any) -> Outcome:
    """Record a poll without a transition; the next one is at `until`. It leaves no line in the history."""
    after = replace(job, version=job.version + 1, wake_at=until, attempts=0, failure=None, **changes)
    return Outcome(job=after, previous_state=job.state, label=None)


def retry_later(job: Job, failure: Failure, *, until: float, counts_as_attempt: bool, maybe_sent: bool) -> Outcome:
    """Record a failed call that is retried at `until`. Its intent ends here unless the call may have been sent."""
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
    """Let the job sleep until `until`, or until something wakes it. A failure adds a line to the history."""
    after = replace(job, version=job.version + 1, wake_at=until, failure=failure or job.failure)
    return Outcome(job=after, previous_state=job.state, label="held" if failure else None, failure=failure)


def hold_job(job: Job, hold: Hold, *, request_id: str | None = None) -> Outcome:
    """Put the job on hold. It wakes at the hold's `until`, or when an operator acts."""
    after = replace(job, version=job.version + 1, hold=hold, wake_at=hold.until)
    return Outcome(job=after, previous_state=job.state, label="held", failure=hold.failure, request_id=request_id)


def deselect_job(job: Job, *, now: float) -> Outcome:
    """Put the job on hold because its run no longer selects its account.

    A job that is being submitted stays due: its next step finds out whether the provider has it. If a create is in
    progress, its outcome becomes stale, and that step finds the remote job by its tag.
    """
    outcome = hold_job(job, NOT_SELECTED_HOLD)
    return replace(outcome, job=replace(outcome.job, wake_at=now)) if job.state is JobState.SUBMITTING else outcome


def release_job(job: Job, *, now: float) -> Outcome:
    """Release the job's hold. The job is due at once. It must not have ended: a retry needs to know its failure."""
    return _resume_job(job, "released", now=now)


def request_adoption(job: Job, remote_job_id: str, *, now: float) -> Outcome:
    """Let the job adopt a remote job that an operator chose. Its next step, due at once, verifies the choice."""
    return _resume_job(job, "adoption asked", now=now, remote_job_id=remote_job_id)


def _resume_job(job: Job, label: str, *, now: float, **changes: Any) -> Outcome:
    """End the hold. An operator has seen the job, so the time without any change starts again."""
    after = replace(
        job,
        version=job.version + 1,
        hold=None,
        failure=None,
        attempts=0,
        wake_at=now,
        changed_at=now,
        warning=None,
        **changes,
    )
    return Outcome(job=after, previous_state=job.state, label=label)


def request_cancel(job: Job, *, now: float) -> Outcome:
    """Request the job's cancellation. Its next step, due at once, cancels it locally or at the provider.

    A repeated request while an attempt may be in progress changes nothing: a second version in between would make the
    attempt's outcome stale, and `rebase_on_cancel` accepts one version only.
    """
    if job.cancel_asked and now < (job.intent_until or 0):
        return Outcome(job=job, previous_state=job.state, label=None)
    after = replace(job, version=job.version + 1, cancel_asked=True, wake_at=now)
    return Outcome(job=after, previous_state=job.state, label="cancel asked")


def rebase_on_cancel(outcome: Outcome, latest: Job, *, now: float) -> Outcome | None:
    """Put an attempt's outcome on top of a cancel that was requested meanwhile; None if anything else changed.

    If `latest` is one version further and only it has `cancel_asked`, that one version was the cancel. Unless the job
    has ended, it is due at once, so that the cancel is carried out.
    """
    job = outcome.job
    if latest.version != job.version or job.cancel_asked or not latest.cancel_asked:
        return None
    due = job.wake_at if job.state in TERMINAL_STATES else now
    return replace(outcome, job=replace(job, version=latest.version + 1, cancel_asked=True, wake_at=due))
