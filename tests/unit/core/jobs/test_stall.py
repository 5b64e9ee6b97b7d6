"""An open job that does not move on is reported once, and again only after something changed."""

from __future__ import annotations

from typing import Any

import pytest
from core_values import NOW, PERMANENT_HOLD, a_job

from orchestrator.core.errors import Failure
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobEvent, JobState
from orchestrator.core.jobs.stall import (
    CANCEL_STALL_SECONDS,
    DEFAULT_STALL_SECONDS,
    HOUR_SECONDS,
    LIMIT_STALL_SECONDS,
    WAIT_DESCRIPTIONS,
    with_warning,
)
from orchestrator.core.jobs.transitions import Outcome, advance, poll_again, release_job, retry_later
from orchestrator.core.structs import replace

UNKNOWN = Failure("status_unknown", "it is 'reticulating'", "look")
RUNNING = a_job(
    JobState.RUNNING, changed_at=NOW, state_since=NOW, remote_status="running", remote_job_id="ftjob-1", loss_step=3
)
STALLED_AT = NOW + DEFAULT_STALL_SECONDS


def check_stall(job: Job, now: float, *, concern: Failure | None = None, **changes: Any) -> Outcome:
    """One more look at the job, at which this has changed."""
    return with_warning(job, replace(poll_again(job, now + 5, **changes), warning_candidate=concern), now=now)


def test_a_job_without_any_change_is_reported_once() -> None:
    assert check_stall(RUNNING, STALLED_AT - 1).job.warning is None
    first = check_stall(RUNNING, STALLED_AT)
    assert first.is_warning_new
    assert first.job.warning == Failure(
        "job_stalled",
        "nothing has changed for 6 h: the job is running; the provider reports 'running'",
        "Check remote job ftjob-1 in the provider's console. The service still polls it; `orchestrator cancel acme` "
        "ends it.",
    )
    again = check_stall(first.job, STALLED_AT + 30 * HOUR_SECONDS)
    assert (again.is_warning_new, again.job.warning) == (False, first.job.warning)


@pytest.mark.parametrize(
    "change", [{"progress": 0.5}, {"trained_tokens": 7}, {"loss_step": 4}, {"remote_status": "paused"}]
)
def test_progress_restarts_the_stall_timer(change: dict[str, Any]) -> None:
    stalled = check_stall(RUNNING, STALLED_AT).job
    moved = check_stall(stalled, STALLED_AT + 60, **change)
    assert (moved.job.warning, moved.is_warning_new, moved.job.changed_at) == (None, False, STALLED_AT + 60)
    assert check_stall(moved.job, STALLED_AT + DEFAULT_STALL_SECONDS).job.warning is None
    assert check_stall(moved.job, STALLED_AT + 60 + DEFAULT_STALL_SECONDS).is_warning_new


def test_moving_estimate_is_not_progress() -> None:
    assert check_stall(RUNNING, STALLED_AT, estimated_finish=STALLED_AT + 600).is_warning_new


def test_stall_time_is_configurable() -> None:
    outcome = poll_again(RUNNING, NOW)
    assert with_warning(RUNNING, outcome, now=NOW + 60, stall_seconds=60).is_warning_new
    assert not with_warning(RUNNING, outcome, now=NOW + 59, stall_seconds=60).is_warning_new


def test_a_job_of_an_older_database_is_counted_from_its_state() -> None:
    job = replace(RUNNING, changed_at=None)
    assert check_stall(job, STALLED_AT - 1).job.changed_at == NOW
    assert check_stall(job, STALLED_AT).is_warning_new


def test_unknown_status_is_reported_once_per_value() -> None:
    first = check_stall(RUNNING, NOW + 5, concern=UNKNOWN, remote_status="reticulating")
    assert (first.is_warning_new, first.job.warning) == (True, UNKNOWN)
    again = check_stall(first.job, NOW + 10, concern=UNKNOWN)
    assert (again.is_warning_new, again.job.warning) == (False, UNKNOWN)
    late = check_stall(again.job, STALLED_AT + HOUR_SECONDS, concern=UNKNOWN)
    assert (late.is_warning_new, late.job.warning) == (False, UNKNOWN)
    other = check_stall(
        late.job, STALLED_AT + 2 * HOUR_SECONDS, concern=replace(UNKNOWN, message="else"), remote_status="else"
    )
    assert other.is_warning_new
    assert check_stall(other.job, STALLED_AT + 3 * HOUR_SECONDS, remote_status="running").job.warning is None


def test_transition_clears_the_warning() -> None:
    stalled = check_stall(RUNNING, STALLED_AT).job
    outcome = with_warning(
        stalled, advance(stalled, JobEvent.CANCEL_REQUESTED, now=STALLED_AT + 1), now=STALLED_AT + 1
    )
    assert (outcome.job.warning, outcome.job.changed_at, outcome.is_warning_new) == (None, STALLED_AT + 1, False)


def test_release_restarts_the_stall_timer() -> None:
    held = replace(check_stall(RUNNING, STALLED_AT).job, hold=PERMANENT_HOLD)
    freed = release_job(held, now=STALLED_AT + HOUR_SECONDS).job
    assert (freed.warning, freed.changed_at) == (None, STALLED_AT + HOUR_SECONDS)


def test_a_call_that_fails_all_the_time_is_reported_with_its_error() -> None:
    job = a_job(JobState.SUBMITTING, changed_at=NOW)
    error = Failure("not_ready", "the file is checked", "Nothing to do.")
    outcome = with_warning(
        job, retry_later(job, error, until=STALLED_AT + 6, counts_as_attempt=False, maybe_sent=False), now=STALLED_AT
    )
    assert outcome.job.warning is not None
    assert outcome.job.warning.message == (
        "nothing has changed for 6 h: the job is submitting; its last error is not_ready: the file is checked"
    )
    assert "`orchestrator history acme`" in outcome.job.warning.hint


@pytest.mark.parametrize("kind", ["daily_limit", "slots_taken"])
def test_a_limit_that_resets_within_a_day_is_not_reported_sooner(kind: str) -> None:
    job = a_job(JobState.SUBMITTING, changed_at=NOW)
    error = Failure(kind, "full", "Nothing to do.")

    def stumbled(now: float) -> Outcome:
        return with_warning(
            job, retry_later(job, error, until=now, counts_as_attempt=False, maybe_sent=False), now=now
        )

    assert not stumbled(NOW + LIMIT_STALL_SECONDS - 1).is_warning_new
    assert stumbled(NOW + LIMIT_STALL_SECONDS).is_warning_new


def test_a_cancel_that_the_provider_does_not_serve_is_reported_soon() -> None:
    job = replace(RUNNING, state=JobState.CANCELLING)
    assert not check_stall(job, NOW + CANCEL_STALL_SECONDS - 1).is_warning_new
    outcome = check_stall(job, NOW + CANCEL_STALL_SECONDS)
    assert outcome.job.warning is not None
    assert outcome.job.warning.message.startswith("nothing has changed for 30 min: the job is cancelling")
    assert "it may still cost money" in outcome.job.warning.hint


def test_job_waiting_for_a_person_or_slot_is_not_stalled() -> None:
    for job in (replace(RUNNING, state=JobState.READY), replace(RUNNING, hold=PERMANENT_HOLD)):
        assert not check_stall(job, STALLED_AT + 100 * HOUR_SECONDS).is_warning_new


def test_every_open_state_explains_its_wait() -> None:
    assert set(WAIT_DESCRIPTIONS) == set(JobState)
    assert all(WAIT_DESCRIPTIONS[state].ended_by.endswith(".") for state in set(JobState) - TERMINAL_STATES)
    assert all(wait.reported_after for wait in WAIT_DESCRIPTIONS.values())
