"""Aggregate queries: durations, due jobs, retirement dates and trained tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import Integer, bindparam, func, select

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState
from orchestrator.core.structs import Struct
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.schema.tables import jobs, run_jobs


class JobDurations(Struct, frozen=True):
    """Durations and counts of a run's jobs at one provider."""

    recent_seconds: Sequence[float]
    """Seconds from submission to end of the jobs that succeeded last."""
    succeeded: int
    open: int
    """Jobs that have not ended."""


async def get_job_durations(
    connection: StoreConnection, run_id: RunId, provider: ProviderName, limit: int
) -> JobDurations:
    """Return durations and counts of the run's jobs at this provider."""
    which = {"run": run_id, "provider": provider}
    newest = await list_recent_durations(connection, run_id, provider, limit)
    counts = {row.state: row.jobs for row in await connection.execute(_COUNTS_BY_STATE, which)}
    return JobDurations(
        newest,
        succeeded=counts.get(JobState.SUCCEEDED, 0),
        open=sum(count for state, count in counts.items() if state not in TERMINAL_STATES),
    )


async def list_recent_durations(
    connection: StoreConnection, run_id: RunId, provider: ProviderName, limit: int
) -> Sequence[float]:
    """Return the seconds from submission to end of the run's jobs at this provider that succeeded last."""
    values = {"run": run_id, "provider": provider, "limit": limit}
    return (await connection.execute(_RECENT_DURATIONS, values)).scalars().all()


_at_provider_of_run = (jobs.c.run_id == bindparam("run")) & (jobs.c.provider == bindparam("provider"))
_RECENT_DURATIONS = (
    select(jobs.c.finished_at - jobs.c.submitted_at)
    .where(_at_provider_of_run, jobs.c.state == JobState.SUCCEEDED, jobs.c.submitted_at.is_not(None))
    .order_by(jobs.c.finished_at.desc())
    .limit(bindparam("limit", type_=Integer))
)
_COUNTS_BY_STATE = select(jobs.c.state, func.count().label("jobs")).where(_at_provider_of_run).group_by(jobs.c.state)


async def count_due(connection: StoreConnection, now: float) -> tuple[int, float | None]:
    """Return how many jobs are due, and since when the first of them is; None when none is."""
    row = (
        await connection.execute(select(func.count(), func.min(jobs.c.wake_at)).where(jobs.c.wake_at <= now))
    ).one()
    return row[0], row[1]


async def get_first_retirement_dates(connection: StoreConnection, run_id: RunId) -> dict[str, date]:
    """Return the earliest retirement date of the run's models that still exist, by provider."""
    query = (
        select(jobs.c.provider, func.min(jobs.c.retires_on))
        .join(run_jobs, run_jobs.c.job_id == jobs.c.id)
        .where(run_jobs.c.run_id == run_id, jobs.c.fine_tuned_model.is_not(None), jobs.c.gone_at.is_(None))
        .where(jobs.c.retires_on.is_not(None))
        .group_by(jobs.c.provider)
    )
    return {row[0]: row[1] for row in await connection.execute(query)}


async def count_trained_tokens(connection: StoreConnection, run_id: RunId) -> dict[str, int]:
    """Return the trained tokens that providers reported for the run, by provider."""
    query = (
        select(jobs.c.provider, func.sum(jobs.c.trained_tokens))
        .join(run_jobs, run_jobs.c.job_id == jobs.c.id)
        .where(run_jobs.c.run_id == run_id, jobs.c.trained_tokens.is_not(None))
        .group_by(jobs.c.provider)
    )
    return {provider: int(tokens) for provider, tokens in await connection.execute(query)}
