"""The running service of one process: applies the accounts file and works on its jobs until it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress

from structlog.stdlib import BoundLogger

from orchestrator.core.config_refusal import ConfigRefusal, build_refusal
from orchestrator.core.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.core.secret import Redactor
from orchestrator.daemon.dataset_watcher import DatasetWatcher
from orchestrator.daemon.delivery_worker import DeliveryWorker
from orchestrator.daemon.heartbeat import ReplicaHeartbeat
from orchestrator.daemon.moderation_worker import ModerationWorker
from orchestrator.daemon.reconciler import Reconciler
from orchestrator.daemon.scheduler import Scheduler
from orchestrator.dispatch.base import Dispatcher

ACCOUNTS_FILE_CHECK_SECONDS = 2.0
CLOCK_CHECK_SECONDS = 60.0
DELIVERY_TICK_SECONDS = 1.0
DELIVERY_PURGE_SECONDS = 3600.0
STOP_TIMEOUT_SECONDS = 8.0  # for requests in flight at shutdown; Docker kills a process after 10 s

Converge = Callable[[], Awaitable[str | None]]
"""Applies the accounts file as it is now. Returns its cron line, or None."""


class Service:
    """Runs the dispatcher and the periodic work, and reloads the accounts file and the dataset when they change.

    An edit that cannot be used changes nothing: the previous version stays in force, and `problem` gives the reason.
    """

    def __init__(
        self,
        *,
        converge: Converge,
        signature: Callable[[], Hashable],
        dispatch: Dispatcher,
        reconciler: Reconciler,
        heartbeat: ReplicaHeartbeat,
        delivery_worker: DeliveryWorker,
        scheduler: Scheduler,
        now: Callable[[], float],
        redact: Redactor,
        log: BoundLogger,
        dataset_watcher: DatasetWatcher | None = None,
        moderation_worker: ModerationWorker | None = None,
    ) -> None:
        self.problem: ConfigRefusal | None = None
        self._converge = converge
        self._signature = signature
        self._dataset_watcher = dataset_watcher
        self._moderation_worker = moderation_worker
        self._last_signature: Hashable = None  # of the accounts file at the last reload
        self._must_reload = False  # a database outage interrupted the last reload
        self._dispatch = dispatch
        self._reconciler = reconciler
        self._heartbeat = heartbeat
        self._delivery_worker = delivery_worker
        self._scheduler = scheduler
        self._now = now
        self._redact = redact
        self._log = log
        self._dispatch_task: asyncio.Task[None] | None = None
        self._reload_lock = asyncio.Lock()

    async def start(self) -> None:
        """Apply the accounts file and start to work.

        Raises ConfigError or DatasetError when the accounts file or the dataset cannot be used.
        """
        # Clock before anything else: times that are written by a wrong clock would mislead the other replicas.
        await self._heartbeat.check_clock()
        self._last_signature = self._signature()
        self._scheduler.schedule_cron(await self._converge(), "schedule", self.reload)
        await self._heartbeat.start()
        self._scheduler.schedule_every(self._heartbeat.interval_seconds, "heartbeat", self._heartbeat.beat)
        self._scheduler.schedule_every(CLOCK_CHECK_SECONDS, "check clock", self._heartbeat.check_clock)
        self._scheduler.schedule_every(DELIVERY_TICK_SECONDS, "deliver", self._delivery_worker.tick)
        self._scheduler.schedule_every(DELIVERY_PURGE_SECONDS, "purge deliveries", self._delivery_worker.purge)
        self._scheduler.schedule_every(ACCOUNTS_FILE_CHECK_SECONDS, "watch accounts file", self._check_accounts_file)
        if self._dataset_watcher is not None:
            self._scheduler.schedule_every(
                self._dataset_watcher.interval_seconds, "watch dataset", self._check_dataset
            )
        self._scheduler.start()
        self._dispatch_task = asyncio.create_task(self._dispatch.run(self._reconciler.handle), name="dispatch")

    async def stop(self) -> None:
        """Finish the requests in flight within STOP_TIMEOUT_SECONDS.

        The outcome of a request that is cancelled is looked up at the next start. The order matters: nothing new is
        started first; deliveries are flushed after the last outcome; the replica is removed last, because its account
        leases protect the requests in flight.
        """
        self._scheduler.stop()
        if self._moderation_worker is not None:
            await self._moderation_worker.stop()
        self._dispatch.stop()
        if self._dispatch_task is None:
            return
        try:
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await asyncio.shield(self._dispatch_task)
        except TimeoutError:
            self._log.warning(
                "service.shutdown_timeout",
                message=f"requests in flight were cancelled after {STOP_TIMEOUT_SECONDS:g} seconds",
            )
            self._dispatch.abort()
            await self._dispatch_task
        await self._delivery_worker.flush()
        await self._deregister()

    async def _deregister(self) -> None:
        with suppress(DatabaseUnavailable):
            await self._heartbeat.deregister()

    async def reload(self) -> None:
        """Apply the accounts file and the chats as they are now. When they are refused, `problem` says why."""
        async with self._reload_lock:
            self._last_signature = self._signature()
            try:
                schedule = await self._converge()
            except DatabaseUnavailable:  # the accounts file may be fine: repeat the reload after the outage
                self._must_reload = True
            except OrchestratorError as error:
                self._log.error("accounts_file.refused", error=error)
                await self._report_refusal(error)
            except Exception as error:  # noqa: BLE001 - after any error the previous version stays in force
                self._log.exception("accounts_file.refused")
                await self._report_refusal(error)
            else:
                self._scheduler.schedule_cron(schedule, "schedule", self.reload)
                self._dispatch.wake()
                await self._set_problem(None)

    async def _report_refusal(self, error: Exception) -> None:
        await self._set_problem(build_refusal(error, at=self._now(), redact=self._redact))

    async def _set_problem(self, problem: ConfigRefusal | None) -> None:
        """Show the problem in this process and store it for `orchestrator status`; None removes it."""
        self.problem, self._must_reload = problem, False
        try:
            await self._heartbeat.set_refusal(problem)
        except Exception as error:  # noqa: BLE001 - the reload is done, and the next heartbeat stores it again
            self._log.warning("refusal.store_failed", error=error)

    def wake(self) -> None:
        """Check now for due jobs: one may be due earlier than expected."""
        self._dispatch.wake()

    async def _check_accounts_file(self) -> None:
        if self._signature() != self._last_signature:
            self._log.info("accounts_file.changed")
            await self.reload()
        elif self._must_reload:
            await self.reload()

    async def _check_dataset(self) -> None:
        if self._dataset_watcher is not None and await self._dataset_watcher.has_changed():
            self._log.info("dataset.changed")
            await self.reload()

    @property
    def seconds_since_tick(self) -> float | None:
        """Seconds since the last tick of the scheduler; None while it does not run."""
        return self._scheduler.seconds_since_tick
