"""Deliveries: what was told to whom, and what was not."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.delivery import Delivery
from orchestrator.store import deliveries as stored
from orchestrator.store.database import Database

MOST = 1000


async def deliveries(database: Database, *, dead: bool = False) -> Sequence[Delivery]:
    """The newest, or the newest of those that were given up."""
    async with database.read() as connection:
        return await stored.listed(connection, dead=dead, limit=MOST)
