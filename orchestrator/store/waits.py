"""Waits: until when jobs and deliveries wait, after this machine's clock was set back.

They are stored as times of the wall clock. If it is set back by an hour, every poll, retry and intent that was
written before would wait for an hour longer.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, case, update

from orchestrator.store.connection import AsyncConnection
from orchestrator.store.tables import deliveries, jobs

_TIMES: Final[tuple[Column[Any], ...]] = (jobs.c.wake_at, jobs.c.intent_until, deliveries.c.due_at)


async def shorten(connection: AsyncConnection, seconds: float, now: float) -> None:
    """Let everything that waits wait so much less, but not to before now.

    Only for a database that one process works on: of two, each would do it.
    """
    for column in _TIMES:
        earlier = case((column - seconds > now, column - seconds), else_=now)
        await connection.execute(update(column.table).where(column > now).values({column: earlier}))
