"""Deliveries of notifications and their results."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from orchestrator.core.notifications.delivery import Delivery, DeliveryStatus
from orchestrator.store.db.database import Database
from orchestrator.store.queries import deliveries as stored

MAX_DELIVERIES = 1000


async def list_deliveries(
    database: Database,
    fate: DeliveryStatus | None = None,
    *,
    limit: int = MAX_DELIVERIES,
    before: int | None = None,
    skip: int = 0,
) -> Sequence[Delivery]:
    """Return the newest deliveries, or the newest with this status, whose ids are smaller than `before`."""
    async with database.read() as connection:
        return await stored.list_newest(connection, fate, limit=limit, before=before, skip=skip)


async def count_deliveries(database: Database) -> Mapping[DeliveryStatus, int]:
    """Count the deliveries by status."""
    async with database.read_long() as connection:
        return await stored.count_by_status(connection)


async def count_failed_deliveries(database: Database, numbers: Collection[int] | None) -> int:
    """Count the failed ones among these deliveries, or among all when `numbers` is None."""
    async with database.read_long() as connection:
        return await stored.count_failed(connection, numbers)
