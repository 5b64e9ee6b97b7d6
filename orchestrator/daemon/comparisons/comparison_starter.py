"""Requests the comparisons of a run's schedule. The worker then asks the models, as in any requested comparison."""

# Theory of operation
#
# Each replica has the schedule. The id of a scheduled comparison is computed from the run and the time at which it
# was due, so that the replicas request the same one: the first stores it, and for the others it exists already, also
# if it has ended before a replica whose clock is late comes to it.
#
# A comparison that is due during a database outage is started after it, if that ends within CRON_GRACE_SECONDS. The
# line is kept in memory.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final

from structlog.stdlib import BoundLogger

from orchestrator.control.comparisons import PlannedComparison, start_comparison
from orchestrator.control.runs import get_current_run
from orchestrator.core.errors import DatabaseUnavailable, NothingToDo, OrchestratorError
from orchestrator.core.structs import replace
from orchestrator.daemon.scheduler import find_last_due_time
from orchestrator.store.db.database import Database
from orchestrator.store.queries.comparisons import comparison_records

SCHEDULE_CAUSE: Final = "schedule"
MISSED_START_RETRY_SECONDS: Final = 30.0
OUTAGE_MESSAGE: Final = "the database did not answer when the comparison was due, nor within an hour after it"

PlanComparison = Callable[[str], Awaitable[PlannedComparison]]
"""Plans the comparison of the run with this name with the options of its table. Raises ConfigError."""


class ComparisonStarter:
    """Starts the comparisons that are due by the schedule of their run."""

    def __init__(
        self, database: Database, *, plan: PlanComparison, now: Callable[[], float], log: BoundLogger
    ) -> None:
        """`now` returns epoch seconds."""
        self._database = database
        self._plan = plan
        self._now = now
        self._log = log
        self._missed: dict[str, str] = {}  # cron lines by run whose comparison was due during a database outage

    async def start(self, run_name: str, expression: str) -> None:
        """Request the comparison that was due last by the cron line. Logs why it cannot be started.

        After a database outage `start_missed` requests it.
        """
        now = self._now()
        due = find_last_due_time(expression, now)
        if due is None:
            return
        try:
            if await self._is_stored(run_name, due):
                return
            planned = await self._plan(run_name)
            comparison = replace(planned.comparison, id=build_scheduled_id(planned.comparison.run_id, due))
            await start_comparison(
                self._database, replace(planned, comparison=comparison), by=SCHEDULE_CAUSE, now=now
            )
        except NothingToDo:  # another replica was faster
            return
        except DatabaseUnavailable:  # logged once by the database
            self._missed[run_name] = expression
        except OrchestratorError as error:
            self._log.warning("comparison.not_started", name=run_name, message=str(error))

    async def start_missed(self) -> None:
        """Request the comparisons that were due during a database outage. Called by the scheduler."""
        for run_name, expression in list(self._missed.items()):
            del self._missed[run_name]  # another outage adds it again
            if find_last_due_time(expression, self._now()) is None:
                self._log.warning("comparison.not_started", name=run_name, message=OUTAGE_MESSAGE)
            await self.start(run_name, expression)

    def set_schedule(self, run_name: str, expression: str | None) -> None:
        """Forget what was due by another line of the run than this one."""
        if self._missed.get(run_name) != expression:
            self._missed.pop(run_name, None)

    async def _is_stored(self, run_name: str, due: float) -> bool:
        """Return whether another replica has started the comparison; planning it would report that it runs."""
        async with self._database.read() as connection:
            run = await get_current_run(connection, run_name)
            return await comparison_records.find(connection, build_scheduled_id(run.id, due)) is not None


def build_scheduled_id(run_id: str, due: float) -> str:
    """Return the id of the comparison of a run that was due at this time, the same in each replica."""
    return sha256(f"{run_id} {due:.0f}".encode()).hexdigest()[:16]
