"""Happened: the history of everything in the order it was written, for those who follow it."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.store import events
from orchestrator.store.database import Database
from orchestrator.store.events import Line

__all__ = ["Line", "events_after", "newest_event"]


async def events_after(
    database: Database, number: int, *, limit: int, account: str = "", run: str = "", job: str = ""
) -> Sequence[Line]:
    """The lines after this number, of everything or of one account, run or job; the oldest first."""
    async with database.read() as connection:
        return await events.after(connection, number, limit=limit, account=account, run=run, job=job)


async def newest_event(database: Database) -> int:
    """The number of the newest line; 0 where there is none."""
    async with database.read() as connection:
        return await events.last(connection)
