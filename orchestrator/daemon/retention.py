"""Retention: history that nobody wants any more is forgotten, a little at a time."""

from __future__ import annotations

from collections.abc import Callable

from structlog.stdlib import BoundLogger

from orchestrator.store import events
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.database import Database

DAY = 24 * 3600.0
BATCH = 500  # lines a transaction: others wait for it
MOST_BATCHES = 100  # a tick: the rest has time


class Retention:
    """Forgets events older than `keep_days`."""

    def __init__(self, database: Database, *, keep_days: float, now: Callable[[], float], log: BoundLogger) -> None:
        self._database = database
        self._keep = keep_days * DAY
        self._now = now
        self._log = log

    async def forget(self) -> None:
        """Delete what is too old. A tick."""
        before, total = self._now() - self._keep, 0

        async def change(connection: AsyncConnection) -> int:
            return await events.forget(connection, before, BATCH)

        for _ in range(MOST_BATCHES):
            total += (deleted := await self._database.write(change))
            if deleted < BATCH:
                break
        if total:
            self._log.info("events.forgotten", lines=total)
