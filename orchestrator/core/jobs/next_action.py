"""Action: what a job needs next. A decision only; the reconciler acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from orchestrator.core.account_state import AccountState
from orchestrator.core.hold import ACCOUNT_REMOVED_HOLD, SUPERSEDED_HOLD, Hold
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import UNSUBMITTED_STATES, JobState
from orchestrator.core.jobs.run import Run

INTENT_STATES = frozenset(
    {JobState.PLANNED, JobState.UPLOADING, JobState.SUBMITTING}
)  # planned: a retry, its upload still out
INTENT_GRACE_SECONDS = (
    1.5  # seconds after an intent's deadline before a look-up believes that nothing is there: lists may lag
)


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to do until something else wakes the job."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until`."""

    until: float


@dataclass(frozen=True, slots=True)
class VerifyAccount:
    """Find out whose key this is, before anything is sent."""


@dataclass(frozen=True, slots=True)
class UploadFiles:
    """Find or upload the file."""


@dataclass(frozen=True, slots=True)
class CheckFiles:
    """Ask whether the file is ready."""


@dataclass(frozen=True, slots=True)
class SubmitJob:
    """Find or create the remote job."""


@dataclass(frozen=True, slots=True)
class PollRemoteJob:
    """Ask how far the remote job is."""


@dataclass(frozen=True, slots=True)
class CancelLocally:
    """Cancel a job of which nothing runs at the provider."""


@dataclass(frozen=True, slots=True)
class CancelRemoteJob:
    """Ask the provider to cancel the remote job."""


@dataclass(frozen=True, slots=True)
class ResolveRemoteJob:
    """Find out which remote job is ours, without creating one: a cancel was asked, or a person chose one."""


LocalAction = Idle | Wait | CancelLocally
"""The actions that need no provider."""

RemoteAction = (
    VerifyAccount | UploadFiles | CheckFiles | SubmitJob | PollRemoteJob | CancelRemoteJob | ResolveRemoteJob
)
"""The actions that call the provider."""

Action = LocalAction | RemoteAction


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What a job's next step depends on besides the job itself. `holds` are all that apply."""

    account_verified: bool = True
    run_started: bool = True
    has_free_slot: bool = True
    holds: tuple[Hold, ...] = ()


def list_job_holds(job: Job, run: Run, standing: AccountState) -> tuple[Hold, ...]:
    """Everything that sets the job aside: itself, its account, and, before it is submitted, its run."""
    holds = [job.hold, standing.hold, ACCOUNT_REMOVED_HOLD if standing.removed_at is not None else None]
    if job.state in UNSUBMITTED_STATES:
        holds += [*run.holds, None if run.current else SUPERSEDED_HOLD]
    return tuple(hold for hold in holds if hold)


def next_action(job: Job, context: JobContext, now: float) -> Action:
    """What the job needs now. A cancel is served even while a hold stops everything else."""
    intent_over = (job.intent_until or 0) + INTENT_GRACE_SECONDS
    if job.state in INTENT_STATES and now < intent_over:
        return Wait(intent_over)
    if job.cancel_asked:
        return _next_cancel_step(job.state)
    if any(hold.is_active(now) for hold in context.holds):
        return Idle()
    return _next_step(job, context)


def _next_step(job: Job, context: JobContext) -> Action:
    match state := job.state:
        case JobState.PLANNED if not context.account_verified:
            return VerifyAccount()
        case JobState.PLANNED | JobState.UPLOADING:
            return UploadFiles()
        case JobState.PROCESSING:
            return CheckFiles()
        case JobState.READY:
            return SubmitJob() if context.run_started and context.has_free_slot else Idle()
        case JobState.SUBMITTING:
            return ResolveRemoteJob() if job.remote_job_id else SubmitJob()
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
