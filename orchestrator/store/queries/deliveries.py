"""Queries about deliveries: announcements addressed to targets, and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from orchestrator.core.notifications.delivery import Delivery, DeliveryStatus
from orchestrator.core.notifications.notification import Topic
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import announcements, deliveries

DELIVERED_RETENTION_SECONDS = 7 * 24 * 3600.0  # seconds that what arrived is kept
FAILED_RETENTION_SECONDS = 30 * 24 * 3600.0
UNKNOWN_TARGET_SECONDS = (
    2 * 24 * 3600.0
)  # seconds after its time that a delivery waits for its target to be in an accounts file
_COLUMNS = [deliveries.c[field.name] for field in fields(Delivery)]
_IS_FAILED = deliveries.c.due_at.is_(None) & deliveries.c.delivered_at.is_(None)
_STATUS_CONDITIONS = {
    DeliveryStatus.FAILED: _IS_FAILED,
    DeliveryStatus.PENDING: deliveries.c.due_at.is_not(None),
    DeliveryStatus.DELIVERED: deliveries.c.delivered_at.is_not(None),
}


async def has_pending_notifications(connection: StoreConnection) -> bool:
    """Whether there is an announcement without its deliveries."""
    return (await connection.execute(select(announcements.c.id).limit(1))).first() is not None


async def fan_out(tx: Transaction, topics_by_target: Mapping[str, Collection[Topic]], now: float, limit: int) -> None:
    """Make a delivery of each announcement for each target that wants it. What nobody wants is forgotten."""
    query = select(announcements).order_by(announcements.c.at).limit(limit)
    found = (await tx.connection.execute(query)).all()
    rows = [
        {
            "message": row.id,
            "target": target,
            "topic": row.topic,
            "payload": row.payload,
            "created_at": row.at,
            "attempts": 0,
            "due_at": now,
        }
        for row in found
        for target, topics in topics_by_target.items()
        if row.topic in topics
    ]
    if rows:
        await tx.connection.execute(insert(deliveries), rows)
    await tx.connection.execute(delete(announcements).where(announcements.c.id.in_([row.id for row in found])))


async def list_due_targets(connection: StoreConnection, now: float) -> set[str]:
    """The targets for which something is due."""
    query = select(deliveries.c.target).where(deliveries.c.due_at <= now).distinct()
    return set((await connection.execute(query)).scalars())


async def claim(tx: Transaction, target: str, *, now: float, until: float, limit: int) -> list[Delivery]:
    """Take what is due for the target, as another attempt. Should its end be lost it is due again at `until`."""
    due = (deliveries.c.target == target) & (deliveries.c.due_at <= now)
    query = select(*_COLUMNS).where(due).order_by(deliveries.c.due_at, deliveries.c.id).limit(limit)
    rows = (await tx.connection.execute(query)).all()
    taken = {"due_at": until, "attempts": deliveries.c.attempts + 1}
    ids = [row.id for row in rows]
    await tx.connection.execute(update(deliveries).where(deliveries.c.id.in_(ids)).values(taken))
    return [_delivery_from_row(row, attempts=row.attempts + 1, due_at=until) for row in rows]


async def record_attempt(tx: Transaction, delivery: Delivery) -> bool:
    """Record what an attempt made of it. False: another was begun since, nothing was written."""
    same = (deliveries.c.id == delivery.id) & (deliveries.c.attempts == delivery.attempts)
    values = {name: getattr(delivery, name) for name in ("delivered_at", "due_at", "error")}
    result = await tx.connection.execute(
        update(deliveries).where(same, deliveries.c.due_at.is_not(None)).values(values)
    )
    return result.rowcount == 1


async def list_newest(
    connection: StoreConnection,
    status: DeliveryStatus | None,
    *,
    limit: int,
    before: int | None = None,
    skip: int = 0,
) -> list[Delivery]:
    """The newest deliveries, or the newest with this fate; those with smaller numbers than `before`."""
    query = select(*_COLUMNS).order_by(deliveries.c.id.desc()).limit(limit).offset(skip)
    if status is not None:
        query = query.where(_STATUS_CONDITIONS[status])
    if before is not None:
        query = query.where(deliveries.c.id < before)
    return [_delivery_from_row(row) for row in await connection.execute(query)]


async def count_by_status(connection: StoreConnection) -> dict[DeliveryStatus, int]:
    """How many there are of each fate."""
    each = select(func.count(), func.count(deliveries.c.delivered_at), func.count(deliveries.c.due_at))
    every, arrived, waiting = (await connection.execute(each)).one()
    return {
        DeliveryStatus.FAILED: every - arrived - waiting,
        DeliveryStatus.PENDING: waiting,
        DeliveryStatus.DELIVERED: arrived,
    }


async def count_failed(connection: StoreConnection, ids: Collection[int] | None) -> int:
    """How many of these are dead, or of all."""
    which = _IS_FAILED if ids is None else _IS_FAILED & deliveries.c.id.in_(list(ids))
    return (await connection.execute(select(func.count()).where(which))).scalar_one()


async def retry_failed(tx: Transaction, ids: Collection[int] | None, now: float) -> list[Delivery]:
    """Begin again with these dead deliveries, or with all. Returns those that were."""
    which = _IS_FAILED if ids is None else _IS_FAILED & deliveries.c.id.in_(list(ids))
    rows = (await tx.connection.execute(select(*_COLUMNS).where(which).order_by(deliveries.c.id))).all()
    await tx.connection.execute(update(deliveries).where(which).values(due_at=now, attempts=0))
    return [_delivery_from_row(row, due_at=now, attempts=0) for row in rows]


async def delete_old(tx: Transaction, now: float) -> None:
    """Delete what has long ended; give up what is for a target that is in no accounts file any more."""
    strange = deliveries.c.due_at < now - UNKNOWN_TARGET_SECONDS
    reason = "the target is no longer in the accounts file"
    await tx.connection.execute(update(deliveries).where(strange).values(due_at=None, error=reason))
    await tx.connection.execute(
        delete(deliveries).where(deliveries.c.delivered_at < now - DELIVERED_RETENTION_SECONDS)
    )
    await tx.connection.execute(
        delete(deliveries).where(_IS_FAILED, deliveries.c.created_at < now - FAILED_RETENTION_SECONDS)
    )


def _delivery_from_row(row: Row[Any] | Sequence[Any], **changes: Any) -> Delivery:
    values = dict(zip((field.name for field in fields(Delivery)), row, strict=True)) | changes
    return Delivery(**values | {"topic": Topic(values["topic"])})
