"""Deliveries: what was given up is begun again."""

from __future__ import annotations

from collections.abc import Collection

from orchestrator.core.errors import ConfigError
from orchestrator.core.notifications.delivery import Delivery
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData
from orchestrator.store.queries import deliveries


async def redeliver(database: Database, ids: Collection[int] | None, *, by: str, now: float) -> list[Delivery]:
    """Begin again with these dead deliveries; with every dead one where `ids` is None. Returns those begun."""
    async with database.transaction() as tx:
        begun = await deliveries.retry_failed(tx, ids, now)
        if missing := sorted(set(ids or ()) - {delivery.id for delivery in begun}):
            raise ConfigError(
                f"no dead delivery has the number {', '.join(map(str, missing))}",
                hint="`orchestrator deliveries list --dead` lists them all; nothing was changed.",
            )
        for delivery in begun:
            text = f"{delivery.id}: {delivery.topic} to {delivery.target}"
            tx.add_events(EventData(at=now, cause=by, note="delivery begun again", message=text))
        return begun
