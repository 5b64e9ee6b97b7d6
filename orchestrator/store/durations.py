"""Queries about durations: how long the jobs of a run took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Integer, bindparam, func, select

from orchestrator.core.account import ProviderName
from orchestrator.core.job import RunId
from orchestrator.core.lifecycle import ENDS, State
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.tables import jobs


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds from submission to end of those that succeeded last; how many did, and how many have not ended."""

    newest: Sequence[float]
    ended: int
    open: int


async def of_run(connection: AsyncConnection, run_id: RunId, provider: ProviderName, most: int) -> Took:
    """What is known of the run's jobs at this provider."""
    which = {"run": run_id, "provider": provider}
    newest = (await connection.execute(_NEWEST, {**which, "most": most})).scalars().all()
    counts = {row.state: row.jobs for row in await connection.execute(_COUNTS, which)}
    return Took(
        newest,
        ended=counts.get(State.SUCCEEDED, 0),
        open=sum(count for state, count in counts.items() if state not in ENDS),
    )


_of_run = (jobs.c.run_id == bindparam("run")) & (jobs.c.provider == bindparam("provider"))
_NEWEST = (
    select(jobs.c.finished_at - jobs.c.submitted_at)
    .where(_of_run, jobs.c.state == State.SUCCEEDED, jobs.c.submitted_at.is_not(None))
    .order_by(jobs.c.finished_at.desc())
    .limit(bindparam("most", type_=Integer))
)
_COUNTS = select(jobs.c.state, func.count().label("jobs")).where(_of_run).group_by(jobs.c.state)
