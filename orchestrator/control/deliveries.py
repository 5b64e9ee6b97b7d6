"""Retries failed deliveries of notifications."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from orchestrator.core.errors import ConfigError
from orchestrator.core.notifications.delivery import Delivery
from orchestrator.core.text import format_list
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData
from orchestrator.store.queries import deliveries

MAX_LISTED_IDS: Final = 20


async def redeliver(database: Database, ids: Collection[int] | None, *, by: str, now: float) -> list[Delivery]:
    """Retry these failed deliveries, or all failed ones when `ids` is None. Returns the deliveries that are retried.

    Raises ConfigError, and changes nothing, when an id is not that of a failed delivery.
    """
    async with database.transaction() as tx:
        retried = await deliveries.retry_failed(tx, ids, now)
        if missing := sorted(set(ids or ()) - {delivery.id for delivery in retried}):
            raise ConfigError(
                f"no failed delivery has the id {format_list([str(each) for each in missing], limit=MAX_LISTED_IDS)}",
                hint="`orchestrator deliveries list --dead` lists all failed deliveries. Nothing was changed.",
            )
        for delivery in retried:
            text = f"{delivery.id}: {delivery.topic} to {delivery.target}"
            tx.add_events(EventData(at=now, cause=by, note="delivery begun again", message=text))
        return retried
