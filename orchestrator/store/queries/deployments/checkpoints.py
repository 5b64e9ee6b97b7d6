"""Queries about checkpoints: those of the current round of each job."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict

from sqlalchemy import delete, insert, select

from orchestrator.core.jobs.checkpoint import Checkpoint
from orchestrator.core.jobs.job import JobId
from orchestrator.store.db.any_of import any_of
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import checkpoints

_COLUMNS = tuple(column for column in checkpoints.columns if column.name != "job_id")
# Built once: compiling a statement takes longer than executing it.
_SELECT_BY_JOBS = (
    select(checkpoints.c.job_id, *_COLUMNS)
    .where(any_of(checkpoints.c.job_id, "ids"))
    .order_by(checkpoints.c.job_id, checkpoints.c.number)
)


async def list_by_jobs(connection: StoreConnection, ids: Collection[JobId]) -> dict[JobId, list[Checkpoint]]:
    """Return the checkpoints of these jobs, the earliest first; jobs without one are missing."""
    found: dict[JobId, list[Checkpoint]] = {}
    for job_id, *values in await connection.execute(_SELECT_BY_JOBS, {"ids": list(ids)}):
        names = (column.name for column in _COLUMNS)
        found.setdefault(JobId(job_id), []).append(Checkpoint(**dict(zip(names, values, strict=True))))
    return found


async def save(tx: Transaction, job_id: JobId, kept: Iterable[Checkpoint]) -> None:
    """Replace the job's checkpoints."""
    await tx.connection.execute(delete(checkpoints).where(checkpoints.c.job_id == job_id))
    if rows := [{"job_id": job_id, **asdict(each)} for each in kept]:
        await tx.connection.execute(insert(checkpoints), rows)
