"""Queries about marks: what changes whenever the line of a job would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Text, bindparam, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.core.job import RunId
from orchestrator.store.tables import accounts, jobs, run_jobs


async def of_run(connection: AsyncConnection, run_id: RunId) -> Sequence[Sequence[Any]]:
    """Each job of the run that is to be seen, its id first, by account name."""
    return [tuple(row) for row in await connection.execute(_MARKS, {"run": run_id})]


_seen = accounts.c.removed_at.is_(None) | jobs.c.remote_job_id.is_not(None)
_MARKS = (
    select(
        jobs.c.id,
        jobs.c.version,
        jobs.c.estimated_usd,
        jobs.c.retires_on,
        jobs.c.gone_at,
        accounts.c.organization,
        accounts.c.removed_at,
        type_coerce(accounts.c.labels, Text),
        type_coerce(accounts.c.hold, Text),
    )
    .join(run_jobs, run_jobs.c.job_id == jobs.c.id)
    .join(accounts, accounts.c.name == jobs.c.account)
    .where(run_jobs.c.run_id == bindparam("run"), _seen)
    .order_by(jobs.c.account)
)
