"""Queries about losses: the curve of one job, and the curves of the jobs of a run that match a filter."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Select, and_, bindparam, case, delete, exists, func, insert, select

from orchestrator.core.jobs.job import JobId
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.loss import Loss, downsample_curve, merge_curves
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct
from orchestrator.store.db.any_of import any_of
from orchestrator.store.db.connection import StoreConnection, execute_each, iter_chunks
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries.job_search_sql import JobsQuery
from orchestrator.store.schema.tables import jobs, losses

_LOSS_COLUMNS = (losses.c.step, losses.c.training_loss, losses.c.validation_loss)
# Built once: compiling a statement takes longer than executing it.
_SELECT_BY_JOBS = (
    select(losses.c.job_id, *_LOSS_COLUMNS)
    .where(any_of(losses.c.job_id, "ids"))
    .order_by(losses.c.job_id, losses.c.step)
)
_INSERT = insert(losses)
_DELETE_POINT = delete(losses).where(losses.c.job_id == bindparam("same_id"), losses.c.step == bindparam("same_step"))


class LastLoss(Struct, frozen=True, kw_only=True):
    """The last step of a job, and the last value of each loss; None if it was never reported."""

    account: str
    step: int
    training: float | None
    validation: float | None


async def list_by_job(connection: StoreConnection, job_id: JobId) -> list[Loss]:
    """Return the job's loss curve, by step."""
    rows = await connection.execute(select(*_LOSS_COLUMNS).where(losses.c.job_id == job_id).order_by(losses.c.step))
    return [Loss(*row) for row in rows]


async def list_by_jobs(connection: StoreConnection, ids: Collection[JobId]) -> dict[JobId, list[Loss]]:
    """Return the loss curves of these jobs, by step; jobs without one are missing."""
    curves: dict[JobId, list[Loss]] = {}
    for chunk in iter_chunks(ids):
        for job_id, *point in await connection.execute(_SELECT_BY_JOBS, {"ids": chunk}):
            curves.setdefault(JobId(job_id), []).append(Loss(*point))
    return curves


async def add(tx: Transaction, job_id: JobId, reported: Iterable[Loss]) -> None:
    """Add reported losses to the job's curve, which is downsampled when it gets too long."""
    await add_many(tx, {job_id: reported})


async def add_many(tx: Transaction, reported: Mapping[JobId, Iterable[Loss]]) -> None:
    """Add reported losses to the curves of several jobs, with few statements."""
    before = await list_by_jobs(tx.connection, reported)
    removed, new = [], []
    for job_id, points in reported.items():
        old = before.get(job_id, [])
        curve = downsample_curve(merge_curves(old, points))
        removed += [{"same_id": job_id, "same_step": loss.step} for loss in set(old) - set(curve)]
        new += [_row(job_id, loss) for loss in set(curve) - set(old)]
    await execute_each(tx.connection, _DELETE_POINT, removed)
    await execute_each(tx.connection, _INSERT, new)


async def delete_by_job(tx: Transaction, job_id: JobId) -> None:
    """Delete the job's curve, because the job is trained again."""
    await tx.connection.execute(delete(losses).where(losses.c.job_id == job_id))


async def count_curves(connection: StoreConnection, run: Run, job_filter: JobFilter, now: float) -> int:
    """Count the matching jobs that have a curve."""
    chosen = _select_jobs(run, job_filter, now).subquery()
    total: int = (await connection.execute(select(func.count()).select_from(chosen))).scalar_one()
    return total


async def get_curves(
    connection: StoreConnection, run: Run, job_filter: JobFilter, now: float, *, limit: int
) -> dict[str, list[Loss]]:
    """Return the losses of the first matching jobs that have some, by account."""
    first = _select_first(run, job_filter, now, limit).subquery()
    query = select(first.c.account, losses.c.step, losses.c.training_loss, losses.c.validation_loss)
    query = query.join(losses, losses.c.job_id == first.c.id).order_by(first.c.account, losses.c.step)
    curves: dict[str, list[Loss]] = {}
    for account, *point in await connection.execute(query):
        curves.setdefault(account, []).append(Loss(*point))
    return curves


async def get_averaged_curves(
    connection: StoreConnection, run: Run, job_filter: JobFilter, now: float, *, limit: int, points: int
) -> dict[str, list[Loss]]:
    """Return the same curves with at most `points` points each, all of them at the same steps, by account.

    Each point is the average of an interval of steps and has the last step of the interval. The database averages:
    the curves of a thousand jobs have up to half a million points.
    """
    first = _select_first(run, job_filter, now, limit).subquery()
    last_step = select(func.max(losses.c.step)).join(first, losses.c.job_id == first.c.id)
    maximum = (await connection.execute(last_step)).scalar_one_or_none() or 0
    width = max(1, -(-maximum // points))
    interval = (losses.c.step - 1) // width
    query = select(
        first.c.account,
        interval.label("part"),
        func.avg(losses.c.training_loss).label("training"),
        func.avg(losses.c.validation_loss).label("validation"),
    )
    query = query.join(losses, losses.c.job_id == first.c.id).group_by(first.c.account, "part")
    curves: dict[str, list[Loss]] = {}
    for account, number, *point in await connection.execute(query.order_by(first.c.account, "part")):
        curves.setdefault(account, []).append(Loss(min((number + 1) * width, maximum), *point))
    return curves


async def list_last_losses(
    connection: StoreConnection, run: Run, job_filter: JobFilter, now: float, *, limit: int
) -> list[LastLoss]:
    """Return the last losses of the first matching jobs that have a curve, by account name."""
    first = _select_first(run, job_filter, now, limit).subquery()
    last = (
        select(
            losses.c.job_id,
            func.max(losses.c.step).label("step"),
            func.max(case((losses.c.training_loss.is_not(None), losses.c.step))).label("training_step"),
            func.max(case((losses.c.validation_loss.is_not(None), losses.c.step))).label("validation_step"),
        )
        .join(first, losses.c.job_id == first.c.id)
        .group_by(losses.c.job_id)
        .subquery()
    )
    training, validation = losses.alias(), losses.alias()
    query = (
        select(first.c.account, last.c.step, training.c.training_loss, validation.c.validation_loss)
        .join(last, last.c.job_id == first.c.id)
        .outerjoin(training, and_(training.c.job_id == first.c.id, training.c.step == last.c.training_step))
        .outerjoin(validation, and_(validation.c.job_id == first.c.id, validation.c.step == last.c.validation_step))
        .order_by(first.c.account)
    )
    return [
        LastLoss(account=account, step=step, training=training_loss, validation=validation_loss)
        for account, step, training_loss, validation_loss in await connection.execute(query)
    ]


def _row(job_id: JobId, loss: Loss) -> dict[str, object]:
    return {
        "job_id": job_id,
        "step": loss.step,
        "training_loss": loss.training,
        "validation_loss": loss.validation,
    }


def _select_first(run: Run, job_filter: JobFilter, now: float, limit: int) -> Select[Any]:
    return _select_jobs(run, job_filter, now).order_by(jobs.c.account, jobs.c.id).limit(limit)


def _select_jobs(run: Run, job_filter: JobFilter, now: float) -> Select[Any]:
    has_losses = exists().where(losses.c.job_id == jobs.c.id)
    return JobsQuery(run, now).select_jobs(job_filter, jobs.c.id, jobs.c.account).where(has_losses)
