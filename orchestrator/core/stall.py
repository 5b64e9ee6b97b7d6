"""Stall: when a person is told that an open job does not move on.

A job waits for somebody else in nearly every state, and a provider may never say the word that ends the wait. So each
step compares the job with what it was before. Where nothing has changed for too long, or the provider says something
that is not understood, the job gets a warning: one line of its history, one announcement and a mark. It stays with
the job until something changes, so that the same stretch is never reported twice. The job goes on being followed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from orchestrator.core.advance import Outcome
from orchestrator.core.duration import format_duration
from orchestrator.core.errors import Failure
from orchestrator.core.job import Job
from orchestrator.core.lifecycle import ENDS, State

HOUR: Final = 3600.0
STALLED_SECONDS: Final = 6 * HOUR  # without any change, where the settings say nothing else
CANCEL_SECONDS: Final = 1800.0  # in which a working provider has ended a job that it was asked to cancel
LIMIT_SECONDS: Final = 48 * HOUR  # of a limit that resets within a day: the status says when it is tried again
STALLED: Final = "job_stalled"

SILENT: Final = frozenset({State.READY, *ENDS})
"""Nothing is reported here: a ready job waits for a person or for another job of ours, and its status says so."""
LIMITS: Final = frozenset({"daily_limit", "slots_taken"})


@dataclass(frozen=True, slots=True)
class Wait:
    """What ends the wait in a state, and after how long something is said where nothing does."""

    ends: str
    reported: str


AFTER_STALL: Final = "after 6 h without any change (`ORCHESTRATOR_STALLED_AFTER_HOURS`)"
WAITS: Final[dict[State, Wait]] = {
    State.PLANNED: Wait(
        "The key is verified and the upload begins. A failing call is tried again, 40 times at most; then the job "
        "fails.",
        f"at once, as the job's error; {AFTER_STALL}",
    ),
    State.UPLOADING: Wait(
        "The provider answers. A lost answer is looked up after the intent's deadline; 40 failures end the job.",
        f"at once, as the job's error; {AFTER_STALL}",
    ),
    State.PROCESSING: Wait(
        "The provider says that the file is ready or refused. One that it only calls `uploaded`, or of which it says "
        "nothing that is understood, is taken as ready after 10 min: a create that is refused creates nothing.",
        "after 10 min, in the history; after 30 min of any other word",
    ),
    State.READY: Wait(
        "A slot of the account becomes free (looked at every minute), `start`, or the release of a hold.",
        "at once: the status says what it waits for",
    ),
    State.SUBMITTING: Wait(
        "The provider answers. A lost answer is looked up, and what cannot be decided is held. A limit is waited for "
        "until the provider's time, else until the next day (UTC).",
        f"at once, as the job's error, with the time of the next attempt; {AFTER_STALL}; a limit after 48 h",
    ),
    State.QUEUED: Wait(
        "The provider begins, or ends the job. One that it does not show any more fails after 4 looks.",
        f"{AFTER_STALL}; a status that is not known at once",
    ),
    State.RUNNING: Wait(
        "The provider ends the job. A succeeded job without a model id fails after 15 min.",
        f"{AFTER_STALL} of status, progress, tokens and losses; a status that is not known at once",
    ),
    State.CANCELLING: Wait(
        "The provider says that the job has ended. It is asked to cancel again as long as it does not say it will.",
        "after 30 min",
    ),
    State.SUCCEEDED: Wait("–", "at once: `model.ready`"),
    State.CANCELLED: Wait("–", "at once, in the history"),
    State.FAILED: Wait("`retry`.", "at once: `job.failed`"),
}

_LOOK: Final = (
    "Look at remote job {remote} in the provider's console. It is still followed; `orchestrator cancel {account}` "
    "ends it."
)
_HINTS: Final = {
    State.QUEUED: _LOOK,
    State.RUNNING: _LOOK,
    State.CANCELLING: "Cancel remote job {remote} in the provider's console: it may still cost money.",
}
_TRIED_AGAIN: Final = "It is still tried again; `orchestrator history {account}` says what happened so far."


def with_warning(before: Job, outcome: Outcome, *, now: float, stalled: float = STALLED_SECONDS) -> Outcome:
    """Add to the outcome what a person should know about the job, and since when nothing has changed.

    `before` is the job as the step found it; `stalled` is the time in seconds without any change.
    """
    job = outcome.job
    if job.state in SILENT or (job.hold is not None and outcome.concern is None):
        return outcome
    changed = _marks(before) != _marks(job)
    since = now if changed else job.changed_at or job.state_since
    known = None if changed else before.warning
    found = outcome.concern or _stall(job, since, now, stalled)
    warning = found if found and (known is None or known.kind != found.kind) else known
    after = replace(job, changed_at=since, warning=warning)
    return replace(outcome, job=after, warned=warning is not None and warning != known)


def _marks(job: Job) -> tuple[object, ...]:
    """What changes while a job moves on, by our state and by the provider's own progress."""
    return job.state, job.remote_status, job.progress, job.trained_tokens, job.loss_step


def _stall(job: Job, since: float, now: float, stalled: float) -> Failure | None:
    passed = now - since
    if passed < _limit(job, stalled):
        return None
    said = f"; the provider says {job.remote_status!r}" if job.remote_status else ""
    error = f"; its last error is {job.failure.kind}: {job.failure.message}" if job.failure else ""
    hint = _HINTS.get(job.state, _TRIED_AGAIN)
    return Failure(
        STALLED,
        f"nothing has changed for {format_duration(passed)}: the job is {job.state}{said}{error}",
        hint.format(remote=job.remote_job_id, account=job.account),
    )


def _limit(job: Job, stalled: float) -> float:
    if job.failure is not None and job.failure.kind in LIMITS:
        return max(LIMIT_SECONDS, stalled)
    return min(CANCEL_SECONDS, stalled) if job.state is State.CANCELLING else stalled
