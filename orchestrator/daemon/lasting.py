"""Lasting: how long the jobs of a run take, learned while it goes on."""

from __future__ import annotations

from typing import Final

from orchestrator.core.account import ProviderName
from orchestrator.core.job import Job, RunId
from orchestrator.core.polling import Span, span_around, span_of
from orchestrator.store import durations
from orchestrator.store.database import Database

FRESH_SECONDS: Final = 30.0  # so long what was read serves all jobs of the run
NEWEST: Final = 200


class Lasting:
    """Says when a job may end. Reads seldom, however many ask."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[tuple[RunId, ProviderName], tuple[float, Span | None]] = {}

    async def span(self, job: Job, now: float) -> Span | None:
        """When the job may end, in seconds after it was submitted; None while nothing says."""
        span = await self._of_others(job.run_id, job.provider, now)
        if span is not None or job.estimated_finish is None or job.submitted_at is None:
            return span
        return span_around(max(job.estimated_finish - job.submitted_at, 0.0))

    async def _of_others(self, run_id: RunId, provider: ProviderName, now: float) -> Span | None:
        read_at, span = self._known.get((run_id, provider), (None, None))
        if read_at is None or now - read_at >= FRESH_SECONDS:
            self._known[run_id, provider] = now, span  # who asks meanwhile goes by what was known
            async with self._database.read() as connection:
                took = await durations.of_run(connection, run_id, provider, NEWEST)
            span = span_of(took.newest, took.ended, took.open)
            self._known[run_id, provider] = now, span
        return span
