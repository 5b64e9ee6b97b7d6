"""Embedded dispatch: one process, and the due-time index of its own database. A waiting job holds nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.core.jobs.job import JobId
from orchestrator.dispatch.base import JobHandler, ServerLookup
from orchestrator.dispatch.slot_allocator import SlotAllocator, single_server
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs

IDLE_POLL_SECONDS = 1.0  # seconds; another process (the command line) may have woken a job
COALESCE_SECONDS = 0.05  # seconds between two looks, so that what is due at about the same time is done together
BATCH_SIZE = 500


class EmbeddedDispatcher:
    """Looks for due jobs whenever something may have changed, and at least once a second."""

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], float],
        max_in_flight: int,
        find_server: ServerLookup = single_server,
    ) -> None:
        self._database = database
        self._now = now
        self._slots = SlotAllocator(max_in_flight, find_server)
        self._batch_size = BATCH_SIZE
        self._tasks_by_account: dict[str, asyncio.Task[None]] = {}  # by account
        self._backlog: dict[JobId, str] = {}  # due when last looked
        self._changed = asyncio.Event()
        self._stopping = False
        self._log = structlog.get_logger("orchestrator")

    async def run(self, handle: JobHandler) -> None:
        while not self._stopping:
            self._changed.clear()
            nap = IDLE_POLL_SECONDS
            if self._slots.free_slots > 0:
                try:
                    nap = await self._dispatch_due(handle)
                except DatabaseUnavailable:
                    pass  # the outage is logged already
                except Exception:  # noqa: BLE001 - whatever it is, waiting jobs must not wait for ever
                    self._log.exception("dispatch.failed")
            await self._sleep(nap)
        if self._tasks_by_account:
            await asyncio.wait(self._tasks_by_account.values())

    def wake(self) -> None:
        self._changed.set()

    def stop(self) -> None:
        self._stopping = True
        self._changed.set()

    def abort(self) -> None:
        """Cut off what is still under way; its intents stay and are looked up at the next start."""
        for task in self._tasks_by_account.values():
            task.cancel()

    async def _dispatch_due(self, handle: JobHandler) -> float:
        """Start what is due; return the seconds until there may be more."""
        now = self._now()
        async with self._database.read() as connection:
            limit = self._batch_size + len(self._tasks_by_account)
            due = await jobs.list_due(connection, now, limit)
            upcoming = await jobs.find_next_wake_at(connection) if not due else None
        self._backlog = {job_id: account for job_id, account in due if account not in self._tasks_by_account}
        self._start_from_backlog(handle)
        # Free slots and a full batch: all of it waits for slow servers, and the jobs of others may stand behind it.
        self._batch_size = self._batch_size * 4 if len(due) == limit and self._slots.free_slots > 0 else BATCH_SIZE
        return IDLE_POLL_SECONDS if upcoming is None else min(max(upcoming - now, 0.0), IDLE_POLL_SECONDS)

    def _start_from_backlog(self, handle: JobHandler) -> None:
        for job_id, account in list(self._backlog.items()):
            if self._slots.free_slots <= 0 or self._stopping:
                return
            if account not in self._tasks_by_account and self._slots.acquire(account):
                del self._backlog[job_id]
                self._start(handle, job_id, account)

    def _start(self, handle: JobHandler, job_id: JobId, account: str) -> None:
        async def work() -> None:
            try:
                await handle(job_id)
            finally:
                del self._tasks_by_account[account]
                self._slots.release(account)
                self._start_from_backlog(handle)
                self.wake()

        self._tasks_by_account[account] = asyncio.create_task(work(), name=f"job {job_id}")

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(COALESCE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds - COALESCE_SECONDS):
                await self._changed.wait()
