"""Cache of the `/status` document: rebuilt only when something changed, and then only the jobs that changed."""

# Theory of operation
#
# `/status` of a run with 10,000 jobs is several MB of JSON, and building it takes about a second of CPU. A dashboard
# and several scripts may poll it every second while jobs change all the time. The cache keeps the cost bounded:
#
# 1. Did anything change? `Database.get_data_version` answers for SQLite and PostgreSQL with one cheap query: an equal
#    version means that nobody, in no process, has committed anything since. The cached bytes are returned as they
#    are.
# 2. Which jobs changed? One query returns a row version for every job of the run (queries/row_versions.py): a text of
#    all columns that the job's line depends on. Lines are cached by row version, so only jobs whose text is new are
#    loaded and encoded. A column that the line shows and the row version lacks would show stale data for ever;
#    test_status_document compares cache and read model after each kind of change.
# 3. What depends on the time alone? Progress and the end of a hold change without a commit. Such lines are built
#    again when they are older than `max_age_seconds`. Days left of a model change by the day: the hour is part of the
#    scope.
#
# Three clocks, which must not be confused:
#
# * `now` (wall clock, passed in) decides how old a line is, because lines show wall-clock times.
# * `_fresh_at` (event loop's clock) is when the body was last known to be up to date; after `max_staleness_seconds`
#   it is not served any more, and readers wait for the build however long it takes.
# * `_next_build_at` (event loop's clock) limits the share of time that goes into building: after a build of t seconds
#   no other begins for (build_time_divisor - 1) * t seconds, whatever changed. Until then the body counts as fresh.
#
# A reader waits at most `max_wait_seconds` for a build and then gets the previous body. One build serves all readers.
# A build that is already under way may have read the database before the change that the reader knows of (its own
# action, for instance), so a reader that finds one waits for it and then checks again.
#
# The service handles jobs on the same event loop. Lines are therefore built `build_chunk_lines` at a time with a
# pause in between, and the long query of step 2 goes through `read_long`, in a thread of its own on SQLite. At most
# `max_aged_lines_per_build` lines are rebuilt for their age alone while a reader waits; the rest comes with the next
# builds, because the cache then pretends to be older than it is (`_built_at`).
#
# The encoded lines are shared by all answers and never changed. Only the `problem` (why the accounts file is not in
# force) is not part of the cached body: it comes from the service's memory, and `_encode` puts it at the end.

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from orchestrator.aio import SingleFlight, StillRunning
from orchestrator.core.errors import Failure
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.run import Run
from orchestrator.status.snapshot import SCHEMA_VERSION, status_to_dict
from orchestrator.status.views import StatusSnapshot, job_view, run_view, view_to_dict
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, events, jobs, pins, replicas, row_versions, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCacheConfig:
    """Limits of the status cache. The defaults are tuned for 10,000 jobs (benchmarks/status.py)."""

    max_age_seconds: float = 10.0
    """Age after which what depends on the time alone, such as progress, is computed again."""
    build_time_divisor: int = 5
    """While jobs change all the time, building takes at most this fraction (1/5) of the time."""
    build_chunk_lines: int = 50
    """Lines built before the event loop gets a turn."""
    max_aged_lines_per_build: int = 300
    """Lines rebuilt because of their age in one build, while a reader waits for it."""
    max_wait_seconds: float = 0.02
    """How long a reader waits for a build before it gets the previous document."""
    max_staleness_seconds: float = 3.0
    """Age of the previous document from which a reader waits for the build instead."""


@dataclass(frozen=True, slots=True)
class _JobLine:
    built_at: float
    """Wall clock, epoch seconds."""
    depends_on_time: bool
    """Whether it shows something that changes without a commit: progress, or the end of a hold."""
    state: str
    """The state it counts for in `counts`: `held`, or the job's state."""
    settled: bool
    """Whether the job changes only by an operator's action."""
    text: bytes
    """The job as JSON."""


@dataclass(frozen=True, slots=True)
class StatusBody:
    """The document without its `problem`."""

    head: dict[str, Any]
    """Everything about the run as a whole."""
    jobs: Sequence[bytes]
    """Each job as JSON, by account name."""


class StatusCache:
    """Serves the `/status` document of one database to any number of readers."""

    def __init__(self, config: StatusCacheConfig | None = None) -> None:
        self._config = config or StatusCacheConfig()
        self._builds = SingleFlight[str, None]()
        """The running build; all readers wait for the same."""
        self._lines: dict[str, _JobLine] = {}
        """Lines by row version."""
        self._scope: object = None
        """What every line depends on besides its row; another scope makes all cached lines void."""
        self._body: StatusBody | None = None
        self._data_version: object = None
        """The database's version before the body was built."""
        self._built_at = -self._config.max_age_seconds
        """Wall clock; in the distant past while lines that are too old remain."""
        self._fresh_at = 0.0
        """Event loop's clock: when the body was last known to be up to date."""
        self._next_build_at = 0.0
        """Event loop's clock: until then the body is served whatever changed."""
        self._encoded: tuple[StatusBody | None, Failure | None, bytes] = (None, None, b"")
        """The latest answer, with the body and the problem it was encoded from."""

    async def read(self, database: Database, problem: Failure | None, now: float) -> bytes:
        """Return the document as JSON bytes; `problem` is why the accounts file is not in force.

        Raises DatabaseUnavailable when it cannot be brought up to date.
        """
        body = await self._get_body(database, now)
        if self._encoded[0] is not body or self._encoded[1] != problem:
            self._encoded = (body, problem, _encode(body, problem))
        return self._encoded[2]

    async def _get_body(self, database: Database, now: float) -> StatusBody:
        """Return a body that is up to date, or the previous one if the build takes longer than a reader waits."""
        clock = asyncio.get_running_loop().time
        previous = self._body if clock() - self._fresh_at < self._config.max_staleness_seconds else None
        max_aged = None if previous is None else self._config.max_aged_lines_per_build
        build = partial(self._refresh, database, now, max_aged)
        deadline = clock() + self._config.max_wait_seconds
        for _ in range(2):  # a build under way may have begun before the change that this reader wants to see
            is_new = not self._builds.is_running("body")
            max_wait = None if previous is None else max(deadline - clock(), 0)
            try:
                await self._builds.run("body", build, max_wait_seconds=max_wait)
            except StillRunning:
                assert previous is not None
                return previous
            if is_new:
                break
        assert self._body is not None
        return self._body

    async def _refresh(self, database: Database, now: float, max_aged: int | None) -> None:
        """Build the body again if something changed. `max_aged`: lines rebuilt for their age alone; None is all."""
        clock = asyncio.get_running_loop().time
        started = clock()
        if started < self._next_build_at:
            return
        # The version is read before the rows: a commit in between causes one build too many, not one too few.
        data_version = await database.get_data_version()
        max_age = self._config.max_age_seconds
        if data_version != self._data_version or now - self._built_at >= max_age:
            build_started = clock()
            self._body, all_built = await self._build(database, now, max_aged)
            self._data_version, self._built_at = data_version, now if all_built else -max_age
            pause = (clock() - build_started) * (self._config.build_time_divisor - 1)
            self._next_build_at = clock() + pause
        self._fresh_at = started

    async def _build(self, database: Database, now: float, max_aged: int | None) -> tuple[StatusBody, bool]:
        """Build the body. Returns it, and whether every line in it is young enough."""
        async with database.read() as connection:
            live = tuple(await replicas.list_live(connection, now))
            run = await runs.find_current(connection)
            if run is None:
                empty = status_to_dict(StatusSnapshot(run=None, replicas=live))
                del empty["jobs"], empty["problem"]  # `_encode` adds them
                return StatusBody(empty, []), True
            dataset = await runs.get_dataset_row(connection, run.dataset_sha256)
            used_values = await pins.list_used_values(connection, run.id)
            shared_keys = await accounts.list_shared_keys(connection) if run.current else []
        lines, all_built = await self._get_lines(database, run, now, max_aged)
        counts = Counter(line.state for line in lines)
        head = {
            "schema": SCHEMA_VERSION,
            "run": view_to_dict(run_view(run, dataset, used_values, shared_keys)),
            "counts": dict(sorted(counts.items())),
            "settled": all(line.settled for line in lines),
            "replicas": [view_to_dict(replica) for replica in live],
        }
        return StatusBody(head, [line.text for line in lines]), all_built

    async def _get_lines(
        self, database: Database, run: Run, now: float, max_aged: int | None
    ) -> tuple[list[_JobLine], bool]:
        """Return the run's lines by account name, and whether every line that is too old was rebuilt."""
        # A line shows the days left of its model, hence the hour. It shows the holds that moderation causes, but not
        # its progress, which would void all lines every few seconds.
        scope = (replace(run, moderation=None), run.holds, now // 3600)
        if self._scope != scope:
            self._scope, self._lines = scope, {}
        async with database.read_long() as connection:
            versions = await row_versions.list_by_run(connection, run.id)
        lines = {version: line for version in versions if (line := self._lines.get(version))}
        await asyncio.sleep(0)
        max_age, chunk_lines = self._config.max_age_seconds, self._config.build_chunk_lines
        aged = [version for version, line in lines.items() if line.depends_on_time and now - line.built_at >= max_age]
        missing = [version for version in versions if version not in lines]
        outdated = [*missing, *aged[:max_aged]]
        for start in range(0, len(outdated), chunk_lines):
            async with database.read() as connection:
                lines |= await _build_lines(connection, run, outdated[start : start + chunk_lines], now)
            await asyncio.sleep(0)
        self._lines = lines  # row versions that no job has any more are dropped with it
        # A job may have been deleted between the two queries: then its line is missing.
        return [lines[version] for version in versions if version in lines], len(aged) == len(aged[:max_aged])


async def _build_lines(
    connection: StoreConnection, run: Run, versions: Sequence[str], now: float
) -> dict[str, _JobLine]:
    version_by_job = {row_versions.job_id_from_row_version(version): version for version in versions}
    loaded = await jobs.get_many(connection, list(version_by_job))
    account_states = await accounts.get_many(connection, [job.account for job in loaded.values()])
    latest_notes = await events.get_latest_notes(connection, list(loaded))
    lines = {}
    for job in loaded.values():
        account_state = account_states[job.account]
        view = job_view(job, run, account_state, latest_notes.get(job.id), now)
        hold_ends = any(hold and hold.until for hold in (job.hold, account_state.hold))
        lines[version_by_job[job.id]] = _JobLine(
            built_at=now,
            depends_on_time=hold_ends or job.state is JobState.RUNNING,
            state="held" if view.held else view.state,
            settled=view.settled,
            text=msgspec.json.encode(view_to_dict(view)),
        )
    return lines


def _encode(body: StatusBody, problem: Failure | None) -> bytes:
    """Join head, jobs and problem into one JSON object without encoding the jobs again."""
    head = msgspec.json.encode(body.head)[:-1]
    return b"".join((head, b',"jobs":[', b",".join(body.jobs), b'],"problem":', msgspec.json.encode(problem), b"}"))
