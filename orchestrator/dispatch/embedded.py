"""Dispatcher for one process: finds due jobs with a query on the `wake_at` index. A waiting job needs no memory.

It also hands out deployments, which have no queue on PostgreSQL either: pass a `DueQueries` of theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import structlog

from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.dispatch.base import ServerLookup
from orchestrator.dispatch.slot_allocator import SlotAllocator, single_server
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs

IDLE_POLL_SECONDS = 1.0  # between two queries without a `wake`: another process (the command line) may wake a job
COALESCE_SECONDS = 0.05  # at least between two queries, so that jobs that are due at about the same time share one
BATCH_SIZE = 500  # due jobs in one query


DueHandler = Callable[[Any], Awaitable[None]]
"""A handler of the ids that the queries return, such as a `JobHandler`."""


class DueQueries(Protocol):
    """The queries that find due work. The module `store.queries.jobs` is one."""

    async def list_due(self, connection: StoreConnection, now: float, limit: int) -> Sequence[tuple[str, str]]:
        """Return ids and accounts of what is due, the longest waiting first."""

    async def find_next_wake_at(self, connection: StoreConnection) -> float | None:
        """Return the earliest time at which something is due; None when nothing is."""


class EmbeddedDispatcher:
    """Queries due jobs after every `wake` and every finished job, and at least once a second."""

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], float],
        max_in_flight: int,
        find_server: ServerLookup = single_server,
        queries: DueQueries = jobs,
    ) -> None:
        self._database = database
        self._queries = queries
        self._now = now
        self._slots = SlotAllocator(max_in_flight, find_server)
        self._batch_size = BATCH_SIZE
        self._tasks_by_account: dict[str, asyncio.Task[None]] = {}
        self._backlog: dict[str, str] = {}  # due jobs of the last query that wait for a slot, with their accounts
        self._changed = asyncio.Event()
        self._stopping = False
        self._log = structlog.get_logger("orchestrator")

    async def run(self, handle: DueHandler) -> None:
        while not self._stopping:
            self._changed.clear()
            pause = IDLE_POLL_SECONDS
            if self._slots.free_slots > 0:
                try:
                    pause = await self._dispatch_due(handle)
                except DatabaseUnavailable:
                    pass  # the outage is logged already
                except Exception:  # noqa: BLE001 - after any error the loop continues, or all jobs would wait for ever
                    self._log.exception("dispatch.failed")
            await self._sleep(pause)
        if self._tasks_by_account:
            await asyncio.wait(self._tasks_by_account.values())

    def wake(self) -> None:
        self._changed.set()

    def stop(self) -> None:
        self._stopping = True
        self._changed.set()

    def abort(self) -> None:
        """Cancel the jobs at work. Their intents stay, so their outcome is looked up at the next start."""
        for task in self._tasks_by_account.values():
            task.cancel()

    async def _dispatch_due(self, handle: DueHandler) -> float:
        """Start due jobs. Return the seconds until another one may be due."""
        now = self._now()
        async with self._database.read() as connection:
            limit = self._batch_size + len(self._tasks_by_account)
            due = await self._queries.list_due(connection, now, limit)
            upcoming = await self._queries.find_next_wake_at(connection) if not due else None
        self._backlog = {job_id: account for job_id, account in due if account not in self._tasks_by_account}
        self._start_from_backlog(handle)
        # Free slots after a full batch: all its jobs wait for slow servers, and the due jobs of other servers may be
        # behind them. So the next query reads more.
        self._batch_size = self._batch_size * 4 if len(due) == limit and self._slots.free_slots > 0 else BATCH_SIZE
        return IDLE_POLL_SECONDS if upcoming is None else min(max(upcoming - now, 0.0), IDLE_POLL_SECONDS)

    def _start_from_backlog(self, handle: DueHandler) -> None:
        for job_id, account in list(self._backlog.items()):
            if self._slots.free_slots <= 0 or self._stopping:
                return
            if account not in self._tasks_by_account and self._slots.acquire(account):
                del self._backlog[job_id]
                self._start(handle, job_id, account)

    def _start(self, handle: DueHandler, job_id: str, account: str) -> None:
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
