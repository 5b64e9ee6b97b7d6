"""Queries about what jobs are estimated to cost."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import bindparam, func, select, update

from orchestrator.core.job import JobId
from orchestrator.store.connection import AsyncConnection, execute_each
from orchestrator.store.tables import jobs


async def committed_usd(connection: AsyncConnection) -> dict[str, float]:
    """What the jobs that were submitted so far are estimated to cost, by account, in US dollars."""
    query = (
        select(jobs.c.account, func.sum(jobs.c.estimated_usd))
        .where(jobs.c.submitted_at.is_not(None))
        .group_by(jobs.c.account)
    )
    return {account: usd for account, usd in await connection.execute(query) if usd is not None}


async def committed_by(connection: AsyncConnection, account: str) -> float:
    """The same of one account."""
    query = select(func.sum(jobs.c.estimated_usd)).where(jobs.c.account == account, jobs.c.submitted_at.is_not(None))
    return (await connection.execute(query)).scalar_one() or 0.0


async def price(connection: AsyncConnection, prices: Mapping[JobId, float | None]) -> None:
    """Note what jobs are estimated to cost."""
    values = ({"same_id": job_id, "estimated_usd": usd} for job_id, usd in prices.items())
    await execute_each(connection, update(jobs).where(jobs.c.id == bindparam("same_id")), values)
