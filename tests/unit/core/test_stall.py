"""An open job that does not move on is reported once, and again only after something changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from core_values import FOR_EVER, NOW, a_job

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

UNKNOWN = Failure("status_unknown", "it is 'reticulating'", "look")
RUNNING = a_job(
    JobState.RUNNING, changed_at=NOW, state_since=NOW, remote_status="running", remote_job_id="ftjob-1", loss_step=3
)
STILL = NOW + DEFAULT_STALL_SECONDS


def look(job: Job, now: float, *, concern: Failure | None = None, **changes: Any) -> Outcome:
    """One more look at the job, at which this has changed."""
    return with_warning(job, replace(poll_again(job, now + 5, **changes), warning_candidate=concern), now=now)


def test_a_job_without_any_change_is_reported_once() -> None:
    assert look(RUNNING, STILL - 1).job.warning is None
    first = look(RUNNING, STILL)
    assert first.is_warning_new
    assert first.job.warning == Failure(
        "job_stalled",
        "nothing has changed for 6 h: the job is running; the provider says 'running'",
        "Look at remote job ftjob-1 in the provider's console. It is still followed; `orchestrator cancel acme` ends "
        "it.",
    )
    again = look(first.job, STILL + 30 * HOUR_SECONDS)
    assert (again.is_warning_new, again.job.warning) == (False, first.job.warning)


@pytest.mark.parametrize(
    "change", [{"progress": 0.5}, {"trained_tokens": 7}, {"loss_step": 4}, {"remote_status": "paused"}]
)
def test_any_progress_of_the_provider_begins_another_stretch(change: dict[str, Any]) -> None:
    stalled = look(RUNNING, STILL).job
    moved = look(stalled, STILL + 60, **change)
    assert (moved.job.warning, moved.is_warning_new, moved.job.changed_at) == (None, False, STILL + 60)
    assert look(moved.job, STILL + DEFAULT_STALL_SECONDS).job.warning is None
    assert look(moved.job, STILL + 60 + DEFAULT_STALL_SECONDS).is_warning_new


def test_an_estimate_that_moves_with_the_clock_is_no_progress() -> None:
    assert look(RUNNING, STILL, estimated_finish=STILL + 600).is_warning_new


def test_the_time_is_a_setting() -> None:
    outcome = poll_again(RUNNING, NOW)
    assert with_warning(RUNNING, outcome, now=NOW + 60, stall_seconds=60).is_warning_new
    assert not with_warning(RUNNING, outcome, now=NOW + 59, stall_seconds=60).is_warning_new


def test_a_job_of_an_older_database_is_counted_from_its_state() -> None:
    job = replace(RUNNING, changed_at=None)
    assert look(job, STILL - 1).job.changed_at == NOW
    assert look(job, STILL).is_warning_new


def test_an_unknown_status_is_reported_at_once_and_once_a_word() -> None:
    first = look(RUNNING, NOW + 5, concern=UNKNOWN, remote_status="reticulating")
    assert (first.is_warning_new, first.job.warning) == (True, UNKNOWN)
    again = look(first.job, NOW + 10, concern=UNKNOWN)
    assert (again.is_warning_new, again.job.warning) == (False, UNKNOWN)
    late = look(again.job, STILL + HOUR_SECONDS, concern=UNKNOWN)
    assert (late.is_warning_new, late.job.warning) == (False, UNKNOWN)
    other = look(late.job, STILL + 2 * HOUR_SECONDS, concern=replace(UNKNOWN, message="else"), remote_status="else")
    assert other.is_warning_new
    assert look(other.job, STILL + 3 * HOUR_SECONDS, remote_status="running").job.warning is None


def test_a_transition_takes_the_warning_away() -> None:
    stalled = look(RUNNING, STILL).job
    outcome = with_warning(stalled, advance(stalled, JobEvent.CANCEL_REQUESTED, now=STILL + 1), now=STILL + 1)
    assert (outcome.job.warning, outcome.job.changed_at, outcome.is_warning_new) == (None, STILL + 1, False)


def test_a_release_begins_another_stretch() -> None:
    held = replace(look(RUNNING, STILL).job, hold=FOR_EVER)
    freed = release_job(held, now=STILL + HOUR_SECONDS).job
    assert (freed.warning, freed.changed_at) == (None, STILL + HOUR_SECONDS)


def test_a_call_that_fails_all_the_time_is_reported_with_its_error() -> None:
    job = a_job(JobState.SUBMITTING, changed_at=NOW)
    error = Failure("not_ready", "the file is checked", "Nothing to do.")
    outcome = with_warning(
        job, retry_later(job, error, until=STILL + 6, counts_as_attempt=False, maybe_sent=False), now=STILL
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
    assert not look(job, NOW + CANCEL_STALL_SECONDS - 1).is_warning_new
    outcome = look(job, NOW + CANCEL_STALL_SECONDS)
    assert outcome.job.warning is not None
    assert outcome.job.warning.message.startswith("nothing has changed for 30 min: the job is cancelling")
    assert "it may still cost money" in outcome.job.warning.hint


def test_what_waits_for_a_person_or_a_slot_is_not_reported() -> None:
    for job in (replace(RUNNING, state=JobState.READY), replace(RUNNING, hold=FOR_EVER)):
        assert not look(job, STILL + 100 * HOUR_SECONDS).is_warning_new


def test_every_state_but_the_ends_says_what_ends_its_wait() -> None:
    assert set(WAIT_DESCRIPTIONS) == set(JobState)
    assert all(WAIT_DESCRIPTIONS[state].ended_by.endswith(".") for state in set(JobState) - TERMINAL_STATES)
    assert all(wait.reported_after for wait in WAIT_DESCRIPTIONS.values())
