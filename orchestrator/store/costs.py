"""Queries about what jobs are estimated to cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import ColumnElement, bindparam, case, func, select, update

from orchestrator.core.budget import NOTHING_COMMITTED, Committed
from orchestrator.core.job import JobId, RunId
from orchestrator.core.lifecycle import State
from orchestrator.store.connection import AsyncConnection, execute_each
from orchestrator.store.tables import jobs

_Usd = ColumnElement[float]
_is_over: Final = jobs.c.state.in_([State.FAILED, State.CANCELLED])
_is_unknown: Final = (jobs.c.state == State.FAILED) & jobs.c.intent_until.is_not(None)
IS_CREATED: Final = jobs.c.submitted_at.is_not(None) & (jobs.c.remote_job_id.is_not(None) | ~_is_over | _is_unknown)
"""Whether the job of the latest round is or may be at the provider. One whose create was refused is not."""

CREATED_USD: Final = case((IS_CREATED, func.coalesce(jobs.c.estimated_usd, 0.0)), else_=0.0) + func.coalesce(
    jobs.c.earlier_usd, 0.0
)
"""What the job's remote jobs of all rounds are estimated at; what has no known price counts nothing."""


async def committed_usd(connection: AsyncConnection, run_id: RunId, since: float) -> dict[str, Committed]:
    """What is committed in each account; `since` is when the month began, in epoch seconds."""
    query = select(jobs.c.account, *_sums(run_id, since)).group_by(jobs.c.account)
    rows = await connection.execute(query)
    return {account: Committed(total, month, run) for account, total, month, run in rows if total}


async def committed_by(connection: AsyncConnection, account: str, run_id: RunId, since: float) -> Committed:
    """What is committed in one account."""
    query = select(*_sums(run_id, since)).where(jobs.c.account == account)
    total, month, run = (await connection.execute(query)).one()
    return Committed(total, month, run) if total else NOTHING_COMMITTED


async def price(connection: AsyncConnection, prices: Mapping[JobId, float | None]) -> None:
    """Note what jobs are estimated to cost."""
    values = ({"same_id": job_id, "estimated_usd": usd} for job_id, usd in prices.items())
    await execute_each(connection, update(jobs).where(jobs.c.id == bindparam("same_id")), values)


def _sums(run_id: RunId, since: float) -> tuple[_Usd, _Usd, _Usd]:
    # Of earlier rounds no time is kept: they count in the month of the latest one, and until that is submitted.
    is_recent = jobs.c.submitted_at.is_(None) | (jobs.c.submitted_at >= since)
    return (
        _sum(CREATED_USD),
        _sum(case((is_recent, CREATED_USD), else_=0.0)),
        _sum(case((jobs.c.run_id == run_id, CREATED_USD), else_=0.0)),
    )


def _sum(usd: _Usd) -> _Usd:
    return func.coalesce(func.sum(usd), 0.0)
