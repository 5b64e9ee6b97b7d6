"""Runs the comparisons that were requested, and continues those whose process has died."""

# Theory of operation
#
# A requested comparison is a row in the state "asking" without a claim. `tick` selects these rows, and those whose
# claim has ended because its process was killed, and starts a task for each. The runner claims the comparison before
# it sends anything, so of several replicas one asks. All comparisons run at the same time: each has a limit of its
# own for the calls in flight, and its deployments would be billed while it waited for another one.
#
# A comparison that fails by a defect of this program stays open and is tried again when its claim has ended: stored
# answers are not lost. After MAX_FAILURES it is stopped, so that it does not fail forever.
#
# Each tick also stops what an ended comparison has started and did not stop itself (comparison_deployments.py).

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Final

from structlog.stdlib import BoundLogger

from orchestrator.control.comparisons import stop_own_deployments
from orchestrator.core.comparison.comparison import Comparison, ComparisonState
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.errors import DatabaseUnavailable, NothingToDo, OrchestratorError
from orchestrator.daemon.comparisons.comparison_runner import ComparisonRunner
from orchestrator.store.db.database import Database
from orchestrator.store.db.outage import describe_error
from orchestrator.store.queries.comparisons import comparison_records
from orchestrator.store.queries.deployments import deployment_records

WORKER_INTERVAL_SECONDS: Final = 2.0
MAX_FAILURES: Final = 3
SERVICE_CAUSE: Final = "service"

LoadProbes = Callable[[Comparison], Awaitable[Mapping[str, Probe]]]
"""Loads the probes of a comparison by id. Raises ConfigError or DatasetChanged."""


class ComparisonWorker:
    """Runs the open comparisons of the database in this process."""

    def __init__(
        self,
        database: Database,
        runner: ComparisonRunner,
        *,
        load_probes: LoadProbes,
        now: Callable[[], float],
        log: BoundLogger,
        clock_agrees: Callable[[], bool] = lambda: True,
    ) -> None:
        """`now` returns epoch seconds. While `clock_agrees` is False, the ends of claims cannot be compared."""
        self._database = database
        self._runner = runner
        self._load_probes = load_probes
        self._now = now
        self._log = log
        self._clock_agrees = clock_agrees
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by comparison id
        self._failures: Counter[str] = Counter()

    @property
    def active_tasks(self) -> Collection[asyncio.Task[None]]:
        """The running tasks, one for each comparison that this process asks or tried to claim."""
        return list(self._tasks.values())

    async def tick(self) -> None:
        """Start a task for each comparison that no process asks."""
        if not self._clock_agrees():
            return
        await self._stop_left_deployments()
        async with self._database.read() as connection:
            open_comparisons = await comparison_records.list_claimable(connection, self._now())
        for comparison in open_comparisons:
            if comparison.id not in self._tasks:
                task = asyncio.create_task(self._run(comparison), name=f"comparison {comparison.id}")
                self._tasks[comparison.id] = task

    async def _stop_left_deployments(self) -> None:
        """Stop the deployments of comparisons that have ended, for example while their deployment was requested."""
        async with self._database.read() as connection:
            ended = await deployment_records.list_comparisons_to_stop(connection)
        for comparison_id in ended:
            await self._database.write(
                partial(stop_own_deployments, comparison_id=comparison_id, by=SERVICE_CAUSE, now=self._now())
            )

    async def stop(self) -> None:
        """Cancel all comparisons and wait until their answers are stored. They stay open for the next process."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, comparison: Comparison) -> None:
        """Run one comparison to its end. Never raises: an error stays with this comparison."""
        try:
            await self._ask(comparison)
        except (NothingToDo, DatabaseUnavailable):  # another process asks; or it is still open after the outage
            pass
        except Exception as error:  # noqa: BLE001 - one comparison never stops the others
            self._log.exception("comparison.failed", comparison=comparison.id, message=describe_error(error))
            await self._record_failure(comparison, f"internal error: {type(error).__name__}: {describe_error(error)}")
        finally:
            del self._tasks[comparison.id]

    async def _ask(self, comparison: Comparison) -> None:
        cause = comparison.created_by
        try:
            probes = await self._load_probes(comparison)
        except DatabaseUnavailable:
            raise  # it says nothing about the probes: the comparison stays open
        except OrchestratorError as error:
            await self._runner.stop(comparison.id, f"its probes cannot be read: {error}", cause=cause)
            return
        ended = await self._runner.run(comparison.id, probes, cause=cause)
        facts = {"comparison": ended.id, "run": ended.run_id, "requests": ended.requests, "usd": ended.total_usd}
        if ended.state is ComparisonState.FINISHED:
            self._log.info("comparison.finished", message=ended.message, **facts)
        else:
            self._log.warning("comparison.stopped", message=ended.message, **facts)

    async def _record_failure(self, comparison: Comparison, message: str) -> None:
        self._failures[comparison.id] += 1
        if self._failures[comparison.id] < MAX_FAILURES:
            return
        try:
            await self._runner.stop(comparison.id, message, cause=comparison.created_by)
        except Exception as error:  # noqa: BLE001 - it is tried again at the end of its claim
            self._log.warning("comparison.failed", comparison=comparison.id, message=describe_error(error))
