"""Reads over a whole run that many clients request at the same time: each is done once, and again after a commit."""

# Theory of operation
#
# A page of the dashboard counts and groups all jobs of the run. With 100,000 jobs that takes a second of CPU, and 50
# viewers refresh their pages after every event, at most once a second each. Equal reads therefore share one
# computation, and its result until somebody, in any process, commits something.
#
# A caller never gets less than it would read itself. A computation that is under way may have read the database
# before the change that the caller knows of (its own action, for instance), so a caller that finds one waits for it
# and gets the result of the next one, together with all callers that came in between. Nobody waits for more than two.
#
# While jobs change all the time, every result is outdated as soon as it is there, and viewers who reload a page would
# keep a core busy. After a read of t seconds the next equal one therefore begins t * (READ_TIME_DIVISOR - 1) seconds
# later, but at most MAX_PAUSE_SECONDS. Callers wait for it: a result is later, never older. A read that still pauses
# has not begun, so it serves everyone who comes before the end of the pause.
#
# Only values of the time may be older, by MAX_AGE_SECONDS: the progress of a job, or whether a hold has ended.

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from functools import partial
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from orchestrator.aio import SingleFlight
from orchestrator.core.structs import Struct
from orchestrator.status.costs import find_costs
from orchestrator.status.losses import find_loss_overview
from orchestrator.status.metrics_snapshot import get_metrics_snapshot
from orchestrator.status.run_matrix import get_run_matrix
from orchestrator.status.run_overview import find_run_overview, list_jobs
from orchestrator.status.timeline import find_timeline
from orchestrator.store.db.database import Database

P = ParamSpec("P")
T = TypeVar("T")

MAX_AGE_SECONDS: Final = 1.0
MAX_SHARED_RESULTS: Final = 50
MAX_SHARED_JOBS: Final = 500
"""Jobs of the largest page that is shared. An export of all jobs is not kept in memory."""
MAX_SHARED_CURVES: Final = 1000
"""Timelines and loss curves of the largest result that is shared: as many as the dashboard shows."""
READ_TIME_DIVISOR: Final = 5
"""While jobs change all the time, equal reads take at most this fraction (1/5) of the time."""
MAX_PAUSE_SECONDS: Final = 1.0


class _SharedFunction(Struct, frozen=True):
    now_position: int | None
    """Which argument after the database is the time; None if the result does not depend on it."""
    max_limit: int = 0
    """The largest `limit` whose result is shared."""


_SHARED_FUNCTIONS: Final[Mapping[Callable[..., Any], _SharedFunction]] = {
    find_run_overview: _SharedFunction(0),
    list_jobs: _SharedFunction(1, MAX_SHARED_JOBS),
    get_run_matrix: _SharedFunction(1, MAX_SHARED_JOBS),
    find_timeline: _SharedFunction(1, MAX_SHARED_CURVES),
    find_loss_overview: _SharedFunction(1, MAX_SHARED_CURVES),
    find_costs: _SharedFunction(None),
    get_metrics_snapshot: _SharedFunction(0),
}


class _SharedResult(Struct, frozen=True):
    value: Any
    data_version: object
    """The database's version before the read."""
    now: float
    next_read_at: float
    """Event loop's clock: the same read begins again at this time at the earliest."""


class SharedReads:
    """Calls functions of `status` with the database; equal calls of the large ones share one result."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self._flights = SingleFlight[Hashable, Any]()
        self._results: OrderedDict[Hashable, _SharedResult] = OrderedDict()
        """The one that was used last is the last."""
        self._pausing: set[Hashable] = set()
        """Reads under way that have not begun to read."""

    async def call(
        self,
        function: Callable[Concatenate[Database, P], Awaitable[T]],
        database: Database,
        /,
        *arguments: P.args,
        **options: P.kwargs,
    ) -> T:
        """Return what the function returns for these arguments."""
        shared = _SHARED_FUNCTIONS.get(function)
        if shared is None or options.get("limit", 0) > shared.max_limit:  # type: ignore[operator]
            return await function(database, *arguments, **options)
        position = shared.now_position
        now: Any = 0.0 if position is None else arguments[position]
        others = arguments if position is None else (*arguments[:position], *arguments[position + 1 :])
        key = (function, others, frozenset(options.items()))
        read = partial(self._read, key, partial(function, database, *arguments, **options), database, now)
        result: T
        for _ in range(2):  # a read under way may have begun before the change that this caller wants to see
            begins_later = not self._flights.is_running(key) or key in self._pausing
            result = await self._flights.run(key, read)
            if begins_later:
                break
        return result

    async def _read(
        self, key: Hashable, compute: Callable[[], Awaitable[Any]], database: Database, now: float
    ) -> object:
        known = self._results.pop(key, None)
        if known is None or not await _is_current(known, database, now):
            if known is not None:
                await self._pause(key, known.next_read_at)
            known = await _compute(compute, database, now)
        self._results[key] = known
        while len(self._results) > MAX_SHARED_RESULTS:
            self._results.popitem(last=False)
        return known.value

    async def _pause(self, key: Hashable, end: float) -> None:
        seconds = end - asyncio.get_running_loop().time()
        if seconds > 0:
            self._pausing.add(key)
            try:
                await self._sleep(seconds)
            finally:
                self._pausing.discard(key)


async def _is_current(known: _SharedResult, database: Database, now: float) -> bool:
    return known.data_version == await database.get_data_version() and abs(now - known.now) < MAX_AGE_SECONDS


async def _compute(compute: Callable[[], Awaitable[Any]], database: Database, now: float) -> _SharedResult:
    # The version is read before the rows: a commit in between causes one read too many, not one too few.
    data_version = await database.get_data_version()
    clock = asyncio.get_running_loop().time
    started = clock()
    value = await compute()
    end = clock()
    pause = min((end - started) * (READ_TIME_DIVISOR - 1), MAX_PAUSE_SECONDS)
    return _SharedResult(value, data_version, now, end + pause)
