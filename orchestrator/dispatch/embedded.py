"""Embedded dispatch: one process, and the due-time index of its own database. A waiting job holds nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from orchestrator.core.errors import DatabaseAway
from orchestrator.core.job import JobId
from orchestrator.dispatch.base import Handle, ServerOf
from orchestrator.dispatch.shares import Shares, one_server
from orchestrator.store import jobs
from orchestrator.store.database import Database

LONGEST_NAP = 1.0  # seconds; another process (the command line) may have woken a job
TOGETHER = 0.05  # seconds between two looks, so that what is due at about the same time is done together
BATCH = 500


class EmbeddedDispatch:
    """Looks for due jobs whenever something may have changed, and at least once a second."""

    def __init__(
        self, database: Database, *, now: Callable[[], float], most: int, server_of: ServerOf = one_server
    ) -> None:
        self._database = database
        self._now = now
        self._shares = Shares(most, server_of)
        self._batch = BATCH
        self._busy: dict[str, asyncio.Task[None]] = {}  # by account
        self._backlog: dict[JobId, str] = {}  # due when last looked
        self._changed = asyncio.Event()
        self._stopping = False
        self._log = structlog.get_logger("orchestrator")

    async def run(self, handle: Handle) -> None:
        while not self._stopping:
            self._changed.clear()
            nap = LONGEST_NAP
            if self._shares.free > 0:
                try:
                    nap = await self._hand_out(handle)
                except DatabaseAway:
                    pass  # the outage is logged already
                except Exception:  # noqa: BLE001 - whatever it is, waiting jobs must not wait for ever
                    self._log.exception("dispatch.failed")
            await self._rest(nap)
        if self._busy:
            await asyncio.wait(self._busy.values())

    def nudge(self) -> None:
        self._changed.set()

    def stop(self) -> None:
        self._stopping = True
        self._changed.set()

    def abort(self) -> None:
        """Cut off what is still under way; its intents stay and are looked up at the next start."""
        for task in self._busy.values():
            task.cancel()

    async def _hand_out(self, handle: Handle) -> float:
        """Start what is due; return the seconds until there may be more."""
        now = self._now()
        async with self._database.read() as connection:
            limit = self._batch + len(self._busy)
            due = await jobs.due(connection, now, limit)
            upcoming = await jobs.next_wake(connection) if not due else None
        self._backlog = {job_id: account for job_id, account in due if account not in self._busy}
        self._start_from_backlog(handle)
        # Free slots and a full batch: all of it waits for slow servers, and the jobs of others may stand behind it.
        self._batch = self._batch * 4 if len(due) == limit and self._shares.free > 0 else BATCH
        return LONGEST_NAP if upcoming is None else min(max(upcoming - now, 0.0), LONGEST_NAP)

    def _start_from_backlog(self, handle: Handle) -> None:
        for job_id, account in list(self._backlog.items()):
            if self._shares.free <= 0 or self._stopping:
                return
            if account not in self._busy and self._shares.take(account):
                del self._backlog[job_id]
                self._start(handle, job_id, account)

    def _start(self, handle: Handle, job_id: JobId, account: str) -> None:
        async def work() -> None:
            try:
                await handle(job_id)
            finally:
                del self._busy[account]
                self._shares.release(account)
                self._start_from_backlog(handle)
                self.nudge()

        self._busy[account] = asyncio.create_task(work(), name=f"job {job_id}")

    async def _rest(self, seconds: float) -> None:
        await asyncio.sleep(TOGETHER)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds - TOGETHER):
                await self._changed.wait()
