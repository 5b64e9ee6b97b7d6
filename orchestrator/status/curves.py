"""Curves: the losses of jobs, for whoever draws or exports them."""

from __future__ import annotations

from orchestrator.core.job import JobId, RunId
from orchestrator.core.loss import Loss
from orchestrator.store import losses
from orchestrator.store.database import Database


async def losses_of_run(database: Database, run: str) -> dict[str, list[Loss]]:
    """The curves of the run's jobs, by account; without those that have none."""
    async with database.read() as connection:
        return await losses.of_run(connection, RunId(run))


async def losses_of_job(database: Database, job: str) -> list[Loss]:
    """The job's curve, by step."""
    async with database.read() as connection:
        return await losses.of_job(connection, JobId(job))
