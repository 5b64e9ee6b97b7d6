"""How long the jobs of a run took, as the looks at the others are timed by it."""

from __future__ import annotations

from typing import Any

from store_values import NOW, RUN, a_job, fill

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.poll_interval import MIN_ENDED_JOBS, EndWindow
from orchestrator.daemon.duration_estimator import ESTIMATE_CACHE_SECONDS, DurationEstimator
from orchestrator.store.db.database import Database
from orchestrator.store.queries import stats


def succeeded_job(account: str, took: float, **changes: Any) -> Job:
    return a_job(account, state=JobState.SUCCEEDED, submitted_at=NOW, finished_at=NOW + took, **changes)


async def test_the_newest_durations_and_how_many_are_still_open(database: Database) -> None:
    ended = [succeeded_job(f"a{took}", took) for took in (30.0, 10.0, 20.0)]
    failed = a_job("failed", state=JobState.FAILED, submitted_at=NOW, finished_at=NOW + 1)
    elsewhere = succeeded_job("elsewhere", 99.0, provider=ProviderName.TOGETHER)
    waiting = [a_job("running", state=JobState.RUNNING, submitted_at=NOW), a_job("planned")]
    await fill(database, [*ended, failed, elsewhere, *waiting])
    async with database.read() as connection:
        took = await stats.get_job_durations(connection, RUN.id, ProviderName.OPENAI, limit=2)
    assert took == stats.JobDurations([30.0, 20.0], succeeded=3, open=2)


async def test_durations_of_other_jobs_estimate_the_end(database: Database) -> None:
    running = a_job("running", state=JobState.RUNNING, submitted_at=NOW, estimated_finish=NOW + 1000)
    await fill(database, [running])
    lasting = DurationEstimator(database)
    assert await lasting.estimate(running, NOW) == EndWindow(900.0, 1100.0)
    await fill(database, [succeeded_job(f"a{number}", 100.0) for number in range(MIN_ENDED_JOBS)])
    assert await lasting.estimate(running, NOW + 1) == EndWindow(900.0, 1100.0)  # read a moment ago
    span = await lasting.estimate(running, NOW + ESTIMATE_CACHE_SECONDS)
    assert span is not None
    assert span.earliest < 100.0 < span.latest < 110.0
