"""Dispatcher for any number of replicas on one PostgreSQL database, with PgQueuer as their queue."""

# Theory of operation
#
# A wake-up (job, account, time) is a row of PgQueuer's queue. It is inserted in the transaction that writes the job's
# `wake_at`, so every job with a `wake_at` has one. PgQueuer gives each row to one replica, which
#
#   1. takes a slot of this process (`SlotAllocator`), so that a slow server cannot use all of them
#   2. leases the account in the database, so that no other replica works on a job of the same account
#   3. calls `handle` with the job id; the outcomes that it records insert the next wake-up
#   4. releases the slot and the lease
#
# What cannot be handled now comes again: the wake-up of an account that is at work in this process after
# BUSY_ACCOUNT_RETRY_SECONDS, one without a free slot at once, so that another replica may take it. After a lease that
# was refused, `_reschedule` reads the job's current `wake_at`. The wake-up comes again if it is still the current one
# and is dropped if the job has another one meanwhile; otherwise a job could keep several wake-ups alive for ever.
#
# A handler must not raise, because PgQueuer drops its row; `_handle_wake_up` catches everything. A wake-up that comes
# again is a new row without a deduplication key: the row that is being handled still has that key.
#
# What can be lost, and what restores it (`rescue_lost`, called by the scheduler):
#   * a wake-up, for example in an outage: a job that is overdue by LOST_AFTER_SECONDS, of an account on which no live
#     replica works, gets a new one
#   * the release of a lease, when its transaction fails: leases of this replica without a task are released
#   * a replica: it counts as dead after `replica_timeout_seconds` without a heartbeat, and its leases are void
#
# Correctness does not depend on any of this (dispatch/__init__.py). Clocks must agree, though: on a wrong clock other
# replicas seem dead, so this replica takes no lease while `clock_agrees` is False (daemon/heartbeat.py).
#
# PostgreSQL notifies every replica of each change of the queue. `ThrottledDriver` merges these notifications; without
# it, a burst of wake-ups would cause a query for each of them.

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from math import ceil

from pgqueuer.core.qm import QueueManager
from pgqueuer.domain.models import Job as QueueEntry
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

IDLE_POLL_SECONDS = 1.0  # between two queries of the queue, in case a notification is lost
BUSY_ACCOUNT_RETRY_SECONDS = 0.5  # until a wake-up of a busy account is handled again
SLOT_WAIT_SECONDS = 1.0  # how long a wake-up waits for a slot before another replica may take it
RELEASE_DELAY_SECONDS = 0.025  # a statement costs both sides a millisecond, however many leases it releases
RECONNECT_SECONDS = 1.0  # between two attempts to connect to the database
LOST_AFTER_SECONDS = 3.0  # a wake-up that is overdue for so long counts as lost
BATCH_SIZE = 25  # wake-ups fetched with one query
RESCUE_BATCH_SIZE = 500  # lost wake-ups restored by one call


class PgqueuerDispatcher:
    """Handles this replica's part of the wake-ups.

    A replica without a heartbeat for `replica_timeout_seconds` counts as dead.
    """

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
        self._clock_agrees = clock_agrees  # with the database's clock; if not, other replicas seem dead
        self._wake_time_batcher = Batcher(self._load_wake_times)
        self._lease_batcher = Batcher(self._acquire_leases)
        self._release_batcher = Batcher(self._release_leases)
        self._requeue_batcher = Batcher(self._requeue_many)
        self._tasks_by_account: dict[str, asyncio.Task[None] | None] = {}
        self._manager: QueueManager | None = None
        self._stopping = asyncio.Event()

    async def run(self, handle: JobHandler) -> None:
        # During an outage PgQueuer logs several tracebacks a second; `Outage` logs the outage once.
        logging.getLogger("pgqueuer").setLevel(logging.CRITICAL)
        while not self._stopping.is_set():
            try:
                async with self._database.listener_connection() as connection:
                    await self._consume(ThrottledDriver(connection), handle)
            except DatabaseUnavailable:
                pass  # the outage is logged already
            except Exception as error:  # noqa: BLE001 - after any error the loop continues, or all jobs would wait for ever
                if wakeup_queue.is_outage(error):
                    self._database.outage.begin(error)
                else:
                    self._log.exception("dispatch.failed")
            await self._sleep(RECONNECT_SECONDS)
        # The database is closed after this method returns.
        for batcher in (self._wake_time_batcher, self._lease_batcher, self._release_batcher, self._requeue_batcher):
            await batcher.close()

    def wake(self) -> None:
        """Do nothing: PostgreSQL notifies every replica of each new wake-up."""

    def stop(self) -> None:
        self._stopping.set()
        if self._manager is not None:
            self._manager.shutdown.set()

    def abort(self) -> None:
        for task in self._tasks_by_account.values():
            if task is not None:
                task.cancel()

    async def rescue_lost(self) -> None:
        """Insert lost wake-ups again and release leases without a task. Called by the scheduler."""
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
        """Delete PgQueuer's log. Called by the scheduler."""
        await self._database.write(wakeup_queue.clear_log)

    async def _consume(self, driver: ThrottledDriver, handle: JobHandler) -> None:
        """Handle wake-ups until `stop` is called or the connection is lost."""
        self._manager = manager = QueueManager(wakeup_queue.build_queries(driver), wakeup_queue.SETTINGS.channel)
        if self._stopping.is_set():  # `stop` was called before the manager existed, so it did not reach it
            return

        async def serve(row: QueueEntry) -> None:
            await self._handle_wake_up(wakeup_queue.decode_wake_up(row.payload or b""), handle)

        manager.entrypoint(wakeup_queue.ENTRYPOINT, accepts_context=False, on_failure="hold")(serve)
        await manager.run(
            dequeue_timeout=timedelta(seconds=IDLE_POLL_SECONDS),
            batch_size=max(1, min(BATCH_SIZE, self._max_in_flight // 2)),
            # More than there are slots: a slot that becomes free finds a waiting wake-up without a query.
            max_concurrent_tasks=max(2, self._max_in_flight) + BATCH_SIZE,
            heartbeat_timeout=self._replica_timeout,
            log_aggregation_interval=timedelta(0),
        )

    async def _handle_wake_up(self, wake_up: WakeUp, handle: JobHandler) -> None:
        """Handle one wake-up. Never raises: PgQueuer drops a wake-up whose handler raises."""
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
            pass  # `rescue_lost` inserts the wake-up again
        except Exception:  # noqa: BLE001 - as above
            self._log.exception("wake_up.failed", job=wake_up.job_id)

    async def _dispatch(self, wake_up: WakeUp, handle: JobHandler) -> None:
        # A wake-up may come a little early: PostgreSQL counts the delay from the start of the inserting transaction.
        # The pause ends on a multiple of COALESCE_SECONDS, so that jobs of about the same time share their queries.
        if (now := self._now()) < wake_up.at:
            await asyncio.sleep(
                min(ceil(wake_up.at / COALESCE_SECONDS) * COALESCE_SECONDS - now, BUSY_ACCOUNT_RETRY_SECONDS)
            )
        if not await self._acquire_slot(wake_up.account):
            await self._requeue(wake_up, 0.0)
            return
        is_leased = False
        try:
            if is_leased := wake_up.account in await self._lease_batcher.submit(wake_up):
                await handle(wake_up.job_id)
        finally:
            self._release_slot(wake_up.account)
            if is_leased:
                await self._release_batcher.submit(wake_up.account)
        if not is_leased:
            await self._reschedule(wake_up)

    async def _acquire_slot(self, account: str) -> bool:
        """Wait up to SLOT_WAIT_SECONDS for a slot. Return False without one, and when the dispatcher stops."""
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

    async def _acquire_leases(self, wake_ups: Sequence[WakeUp]) -> set[str]:
        """Return those of the accounts that are leased now."""
        if not self._clock_agrees():
            return set()
        job_ids, now = [each.job_id for each in wake_ups], self._now()
        return await self._database.write_unlocked(
            lambda tx: replicas.acquire_leases(tx, job_ids, self._replica, now)
        )

    async def _release_leases(self, accounts: Sequence[str]) -> None:
        await asyncio.sleep(RELEASE_DELAY_SECONDS)  # the releases that come meanwhile share the next statement
        await self._database.write_unlocked(lambda tx: replicas.release_leases(tx, accounts, self._replica))

    async def _reschedule(self, wake_up: WakeUp) -> None:
        """Requeue the wake-up, unless the job is due at another time: that time has a wake-up of its own."""
        wake_at = (await self._wake_time_batcher.submit(wake_up.job_id)).get(wake_up.job_id)
        now = self._now()
        if wake_at is not None and wake_at <= now:
            await self._requeue(wake_up, BUSY_ACCOUNT_RETRY_SECONDS)
        elif wake_at == wake_up.at:
            await self._requeue(wake_up, wake_at - now)

    async def _load_wake_times(self, job_ids: Sequence[JobId]) -> dict[JobId, float]:
        async with self._database.read() as connection:
            return await jobs.get_wake_times(connection, job_ids)

    async def _requeue(self, wake_up: WakeUp, delay: float) -> None:
        await self._requeue_batcher.submit((wake_up, delay))

    async def _requeue_many(self, wake_ups: Sequence[tuple[WakeUp, float]]) -> None:
        tokens = [wakeup_queue.encode_wake_up(wake_up) for wake_up, _ in wake_ups]
        delays = [delay for _, delay in wake_ups]
        # Without deduplication keys: the rows that are being handled still have them, so new rows would be skipped.
        keys: list[str | None] = [None] * len(tokens)
        # Without the write lock: no job changes, and `rescue_lost` restores what a crash of the server undoes.
        await self._database.write_unlocked(lambda tx: wakeup_queue.enqueue(tx.connection, tokens, delays, keys))

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
