"""Document: what `/status` answers, as bytes. Built only when something changed, and then only the lines that did."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from orchestrator.core.errors import Failure
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.run import Run
from orchestrator.status.snapshot import SCHEMA_VERSION, status_to_dict
from orchestrator.status.views import StatusSnapshot, job_view, run_view, view_to_dict
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, events, jobs, pins, replicas, runs
from orchestrator.store.queries import row_versions as marks

MAX_AGE_SECONDS: Final = (
    10.0  # seconds after which what depends on the time alone, as progress does, is worked out again
)
BUILD_TIME_DIVISOR: Final = 5  # while jobs change all the time, at most a fifth of it goes into building
BUILD_CHUNK_LINES: Final = 50  # lines built at a time; others get their turn in between
MAX_AGED_LINES_PER_BUILD: Final = 300  # lines at most that are built anew for their age alone, while somebody waits
MAX_WAIT_SECONDS: Final = 0.02  # seconds that an answer waits for what changed; then it is what was known last
MAX_STALENESS_SECONDS: Final = 3.0  # unless that was so many seconds ago


@dataclass(frozen=True, slots=True)
class _JobLine:
    built_at: float
    depends_on_time: bool
    state: str
    settled: bool
    text: bytes


@dataclass(frozen=True, slots=True)
class StatusBody:
    """The document without its problem: what it says of the run, and each job in bytes."""

    head: dict[str, Any]
    jobs: Sequence[bytes]


class StatusCache:
    """Remembers what it said last."""

    def __init__(self) -> None:
        self._build_task: asyncio.Task[None] | None = None
        self._lines: dict[str, _JobLine] = {}  # by mark
        self._scope: object = None
        self._body: StatusBody | None = None
        self._data_version: object = None
        self._built_at = -MAX_AGE_SECONDS
        self._fresh_at = 0.0  # on the event loop's clock
        self._next_build_at = 0.0  # on the event loop's clock: so long the body serves whatever changed
        self._encoded: tuple[StatusBody | None, Failure | None, bytes] = (None, None, b"")

    async def read(self, database: Database, problem: Failure | None, now: float) -> bytes:
        """The document now; `problem` is why the accounts file is not in force."""
        body = await self._get_body(database, now)
        if self._encoded[0] is not body or self._encoded[1] != problem:
            self._encoded = (body, problem, _encode(body, problem))
        return self._encoded[2]

    async def _get_body(self, database: Database, now: float) -> StatusBody:
        """Be up to date, or as good as that in a short time. Raises what prevents it."""
        clock = asyncio.get_running_loop().time
        known = self._body if clock() - self._fresh_at < MAX_STALENESS_SECONDS else None
        end = clock() + MAX_WAIT_SECONDS
        for _ in range(2):  # a build that is under way may have begun before what is asked for
            begins = self._build_task is None or self._build_task.done()
            if begins:
                most = None if known is None else MAX_AGED_LINES_PER_BUILD
                self._build_task = asyncio.create_task(self._refresh(database, now, most), name="status")
                self._build_task.add_done_callback(_consume_error)
            assert self._build_task is not None
            building = self._build_task
            await asyncio.wait({building}, timeout=None if known is None else max(end - clock(), 0))
            if known is not None and not building.done():
                return known
            building.result()
            if begins:
                break
        assert self._body is not None
        return self._body

    async def _refresh(self, database: Database, now: float, max_aged: int | None) -> None:
        clock = asyncio.get_running_loop().time
        asked = clock()
        if asked < self._next_build_at:
            return
        mark = await database.get_data_version()
        if mark != self._data_version or now - self._built_at >= MAX_AGE_SECONDS:
            begun = clock()
            self._body, all_built = await self._build(database, now, max_aged)
            self._data_version, self._built_at = mark, now if all_built else -MAX_AGE_SECONDS
            self._next_build_at = clock() + (clock() - begun) * (BUILD_TIME_DIVISOR - 1)
        self._fresh_at = asked

    async def _build(self, database: Database, now: float, max_aged: int | None) -> tuple[StatusBody, bool]:
        """The body, and whether nothing in it is older than it should be."""
        async with database.read() as connection:
            alive = tuple(await replicas.list_live(connection, now))
            run = await runs.find_current(connection)
            if run is None:
                nothing = status_to_dict(StatusSnapshot(run=None, replicas=alive))
                del nothing["jobs"], nothing["problem"]  # `_encode` adds them
                return StatusBody(nothing, []), True
            dataset = await runs.get_dataset_row(connection, run.dataset_sha256)
            used = await pins.list_used_values(connection, run.id)
            twins = await accounts.list_shared_keys(connection) if run.current else []
        lines, all_built = await self._get_lines(database, run, now, max_aged)
        counts = Counter(line.state for line in lines)
        head = {
            "schema": SCHEMA_VERSION,
            "run": view_to_dict(run_view(run, dataset, used, twins)),
            "counts": dict(sorted(counts.items())),
            "settled": all(line.settled for line in lines),
            "replicas": [view_to_dict(replica) for replica in alive],
        }
        return StatusBody(head, [line.text for line in lines]), all_built

    async def _get_lines(
        self, database: Database, run: Run, now: float, max_aged: int | None
    ) -> tuple[list[_JobLine], bool]:
        """The run's lines by account, of those that are only old `most` anew; and whether that was all."""
        # The hour: days left are counted by the day. Of the moderation a line shows what it holds, not how far it is.
        scope = (replace(run, moderation=None), run.holds, now // 3600)
        if self._scope != scope:
            self._scope, self._lines = scope, {}
        async with database.read_long() as connection:
            listed = await marks.list_by_run(connection, run.id)
        kept = {mark: line for mark in listed if (line := self._lines.get(mark))}
        await asyncio.sleep(0)
        aged = [
            mark for mark, line in kept.items() if line.depends_on_time and now - line.built_at >= MAX_AGE_SECONDS
        ]
        missing = [mark for mark in listed if mark not in kept]
        building = [*missing, *aged[:max_aged]]
        for start in range(0, len(building), BUILD_CHUNK_LINES):
            async with database.read() as connection:
                kept |= await _build_lines(connection, run, building[start : start + BUILD_CHUNK_LINES], now)
            await asyncio.sleep(0)
        self._lines = kept
        return [kept[mark] for mark in listed if mark in kept], len(aged) == len(aged[:max_aged])


def _consume_error(building: asyncio.Task[None]) -> None:
    """What went wrong is told to whoever waited; that nobody did is no second fault."""
    if not building.cancelled():
        building.exception()


async def _build_lines(
    connection: StoreConnection, run: Run, row_versions: Sequence[str], now: float
) -> dict[str, _JobLine]:
    marked = {marks.job_id_from_row_version(mark): mark for mark in row_versions}
    found = await jobs.get_many(connection, list(marked))
    standings = await accounts.get_many(connection, [job.account for job in found.values()])
    latest = await events.get_latest_notes(connection, list(found))
    made = {}
    for job in found.values():
        standing = standings[job.account]
        view = job_view(job, run, standing, latest.get(job.id), now)
        ends = any(hold and hold.until for hold in (job.hold, standing.hold))
        made[marked[job.id]] = _JobLine(
            built_at=now,
            depends_on_time=ends or job.state is JobState.RUNNING,
            state="held" if view.held else view.state,
            settled=view.settled,
            text=msgspec.json.encode(view_to_dict(view)),
        )
    return made


def _encode(body: StatusBody, problem: Failure | None) -> bytes:
    """The document with why the accounts file as it is now is not in force."""
    head = msgspec.json.encode(body.head)[:-1]
    return b"".join((head, b',"jobs":[', b",".join(body.jobs), b'],"problem":', msgspec.json.encode(problem), b"}"))
