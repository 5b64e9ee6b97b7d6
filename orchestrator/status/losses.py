"""Loss curves of jobs, for charts and exports."""

from __future__ import annotations

from orchestrator.core.jobs.job import JobId
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.loss import Loss
from orchestrator.status.run_overview import find_run
from orchestrator.store.db.database import Database
from orchestrator.store.queries import job_search, losses


async def list_job_losses(database: Database, job: str) -> list[Loss]:
    """Return the job's losses, by step."""
    async with database.read_long() as connection:
        return await losses.list_by_job(connection, JobId(job))


async def get_loss_curves(
    database: Database, job_filter: JobFilter, now: float, *, run_id: str | None = None, limit: int
) -> dict[str, list[Loss]]:
    """Return the loss curves of the first `limit` matching jobs that have one, by account."""
    async with database.read_long() as connection:
        run = await find_run(connection, run_id)
        return await job_search.get_loss_curves(connection, run, job_filter, now, limit=limit) if run else {}
