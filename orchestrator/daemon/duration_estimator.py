"""Estimates when a job ends from the durations of the run's other jobs, so that polls can be rare."""

from __future__ import annotations

from typing import Final

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job import Job, RunId
from orchestrator.core.jobs.poll_interval import EndWindow, end_window_around, end_window_from_durations
from orchestrator.store.db.database import Database
from orchestrator.store.queries import stats

ESTIMATE_CACHE_SECONDS: Final = 30.0  # one query serves all jobs of the run for so long
MAX_SAMPLES: Final = 200  # the most recent durations: enough for a stable estimate, and a small query


class DurationEstimator:
    """Caches one estimate for each run and provider."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: dict[tuple[RunId, ProviderName], tuple[float, EndWindow | None]] = {}

    async def estimate(self, job: Job, now: float) -> EndWindow | None:
        """Return when the job may end, in seconds after it was submitted; None without an estimate.

        Durations of the run's own jobs take precedence over the provider's estimate.
        """
        window = await self._estimate_from_run(job.run_id, job.provider, now)
        if window is not None or job.estimated_finish is None or job.submitted_at is None:
            return window
        return end_window_around(max(job.estimated_finish - job.submitted_at, 0.0))

    async def _estimate_from_run(self, run_id: RunId, provider: ProviderName, now: float) -> EndWindow | None:
        read_at, window = self._cache.get((run_id, provider), (None, None))
        if read_at is None or now - read_at >= ESTIMATE_CACHE_SECONDS:
            self._cache[run_id, provider] = now, window  # concurrent callers use the old estimate, without a query
            async with self._database.read() as connection:
                durations = await stats.get_job_durations(connection, run_id, provider, MAX_SAMPLES)
            window = end_window_from_durations(durations.recent_seconds, durations.succeeded, durations.open)
            self._cache[run_id, provider] = now, window
        return window
