"""The event history in the order in which it was written, for clients that follow it."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.store.db.database import Database
from orchestrator.store.queries import events
from orchestrator.store.queries.events import RunEvent, StoredEvent

__all__ = [
    "RunEvent",
    "StoredEvent",
    "get_latest_event_id",
    "list_events_after",
    "list_latest_events",
    "list_run_ids",
]


async def list_events_after(
    database: Database, after_id: int, *, limit: int, account: str = "", run: str = "", job: str = ""
) -> Sequence[StoredEvent]:
    """Return events with larger ids, of everything or of one account, run or job, the oldest first.

    `run` is the name or id of runs.
    """
    async with database.read() as connection:
        return await events.list_after(connection, after_id, limit=limit, account=account, run=run, job=job)


async def list_run_ids(database: Database, run: str) -> frozenset[str]:
    """Return the ids of the runs with this name or id."""
    async with database.read() as connection:
        return await events.list_run_ids(connection, run)


async def list_latest_events(
    database: Database, account: str, *, limit: int | None = None, after_id: int = 0, run: str = ""
) -> Sequence[RunEvent]:
    """Return the newest events of an account with ids above `after_id`, oldest first. `run` is a run's name or id."""
    async with database.read() as connection:
        return await events.list_latest(connection, account, limit=limit, after_id=after_id, run=run)


async def get_latest_event_id(database: Database) -> int:
    """Return the id of the newest event; 0 when there is none."""
    async with database.read() as connection:
        return await events.get_latest_id(connection)
