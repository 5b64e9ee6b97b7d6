"""The running service of one process: applies the accounts file and works on its jobs until it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from structlog.stdlib import BoundLogger

from orchestrator.core.config_refusal import ConfigRefusal, build_refusal, merge_refusals
from orchestrator.core.errors import DatabaseUnavailable, OrchestratorError
from orchestrator.core.secret import Redactor
from orchestrator.core.structs import Struct, field
from orchestrator.daemon.comparisons.comparison_starter import MISSED_START_RETRY_SECONDS, ComparisonStarter
from orchestrator.daemon.comparisons.comparison_worker import WORKER_INTERVAL_SECONDS, ComparisonWorker
from orchestrator.daemon.dataset_watcher import DatasetWatcher
from orchestrator.daemon.delivery_worker import DeliveryWorker
from orchestrator.daemon.deployments.deployment_worker import DeploymentWorker
from orchestrator.daemon.heartbeat import ReplicaHeartbeat
from orchestrator.daemon.moderation_pool import ModerationPool
from orchestrator.daemon.reconciler import Reconciler
from orchestrator.daemon.scheduler import Scheduler
from orchestrator.dispatch.base import Dispatcher

ACCOUNTS_FILE_CHECK_SECONDS = 2.0
CLOCK_CHECK_SECONDS = 60.0
DELIVERY_TICK_SECONDS = 1.0
DELIVERY_PURGE_SECONDS = 3600.0
STOP_TIMEOUT_SECONDS = 8.0  # for requests in flight at shutdown; Docker kills a process after 10 s


class AppliedFile(Struct, frozen=True, kw_only=True):
    """What became of the runs of the accounts file."""

    runs: Sequence[str]  # the names of all runs of the file
    schedules: Mapping[str, str | None]  # the cron line of each run that was applied, by name
    refusals: Mapping[str, OrchestratorError]  # runs whose previous version stays in force, by name
    comparison_schedules: Mapping[str, str | None] = field(default_factory=dict)  # as `schedules`, of comparisons


Converge = Callable[[Collection[str] | None], Awaitable[AppliedFile]]
"""Applies the accounts file as it is now, or only the runs with these names."""


class Service:
    """Runs the dispatcher and the periodic work, and reloads the accounts file and the dataset when they change.

    An edit that cannot be used changes nothing: the previous version stays in force, and `problem` gives the reason.
    If only some runs of the file cannot be used, this applies to each of them.
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
        moderation_pool: ModerationPool | None = None,
        deployment_worker: DeploymentWorker | None = None,
        comparison_worker: ComparisonWorker | None = None,
        comparison_starter: ComparisonStarter | None = None,
    ) -> None:
        self._file_refusal: ConfigRefusal | None = None  # an error that concerns every run
        self._run_refusals: dict[str, ConfigRefusal] = {}  # by name of the run
        self._scheduled_runs: set[str] = set()  # those with a cron line
        self._converge = converge
        self._signature = signature
        self._dataset_watcher = dataset_watcher
        self._moderation_pool = moderation_pool
        self._deployment_worker = deployment_worker
        self._comparison_worker = comparison_worker
        self._comparison_starter = comparison_starter
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
        self._dispatch_tasks: list[asyncio.Task[None]] = []
        self._reload_lock = asyncio.Lock()

    async def start(self) -> None:
        """Apply the accounts file and start to work.

        Raises ConfigError or DatasetError when the accounts file or the dataset of its only run cannot be used, or
        those of all its runs.
        """
        # Clock before anything else: times that are written by a wrong clock would mislead the other replicas.
        await self._heartbeat.check_clock()
        self._last_signature = self._signature()
        applied = await self._converge(None)
        self._record_applied_file(applied, None)
        if applied.refusals and not applied.schedules:
            raise next(iter(applied.refusals.values()))
        await self._heartbeat.start()
        await self._store_problem()
        self._scheduler.schedule_every(self._heartbeat.interval_seconds, "heartbeat", self._heartbeat.beat)
        self._scheduler.schedule_every(CLOCK_CHECK_SECONDS, "check clock", self._heartbeat.check_clock)
        self._scheduler.schedule_every(DELIVERY_TICK_SECONDS, "deliver", self._delivery_worker.tick)
        self._scheduler.schedule_every(DELIVERY_PURGE_SECONDS, "purge deliveries", self._delivery_worker.purge)
        self._scheduler.schedule_every(ACCOUNTS_FILE_CHECK_SECONDS, "watch accounts file", self._check_accounts_file)
        if self._dataset_watcher is not None:
            self._scheduler.schedule_every(
                self._dataset_watcher.interval_seconds, "watch dataset", self._check_dataset
            )
        if self._comparison_worker is not None:
            self._scheduler.schedule_every(WORKER_INTERVAL_SECONDS, "comparisons", self._comparison_worker.tick)
        if self._comparison_starter is not None:
            missed = self._comparison_starter.start_missed
            self._scheduler.schedule_every(MISSED_START_RETRY_SECONDS, "missed comparisons", missed)
        self._scheduler.start()
        self._dispatch_tasks.append(asyncio.create_task(self._dispatch.run(self._reconciler.handle), name="dispatch"))
        if self._deployment_worker is not None:
            self._dispatch_tasks.append(asyncio.create_task(self._deployment_worker.run(), name="deployments"))

    async def stop(self) -> None:
        """Finish the requests in flight within STOP_TIMEOUT_SECONDS.

        The outcome of a request that is cancelled is looked up at the next start. The order matters: nothing new is
        started first; deliveries are flushed after the last outcome; the replica is removed last, because its account
        leases protect the requests in flight.
        """
        self._scheduler.stop()
        self._dispatch.stop()
        self._reconciler.stop()
        if self._deployment_worker is not None:
            self._deployment_worker.stop()
        if self._moderation_pool is not None:
            await self._moderation_pool.stop()
        if self._comparison_worker is not None:
            await self._comparison_worker.stop()
        if not self._dispatch_tasks:
            return
        work = asyncio.gather(*self._dispatch_tasks)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await asyncio.shield(work)
        except TimeoutError:
            self._log.warning(
                "service.shutdown_timeout",
                message=f"requests in flight were cancelled after {STOP_TIMEOUT_SECONDS:g} seconds",
            )
            self._dispatch.abort()
            if self._deployment_worker is not None:
                self._deployment_worker.abort()
            await work
        await self._delivery_worker.flush()
        await self._deregister()

    async def _deregister(self) -> None:
        with suppress(DatabaseUnavailable):
            await self._heartbeat.deregister()

    @property
    def problem(self) -> ConfigRefusal | None:
        """Why the newest version of the accounts file, or of some of its runs, is not in force."""
        return self._file_refusal or merge_refusals(self._run_refusals)

    @property
    def run_refusals(self) -> Mapping[str, ConfigRefusal]:
        """Why the newest versions of runs are not in force, by name of the run."""
        return self._run_refusals

    async def reload(self, only: Collection[str] | None = None) -> None:
        """Apply the accounts file and the chats as they are now. When they are refused, `problem` says why.

        With `only` nothing but these runs is reloaded, unless the accounts file has changed as well.
        """
        async with self._reload_lock:
            signature = self._signature()
            if signature != self._last_signature or self._must_reload:
                only = None
            self._last_signature = signature
            try:
                applied = await self._converge(only)
            except DatabaseUnavailable:  # the accounts file may be fine: repeat the reload after the outage
                self._must_reload = True
            except OrchestratorError as error:
                self._log.error("accounts_file.refused", error=error)
                await self._refuse_file(error)
            except Exception as error:  # noqa: BLE001 - after any error the previous version stays in force
                self._log.exception("accounts_file.refused")
                await self._refuse_file(error)
            else:
                self._record_applied_file(applied, only)
                self.wake()
                await self._store_problem()

    async def _refuse_file(self, error: Exception) -> None:
        self._file_refusal = build_refusal(error, at=self._now(), redact=self._redact)
        await self._store_problem()

    def _record_applied_file(self, applied: AppliedFile, only: Collection[str] | None) -> None:
        """Keep the refusals and schedule the runs. `only` are the runs that were requested; None: all."""
        self._file_refusal = None
        kept = {} if only is None else {name: each for name, each in self._run_refusals.items() if name not in only}
        self._run_refusals = {name: refusal for name, refusal in kept.items() if name in applied.runs}
        for name, error in applied.refusals.items():
            self._log.error("run.refused", name=name, error=error)
            self._run_refusals[name] = build_refusal(error, at=self._now(), redact=self._redact)
        for name in self._scheduled_runs - set(applied.runs):
            self._schedule_run(name, None, None)
        for name, expression in applied.schedules.items():
            self._schedule_run(name, expression, applied.comparison_schedules.get(name))

    def _schedule_run(self, name: str, expression: str | None, comparison: str | None) -> None:
        """Reload the run at the times of `expression`, and compare its models at those of `comparison`."""
        self._scheduler.schedule_cron(expression, f"schedule {name}", partial(self.reload, [name]))
        if self._comparison_starter is not None:
            self._comparison_starter.set_schedule(name, comparison)
            start = partial(self._comparison_starter.start, name, comparison or "")
            self._scheduler.schedule_cron(comparison, f"comparison {name}", start)
        (self._scheduled_runs.add if expression or comparison else self._scheduled_runs.discard)(name)

    async def _store_problem(self) -> None:
        """Store the problem for `orchestrator status`; None removes it."""
        self._must_reload = False
        try:
            await self._heartbeat.set_refusal(self.problem)
        except Exception as error:  # noqa: BLE001 - the reload is done, and the next heartbeat stores it again
            self._log.warning("refusal.store_failed", error=error)

    def wake(self) -> None:
        """Check now for due jobs and deployments: one may be due earlier than expected."""
        self._dispatch.wake()
        if self._deployment_worker is not None:
            self._deployment_worker.wake()

    async def _check_accounts_file(self) -> None:
        if self._signature() != self._last_signature:
            self._log.info("accounts_file.changed")
            await self.reload()
        elif self._must_reload:
            await self.reload()

    async def _check_dataset(self) -> None:
        if self._dataset_watcher is not None and (changed := await self._dataset_watcher.list_changed()):
            self._log.info("dataset.changed", runs=changed)
            await self.reload(changed)

    @property
    def seconds_since_tick(self) -> float | None:
        """Seconds since the last tick of the scheduler; None while it does not run."""
        return self._scheduler.seconds_since_tick
