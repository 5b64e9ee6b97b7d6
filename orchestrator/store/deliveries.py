"""Queries about deliveries: announcements addressed to targets, and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from orchestrator.core.announcement import Topic
from orchestrator.core.delivery import Delivery, Fate
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.tables import announcements, deliveries

REMEMBERED = 7 * 24 * 3600.0  # seconds that what arrived is kept
DEAD_REMEMBERED = 30 * 24 * 3600.0
STRANGE = 2 * 24 * 3600.0  # seconds after its time that a delivery waits for its target to be in an accounts file
_COLUMNS = [deliveries.c[field.name] for field in fields(Delivery)]
_DEAD = deliveries.c.due_at.is_(None) & deliveries.c.delivered_at.is_(None)
_FATES = {
    Fate.DEAD: _DEAD,
    Fate.WAITING: deliveries.c.due_at.is_not(None),
    Fate.ARRIVED: deliveries.c.delivered_at.is_not(None),
}


async def unaddressed(connection: AsyncConnection) -> bool:
    """Whether there is an announcement without its deliveries."""
    return (await connection.execute(select(announcements.c.id).limit(1))).first() is not None


async def address(
    connection: AsyncConnection, wanted: Mapping[str, Collection[Topic]], now: float, limit: int
) -> None:
    """Make a delivery of each announcement for each target that wants it. What nobody wants is forgotten."""
    query = select(announcements).order_by(announcements.c.at).limit(limit)
    found = (await connection.execute(query)).all()
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
        for target, topics in wanted.items()
        if row.topic in topics
    ]
    if rows:
        await connection.execute(insert(deliveries), rows)
    await connection.execute(delete(announcements).where(announcements.c.id.in_([row.id for row in found])))


async def waiting(connection: AsyncConnection, now: float) -> set[str]:
    """The targets for which something is due."""
    query = select(deliveries.c.target).where(deliveries.c.due_at <= now).distinct()
    return set((await connection.execute(query)).scalars())


async def claim(connection: AsyncConnection, target: str, *, now: float, until: float, limit: int) -> list[Delivery]:
    """Take what is due for the target, as another attempt. Should its end be lost it is due again at `until`."""
    due = (deliveries.c.target == target) & (deliveries.c.due_at <= now)
    query = select(*_COLUMNS).where(due).order_by(deliveries.c.due_at, deliveries.c.id).limit(limit)
    rows = (await connection.execute(query)).all()
    taken = {"due_at": until, "attempts": deliveries.c.attempts + 1}
    ids = [row.id for row in rows]
    await connection.execute(update(deliveries).where(deliveries.c.id.in_(ids)).values(taken))
    return [_delivery(row, attempts=row.attempts + 1, due_at=until) for row in rows]


async def settle(connection: AsyncConnection, delivery: Delivery) -> bool:
    """Record what an attempt made of it. False: another was begun since, nothing was written."""
    same = (deliveries.c.id == delivery.id) & (deliveries.c.attempts == delivery.attempts)
    values = {name: getattr(delivery, name) for name in ("delivered_at", "due_at", "error")}
    result = await connection.execute(update(deliveries).where(same, deliveries.c.due_at.is_not(None)).values(values))
    return result.rowcount == 1


async def listed(
    connection: AsyncConnection, fate: Fate | None, *, limit: int, before: int | None = None, skip: int = 0
) -> list[Delivery]:
    """The newest deliveries, or the newest with this fate; those with smaller numbers than `before`."""
    query = select(*_COLUMNS).order_by(deliveries.c.id.desc()).limit(limit).offset(skip)
    if fate is not None:
        query = query.where(_FATES[fate])
    if before is not None:
        query = query.where(deliveries.c.id < before)
    return [_delivery(row) for row in await connection.execute(query)]


async def counts(connection: AsyncConnection) -> dict[Fate, int]:
    """How many there are of each fate."""
    each = select(func.count(), func.count(deliveries.c.delivered_at), func.count(deliveries.c.due_at))
    every, arrived, waiting = (await connection.execute(each)).one()
    return {Fate.DEAD: every - arrived - waiting, Fate.WAITING: waiting, Fate.ARRIVED: arrived}


async def count_dead(connection: AsyncConnection, ids: Collection[int] | None) -> int:
    """How many of these are dead, or of all."""
    which = _DEAD if ids is None else _DEAD & deliveries.c.id.in_(list(ids))
    return (await connection.execute(select(func.count()).where(which))).scalar_one()


async def revive(connection: AsyncConnection, ids: Collection[int] | None, now: float) -> list[Delivery]:
    """Begin again with these dead deliveries, or with all. Returns those that were."""
    which = _DEAD if ids is None else _DEAD & deliveries.c.id.in_(list(ids))
    rows = (await connection.execute(select(*_COLUMNS).where(which).order_by(deliveries.c.id))).all()
    await connection.execute(update(deliveries).where(which).values(due_at=now, attempts=0))
    return [_delivery(row, due_at=now, attempts=0) for row in rows]


async def forget(connection: AsyncConnection, now: float) -> None:
    """Delete what has long ended; give up what is for a target that is in no accounts file any more."""
    strange = deliveries.c.due_at < now - STRANGE
    reason = "the target is no longer in the accounts file"
    await connection.execute(update(deliveries).where(strange).values(due_at=None, error=reason))
    await connection.execute(delete(deliveries).where(deliveries.c.delivered_at < now - REMEMBERED))
    await connection.execute(delete(deliveries).where(_DEAD, deliveries.c.created_at < now - DEAD_REMEMBERED))


def _delivery(row: Row[Any] | Sequence[Any], **changes: Any) -> Delivery:
    values = dict(zip((field.name for field in fields(Delivery)), row, strict=True)) | changes
    return Delivery(**values | {"topic": Topic(values["topic"])})
