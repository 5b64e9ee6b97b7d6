"""Queries about the retirement of finished models. They do not raise the job's version, see outcomes.py."""

from __future__ import annotations

from datetime import date

from sqlalchemy import or_, select, update

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.structs import Struct
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.mapping import JOB_COLUMNS, job_from_row
from orchestrator.store.schema.tables import jobs


class ModelCheck(Struct, frozen=True):
    """A job with a model, and what was announced about the model's retirement."""

    job: Job
    announced_days: int | None
    """Smallest number of days left that was announced; None when nothing was."""


async def list_due_for_check(connection: StoreConnection, before: float, limit: int) -> list[Job]:
    """Return jobs whose models were last checked before that time, or never."""
    unchecked = or_(jobs.c.checked_at.is_(None), jobs.c.checked_at < before)
    query = select(*JOB_COLUMNS).where(jobs.c.state == JobState.SUCCEEDED, unchecked).order_by(jobs.c.id).limit(limit)
    return [job_from_row(row) for row in await connection.execute(query)]


async def get_check(connection: StoreConnection, job_id: JobId) -> ModelCheck:
    """Return the job and what was announced about its model."""
    row = (await connection.execute(select(*JOB_COLUMNS, jobs.c.announced_days).where(jobs.c.id == job_id))).one()
    return ModelCheck(job_from_row(row[:-1]), row[-1])


async def save_check(
    tx: Transaction,
    job_id: JobId,
    *,
    at: float,
    retires_on: date | None,
    gone_at: float | None,
    announced_days: int | None,
) -> None:
    """Store the result of a check of the job's model."""
    values = {"retires_on": retires_on, "gone_at": gone_at, "announced_days": announced_days}
    await tx.connection.execute(update(jobs).where(jobs.c.id == job_id).values(checked_at=at, **values))


async def save_base_model_retirement(tx: Transaction, provider: ProviderName, name: str, on: date) -> None:
    """Store the base model's last day for all jobs on it: their models, present and future, end with it."""
    tuned = (jobs.c.provider == provider) & (jobs.c.base_model == name)
    changed = jobs.c.retires_on.is_(None) | (jobs.c.retires_on != on)
    await tx.connection.execute(update(jobs).where(tuned & changed).values(retires_on=on))
