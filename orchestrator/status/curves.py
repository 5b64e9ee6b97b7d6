"""Curves: the losses of jobs, for whoever draws or exports them."""

from __future__ import annotations

from orchestrator.core.job import JobId
from orchestrator.core.loss import Loss
from orchestrator.core.selection import Selection
from orchestrator.status.listing import find_run
from orchestrator.store import losses, selected
from orchestrator.store.database import Database


async def losses_of_job(database: Database, job: str) -> list[Loss]:
    """The job's curve, by step."""
    async with database.survey() as connection:
        return await losses.of_job(connection, JobId(job))


async def curves(
    database: Database, selection: Selection, now: float, *, run_id: str | None = None, limit: int
) -> dict[str, list[Loss]]:
    """The curves of the first `limit` jobs of the run that are meant and have one, by account."""
    async with database.survey() as connection:
        run = await find_run(connection, run_id)
        return await selected.curves(connection, run, selection, now, limit=limit) if run else {}
