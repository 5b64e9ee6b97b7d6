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

from orchestrator.core.errors import DatabaseAway
from orchestrator.core.job import JobId
from orchestrator.dispatch import queue
from orchestrator.dispatch.base import Handle, ServerOf
from orchestrator.dispatch.notices import TOGETHER, FewNotices
from orchestrator.dispatch.shares import Shares, one_server
from orchestrator.dispatch.together import Together
from orchestrator.store import jobs, leases
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.database import Database
from orchestrator.store.wakeups import WakeUp, promise

LONGEST_NAP = 1.0  # seconds between two looks at the queue, should a notification be lost
BUSY_DELAY = 0.5  # seconds after which a wake-up comes again whose account is busy
SLOT_WAIT = 1.0  # seconds that a wake-up waits for a slot, before another replica may have it
RETRY_DELAY = 1.0  # seconds between two attempts to reach the database
OVERDUE = 3.0  # seconds after its time that a wake-up counts as lost
BATCH = 25
SWEPT = 500


class PgqueuerDispatch:
    """This replica's share of the work. One that is silent for `silence` seconds counts as dead."""

    def __init__(
        self,
        database: Database,
        *,
        replica: str,
        now: Callable[[], float],
        most: int,
        silence: float,
        log: BoundLogger,
        server_of: ServerOf = one_server,
        clock_agrees: Callable[[], bool] = lambda: True,
    ) -> None:
        self._database = database
        self._replica = replica
        self._now = now
        self._most = most
        self._silence = timedelta(seconds=silence)
        self._log = log
        self._shares = Shares(most, server_of)
        self._released = asyncio.Event()
        self._clock_agrees = clock_agrees  # with the database's; else others look dead that are not
        self._look = Together(self._wake_times)
        self._busy: dict[str, asyncio.Task[None] | None] = {}  # by account
        self._manager: QueueManager | None = None
        self._stopping = asyncio.Event()

    async def run(self, handle: Handle) -> None:
        # While the database is away it complains several times a second, with tracebacks, of what is said here once.
        logging.getLogger("pgqueuer").setLevel(logging.CRITICAL)
        while not self._stopping.is_set():
            try:
                async with self._database.dedicated() as connection:
                    await self._work(FewNotices(connection), handle)
            except DatabaseAway:
                pass  # the outage is logged already
            except Exception as error:  # noqa: BLE001 - whatever it is, waiting jobs must not wait for ever
                if queue.is_outage(error):
                    self._database.outage.begin(error)
                else:
                    self._log.exception("dispatch.failed")
            await self._rest(RETRY_DELAY)

    def nudge(self) -> None:
        """Nothing to do: PostgreSQL tells every replica of a wake-up that is put into the queue."""

    def stop(self) -> None:
        self._stopping.set()
        if self._manager is not None:
            self._manager.shutdown.set()

    def abort(self) -> None:
        for task in self._busy.values():
            if task is not None:
                task.cancel()

    async def sweep(self) -> None:
        """Promise lost wake-ups again, and end leases whose end was lost. A tick."""
        now = self._now()
        async with self._database.read() as connection:
            lost = await jobs.overdue(connection, now - OVERDUE, now, SWEPT)
            held = await leases.of_replica(connection, self._replica)
        if lost or held - self._busy.keys():
            await self._database.write(lambda connection: self._bring_back(connection, lost, held))

    async def _bring_back(self, connection: AsyncConnection, lost: Sequence[WakeUp], held: set[str]) -> None:
        promise(connection, lost)
        await leases.give_back(connection, held - self._busy.keys(), self._replica)

    async def prune(self) -> None:
        """Empty PgQueuer's log. A tick."""
        await self._database.write(queue.prune)

    async def _work(self, driver: FewNotices, handle: Handle) -> None:
        """Until `stop`, or until the connection is lost."""
        self._manager = manager = QueueManager(queue.queries(driver), queue.SETTINGS.channel)
        if self._stopping.is_set():
            return

        async def serve(row: Row) -> None:
            await self._serve(queue.decode(row.payload or b""), handle)

        manager.entrypoint(queue.ENTRYPOINT, accepts_context=False, on_failure="hold")(serve)
        await manager.run(
            dequeue_timeout=timedelta(seconds=LONGEST_NAP),
            batch_size=max(1, min(BATCH, self._most // 2)),
            max_concurrent_tasks=max(2, self._most)
            + BATCH,  # so that a slot that becomes free need not wait for a look
            heartbeat_timeout=self._silence,
            log_aggregation_interval=timedelta(0),
        )

    async def _serve(self, wake_up: WakeUp, handle: Handle) -> None:
        """Never raises: PgQueuer drops a wake-up whose handler does."""
        try:
            if wake_up.account in self._busy:
                await self._again(wake_up, BUSY_DELAY)
                return
            self._busy[wake_up.account] = asyncio.current_task()
            try:
                await self._hand_over(wake_up, handle)
            finally:
                del self._busy[wake_up.account]
        except DatabaseAway:
            pass  # the sweeper brings it back
        except Exception:  # noqa: BLE001 - as above
            self._log.exception("wake_up.failed", job=wake_up.job_id)

    async def _hand_over(self, wake_up: WakeUp, handle: Handle) -> None:
        # It may come a little early: PostgreSQL counts from the begin of the transaction that promised it.
        if (now := self._now()) < wake_up.at:
            await asyncio.sleep(min(ceil(wake_up.at / TOGETHER) * TOGETHER - now, BUSY_DELAY))
        if not await self._slot(wake_up.account):
            await self._again(wake_up, 0.0)
            return
        taken = False
        try:
            if taken := await self._database.write_together(self._take, wake_up):
                await handle(wake_up.job_id)
        finally:
            self._release(wake_up.account)
            if taken:
                await self._database.write_together(self._give_back, wake_up.account, patient=True)
        if not taken:
            await self._postpone(wake_up)

    async def _slot(self, account: str) -> bool:
        """Wait a while for a slot; not for one to stop with."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SLOT_WAIT):
                while not self._shares.take(account):
                    self._released.clear()
                    await self._released.wait()
            if not self._stopping.is_set():
                return True
            self._release(account)
        return False

    def _release(self, account: str) -> None:
        self._shares.release(account)
        self._released.set()

    async def _take(self, connection: AsyncConnection, wake_ups: Sequence[WakeUp]) -> list[bool]:
        if not self._clock_agrees():
            return [False] * len(wake_ups)
        taken = await leases.take(connection, [each.job_id for each in wake_ups], self._replica, self._now())
        return [each.account in taken for each in wake_ups]

    async def _give_back(self, connection: AsyncConnection, accounts: Sequence[str]) -> list[None]:
        await leases.give_back(connection, accounts, self._replica)
        return [None] * len(accounts)

    async def _postpone(self, wake_up: WakeUp) -> None:
        """Let it come again, unless the job is due at another time, which has a wake-up of its own."""
        wake_at = (await self._look(wake_up.job_id)).get(wake_up.job_id)
        now = self._now()
        if wake_at is not None and wake_at <= now:
            await self._again(wake_up, BUSY_DELAY)
        elif wake_at == wake_up.at:
            await self._again(wake_up, wake_at - now)

    async def _wake_times(self, wanted: Sequence[JobId]) -> dict[JobId, float]:
        async with self._database.read() as connection:
            return await jobs.wake_times(connection, wanted)

    async def _again(self, wake_up: WakeUp, delay: float) -> None:
        token = queue.encode(wake_up)  # without a key: the row that is being served still has it
        await self._database.write(lambda c: queue.enqueue(c, [token], [delay], [None]))

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
