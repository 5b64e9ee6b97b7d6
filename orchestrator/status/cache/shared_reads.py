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
# Only values of the time may be older, by MAX_AGE_SECONDS: the progress of a job, or whether a hold has ended.

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from orchestrator.aio import SingleFlight
from orchestrator.status.run_matrix import get_run_matrix
from orchestrator.status.run_overview import find_run_overview, list_jobs
from orchestrator.store.db.database import Database

P = ParamSpec("P")
T = TypeVar("T")

MAX_AGE_SECONDS: Final = 1.0
MAX_SHARED_RESULTS: Final = 50
MAX_SHARED_JOBS: Final = 500
"""Jobs of the largest page that is shared. An export of all jobs is not kept in memory."""
_NOW_POSITIONS: Final[dict[Callable[..., Any], int]] = {find_run_overview: 0, list_jobs: 1, get_run_matrix: 1}
"""The shared functions, and which argument after the database is the time."""


@dataclass(frozen=True, slots=True)
class _SharedResult:
    value: Any
    data_version: object
    """The database's version before the read."""
    now: float


class SharedReads:
    """Calls functions of `status` with the database; equal calls of the large ones share one result."""

    def __init__(self) -> None:
        self._flights = SingleFlight[Hashable, Any]()
        self._results: OrderedDict[Hashable, _SharedResult] = OrderedDict()
        """The one that was used last is the last."""

    async def call(
        self,
        function: Callable[Concatenate[Database, P], Awaitable[T]],
        database: Database,
        /,
        *arguments: P.args,
        **options: P.kwargs,
    ) -> T:
        """Return what the function returns for these arguments."""
        position = _NOW_POSITIONS.get(function)
        if position is None or options.get("limit", 0) > MAX_SHARED_JOBS:  # type: ignore[operator]
            return await function(database, *arguments, **options)
        now: Any = arguments[position]
        others = (*arguments[:position], *arguments[position + 1 :])
        key = (function, others, frozenset(options.items()))
        read = partial(self._read, key, partial(function, database, *arguments, **options), database, now)
        result: T
        for _ in range(2):  # a read under way may have begun before the change that this caller wants to see
            is_new = not self._flights.is_running(key)
            result = await self._flights.run(key, read)
            if is_new:
                break
        return result

    async def _read(
        self, key: Hashable, compute: Callable[[], Awaitable[Any]], database: Database, now: float
    ) -> object:
        # The version is read before the rows: a commit in between causes one read too many, not one too few.
        data_version = await database.get_data_version()
        known = self._results.pop(key, None)
        if known is None or known.data_version != data_version or abs(now - known.now) >= MAX_AGE_SECONDS:
            known = _SharedResult(await compute(), data_version, now)
        self._results[key] = known
        while len(self._results) > MAX_SHARED_RESULTS:
            self._results.popitem(last=False)
        return known.value
