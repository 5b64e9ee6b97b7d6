"""Loss curves of jobs, for charts and tables."""

from __future__ import annotations

import asyncio

from orchestrator.core.jobs.job import JobId
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.jobs.loss_summary import LossSummary, summarise_curves
from orchestrator.core.structs import Struct
from orchestrator.status.run_overview import find_run
from orchestrator.store.db.database import Database
from orchestrator.store.queries import job_search, losses
from orchestrator.store.queries.losses import LastLoss

__all__ = ["LastLoss", "LossOverview", "find_loss_overview", "get_loss_curves", "list_job_losses"]

SUMMARY_POINTS = 60
"""Points of the bands: as many as a chart of a phone's width can show."""


class LossOverview(Struct, frozen=True, kw_only=True):
    """The curves of the matching jobs of a run, summarised."""

    run_name: str
    total: int
    """Number of matching jobs, also of those without a curve."""
    curve_count: int
    """Number of matching jobs with a curve, also of those that are not summarised."""
    last_losses: tuple[LastLoss, ...]
    """By account name."""
    summary: LossSummary
    outlier_curves: dict[str, list[Loss]]
    """Curves of the outliers, averaged like the bands."""


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
        return await losses.get_curves(connection, run, job_filter, now, limit=limit) if run else {}


async def find_loss_overview(
    database: Database, job_filter: JobFilter, now: float, *, run_id: str | None = None, limit: int
) -> LossOverview | None:
    """Summarise the curves of the first `limit` matching jobs that have one; None when there is no such run."""
    async with database.read_long() as connection:
        run = await find_run(connection, run_id)
        if run is None:
            return None
        total = await job_search.count(connection, run, job_filter, now)
        curve_count = await losses.count_curves(connection, run, job_filter, now)
        last = await losses.list_last_losses(connection, run, job_filter, now, limit=limit)
        curves = await losses.get_averaged_curves(
            connection, run, job_filter, now, limit=limit, points=SUMMARY_POINTS
        )
    # A thousand curves take a third of a second, for which the scheduler must not wait.
    summary = await asyncio.to_thread(summarise_curves, curves)
    return LossOverview(
        run_name=run.name,
        total=total,
        curve_count=curve_count,
        last_losses=tuple(last),
        summary=summary,
        outlier_curves={each.account: curves[each.account] for each in summary.outliers},
    )
