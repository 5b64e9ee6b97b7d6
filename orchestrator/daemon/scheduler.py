"""Scheduler: calls work again and again.

Intervals run on the event loop's clock, which is monotonic. On wall time a clock that is set back by an hour would
stop every tick for that hour. Only a cron line means wall time: APScheduler, which is used nowhere else and keeps
nothing of value, says when it is due. It sleeps until the next time it knows of, so it is woken every minute to look
at the clock again, and a clock that was set back makes it compute that time again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from structlog.stdlib import BoundLogger

from orchestrator.core.clock import Clock
from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.core.jobs.observer import NULL_OBSERVER, ServiceObserver

Work = Callable[[], Awaitable[None]]
TICK: Final = "tick"
TICK_SECONDS: Final = 1.0
CRON_CHECK_SECONDS: Final = 60.0
CRON_GRACE_SECONDS: Final = 3600
CLOCK_STEP_SECONDS: Final = 2.0
"""A clock that moves by more than this against the monotonic one was set; a time service corrects by less."""


class Scheduler:
    """Calls work every so often. A failing call is logged and tried again at its next time."""

    def __init__(self, *, clock: Clock, log: BoundLogger, observer: ServiceObserver = NULL_OBSERVER) -> None:
        # DebugExecutor calls a function at once, in the loop's thread. Ours starts a task and returns, so that
        # APScheduler never has a job of ours to cancel (it would log that as an error, with a traceback) or to skip.
        self._cron = AsyncIOScheduler(
            timezone="UTC", executors={"default": DebugExecutor()}, job_defaults={"coalesce": True}
        )
        self._clock = clock
        self._log = log
        self._observer = observer
        self._last_tick: float | None = None  # on the boot clock
        self._clock_offset = 0.0  # of the wall clock against the boot clock, as far as that was dealt with
        self._logged_step = 0.0  # the step that was logged and is not dealt with yet
        self._clock_handlers: list[Callable[[float], Awaitable[None]]] = []
        self._intervals: list[tuple[float, str, Work]] = []
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self.schedule_every(TICK_SECONDS, TICK, self._tick)
        self.schedule_every(CRON_CHECK_SECONDS, "cron", self._wake_cron)

    def schedule_every(self, seconds: float, name: str, work: Work) -> None:
        """Call `work` every so many seconds, the first time after that many. Call this before `start`.

        A call that takes longer than its interval is never started twice: its next time is the next multiple.
        """
        self._intervals.append((seconds, name, work))

    def schedule_cron(self, expression: str | None, name: str, work: Work) -> None:
        """Call `work` at the times of a five-field cron line (UTC); None removes it."""
        if self._cron.get_job(name):
            self._cron.remove_job(name)
        if expression:
            trigger = CronTrigger.from_crontab(expression, timezone="UTC")
            start = partial(self._start_cron, name, work)
            self._cron.add_job(start, trigger, id=name, misfire_grace_time=CRON_GRACE_SECONDS)

    def on_clock_set(self, work: Callable[[float], Awaitable[None]]) -> None:
        """Call `work` when this machine's clock was set, with the seconds by which: negative is back.

        It is called again, with all that came together meanwhile, when the database was away.
        """
        self._clock_handlers.append(work)

    def start(self) -> None:
        """Begin; the first beat is now."""
        self._last_tick = self._clock.boottime()
        self._clock_offset = self._clock.now() - self._last_tick
        self._cron.start()
        for seconds, name, work in self._intervals:
            self._start(name, self._repeat(seconds, name, work))

    def stop(self) -> None:
        """End; running ticks are cancelled and not waited for. From now on `seconds_since_tick` is None: this process
        is to get no more requests.
        """
        self._last_tick = None
        if self._cron.running:
            self._cron.shutdown(wait=False)
        for task in self._tasks.values():
            task.cancel()

    @property
    def seconds_since_tick(self) -> float | None:
        """Seconds since the last beat, on a clock that nobody sets; None before the start and after the end."""
        return None if self._last_tick is None else self._clock.boottime() - self._last_tick

    @property
    def is_clock_settled(self) -> bool:
        """Whether what is stored agrees with the clock: it was not set, or all that follows from it is done."""
        return self._last_tick is None or abs(self._clock_step()) <= CLOCK_STEP_SECONDS

    def _clock_step(self) -> float:
        """By how many seconds the clock was set since its last setting was dealt with."""
        return self._clock.now() - self._clock.boottime() - self._clock_offset

    def _start(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        self._tasks[name] = asyncio.create_task(work, name=f"tick {name}")

    def _start_cron(self, name: str, work: Work) -> None:
        """Start the work in a task of its own, unless the one of an earlier time is still running."""
        key = f"cron {name}"
        if key in self._tasks and not self._tasks[key].done():
            self._log.info("tick.skipped", tick=name, message="the one before is still running")
        else:
            self._start(key, self._run_work(name, work))

    async def _repeat(self, seconds: float, name: str, work: Work) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        while True:
            await asyncio.sleep(due - loop.time())
            await self._run_work(name, work)
            missed = (loop.time() - due) // seconds
            due += seconds * (max(missed, 0) + 1)

    async def _run_work(self, name: str, work: Work) -> bool:
        """Call the work; whether the database was there."""
        try:
            await work()
        except DatabaseUnavailable:
            return False  # the outage is logged already
        except Exception:  # noqa: BLE001 - a tick that fails must not end the ticking
            self._log.exception("tick.failed", tick=name)
        return True

    async def _tick(self) -> None:
        at = self._clock.boottime()
        if self._last_tick is not None:
            self._observer.tick_delayed(max(at - self._last_tick - TICK_SECONDS, 0.0))
            self._last_tick = at
        step = self._clock_step()
        if abs(step) <= CLOCK_STEP_SECONDS:
            self._clock_offset += step
            self._logged_step = 0.0
        else:
            await self._handle_clock_change(step)

    async def _handle_clock_change(self, step: float) -> None:
        """Do what follows from a clock that was set. The step counts as dealt with only when all of it is done."""
        if abs(step - self._logged_step) > CLOCK_STEP_SECONDS:
            self._logged_step = step
            self._log.warning("clock.changed", message=f"this machine's clock was set by {step:+.0f} s")
            self._reschedule_cron(set_back=step < 0)
        if all([await self._run_work("clock set", partial(work, step)) for work in self._clock_handlers]):
            self._clock_offset += step
            self._logged_step = 0.0

    async def _wake_cron(self) -> None:
        self._cron.wakeup()

    def _reschedule_cron(self, *, set_back: bool) -> None:
        """Let the cron lines follow the clock as it is now."""
        if set_back:  # or they would wait for a time that was computed when it was later
            for job in self._cron.get_jobs():
                job.reschedule(job.trigger)
        self._cron.wakeup()
