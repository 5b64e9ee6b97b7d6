"""Distributed dispatch: any number of replicas on one PostgreSQL, with PgQueuer between them.

A wake-up is a row of PgQueuer's queue, put there in the transaction that wrote the job's `wake_at`. Whichever replica
gets it leases the account, moves the job and gives the account back. A wake-up that cannot be served yet comes again;
one that is no longer the job's current one ends. Nothing rests on any of it: see `dispatch/__init__.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from math import ceil

from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.models import Job as Row
from structlog.stdlib import BoundLogger

from orchestrator.aio import Batcher
from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.core.jobs.job import JobId
from orchestrator.dispatch import wakeup_queue
from orchestrator.dispatch.base import JobHandler, ServerLookup
from orchestrator.dispatch.notify_throttle import COALESCE_SECONDS, ThrottledDriver
from orchestrator.dispatch.slot_allocator import SlotAllocator, single_server
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction, WakeUp
from orchestrator.store.queries import jobs, replicas

IDLE_POLL_SECONDS = 1.0  # seconds between two looks at the queue, should a notification be lost
BUSY_ACCOUNT_RETRY_SECONDS = 0.5  # seconds after which a wake-up comes again whose account is busy
SLOT_WAIT_SECONDS = 1.0  # seconds that a wake-up waits for a slot, before another replica may have it
RECONNECT_SECONDS = 1.0  # seconds between two attempts to reach the database
LOST_AFTER_SECONDS = 3.0  # seconds after its time that a wake-up counts as lost
BATCH_SIZE = 25
RESCUE_BATCH_SIZE = 500


class PgqueuerDispatcher:
    """This replica's share of the work. One that is silent for `silence` seconds counts as dead."""

    def __init__(
        self,
        database: Database,
        *,
        replica: str,
        now: Callable[[], float],
        max_in_flight: int,
        replica_timeout_seconds: float,
        log: BoundLogger,
        find_server: ServerLookup = single_server,
        clock_agrees: Callable[[], bool] = lambda: True,
    ) -> None:
        self._database = database
        self._replica = replica
        self._now = now
        self._max_in_flight = max_in_flight
        self._replica_timeout = timedelta(seconds=replica_timeout_seconds)
        self._log = log
        self._slots = SlotAllocator(max_in_flight, find_server)
        self._slot_released = asyncio.Event()
        self._clock_agrees = clock_agrees  # with the database's; else others look dead that are not
        self._wake_time_batcher = Batcher(self._load_wake_times)
        self._tasks_by_account: dict[str, asyncio.Task[None] | None] = {}  # by account
        self._manager: QueueManager | None = None
        self._stopping = asyncio.Event()

    async def run(self, handle: JobHandler) -> None:
        # While the database is away it complains several times a second, with tracebacks, of what is said here once.
        logging.getLogger("pgqueuer").setLevel(logging.CRITICAL)
        while not self._stopping.is_set():
            try:
                async with self._database.listener_connection() as connection:
                    await self._consume(ThrottledDriver(connection), handle)
            except DatabaseUnavailable:
                pass  # the outage is logged already
            except Exception as error:  # noqa: BLE001 - whatever it is, waiting jobs must not wait for ever
                if wakeup_queue.is_outage(error):
                    self._database.outage.begin(error)
                else:
                    self._log.exception("dispatch.failed")
            await self._sleep(RECONNECT_SECONDS)

    def wake(self) -> None:
        """Nothing to do: PostgreSQL tells every replica of a wake-up that is put into the queue."""

    def stop(self) -> None:
        self._stopping.set()
        if self._manager is not None:
            self._manager.shutdown.set()

    def abort(self) -> None:
        for task in self._tasks_by_account.values():
            if task is not None:
                task.cancel()

    async def rescue_lost(self) -> None:
        """Promise lost wake-ups again, and end leases whose end was lost. A tick."""
        now = self._now()
        async with self._database.read() as connection:
            lost = await jobs.list_overdue(connection, now - LOST_AFTER_SECONDS, now, RESCUE_BATCH_SIZE)
            held = await replicas.list_leased_accounts(connection, self._replica)
        if lost or held - self._tasks_by_account.keys():
            await self._database.write(lambda tx: self._rescue(tx, lost, held))

    async def _rescue(self, tx: Transaction, lost: Sequence[WakeUp], held: set[str]) -> None:
        tx.schedule_wake_ups(lost)
        await replicas.release_leases(tx, held - self._tasks_by_account.keys(), self._replica)

    async def clear_log(self) -> None:
        """Empty PgQueuer's log. A tick."""
        await self._database.write(wakeup_queue.clear_log)

    async def _consume(self, driver: ThrottledDriver, handle: JobHandler) -> None:
        """Until `stop`, or until the connection is lost."""
        self._manager = manager = QueueManager(wakeup_queue.build_queries(driver), wakeup_queue.SETTINGS.channel)
        if self._stopping.is_set():
            return

        async def serve(row: Row) -> None:
            await self._handle_wake_up(wakeup_queue.decode_wake_up(row.payload or b""), handle)

        manager.entrypoint(wakeup_queue.ENTRYPOINT, accepts_context=False, on_failure="hold")(serve)
        await manager.run(
            dequeue_timeout=timedelta(seconds=IDLE_POLL_SECONDS),
            batch_size=max(1, min(BATCH_SIZE, self._max_in_flight // 2)),
            max_concurrent_tasks=max(2, self._max_in_flight)
            + BATCH_SIZE,  # so that a slot that becomes free need not wait for a look
            heartbeat_timeout=self._replica_timeout,
            log_aggregation_interval=timedelta(0),
        )

    async def _handle_wake_up(self, wake_up: WakeUp, handle: JobHandler) -> None:
        """Never raises: PgQueuer drops a wake-up whose handler does."""
        try:
            if wake_up.account in self._tasks_by_account:
                await self._requeue(wake_up, BUSY_ACCOUNT_RETRY_SECONDS)
                return
            self._tasks_by_account[wake_up.account] = asyncio.current_task()
            try:
                await self._dispatch(wake_up, handle)
            finally:
                del self._tasks_by_account[wake_up.account]
        except DatabaseUnavailable:
            pass  # the sweeper brings it back
        except Exception:  # noqa: BLE001 - as above
            self._log.exception("wake_up.failed", job=wake_up.job_id)

    async def _dispatch(self, wake_up: WakeUp, handle: JobHandler) -> None:
        # It may come a little early: PostgreSQL counts from the begin of the transaction that promised it.
        if (now := self._now()) < wake_up.at:
            await asyncio.sleep(
                min(ceil(wake_up.at / COALESCE_SECONDS) * COALESCE_SECONDS - now, BUSY_ACCOUNT_RETRY_SECONDS)
            )
        if not await self._acquire_slot(wake_up.account):
            await self._requeue(wake_up, 0.0)
            return
        taken = False
        try:
            if taken := await self._database.write_batched(self._acquire_leases, wake_up):
                await handle(wake_up.job_id)
        finally:
            self._release_slot(wake_up.account)
            if taken:
                await self._database.write_batched(self._release_leases, wake_up.account, deferrable=True)
        if not taken:
            await self._reschedule(wake_up)

    async def _acquire_slot(self, account: str) -> bool:
        """Wait a while for a slot; not for one to stop with."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SLOT_WAIT_SECONDS):
                while not self._slots.acquire(account):
                    self._slot_released.clear()
                    await self._slot_released.wait()
            if not self._stopping.is_set():
                return True
            self._release_slot(account)
        return False

    def _release_slot(self, account: str) -> None:
        self._slots.release(account)
        self._slot_released.set()

    async def _acquire_leases(self, tx: Transaction, wake_ups: Sequence[WakeUp]) -> list[bool]:
        if not self._clock_agrees():
            return [False] * len(wake_ups)
        taken = await replicas.acquire_leases(tx, [each.job_id for each in wake_ups], self._replica, self._now())
        return [each.account in taken for each in wake_ups]

    async def _release_leases(self, tx: Transaction, accounts: Sequence[str]) -> list[None]:
        await replicas.release_leases(tx, accounts, self._replica)
        return [None] * len(accounts)

    async def _reschedule(self, wake_up: WakeUp) -> None:
        """Let it come again, unless the job is due at another time, which has a wake-up of its own."""
        wake_at = (await self._wake_time_batcher(wake_up.job_id)).get(wake_up.job_id)
        now = self._now()
        if wake_at is not None and wake_at <= now:
            await self._requeue(wake_up, BUSY_ACCOUNT_RETRY_SECONDS)
        elif wake_at == wake_up.at:
            await self._requeue(wake_up, wake_at - now)

    async def _load_wake_times(self, job_ids: Sequence[JobId]) -> dict[JobId, float]:
        async with self._database.read() as connection:
            return await jobs.get_wake_times(connection, job_ids)

    async def _requeue(self, wake_up: WakeUp, delay: float) -> None:
        token = wakeup_queue.encode_wake_up(wake_up)  # without a key: the row that is being served still has it
        await self._database.write(lambda tx: wakeup_queue.enqueue(tx.connection, [token], [delay], [None]))

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
