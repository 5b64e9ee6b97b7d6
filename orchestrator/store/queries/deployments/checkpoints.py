"""Queries about checkpoints: those of the current round of each job."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import delete, insert, select

from orchestrator.core.jobs.checkpoint import Checkpoint
from orchestrator.core.jobs.job import JobId
from orchestrator.core.structs import asdict
from orchestrator.store.db.any_of import any_of
from orchestrator.store.db.connection import StoreConnection, execute_each
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import checkpoints

_COLUMNS = tuple(column for column in checkpoints.columns if column.name != "job_id")
# Built once: compiling a statement takes longer than executing it.
_SELECT_BY_JOBS = (
    select(checkpoints.c.job_id, *_COLUMNS)
    .where(any_of(checkpoints.c.job_id, "ids"))
    .order_by(checkpoints.c.job_id, checkpoints.c.number)
)

_DELETE_BY_JOBS = delete(checkpoints).where(any_of(checkpoints.c.job_id, "ids"))
_INSERT = insert(checkpoints)


async def list_by_jobs(connection: StoreConnection, ids: Collection[JobId]) -> dict[JobId, list[Checkpoint]]:
    """Return the checkpoints of these jobs, the earliest first; jobs without one are missing."""
    found: dict[JobId, list[Checkpoint]] = {}
    for job_id, *values in await connection.execute(_SELECT_BY_JOBS, {"ids": list(ids)}):
        names = (column.name for column in _COLUMNS)
        found.setdefault(JobId(job_id), []).append(Checkpoint(**dict(zip(names, values, strict=True))))
    return found


async def save(tx: Transaction, job_id: JobId, kept: Iterable[Checkpoint]) -> None:
    """Replace the job's checkpoints."""
    await save_many(tx, {job_id: kept})


async def save_many(tx: Transaction, kept: Mapping[JobId, Iterable[Checkpoint]]) -> None:
    """Replace the checkpoints of several jobs."""
    await tx.connection.execute(_DELETE_BY_JOBS, {"ids": list(kept)})
    rows = ({"job_id": job_id, **asdict(each)} for job_id, own in kept.items() for each in own)
    await execute_each(tx.connection, _INSERT, rows)
