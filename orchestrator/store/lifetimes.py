"""Queries about how long finished models can be called. They change nothing else of a job, and not its version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import or_, select, update

from orchestrator.core.account import ProviderName
from orchestrator.core.job import Job, JobId
from orchestrator.core.lifecycle import State
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.rows import JOB_COLUMNS, job_from
from orchestrator.store.tables import jobs


@dataclass(frozen=True, slots=True)
class Checked:
    """A job with a model, and the least number of days left that was announced of it."""

    job: Job
    announced: int | None


async def due(connection: AsyncConnection, before: float, limit: int) -> list[Job]:
    """Jobs whose models were last looked at before that time, or never."""
    unchecked = or_(jobs.c.checked_at.is_(None), jobs.c.checked_at < before)
    query = select(*JOB_COLUMNS).where(jobs.c.state == State.SUCCEEDED, unchecked).order_by(jobs.c.id).limit(limit)
    return [job_from(row) for row in await connection.execute(query)]


async def load(connection: AsyncConnection, job_id: JobId) -> Checked:
    """The job and what was announced."""
    row = (await connection.execute(select(*JOB_COLUMNS, jobs.c.announced_days).where(jobs.c.id == job_id))).one()
    return Checked(job_from(row[:-1]), row[-1])


async def save(
    connection: AsyncConnection,
    job_id: JobId,
    *,
    at: float,
    retires_on: date | None,
    gone_at: float | None,
    announced: int | None,
) -> None:
    """Remember a look at the job's model."""
    found = {"retires_on": retires_on, "gone_at": gone_at, "announced_days": announced}
    await connection.execute(update(jobs).where(jobs.c.id == job_id).values(checked_at=at, **found))


async def base_model_retires(connection: AsyncConnection, provider: ProviderName, name: str, on: date) -> None:
    """The base model's last day is that of every model tuned on it, made or still to be made."""
    tuned = (jobs.c.provider == provider) & (jobs.c.base_model == name)
    changed = jobs.c.retires_on.is_(None) | (jobs.c.retires_on != on)
    await connection.execute(update(jobs).where(tuned & changed).values(retires_on=on))
