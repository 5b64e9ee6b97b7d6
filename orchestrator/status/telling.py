"""Deliveries: what was told to whom, and what was not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from orchestrator.core.delivery import Delivery, Fate
from orchestrator.store import deliveries as stored
from orchestrator.store.database import Database

MOST = 1000


async def deliveries(
    database: Database, fate: Fate | None = None, *, limit: int = MOST, before: int | None = None, skip: int = 0
) -> Sequence[Delivery]:
    """The newest, or the newest with this fate; those with smaller numbers than `before`."""
    async with database.read() as connection:
        return await stored.listed(connection, fate, limit=limit, before=before, skip=skip)


async def count_deliveries(database: Database) -> Mapping[Fate, int]:
    """How many there are of each fate."""
    async with database.survey() as connection:
        return await stored.counts(connection)


async def count_dead(database: Database, numbers: Collection[int] | None) -> int:
    """How many of these were given up, or of all: what a retry would begin again."""
    async with database.survey() as connection:
        return await stored.count_dead(connection, numbers)
