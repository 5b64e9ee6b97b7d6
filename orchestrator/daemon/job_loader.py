"""Loads jobs: those that are due at about the same time are read with one query."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from orchestrator.aio import Batcher
from orchestrator.core.jobs.job import JobId
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs

JobLoader = Callable[[JobId], Awaitable[jobs.LoadedJob | None]]
"""Returns the job with its run and its account state as they are now; None when the job does not exist."""


def build_job_loader(database: Database) -> JobLoader:
    """Return a loader that batches queries: with ten thousand jobs, single queries took a fifth of the CPU time."""

    async def load_all(ids: Sequence[JobId]) -> dict[JobId, jobs.LoadedJob]:
        async with database.read() as connection:
            return await jobs.load_many(connection, ids)

    batcher = Batcher(load_all)

    async def load(job_id: JobId) -> jobs.LoadedJob | None:
        return (await batcher.submit(job_id)).get(job_id)

    return load
