"""Detects jobs that make no progress and gives them a warning.

In nearly every state a job waits for something outside the program, and a provider may never report the status that
ends the wait. Each step therefore compares the job with its previous version. If nothing has changed for too long, or
the provider reports something unknown, the job gets a warning: one line in its history, one notification
(`job.warning`) and a mark in the status. The warning stays until something changes, so that one stall is reported
once. The job is still processed.
"""

from __future__ import annotations

from typing import Final

from orchestrator.core.errors import Failure
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_duration

HOUR_SECONDS: Final = 3600.0
DEFAULT_STALL_SECONDS: Final = 6 * HOUR_SECONDS  # time without any change, unless the settings name another
CANCEL_STALL_SECONDS: Final = 1800.0  # a working provider ends a cancelled job within this time
LIMIT_STALL_SECONDS: Final = 48 * HOUR_SECONDS
"""For limits that reset within a day: until then the status shows the time of the next attempt."""
JOB_STALLED_KIND: Final = "job_stalled"

UNREPORTED_STATES: Final = frozenset({JobState.READY, *TERMINAL_STATES})
"""States without stall reports: a ready job waits for an operator or for another job, and its status says so."""
LIMIT_ERROR_KINDS: Final = frozenset({"daily_limit", "slots_taken"})


class WaitDescription(Struct, frozen=True):
    """Documentation of a state: a row of docs/states.md."""

    ended_by: str  # what ends the wait in this state
    reported_after: str  # when a job that stays in it is reported


STALL_REPORT_TEXT: Final = "after 6 h without any change (`ORCHESTRATOR_STALLED_AFTER_HOURS`)"
WAIT_DESCRIPTIONS: Final[dict[JobState, WaitDescription]] = {
    JobState.PLANNED: WaitDescription(
        "The service verifies the key and begins the upload. A failing call is retried up to 40 times; then the job "
        "fails.",
        f"at once, as the job's error; {STALL_REPORT_TEXT}",
    ),
    JobState.UPLOADING: WaitDescription(
        "The provider replies. After a lost reply the file is looked up once the intent has expired; 40 failed calls "
        "end the job.",
        f"at once, as the job's error; {STALL_REPORT_TEXT}",
    ),
    JobState.PROCESSING: WaitDescription(
        "The provider reports the file as ready or refused. A file whose status stays `uploaded` or unknown counts "
        "as ready after 10 min, because a create that the provider rejects costs nothing.",
        "after 10 min if the status is `uploaded` or unknown, in the history only; after 30 min in any other status",
    ),
    JobState.READY: WaitDescription(
        "A slot of the account becomes free (checked every minute), `start`, or the release of a hold.",
        "at once: the status names what the job waits for",
    ),
    JobState.SUBMITTING: WaitDescription(
        "The provider replies. After a lost reply the remote job is looked up; if the result is ambiguous, the job "
        "is held. After a limit the service waits for the time that the provider names, or for the next day (UTC).",
        f"at once, as the job's error, with the time of the next attempt; {STALL_REPORT_TEXT}; after 48 h "
        "if a limit is the reason",
    ),
    JobState.QUEUED: WaitDescription(
        "The provider starts or ends the job. A job that the provider no longer has fails after 13 "
        "polls in a row, which take about 24 min.",
        f"{STALL_REPORT_TEXT}; an unknown status at once",
    ),
    JobState.RUNNING: WaitDescription(
        "The provider ends the job. A succeeded job without a model id fails after 15 min.",
        "after 6 h without any change of status, progress, tokens or losses (`ORCHESTRATOR_STALLED_AFTER_HOURS`); "
        "an unknown status at once",
    ),
    JobState.CANCELLING: WaitDescription(
        "The provider reports the job as ended. The cancel is sent again until the provider confirms it.",
        "after 30 min",
    ),
    JobState.SUCCEEDED: WaitDescription("–", "at once: `model.ready`"),
    JobState.CANCELLED: WaitDescription("–", "at once, in the history"),
    JobState.FAILED: WaitDescription("`retry`.", "at once: `job.failed`"),
}

_CHECK_REMOTE_HINT: Final = (
    "Check remote job {remote} in the provider's console. The service still polls it; "
    "`orchestrator cancel {account}` ends it."
)
_HINTS: Final = {
    JobState.QUEUED: _CHECK_REMOTE_HINT,
    JobState.RUNNING: _CHECK_REMOTE_HINT,
    JobState.CANCELLING: "Cancel remote job {remote} in the provider's console: it may still cost money.",
}
_RETRYING_HINT: Final = "The service still retries it; `orchestrator history {account}` shows what happened so far."


def with_warning(
    before: Job, outcome: Outcome, *, now: float, stall_seconds: float = DEFAULT_STALL_SECONDS
) -> Outcome:
    """Update the outcome's warning, and the time since which nothing has changed (`changed_at`).

    `before` is the job before the step; a job without any change for `stall_seconds` gets a warning.
    """
    job = outcome.job
    if job.state in UNREPORTED_STATES or (job.hold is not None and outcome.warning_candidate is None):
        return outcome
    changed = _progress_marker(before) != _progress_marker(job)
    since = now if changed else job.changed_at or job.state_since
    known = None if changed else before.warning
    candidate = outcome.warning_candidate or _find_stall(job, since, now, stall_seconds)
    # A warning of the kind that is known already is the same stall: its message contains the elapsed time, so
    # comparing whole warnings would report it again at every step.
    warning = candidate if candidate and (known is None or known.kind != candidate.kind) else known
    after = replace(job, changed_at=since, warning=warning)
    return replace(outcome, job=after, is_warning_new=warning is not None and warning != known)


def _progress_marker(job: Job) -> tuple[object, ...]:
    """Return the values of which at least one changes while a job makes progress."""
    return job.state, job.remote_status, job.progress, job.trained_tokens, job.loss_step


def _find_stall(job: Job, since: float, now: float, stall_seconds: float) -> Failure | None:
    passed = now - since
    if passed < _stall_limit_seconds(job, stall_seconds):
        return None
    said = f"; the provider reports {job.remote_status!r}" if job.remote_status else ""
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
