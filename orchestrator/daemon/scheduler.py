"""Scheduler: when. Ticks and cron lines on APScheduler, which is used nowhere else and keeps nothing of value."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from structlog.stdlib import BoundLogger

from orchestrator.core.watch import NOBODY, Watch
from orchestrator.store.database import UNREACHABLE

Work = Callable[[], Awaitable[None]]
BEAT = "beat"
BEAT_SECONDS = 1.0


class Scheduler:
    """Calls work every so often. A failing call is logged and tried again at its next time."""

    def __init__(
        self,
        *,
        now: Callable[[], float],
        log: BoundLogger,
        unreachable: Callable[[Exception], None],
        watch: Watch = NOBODY,
    ) -> None:
        self._scheduler = AsyncIOScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1})
        self._now = now
        self._log = log
        self._unreachable = unreachable  # told what a call raises while the database is away
        self._watch = watch
        self._last_beat: float | None = None
        self.every(BEAT_SECONDS, BEAT, self._beat)

    def every(self, seconds: float, name: str, work: Work) -> None:
        """Call `work` every so many seconds, the first time after that many."""
        self._scheduler.add_job(
            self._guarded(name, work), "interval", seconds=seconds, id=name, misfire_grace_time=None
        )

    def cron(self, expression: str | None, name: str, work: Work) -> None:
        """Call `work` at the times of a five-field cron line (UTC); None takes it away."""
        if self._scheduler.get_job(name):
            self._scheduler.remove_job(name)
        if expression:
            trigger = CronTrigger.from_crontab(expression, timezone="UTC")
            self._scheduler.add_job(self._guarded(name, work), trigger, id=name, misfire_grace_time=3600)

    def start(self) -> None:
        """Begin; the first beat is now."""
        self._last_beat = self._now()
        self._scheduler.start()

    def stop(self) -> None:
        """End; what is under way is not waited for. From now on nobody is to be sent here: `silent_for` is None."""
        self._last_beat = None
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    @property
    def silent_for(self) -> float | None:
        """Seconds since the last beat; None before the start and after the end."""
        return None if self._last_beat is None else self._now() - self._last_beat

    async def _beat(self) -> None:
        now = self._now()
        if self._last_beat is not None:
            self._watch.beat(max(now - self._last_beat - BEAT_SECONDS, 0.0))
        self._last_beat = now

    def _guarded(self, name: str, work: Work) -> Work:
        async def guarded() -> None:
            try:
                await work()
            except asyncio.CancelledError:
                return  # stopped under way; APScheduler would log it as a failure, with a traceback
            except UNREACHABLE as error:
                self._unreachable(error)
            except Exception:  # noqa: BLE001 - a tick that fails must not end the ticking
                self._log.exception("tick.failed", tick=name)

        return guarded
