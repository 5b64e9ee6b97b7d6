"""Action: what a job needs next. A decision only; the reconciler acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from orchestrator.core.hold import REMOVED, SUPERSEDED, Hold
from orchestrator.core.job import Job
from orchestrator.core.lifecycle import UNSENT, State
from orchestrator.core.run import Run, Standing

CREATING = frozenset({State.PLANNED, State.UPLOADING, State.SUBMITTING})  # planned: a retry, its upload still out
GRACE = 1.5  # seconds after an intent's deadline before a look-up believes that nothing is there: lists may lag


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do until something else wakes the job."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until`."""

    until: float


@dataclass(frozen=True, slots=True)
class Verify:
    """Find out whose key this is, before anything is sent."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Find or upload the file."""


@dataclass(frozen=True, slots=True)
class CheckFile:
    """Ask whether the file is ready."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Find or create the remote job."""


@dataclass(frozen=True, slots=True)
class Follow:
    """Ask how far the remote job is."""


@dataclass(frozen=True, slots=True)
class Abandon:
    """Cancel a job of which nothing runs at the provider."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask the provider to cancel the remote job."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Find out which remote job is ours, without creating one: a cancel was asked, or a person chose one."""


Action = Rest | Wait | Verify | Upload | CheckFile | Submit | Follow | Abandon | Stop | Settle


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a job's next step depends on besides the job itself. `holds` are all that apply."""

    verified: bool = True
    started: bool = True
    slot_free: bool = True
    holds: tuple[Hold, ...] = ()


def holds_on(job: Job, run: Run, standing: Standing) -> tuple[Hold, ...]:
    """Everything that sets the job aside: itself, its account, and, before it is submitted, its run."""
    holds = [job.hold, standing.hold, REMOVED if standing.removed_at is not None else None]
    if job.state in UNSENT:
        holds += [*run.holds, None if run.current else SUPERSEDED]
    return tuple(hold for hold in holds if hold)


def next_action(job: Job, around: Circumstances, now: float) -> Action:
    """What the job needs now. A cancel is served even while a hold stops everything else."""
    intent_over = (job.intent_until or 0) + GRACE
    if job.state in CREATING and now < intent_over:
        return Wait(intent_over)
    if job.cancel_asked:
        return _wind_down(job.state)
    if any(hold.holds(now) for hold in around.holds):
        return Rest()
    return _go_on(job, around)


def _go_on(job: Job, around: Circumstances) -> Action:
    match state := job.state:
        case State.PLANNED if not around.verified:
            return Verify()
        case State.PLANNED | State.UPLOADING:
            return Upload()
        case State.PROCESSING:
            return CheckFile()
        case State.READY:
            return Submit() if around.started and around.slot_free else Rest()
        case State.SUBMITTING:
            return Settle() if job.remote_job_id else Submit()
        case State.QUEUED | State.RUNNING:
            return Follow()
        case State.CANCELLING:
            return Stop()
        case State.SUCCEEDED | State.CANCELLED | State.FAILED:
            return Rest()
        case _:
            assert_never(state)


def _wind_down(state: State) -> Action:
    match state:
        case State.PLANNED | State.UPLOADING | State.PROCESSING | State.READY:
            return Abandon()
        case State.SUBMITTING:
            return Settle()
        case State.QUEUED | State.RUNNING | State.CANCELLING:
            return Stop()
        case State.SUCCEEDED | State.CANCELLED | State.FAILED:
            return Rest()
        case _:
            assert_never(state)
