"""Queries that only count, for metrics."""

from __future__ import annotations

from datetime import date

from sqlalchemy import func, select

from orchestrator.core.job import RunId
from orchestrator.store.connection import StoreConnection
from orchestrator.store.tables import jobs, run_jobs


async def count_due(connection: StoreConnection, now: float) -> tuple[int, float | None]:
    """How many jobs' time has come, and when that of the first of them came."""
    row = (
        await connection.execute(select(func.count(), func.min(jobs.c.wake_at)).where(jobs.c.wake_at <= now))
    ).one()
    return row[0], row[1]


async def get_first_retirement_dates(connection: StoreConnection, run_id: RunId) -> dict[str, date]:
    """The last day of the first of the run's models to go, by provider; of those that are still there."""
    query = (
        select(jobs.c.provider, func.min(jobs.c.retires_on))
        .join(run_jobs, run_jobs.c.job_id == jobs.c.id)
        .where(run_jobs.c.run_id == run_id, jobs.c.fine_tuned_model.is_not(None), jobs.c.gone_at.is_(None))
        .where(jobs.c.retires_on.is_not(None))
        .group_by(jobs.c.provider)
    )
    return {row[0]: row[1] for row in await connection.execute(query)}


async def count_trained_tokens(connection: StoreConnection, run_id: RunId) -> dict[str, int]:
    """What the providers say they trained for the run, by provider."""
    query = (
        select(jobs.c.provider, func.sum(jobs.c.trained_tokens))
        .join(run_jobs, run_jobs.c.job_id == jobs.c.id)
        .where(run_jobs.c.run_id == run_id, jobs.c.trained_tokens.is_not(None))
        .group_by(jobs.c.provider)
    )
    return {provider: int(tokens) for provider, tokens in await connection.execute(query)}
