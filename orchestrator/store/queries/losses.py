"""Queries about losses: the loss curve of each job."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, insert, select

from orchestrator.core.jobs.job import JobId
from orchestrator.core.jobs.loss import Loss, downsample_curve, merge_curves
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import losses

_LOSS_COLUMNS = (losses.c.step, losses.c.training_loss, losses.c.validation_loss)


async def list_by_job(connection: StoreConnection, job_id: JobId) -> list[Loss]:
    """Return the job's loss curve, by step."""
    rows = await connection.execute(select(*_LOSS_COLUMNS).where(losses.c.job_id == job_id).order_by(losses.c.step))
    return [Loss(*row) for row in rows]


async def add(tx: Transaction, job_id: JobId, reported: Iterable[Loss]) -> None:
    """Add reported losses to the job's curve, which is downsampled when it gets too long."""
    before = await list_by_job(tx.connection, job_id)
    curve = downsample_curve(merge_curves(before, reported))
    if removed := {loss.step for loss in set(before) - set(curve)}:
        await tx.connection.execute(delete(losses).where(losses.c.job_id == job_id, losses.c.step.in_(removed)))
    if new := [_row(job_id, loss) for loss in set(curve) - set(before)]:
        await tx.connection.execute(insert(losses), new)


async def delete_by_job(tx: Transaction, job_id: JobId) -> None:
    """Delete the job's curve, because the job is trained again."""
    await tx.connection.execute(delete(losses).where(losses.c.job_id == job_id))


def _row(job_id: JobId, loss: Loss) -> dict[str, object]:
    return {
        "job_id": job_id,
        "step": loss.step,
        "training_loss": loss.training,
        "validation_loss": loss.validation,
    }
