"""When the losses of a job are read: early in a short job, and at a bounded rate in a long one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from core_values import a_job

from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.remote_state import losses_due
from orchestrator.core.structs import replace

RUNNING: Job = a_job(JobState.RUNNING, state_since=0.0)


def read_times(seconds: int) -> list[int]:
    """Return when the losses of a job that trains so long are read, if it is polled every second."""
    current, times = RUNNING, []
    for now in range(1, seconds):
        if losses_due(current, now, least=5, most=180):
            current = replace(current, losses_at=float(now))
            times.append(now)
    return times


def test_losses_of_a_short_job_are_read_while_it_trains() -> None:
    assert read_times(61)[:4] == [5, 10, 15, 20]


def test_number_of_reads_is_bounded() -> None:
    times = read_times(24 * 3600)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) >= 5
    assert max(gaps) <= 180
    assert sum(at <= 900 for at in times) <= 25
    assert len(times) <= 24 * 3600 / 180 + 25


@pytest.mark.parametrize(
    ("state", "due"), [(JobState.SUCCEEDED, True), (JobState.FAILED, True), (JobState.QUEUED, False)]
)
def test_losses_are_read_once_more_at_the_end(state: JobState, due: bool) -> None:
    assert losses_due(replace(RUNNING, state=state, losses_at=9.0), 10, least=5, most=180) is due
