"""Calls periodic tasks at fixed intervals or at the times of a cron line, and detects that the clock was set."""

# Theory of operation
#
# Intervals run on the event loop's clock, which is monotonic: on the wall clock, a clock that is set back by an hour
# would stop every task for that hour. Each interval has one asyncio task that sleeps, calls the work and sleeps until
# the next multiple of its interval. So a call never overlaps with itself, and a slow call does not shift the later
# ones.
#
# Only a cron line means wall time. APScheduler computes when it is due; it is used for nothing else and stores
# nothing. It sleeps until the next time that it has computed, so it must be told about a clock that was set:
#   * `_wake_cron` wakes it every minute: a clock that was set forward makes the work due earlier
#   * after a step back the time is computed again, or the work would wait for a time that is too late
#
# The clock. Every TICK_SECONDS `_tick` compares the wall clock with the boot clock, which nobody can set. A
# difference of more than CLOCK_STEP_SECONDS is a clock that was set; smaller ones are the corrections of a time
# service and are accepted silently. The handlers (`on_clock_set`) move the stored times, such as the next poll of
# each job. The step counts as handled only when all of them have succeeded; until then `is_clock_settled` is False
# and the reconciler takes no step. A database outage therefore repeats the handlers at the next tick, with the whole
# step so far.
#
# An exception in periodic work is logged and never ends the schedule. A database outage is not logged here: the
# database logs it once.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
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
TICK_SECONDS: Final = 1.0
CRON_CHECK_SECONDS: Final = 60.0
CRON_GRACE_SECONDS: Final = 3600  # cron work that is late by less is still done, for example after a suspend
CLOCK_STEP_SECONDS: Final = 2.0
"""A wall clock that moves by more than this against the boot clock was set; a time service corrects by less."""


def find_last_due_time(expression: str, now: float) -> float | None:
    """Return the latest time of a cron line (UTC), at most CRON_GRACE_SECONDS ago; None if there is none."""
    trigger, latest = CronTrigger.from_crontab(expression, timezone="UTC"), None
    end = datetime.fromtimestamp(now, UTC)
    due = trigger.get_next_fire_time(None, end - timedelta(seconds=CRON_GRACE_SECONDS))
    while due is not None and due <= end:
        latest, due = due, trigger.get_next_fire_time(due, due + timedelta(seconds=1))
    return latest.timestamp() if latest else None


class Scheduler:
    """Calls periodic work. A failing call is logged and repeated at its next time."""

    def __init__(self, *, clock: Clock, log: BoundLogger, observer: ServiceObserver = NULL_OBSERVER) -> None:
        # DebugExecutor calls a function at once, in the loop's thread. `_start_cron` only starts a task and returns,
        # so that APScheduler never has to cancel or skip work, which it would log as an error with a traceback.
        self._cron = AsyncIOScheduler(
            timezone="UTC", executors={"default": DebugExecutor()}, job_defaults={"coalesce": True}
        )
        self._clock = clock
        self._log = log
        self._observer = observer
        self._last_tick: float | None = None  # on the boot clock; None before the start and after the stop
        self._clock_offset = 0.0  # wall clock minus boot clock, without a step that is not handled yet
        self._logged_step = 0.0  # the step that was logged and is not handled yet
        self._clock_handlers: list[Callable[[float], Awaitable[None]]] = []
        self._intervals: list[tuple[float, str, Work]] = []
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self.schedule_every(TICK_SECONDS, "tick", self._tick)
        self.schedule_every(CRON_CHECK_SECONDS, "cron", self._wake_cron)

    def schedule_every(self, seconds: float, name: str, work: Work) -> None:
        """Call `work` every `seconds`, for the first time after `seconds`. Call this before `start`.

        A call that takes longer than its interval is not started twice: the next one is at the next multiple.
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
        """Call `work` when this machine's clock was set, with the step in seconds: negative is back.

        After a database outage it is called again, with the whole step so far.
        """
        self._clock_handlers.append(work)

    def start(self) -> None:
        """Start all periodic work."""
        self._last_tick = self._clock.boottime()
        self._clock_offset = self._clock.now() - self._last_tick
        self._cron.start()
        for seconds, name, work in self._intervals:
            self._start(name, self._repeat(seconds, name, work))

    def stop(self) -> None:
        """Cancel all periodic work without waiting for it.

        `seconds_since_tick` is None from now on, so `/readyz` fails and the process gets no more requests.
        """
        self._last_tick = None
        if self._cron.running:
            self._cron.shutdown(wait=False)
        for task in self._tasks.values():
            task.cancel()

    @property
    def seconds_since_tick(self) -> float | None:
        """Seconds since the last tick, on the boot clock; None before the start and after the stop."""
        return None if self._last_tick is None else self._clock.boottime() - self._last_tick

    @property
    def is_clock_settled(self) -> bool:
        """Whether stored times agree with the clock: it was not set, or every handler has succeeded."""
        return self._last_tick is None or abs(self._clock_step()) <= CLOCK_STEP_SECONDS

    def _clock_step(self) -> float:
        """Return the seconds by which the clock was set since the last step that was handled."""
        return self._clock.now() - self._clock.boottime() - self._clock_offset

    def _start(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        self._tasks[name] = asyncio.create_task(work, name=f"tick {name}")

    def _start_cron(self, name: str, work: Work) -> None:
        """Start the work in a task of its own, unless its previous run has not finished."""
        key = f"cron {name}"
        if key in self._tasks and not self._tasks[key].done():
            self._log.info("tick.skipped", tick=name, message="the previous run has not finished")
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
        """Call the work and log its errors. Return False if the database was unreachable."""
        try:
            await work()
        except DatabaseUnavailable:
            return False  # the outage is logged already
        except Exception:  # noqa: BLE001 - one failing call must not end the schedule
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
        """Call the handlers of a clock step. The step counts as handled only when all of them have succeeded."""
        if abs(step - self._logged_step) > CLOCK_STEP_SECONDS:
            self._logged_step = step
            self._log.warning("clock.changed", message=f"the clock of this machine was set by {step:+.0f} s")
            self._reschedule_cron(set_back=step < 0)
        if all([await self._run_work("clock set", partial(work, step)) for work in self._clock_handlers]):
            self._clock_offset += step
            self._logged_step = 0.0

    async def _wake_cron(self) -> None:
        self._cron.wakeup()

    def _reschedule_cron(self, *, set_back: bool) -> None:
        """Compute the times of the cron lines by the clock as it is now."""
        if set_back:  # APScheduler would wait for a time that it computed on the later clock
            for job in self._cron.get_jobs():
                job.reschedule(job.trigger)
        self._cron.wakeup()
