"""Queries about durations: how long the jobs of a run took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Integer, bindparam, func, select

from orchestrator.core.account import ProviderName
from orchestrator.core.job import RunId
from orchestrator.core.lifecycle import TERMINAL_STATES, JobState
from orchestrator.store.connection import StoreConnection
from orchestrator.store.tables import jobs


@dataclass(frozen=True, slots=True)
class JobDurations:
    """Seconds from submission to end of those that succeeded last; how many did, and how many have not ended."""

    recent_seconds: Sequence[float]
    succeeded: int
    open: int


async def get_job_durations(
    connection: StoreConnection, run_id: RunId, provider: ProviderName, limit: int
) -> JobDurations:
    """What is known of the run's jobs at this provider."""
    which = {"run": run_id, "provider": provider}
    newest = (await connection.execute(_RECENT_DURATIONS, {**which, "most": limit})).scalars().all()
    counts = {row.state: row.jobs for row in await connection.execute(_COUNTS_BY_STATE, which)}
    return JobDurations(
        newest,
        succeeded=counts.get(JobState.SUCCEEDED, 0),
        open=sum(count for state, count in counts.items() if state not in TERMINAL_STATES),
    )


_at_provider_of_run = (jobs.c.run_id == bindparam("run")) & (jobs.c.provider == bindparam("provider"))
_RECENT_DURATIONS = (
    select(jobs.c.finished_at - jobs.c.submitted_at)
    .where(_at_provider_of_run, jobs.c.state == JobState.SUCCEEDED, jobs.c.submitted_at.is_not(None))
    .order_by(jobs.c.finished_at.desc())
    .limit(bindparam("most", type_=Integer))
)
_COUNTS_BY_STATE = select(jobs.c.state, func.count().label("jobs")).where(_at_provider_of_run).group_by(jobs.c.state)
