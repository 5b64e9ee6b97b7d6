from __future__ import annotations

from typing import Any

import pytest
from core_values import NOW, a_job
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.provider_webhook import POLLED_STATES, WEBHOOK_TRUST_SECONDS, max_poll_seconds, wake_job
from orchestrator.core.jobs.transitions import poll_again
from orchestrator.core.structs import replace

SHORTEST = 2.0
times = st.floats(NOW - 100, NOW + 100)


def running(**changes: Any) -> Job:
    values: dict[str, Any] = {"state": JobState.RUNNING, "remote_job_id": "ftjob-1", "wake_at": NOW + 60}
    return a_job(**(values | changes))


def test_a_webhook_makes_its_job_due_and_changes_nothing_else() -> None:
    job = running()
    outcome = wake_job(job, now=NOW, min_delay=SHORTEST)
    assert outcome is not None
    assert outcome.job == replace(job, version=job.version + 1, wake_at=NOW, webhook_at=NOW)
    assert outcome.job.woken_by_webhook
    assert (outcome.previous_state, outcome.label) == (JobState.RUNNING, "webhook arrived")


@pytest.mark.parametrize("state", sorted(JobState))
def test_webhook_wakes_followed_jobs_only(state: JobState) -> None:
    assert (wake_job(running(state=state), now=NOW, min_delay=SHORTEST) is not None) is (state in POLLED_STATES)


def test_a_held_job_is_left_alone() -> None:
    assert wake_job(running(hold=Hold("by_operator", "why", "release it")), now=NOW, min_delay=SHORTEST) is None


@pytest.mark.parametrize("due", [None, NOW - 1, NOW])
def test_poll_started_before_the_webhook_is_dropped(due: float | None) -> None:
    outcome = wake_job(running(wake_at=due), now=NOW, min_delay=SHORTEST)
    assert outcome is not None
    assert (outcome.job.wake_at, outcome.job.version) == (NOW, 2)


@given(later=st.lists(st.floats(0, 1.9), max_size=30))
def test_burst_of_webhooks_wakes_a_job_at_most_twice(later: list[float]) -> None:
    """Whenever in the burst the look is over."""
    first = wake_job(running(), now=NOW, min_delay=SHORTEST)
    assert first is not None
    assert all(wake_job(first.job, now=NOW + at, min_delay=SHORTEST) is None for at in later)
    looked = poll_again(first.job, NOW + SHORTEST).job
    assert all(wake_job(looked, now=NOW + at, min_delay=SHORTEST) is None for at in later)
    slower = poll_again(first.job, NOW + 600).job
    for at in later:
        outcome = wake_job(slower, now=NOW + at, min_delay=SHORTEST)
        slower = outcome.job if outcome else slower
    assert slower.version <= first.job.version + 2
    assert not later or slower.wake_at == NOW + SHORTEST


@given(wake_at=st.none() | times, webhook_at=st.none() | times, now=times)
def test_webhook_never_delays_the_next_poll(wake_at: float | None, webhook_at: float | None, now: float) -> None:
    job = running(wake_at=wake_at, webhook_at=webhook_at)
    outcome = wake_job(job, now=now, min_delay=SHORTEST)
    after = outcome.job.wake_at if outcome else wake_at
    assert after is not None
    latest = max(now, (webhook_at or now) + SHORTEST)
    assert after <= latest or after == wake_at == webhook_at


@pytest.mark.parametrize(("usual", "longest"), [(1.0, 10.0), (60.0, 600.0), (120.0, 600.0), (900.0, 900.0)])
def test_polls_are_rarer_for_a_week_after_a_webhook(usual: float, longest: float) -> None:
    assert max_poll_seconds(usual, None, NOW) == usual
    assert max_poll_seconds(usual, NOW, NOW + WEBHOOK_TRUST_SECONDS - 1) == longest
    assert max_poll_seconds(usual, NOW, NOW + WEBHOOK_TRUST_SECONDS) == usual
