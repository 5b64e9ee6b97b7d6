"""Decides what a job needs next. The decision is pure; the reconciler (orchestrator/daemon) carries it out."""

# Theory of operation
#
# `next_action` maps a job, its context and the time to one Action. The reconciler loads a job whose `wake_at` has
# come, asks for the action, executes it, records the outcome, and asks again while the job is due. No
# decision is stored: after a crash, on another replica or after an operator's action the same function decides from
# the job's fields alone. That is why every fact that the decision needs is a field of Job or of JobContext.
#
# The checks are made in this order, and the order matters:
#
#   1. Intent. In UPLOADING and SUBMITTING (and in PLANNED after a retry, whose upload may still be sent by a process
#      that hangs) a request that creates something may still arrive at the provider until `intent_until`. Nothing is
#      done before that time, not even a cancel: a look-up would find nothing yet, and the create would follow it.
#      INTENT_GRACE_SECONDS are added because lists at the providers lag behind their creates.
#   2. Cancel. It comes before the holds, because a held job can be cancelled, and cancelling saves money.
#   3. Holds. While one is active the job is idle; the caller wakes it at the end of a hold that has one.
#   4. The state. One arm for each state; `assert_never` makes mypy report a state without an arm.
#   5. The key. Before anything is sent with a key that was not verified, it is: with the key of another organisation
#      the files and remote jobs of an account are unknown, which would look as if the provider had deleted them.
#
# Which holds apply is decided by `list_job_holds`. Holds of the run (price, moderation, a newer run) stop only jobs
# that are not submitted: once the provider has the job, its money is committed, and the job has to be polled. The
# same rule exists a second time, in SQL, for the counts of the dashboard: `JobsQuery` in
# store/queries/job_search_sql.py. A change here has to be made there; a test compares the two.
#
# A job in SUBMITTING may wait for hours for its next attempt, if the provider's limit for the day is reached. Its run
# may be held or replaced meanwhile, or stop to select its account, or the month of a budget may end.
# `is_submission_void` finds this: the job is looked up once more, and if nothing was created, it goes back to READY,
# where holds and limits apply again.
#
# The actions fall into two groups. Idle, Wait and CancelLocally need no provider. All others call the provider and
# need the account's connection; SubmitJob and UploadFiles write an intent before their call, because they create
# something. SubmitJob always looks the remote job up by its tag first, so it is also the right action after a crash
# in SUBMITTING. ResolveRemoteJob only looks up and never creates: for a requested cancel, for a job that may not be
# created any more, and for a remote job that an operator chose.

from __future__ import annotations

from typing import assert_never

from orchestrator.core.account_state import AccountState
from orchestrator.core.hold import ACCOUNT_REMOVED_HOLD, SUPERSEDED_HOLD, Hold
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import UNSUBMITTED_STATES, JobState
from orchestrator.core.jobs.run import Run
from orchestrator.core.plans.budget import month_start
from orchestrator.core.structs import Struct

INTENT_STATES = frozenset({JobState.PLANNED, JobState.UPLOADING, JobState.SUBMITTING})
"""States with a possible intent. PLANNED: after a retry the upload of the earlier round may still be in progress."""
INTENT_GRACE_SECONDS = 1.5
"""After an intent's deadline, before a look-up without a result means that nothing was created: lists may lag."""


class Idle(Struct, frozen=True):
    """Do nothing until something else wakes the job."""


class Wait(Struct, frozen=True):
    """Do nothing before `until` (epoch seconds)."""

    until: float


class VerifyAccount(Struct, frozen=True):
    """Verify the account's key and its owner, before anything is sent."""


class UploadFiles(Struct, frozen=True):
    """Find the dataset's files at the provider, or upload them."""


class CheckFiles(Struct, frozen=True):
    """Check whether the provider has accepted the files."""


class SubmitJob(Struct, frozen=True):
    """Find the remote job by its tag, or create it."""


class PollRemoteJob(Struct, frozen=True):
    """Read the remote job's status."""


class CancelLocally(Struct, frozen=True):
    """Cancel a job that has no remote job."""


class CancelRemoteJob(Struct, frozen=True):
    """Request the cancel of the remote job at the provider."""


class ResolveRemoteJob(Struct, frozen=True):
    """Find the remote job without creating one: it may not be created any more, or an operator chose a remote job."""


LocalAction = Idle | Wait | CancelLocally
"""The actions that need no provider."""

RemoteAction = (
    VerifyAccount | UploadFiles | CheckFiles | SubmitJob | PollRemoteJob | CancelRemoteJob | ResolveRemoteJob
)
"""The actions that call the provider."""

Action = LocalAction | RemoteAction


class JobContext(Struct, frozen=True, kw_only=True):
    """What a job's next step depends on besides the job itself."""

    account_verified: bool = True  # the provider accepted the account's current key
    run_started: bool = True  # jobs are submitted; False while files are only uploaded
    has_free_slot: bool = True  # the account runs fewer jobs than allowed
    holds: tuple[Hold, ...] = ()  # all holds that apply, see `list_job_holds`
    is_submission_void: bool = False  # an intent to submit does not count any more, see `is_submission_void`


def list_job_holds(job: Job, run: Run, account_state: AccountState) -> tuple[Hold, ...]:
    """List the holds of the job, of its account and, before it is submitted, of its run. Some may have ended.

    A deselected job that is being submitted is looked up first: its create may have happened before.
    """
    own = None if job.is_deselected and job.state is JobState.SUBMITTING else job.hold
    holds = [own, account_state.hold, ACCOUNT_REMOVED_HOLD if account_state.removed_at is not None else None]
    if job.state in UNSUBMITTED_STATES:
        holds += [*run.holds, None if run.current else SUPERSEDED_HOLD]
    return tuple(hold for hold in holds if hold)


def is_submission_void(job: Job, run: Run, now: float) -> bool:
    """Return whether an intent to submit the job, written before, may not be renewed now.

    A budget for the month counts a job in the month of its intent.
    """
    if not run.current or job.is_deselected or any(hold.is_active(now) for hold in run.holds):
        return True
    return job.submitted_at is not None and month_start(job.submitted_at) < month_start(now)


def can_use_slot(job: Job, run: Run, now: float) -> bool:
    """Return whether the job would be submitted now if its account, which is not on hold, had a free slot.

    A job for which this is true keeps the jobs of runs with a lower rank from taking the last slot.
    """
    is_backing_off = job.attempts > 0 and (job.wake_at or now) > now  # after an internal error
    holds = [hold for hold in (job.hold, *run.holds) if hold]
    is_waiting = job.cancel_asked or is_backing_off or any(hold.is_active(now) for hold in holds)
    return job.state is JobState.READY and run.current and run.started_at is not None and not is_waiting


def next_action(job: Job, context: JobContext, now: float) -> Action:
    """Return what the job needs at `now` (epoch seconds). See the theory of operation above for the order."""
    intent_end = (job.intent_until or 0) + INTENT_GRACE_SECONDS
    if job.state in INTENT_STATES and now < intent_end:
        return Wait(intent_end)
    if job.cancel_asked:
        step = _next_cancel_step(job.state)
    elif any(hold.is_active(now) for hold in context.holds):
        return Idle()
    else:
        step = _next_step(job, context)
    return step if context.account_verified or isinstance(step, LocalAction) else VerifyAccount()


def _next_step(job: Job, context: JobContext) -> Action:
    match state := job.state:
        case JobState.PLANNED | JobState.UPLOADING:
            return UploadFiles()
        case JobState.PROCESSING:
            return CheckFiles()
        case JobState.READY:
            return SubmitJob() if context.run_started and context.has_free_slot else Idle()
        case JobState.SUBMITTING:
            return ResolveRemoteJob() if job.remote_job_id or context.is_submission_void else SubmitJob()
        case JobState.QUEUED | JobState.RUNNING:
            return PollRemoteJob()
        case JobState.CANCELLING:
            return CancelRemoteJob()
        case JobState.SUCCEEDED | JobState.CANCELLED | JobState.FAILED:
            return Idle()
        case _:
            assert_never(state)


def _next_cancel_step(state: JobState) -> Action:
    match state:
        case JobState.PLANNED | JobState.UPLOADING | JobState.PROCESSING | JobState.READY:
            return CancelLocally()
        case JobState.SUBMITTING:
            return ResolveRemoteJob()
        case JobState.QUEUED | JobState.RUNNING | JobState.CANCELLING:
            return CancelRemoteJob()
        case JobState.SUCCEEDED | JobState.CANCELLED | JobState.FAILED:
            return Idle()
        case _:
            assert_never(state)
