"""Queries about pinned values: what a provider selected for its first job, and which jobs wait for that.

With `pin_auto`, the first job of a provider in a run is submitted alone. The hyperparameters that the provider
selects for it are pinned: all other jobs of the run at this provider get the same values, so that all models are
trained alike.
"""

from __future__ import annotations

import json

from sqlalchemy import Text, and_, bindparam, cast, exists, false, func, or_, select, update

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job import Job, RunId
from orchestrator.core.jobs.lifecycle import AT_PROVIDER_STATES
from orchestrator.core.jobs.pins import PinnedValues, ValueUsage
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import jobs, run_jobs, runs


async def is_awaiting_first_job(connection: StoreConnection, job: Job) -> bool:
    """Whether another job of its run and provider is submitted and has not shown the provider's values yet."""
    run_id, pins = await _get_pins(connection, job)
    if job.provider not in pins or pins[job.provider] is not None:
        return False
    first = (
        select(jobs.c.id)
        .join(run_jobs, run_jobs.c.job_id == jobs.c.id)
        .where(run_jobs.c.run_id == run_id, jobs.c.provider == job.provider)
        .where(jobs.c.state.in_(AT_PROVIDER_STATES), jobs.c.id != job.id)
    )
    return (await connection.execute(first.limit(1))).first() is not None


async def save(tx: Transaction, job: Job, values: PinnedValues) -> RunId | None:
    """Pin these values for the run's jobs at this provider.

    Returns the id of the run, or None when the run pins nothing there or has pinned values already.
    """
    run_id, pins = await _get_pins(tx.connection, job)
    if job.provider not in pins or pins[job.provider] is not None:
        return None
    changed = pins | {job.provider.value: dict(values)}
    await tx.connection.execute(update(runs).where(runs.c.id == run_id).values(pins=changed))
    return run_id


async def list_different_values(connection: StoreConnection, run_id: RunId) -> list[ValueUsage]:
    """Return the distinct hyperparameters that the run's jobs were trained with; none if no provider has several."""
    values = cast(jobs.c.hyperparameters, Text)
    of_run = run_jobs.c.job_id == jobs.c.id, run_jobs.c.run_id == run_id, jobs.c.remote_job_id.is_not(None)
    if not await _has_different_values(connection, run_id):
        return []
    query = (
        select(jobs.c.provider, values, func.min(jobs.c.account), func.count())
        .where(*of_run)
        .group_by(jobs.c.provider, values)
        .order_by(jobs.c.provider, func.min(jobs.c.account))
    )
    rows = await connection.execute(query)
    return [
        ValueUsage(ProviderName(provider), json.loads(text), account, count)
        for provider, text, account, count in rows
    ]


async def _has_different_values(connection: StoreConnection, run_id: RunId) -> bool:
    """Return whether two submitted jobs of the run at the same provider have different hyperparameters.

    Almost always there are none, so each query looks for a job that differs from those that were found before, and
    checks only for such jobs that they are the run's: a fraction of the time of grouping all jobs.
    """
    values = cast(jobs.c.hyperparameters, Text)
    of_run = exists().where(run_jobs.c.run_id == run_id, run_jobs.c.job_id == jobs.c.id)
    known: dict[str, str] = {}
    while True:
        is_known = or_(*(and_(jobs.c.provider == name, values == text) for name, text in known.items()), false())
        query = select(jobs.c.provider, values).where(jobs.c.remote_job_id.is_not(None), ~is_known, of_run).limit(1)
        found = (await connection.execute(query)).one_or_none()
        if found is None or found[0] in known:
            return found is not None
        known[found[0]] = found[1]


async def _get_pins(connection: StoreConnection, job: Job) -> tuple[RunId, dict[str, PinnedValues | None]]:
    """Return the job's run, which may have changed since the job was loaded, and the run's pins."""
    run_id, pins = (await connection.execute(_SELECT_PINS, {"same_id": job.id})).one()
    return run_id, pins or {}


_SELECT_PINS = (
    select(runs.c.id, runs.c.pins).join(jobs, jobs.c.run_id == runs.c.id).where(jobs.c.id == bindparam("same_id"))
)
