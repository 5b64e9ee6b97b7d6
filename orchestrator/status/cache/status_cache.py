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
# 3. What depends on the time alone? Progress, the days left of a model and the end of a hold change without a commit.
#    Numbers are replaced in the encoded line (job_line.py); a line is built again when one of its holds has ended.
#    Without a commit this is done every `max_age_seconds`, and the jobs are not queried.
#
# Three clocks, which must not be confused:
#
# * `now` (wall clock, passed in) decides what a line shows, because lines show wall-clock times.
# * `_fresh_at` (event loop's clock) is when the body was last known to be up to date; after `_max_staleness` seconds
#   it is not served any more, and readers wait for the build however long it takes. Those are three seconds, and more
#   if a build takes long (`staleness_after`).
# * `_next_build_at` (event loop's clock) limits the share of time that goes into building: after a build of t seconds
#   no other begins for (build_time_divisor - 1) * t seconds, or fewer if t is long (`pause_after`), whatever changed.
#   Until then the body counts as fresh.
#
# A reader waits at most `max_wait_seconds` for a build and then gets the previous body. One build serves all readers.
# A build that is already under way may have read the database before the change that the reader knows of (its own
# action, for instance), so a reader that finds one waits for it and then checks again.
#
# The service handles jobs on the same event loop. Lines are therefore built `build_chunk_lines` at a time with a
# pause in between, and queries over all jobs go through `read_long`, in a thread of its own on SQLite. At most
# `max_aged_lines_per_build` lines are rebuilt for the end of a hold alone while a reader waits; the rest comes with
# the next builds, because the cache then pretends to be older than it is (`_renewed_at`).
#
# The encoded lines are shared by all answers and never changed, and no answer is a copy of them (encoded_status.py):
# with 100,000 jobs it would be 100 MB for each reader. Only the `problem` (why the accounts file is not in force) is
# not part of the cached body: it comes from the service's memory, and `_encode` puts it at the end.
#
# Several current runs have one body with a section for each. Whether a reader wants all of them or one, `_encode`
# joins the same lines, so a document of one run costs no second build.

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from orchestrator.aio import SingleFlight, StillRunning
from orchestrator.core.errors import Failure
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct
from orchestrator.status.cache.encoded_status import EncodedStatus
from orchestrator.status.cache.job_line import JobLine
from orchestrator.status.cache.job_line_cache import JobLineCache, StatusCacheConfig
from orchestrator.status.snapshot import RUNS_SCHEMA_VERSION, SCHEMA_VERSION, load_run_view, run_to_dict
from orchestrator.status.views import RunView, view_to_dict
from orchestrator.store.db.database import Database
from orchestrator.store.queries import replicas, runs

_JOBS: Final = b',"jobs":['


class RunSection(Struct, frozen=True):
    """A current run with its jobs."""

    run: RunView
    lines: Sequence[JobLine]
    """Its jobs, by account name."""
    counts: Mapping[str, int]
    """Number of jobs by state."""
    settled: bool
    """Whether nothing changes any more without an operator's action."""


class StatusBody(Struct, frozen=True):
    """The document without its `problem`."""

    replicas: Sequence[dict[str, Any]]
    sections: Sequence[RunSection]
    """The current runs, the one with the highest priority first."""

    def select(self, run: str | None) -> Sequence[RunSection]:
        """Return the sections of a document: that of the current run with this name or id, or all."""
        return [section for section in self.sections if run is None or run in {section.run.name, section.run.id}]


class StatusCache:
    """Serves the `/status` document of one database to any number of readers."""

    def __init__(self, config: StatusCacheConfig | None = None) -> None:
        self._config = config or StatusCacheConfig()
        self._builds = SingleFlight[str, None]()
        """The running build; all readers wait for the same."""
        self._line_caches: dict[RunId, JobLineCache] = {}
        """The encoded jobs of each current run."""
        self._body: StatusBody | None = None
        self._runs: list[tuple[Run, RunView]] = []
        """The current runs when the rows were read, the one with the highest priority first."""
        self._data_version: object = None
        """The database's version before the rows were read."""
        self._renewed_at = -self._config.max_age_seconds
        """Wall clock; in the distant past while lines that are too old remain."""
        self._fresh_at = 0.0
        """Event loop's clock: when the body was last known to be up to date."""
        self._max_staleness = self._config.max_staleness_seconds
        self._next_build_at = 0.0
        """Event loop's clock: until then the body is served whatever changed."""
        self._encoded_from: tuple[StatusBody | None, Failure | None] = (None, None)
        """The body and the problem that the answers were encoded from."""
        self._encoded: dict[str | None, EncodedStatus] = {}
        """The answers, by the run that was selected."""

    async def read(
        self, database: Database, problem: Failure | None, now: float, run: str | None = None
    ) -> EncodedStatus | None:
        """Return the document; `problem` is why the accounts file is not in force.

        With `run`, the document has only the current run with this name or id; None if there is none.
        Raises DatabaseUnavailable when it cannot be brought up to date.
        """
        body = await self._get_body(database, now)
        if self._encoded_from[0] is not body or self._encoded_from[1] != problem:
            self._encoded_from, self._encoded = (body, problem), {}
        if run not in self._encoded:
            sections = body.select(run)
            if run is not None and not sections:
                return None
            self._encoded[run] = _encode(body, sections, problem)
        return self._encoded[run]

    async def _get_body(self, database: Database, now: float) -> StatusBody:
        """Return a body that is up to date, or the previous one if the build takes longer than a reader waits."""
        clock = asyncio.get_running_loop().time
        previous = self._body if clock() - self._fresh_at < self._max_staleness else None
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
        has_changed = data_version != self._data_version or self._body is None
        # `abs`: the clock may have been set back.
        if has_changed or abs(now - self._renewed_at) >= max_age:
            build_started = clock()
            if has_changed:
                await self._update_rows(database, now)
                self._data_version = data_version
            self._body, is_complete = await self._build(database, now, max_aged)
            self._renewed_at = now if is_complete else -max_age
            build_seconds = clock() - build_started
            self._max_staleness = self._config.staleness_after(build_seconds)
            self._next_build_at = clock() + self._config.pause_after(build_seconds)
        self._fresh_at = started

    async def _update_rows(self, database: Database, now: float) -> None:
        """Load the current runs, and build the lines of their jobs that changed."""
        async with database.read_long() as connection:
            current = await runs.list_current(connection)
            self._runs = [(run, await load_run_view(connection, run)) for run in current]
        # The lines of a run that is no longer current are dropped with its cache.
        self._line_caches = {run.id: self._line_caches.get(run.id) or JobLineCache(self._config) for run in current}
        for run in current:
            await self._line_caches[run.id].update_rows(database, run, now)

    async def _build(self, database: Database, now: float, max_aged: int | None) -> tuple[StatusBody, bool]:
        """Build the body. Returns it, and whether every line in it is as it should be at `now`."""
        async with database.read() as connection:
            live = await replicas.list_live(connection, now)
        share = None if max_aged is None else max(max_aged // max(len(self._runs), 1), 1)
        sections, all_built = [], True
        for run, view in self._runs:
            lines, is_complete = await self._line_caches[run.id].get_lines(database, run, now, share)
            counts, is_settled = await asyncio.to_thread(_summarise, lines)
            sections.append(RunSection(view, lines, counts, is_settled))
            all_built &= is_complete
        return StatusBody([view_to_dict(replica) for replica in live], sections), all_built


def _summarise(lines: Sequence[JobLine]) -> tuple[dict[str, int], bool]:
    """Return the number of jobs by state, and whether all of them are settled."""
    counts = Counter(line.state for line in lines)
    return dict(sorted(counts.items())), all(line.settled for line in lines)


def _encode(body: StatusBody, sections: Sequence[RunSection], problem: Failure | None) -> EncodedStatus:
    """Put the sections, their jobs and the problem together as one JSON object without encoding the jobs again."""
    last = b',"problem":%b}' % msgspec.json.encode(problem)
    if len(sections) > 1:
        counts: Counter[str] = Counter()
        for section in sections:
            counts.update(section.counts)
        head = {
            "schema": RUNS_SCHEMA_VERSION,
            "counts": dict(sorted(counts.items())),
            "settled": all(section.settled for section in sections),
            "replicas": body.replicas,
        }
        parts: list[bytes | Sequence[JobLine]] = []
        before = _open(head) + b',"runs":['
        for section in sections:
            opened = _open(run_to_dict(section.run) | {"counts": section.counts, "settled": section.settled})
            parts += [before + opened + _JOBS, section.lines]
            before = b"]},"
        return EncodedStatus(*parts, b"]}]" + last)
    only = next(iter(sections), None)
    head = {
        "schema": SCHEMA_VERSION,
        "run": view_to_dict(only.run) if only else None,
        "counts": only.counts if only else {},
        "settled": only is not None and only.settled,
        "replicas": body.replicas,
    }
    return EncodedStatus(_open(head) + _JOBS, only.lines if only else (), b"]" + last)


def _open(head: dict[str, Any]) -> bytes:
    """Encode an object without its closing brace, so that members can be appended."""
    return msgspec.json.encode(head)[:-1]
