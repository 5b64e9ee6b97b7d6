"""Queries about deliveries: one notification for one target, and the result of the attempts to send it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from orchestrator.core.notifications.delivery import Delivery, DeliveryStatus
from orchestrator.core.notifications.notification import Topic
from orchestrator.store.db.any_of import is_one_of
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.schema.tables import announcements, deliveries

DELIVERED_RETENTION_SECONDS = 7 * 24 * 3600.0
FAILED_RETENTION_SECONDS = 30 * 24 * 3600.0
UNKNOWN_TARGET_SECONDS = 2 * 24 * 3600.0
"""How long after its due time a delivery waits for its target to appear in the accounts file of some replica."""
_COLUMNS = [deliveries.c[name] for name in Delivery.__struct_fields__]
_IS_FAILED = deliveries.c.due_at.is_(None) & deliveries.c.delivered_at.is_(None)
_STATUS_CONDITIONS = {
    DeliveryStatus.FAILED: _IS_FAILED,
    DeliveryStatus.PENDING: deliveries.c.due_at.is_not(None),
    DeliveryStatus.DELIVERED: deliveries.c.delivered_at.is_not(None),
}


async def has_pending_notifications(connection: StoreConnection) -> bool:
    """Whether there are notifications that were not fanned out yet."""
    return (await connection.execute(select(announcements.c.id).limit(1))).first() is not None


async def fan_out(tx: Transaction, topics_by_target: Mapping[str, Collection[Topic]], now: float, limit: int) -> None:
    """Turn each notification into one delivery for every subscribed target, and delete the notification."""
    query = select(announcements).order_by(announcements.c.at).limit(limit)
    notifications = (await tx.connection.execute(query)).all()
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
        for row in notifications
        for target, topics in topics_by_target.items()
        if row.topic in topics
    ]
    if rows:
        await tx.connection.execute(insert(deliveries), rows)
    await tx.connection.execute(
        delete(announcements).where(announcements.c.id.in_([row.id for row in notifications]))
    )


async def list_due_targets(connection: StoreConnection, now: float) -> set[str]:
    """Return the targets that have due deliveries."""
    query = select(deliveries.c.target).where(deliveries.c.due_at <= now).distinct()
    return set((await connection.execute(query)).scalars())


async def claim(tx: Transaction, target: str, *, now: float, until: float, limit: int) -> list[Delivery]:
    """Claim due deliveries of the target for another attempt.

    A delivery whose result is not recorded is due again at `until`.
    """
    due = (deliveries.c.target == target) & (deliveries.c.due_at <= now)
    query = select(*_COLUMNS).where(due).order_by(deliveries.c.due_at, deliveries.c.id).limit(limit)
    rows = (await tx.connection.execute(query)).all()
    claimed = {"due_at": until, "attempts": deliveries.c.attempts + 1}
    ids = [row.id for row in rows]
    await tx.connection.execute(update(deliveries).where(deliveries.c.id.in_(ids)).values(claimed))
    return [_delivery_from_row(row, attempts=row.attempts + 1, due_at=until) for row in rows]


async def record_attempt(tx: Transaction, delivery: Delivery) -> bool:
    """Record the result of an attempt. Returns False, and writes nothing, when another attempt was started since."""
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
    """Return the newest deliveries, or those with this status, whose ids are smaller than `before`."""
    query = select(*_COLUMNS).order_by(deliveries.c.id.desc()).limit(limit).offset(skip)
    if status is not None:
        query = query.where(_STATUS_CONDITIONS[status])
    if before is not None:
        query = query.where(deliveries.c.id < before)
    return [_delivery_from_row(row) for row in await connection.execute(query)]


async def count_by_status(connection: StoreConnection) -> dict[DeliveryStatus, int]:
    """Count the deliveries by status."""
    counts = select(func.count(), func.count(deliveries.c.delivered_at), func.count(deliveries.c.due_at))
    total, delivered, pending = (await connection.execute(counts)).one()
    return {
        DeliveryStatus.FAILED: total - delivered - pending,
        DeliveryStatus.PENDING: pending,
        DeliveryStatus.DELIVERED: delivered,
    }


async def count_failed(connection: StoreConnection, ids: Collection[int] | None) -> int:
    """Count the failed ones among these deliveries, or among all when `ids` is None."""
    which = _IS_FAILED if ids is None else _IS_FAILED & is_one_of(deliveries.c.id, ids)
    return (await connection.execute(select(func.count()).where(which))).scalar_one()


async def retry_failed(tx: Transaction, ids: Collection[int] | None, now: float) -> list[Delivery]:
    """Make these failed deliveries due again, or all when `ids` is None. Returns those that were failed."""
    which = _IS_FAILED if ids is None else _IS_FAILED & is_one_of(deliveries.c.id, ids)
    rows = (await tx.connection.execute(select(*_COLUMNS).where(which).order_by(deliveries.c.id))).all()
    await tx.connection.execute(update(deliveries).where(which).values(due_at=now, attempts=0))
    return [_delivery_from_row(row, due_at=now, attempts=0) for row in rows]


async def delete_old(tx: Transaction, now: float) -> None:
    """Delete old deliveries, and mark those as failed whose target is in no accounts file any more."""
    has_unknown_target = deliveries.c.due_at < now - UNKNOWN_TARGET_SECONDS
    reason = "the target is no longer in the accounts file"
    await tx.connection.execute(update(deliveries).where(has_unknown_target).values(due_at=None, error=reason))
    await tx.connection.execute(
        delete(deliveries).where(deliveries.c.delivered_at < now - DELIVERED_RETENTION_SECONDS)
    )
    await tx.connection.execute(
        delete(deliveries).where(_IS_FAILED, deliveries.c.created_at < now - FAILED_RETENTION_SECONDS)
    )


def _delivery_from_row(row: Row[Any] | Sequence[Any], **changes: Any) -> Delivery:
    values = dict(zip(Delivery.__struct_fields__, row, strict=True)) | changes
    return Delivery(**values | {"topic": Topic(values["topic"])})
