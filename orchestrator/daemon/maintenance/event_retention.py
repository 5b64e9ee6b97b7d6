"""Deletes old events of finished jobs, a few at a time."""

from __future__ import annotations

from collections.abc import Callable

from structlog.stdlib import BoundLogger

from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import events

DAY_SECONDS = 24 * 3600.0
BATCH_SIZE = 500  # events in one transaction: other changes wait for it
MAX_BATCHES_PER_RUN = 100  # the rest is deleted by the next call


class EventPurger:
    """Deletes events that are older than `keep_days`; the last event of each job is always kept."""

    def __init__(self, database: Database, *, keep_days: float, now: Callable[[], float], log: BoundLogger) -> None:
        self._database = database
        self._keep_seconds = keep_days * DAY_SECONDS
        self._now = now
        self._log = log

    async def purge(self) -> None:
        """Delete old events, at most BATCH_SIZE * MAX_BATCHES_PER_RUN of them. Called by the scheduler."""
        before, total = self._now() - self._keep_seconds, 0

        async def change(tx: Transaction) -> int:
            return await events.delete_old(tx, before, BATCH_SIZE)

        for _ in range(MAX_BATCHES_PER_RUN):
            total += (deleted := await self._database.write(change))
            if deleted < BATCH_SIZE:
                break
        if total:
            self._log.info("events.purged", lines=total)
