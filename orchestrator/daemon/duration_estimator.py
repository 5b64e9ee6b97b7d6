"""Lasting: how long the jobs of a run take, learned while it goes on."""

from __future__ import annotations

from typing import Final

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job import Job, RunId
from orchestrator.core.jobs.poll_interval import EndWindow, end_window_around, end_window_from_durations
from orchestrator.store.db.database import Database
from orchestrator.store.queries import stats

ESTIMATE_CACHE_SECONDS: Final = 30.0  # so long what was read serves all jobs of the run
MAX_SAMPLES: Final = 200


class DurationEstimator:
    """Says when a job may end. Reads seldom, however many ask."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: dict[tuple[RunId, ProviderName], tuple[float, EndWindow | None]] = {}

    async def estimate(self, job: Job, now: float) -> EndWindow | None:
        """When the job may end, in seconds after it was submitted; None while nothing says."""
        span = await self._estimate_from_run(job.run_id, job.provider, now)
        if span is not None or job.estimated_finish is None or job.submitted_at is None:
            return span
        return end_window_around(max(job.estimated_finish - job.submitted_at, 0.0))

    async def _estimate_from_run(self, run_id: RunId, provider: ProviderName, now: float) -> EndWindow | None:
        read_at, span = self._cache.get((run_id, provider), (None, None))
        if read_at is None or now - read_at >= ESTIMATE_CACHE_SECONDS:
            self._cache[run_id, provider] = now, span  # who asks meanwhile goes by what was known
            async with self._database.read() as connection:
                took = await stats.get_job_durations(connection, run_id, provider, MAX_SAMPLES)
            span = end_window_from_durations(took.recent_seconds, took.succeeded, took.open)
            self._cache[run_id, provider] = now, span
        return span
