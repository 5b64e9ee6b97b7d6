"""Service: one process that converges on the accounts file until it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress

from structlog.stdlib import BoundLogger

from orchestrator.core.errors import DatabaseAway, OrchestratorError
from orchestrator.core.refusal import Refusal, build_refusal
from orchestrator.core.secret import Redactor
from orchestrator.daemon.courier import Courier
from orchestrator.daemon.dataset_watcher import DatasetWatcher
from orchestrator.daemon.moderation_worker import ModerationWorker
from orchestrator.daemon.presence import Presence
from orchestrator.daemon.reconciler import Reconciler
from orchestrator.daemon.scheduler import Scheduler
from orchestrator.dispatch.base import Dispatch

WATCH_SECONDS = 2.0
CLOCK_SECONDS = 60.0
TELL_SECONDS = 1.0
FORGET_SECONDS = 3600.0
STOP_SECONDS = 8.0  # what is in flight may take this long when the process is asked to stop

Converge = Callable[[], Awaitable[str | None]]
"""Take over the accounts file as it is now; returns its schedule."""


class Service:
    """The dispatcher, the ticks and the watch over the accounts file.

    An accounts file or dataset that cannot be used while the service runs changes nothing: what was in force stays
    in force, and `problem` says why.
    """

    def __init__(
        self,
        *,
        converge: Converge,
        signature: Callable[[], Hashable],
        dispatch: Dispatch,
        reconciler: Reconciler,
        presence: Presence,
        courier: Courier,
        scheduler: Scheduler,
        now: Callable[[], float],
        redact: Redactor,
        log: BoundLogger,
        dataset: DatasetWatcher | None = None,
        moderation: ModerationWorker | None = None,
    ) -> None:
        self.problem: Refusal | None = None
        self._converge = converge
        self._signature = signature
        self._dataset = dataset
        self._moderation = moderation
        self._seen: Hashable = None
        self._must_reload = False  # an outage of the database came between
        self._dispatch = dispatch
        self._reconciler = reconciler
        self._presence = presence
        self._courier = courier
        self._scheduler = scheduler
        self._now = now
        self._redact = redact
        self._log = log
        self._work: asyncio.Task[None] | None = None
        self._reloading = asyncio.Lock()

    async def start(self) -> None:
        """Converge once, loudly, and begin. Raises what is wrong with the accounts file or the dataset."""
        await self._presence.check_clock()
        self._seen = self._signature()
        self._scheduler.cron(await self._converge(), "schedule", self.reload)
        await self._presence.start()
        self._scheduler.every(self._presence.beat_seconds, "presence", self._presence.beat)
        self._scheduler.every(CLOCK_SECONDS, "clock", self._presence.check_clock)
        self._scheduler.every(TELL_SECONDS, "tell", self._courier.tick)
        self._scheduler.every(FORGET_SECONDS, "forget deliveries", self._courier.forget)
        self._scheduler.every(WATCH_SECONDS, "watch", self._watch)
        if self._dataset is not None:
            self._scheduler.every(self._dataset.seconds, "watch dataset", self._watch_dataset)
        self._scheduler.start()
        self._work = asyncio.create_task(self._dispatch.run(self._reconciler.handle), name="dispatch")

    async def stop(self) -> None:
        """Finish what is in flight, within eight seconds; what is cut off is looked up at the next start."""
        self._scheduler.stop()
        if self._moderation is not None:
            await self._moderation.stop()
        self._dispatch.stop()
        if self._work is None:
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.shield(self._work)
        except TimeoutError:
            self._log.warning("service.cut_off", message="calls in flight took too long and were cut off")
            self._dispatch.abort()
            await self._work
        await self._courier.finish()
        await self._leave()

    async def _leave(self) -> None:
        with suppress(DatabaseAway):
            await self._presence.leave()

    async def reload(self) -> None:
        """Read the accounts file and the chats again."""
        async with self._reloading:
            self._seen = self._signature()
            try:
                schedule = await self._converge()
            except DatabaseAway:  # says nothing about the accounts file
                self._must_reload = True
            except OrchestratorError as error:
                self._log.error("accounts_file.refused", error=error)
                await self._refuse(error)
            except Exception as error:  # noqa: BLE001 - whatever it is, what was in force stays in force
                self._log.exception("accounts_file.refused")
                await self._refuse(error)
            else:
                self._scheduler.cron(schedule, "schedule", self.reload)
                self._dispatch.nudge()
                await self._set_problem(None)

    async def _refuse(self, error: Exception) -> None:
        await self._set_problem(build_refusal(error, at=self._now(), redact=self._redact))

    async def _set_problem(self, problem: Refusal | None) -> None:
        """Show the problem in this process, and store it for `orchestrator status`."""
        self.problem, self._must_reload = problem, False
        try:
            await self._presence.set_refusal(problem)
        except Exception as error:  # noqa: BLE001 - the reload is done; the next beat writes it again
            self._log.warning("refusal.not_stored", error=error)

    def nudge(self) -> None:
        """A job may be due earlier than was known."""
        self._dispatch.nudge()

    async def _watch(self) -> None:
        if self._signature() != self._seen:
            self._log.info("accounts_file.changed")
            await self.reload()
        elif self._must_reload:
            await self.reload()

    async def _watch_dataset(self) -> None:
        if self._dataset is not None and await self._dataset.has_changed():
            self._log.info("dataset.changed")
            await self.reload()

    @property
    def silent_for(self) -> float | None:
        """Seconds since the last tick."""
        return self._scheduler.silent_for
