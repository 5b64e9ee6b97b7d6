"""Stall: when a person is told that an open job does not move on.

A job waits for somebody else in nearly every state, and a provider may never say the word that ends the wait. So each
step compares the job with what it was before. Where nothing has changed for too long, or the provider says something
that is not understood, the job gets a warning: one line of its history, one announcement and a mark. It stays with
the job until something changes, so that the same stretch is never reported twice. The job goes on being followed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from orchestrator.core.errors import Failure
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.core.text import format_duration

HOUR_SECONDS: Final = 3600.0
DEFAULT_STALL_SECONDS: Final = 6 * HOUR_SECONDS  # without any change, where the settings say nothing else
CANCEL_STALL_SECONDS: Final = 1800.0  # in which a working provider has ended a job that it was asked to cancel
LIMIT_STALL_SECONDS: Final = (
    48 * HOUR_SECONDS
)  # of a limit that resets within a day: the status says when it is tried again
JOB_STALLED_KIND: Final = "job_stalled"

UNREPORTED_STATES: Final = frozenset({JobState.READY, *TERMINAL_STATES})
"""Nothing is reported here: a ready job waits for a person or for another job of ours, and its status says so."""
LIMIT_ERROR_KINDS: Final = frozenset({"daily_limit", "slots_taken"})


@dataclass(frozen=True, slots=True)
class WaitDescription:
    """What ends the wait in a state, and after how long something is said where nothing does."""

    ended_by: str
    reported_after: str


STALL_REPORT_TEXT: Final = "after 6 h without any change (`ORCHESTRATOR_STALLED_AFTER_HOURS`)"
WAIT_DESCRIPTIONS: Final[dict[JobState, WaitDescription]] = {
    JobState.PLANNED: WaitDescription(
        "The key is verified and the upload begins. A failing call is tried again, 40 times at most; then the job "
        "fails.",
        f"at once, as the job's error; {STALL_REPORT_TEXT}",
    ),
    JobState.UPLOADING: WaitDescription(
        "The provider answers. A lost answer is looked up after the intent's deadline; 40 failures end the job.",
        f"at once, as the job's error; {STALL_REPORT_TEXT}",
    ),
    JobState.PROCESSING: WaitDescription(
        "The provider says that the file is ready or refused. One that it only calls `uploaded`, or of which it says "
        "nothing that is understood, is taken as ready after 10 min: a create that is refused creates nothing.",
        "after 10 min, in the history; after 30 min of any other word",
    ),
    JobState.READY: WaitDescription(
        "A slot of the account becomes free (looked at every minute), `start`, or the release of a hold.",
        "at once: the status says what it waits for",
    ),
    JobState.SUBMITTING: WaitDescription(
        "The provider answers. A lost answer is looked up, and what cannot be decided is held. A limit is waited for "
        "until the provider's time, else until the next day (UTC).",
        f"at once, as the job's error, with the time of the next attempt; {STALL_REPORT_TEXT}; a limit after 48 h",
    ),
    JobState.QUEUED: WaitDescription(
        "The provider begins, or ends the job. One that it does not show any more fails after 4 looks.",
        f"{STALL_REPORT_TEXT}; a status that is not known at once",
    ),
    JobState.RUNNING: WaitDescription(
        "The provider ends the job. A succeeded job without a model id fails after 15 min.",
        f"{STALL_REPORT_TEXT} of status, progress, tokens and losses; a status that is not known at once",
    ),
    JobState.CANCELLING: WaitDescription(
        "The provider says that the job has ended. It is asked to cancel again as long as it does not say it will.",
        "after 30 min",
    ),
    JobState.SUCCEEDED: WaitDescription("–", "at once: `model.ready`"),
    JobState.CANCELLED: WaitDescription("–", "at once, in the history"),
    JobState.FAILED: WaitDescription("`retry`.", "at once: `job.failed`"),
}

_CHECK_REMOTE_HINT: Final = (
    "Look at remote job {remote} in the provider's console. It is still followed; `orchestrator cancel {account}` "
    "ends it."
)
_HINTS: Final = {
    JobState.QUEUED: _CHECK_REMOTE_HINT,
    JobState.RUNNING: _CHECK_REMOTE_HINT,
    JobState.CANCELLING: "Cancel remote job {remote} in the provider's console: it may still cost money.",
}
_RETRYING_HINT: Final = "It is still tried again; `orchestrator history {account}` says what happened so far."


def with_warning(
    before: Job, outcome: Outcome, *, now: float, stall_seconds: float = DEFAULT_STALL_SECONDS
) -> Outcome:
    """Add to the outcome what a person should know about the job, and since when nothing has changed.

    `before` is the job as the step found it; `stalled` is the time in seconds without any change.
    """
    job = outcome.job
    if job.state in UNREPORTED_STATES or (job.hold is not None and outcome.warning_candidate is None):
        return outcome
    changed = _progress_marker(before) != _progress_marker(job)
    since = now if changed else job.changed_at or job.state_since
    known = None if changed else before.warning
    found = outcome.warning_candidate or _find_stall(job, since, now, stall_seconds)
    warning = found if found and (known is None or known.kind != found.kind) else known
    after = replace(job, changed_at=since, warning=warning)
    return replace(outcome, job=after, is_warning_new=warning is not None and warning != known)


def _progress_marker(job: Job) -> tuple[object, ...]:
    """What changes while a job moves on, by our state and by the provider's own progress."""
    return job.state, job.remote_status, job.progress, job.trained_tokens, job.loss_step


def _find_stall(job: Job, since: float, now: float, stall_seconds: float) -> Failure | None:
    passed = now - since
    if passed < _stall_limit_seconds(job, stall_seconds):
        return None
    said = f"; the provider says {job.remote_status!r}" if job.remote_status else ""
    error = f"; its last error is {job.failure.kind}: {job.failure.message}" if job.failure else ""
    hint = _HINTS.get(job.state, _RETRYING_HINT)
    return Failure(
        JOB_STALLED_KIND,
        f"nothing has changed for {format_duration(passed)}: the job is {job.state}{said}{error}",
        hint.format(remote=job.remote_job_id, account=job.account),
    )


def _stall_limit_seconds(job: Job, stall_seconds: float) -> float:
    if job.failure is not None and job.failure.kind in LIMIT_ERROR_KINDS:
        return max(LIMIT_STALL_SECONDS, stall_seconds)
    return min(CANCEL_STALL_SECONDS, stall_seconds) if job.state is JobState.CANCELLING else stall_seconds
