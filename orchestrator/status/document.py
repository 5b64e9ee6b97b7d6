"""Document: what `/status` answers, as bytes. Built only when something changed, and then only the lines that did."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from orchestrator.core.errors import Failure
from orchestrator.core.job import JobId
from orchestrator.core.lifecycle import State
from orchestrator.core.run import Run
from orchestrator.status.views import Status, job_view, plain, run_view
from orchestrator.status.whole import SCHEMA, as_json
from orchestrator.store import accounts, events, jobs, marks, pins, replicas, runs
from orchestrator.store.database import Database

AGE: Final = 10.0  # seconds after which what depends on the time alone, as progress does, is worked out again
SHARE: Final = 5  # while jobs change all the time, at most a fifth of it goes into building
CHUNK: Final = 100  # lines built at a time; others get their turn in between
WAIT: Final = 0.02  # seconds that an answer waits for what changed; then it is what was known last
STALE: Final = 3.0  # unless that was so many seconds ago


@dataclass(frozen=True, slots=True)
class _Line:
    mark: Sequence[Any]
    at: float
    moving: bool
    state: str
    settled: bool
    text: bytes

    def holds(self, mark: Sequence[Any], now: float) -> bool:
        return self.mark == mark and not (self.moving and now - self.at >= AGE)


class Document:
    """Remembers what it said last."""

    def __init__(self) -> None:
        self._building: asyncio.Task[None] | None = None
        self._lines: dict[JobId, _Line] = {}
        self._scope: object = None
        self._body = b""
        self._mark: object = None
        self._at = -AGE
        self._fresh_at = 0.0  # on the event loop's clock
        self._until = 0.0  # on the event loop's clock: so long the body serves whatever changed
        self._answer: tuple[bytes, Failure | None, bytes] = (b"", None, b"")

    async def read(self, database: Database, problem: Failure | None, now: float) -> bytes:
        """The document now; `problem` is why the accounts file is not in force."""
        await self._catch_up(database, now)
        if self._answer[0] is not self._body or self._answer[1] != problem:
            self._answer = (self._body, problem, encode(self._body, problem))
        return self._answer[2]

    async def _catch_up(self, database: Database, now: float) -> None:
        """Be up to date, or as good as that in a short time. Raises what prevents it."""
        clock = asyncio.get_running_loop().time
        hurries = bool(self._body) and clock() - self._fresh_at < STALE
        end = clock() + WAIT
        for _ in range(2):  # a build that is under way may have begun before what is asked for
            begins = self._building is None or self._building.done()
            if begins:
                self._building = asyncio.create_task(self._refresh(database, now), name="status")
                self._building.add_done_callback(_heard)
            assert self._building is not None
            building = self._building
            await asyncio.wait({building}, timeout=max(end - clock(), 0) if hurries else None)
            if not building.done():
                return
            building.result()
            if begins:
                return

    async def _refresh(self, database: Database, now: float) -> None:
        clock = asyncio.get_running_loop().time
        asked = clock()
        if asked < self._until:
            return
        mark = await database.mark()
        if mark != self._mark or now - self._at >= AGE:
            begun = clock()
            self._body = await self._build(database, now)
            self._mark, self._at = mark, now
            self._until = clock() + (clock() - begun) * (SHARE - 1)
        self._fresh_at = asked

    async def _build(self, database: Database, now: float) -> bytes:
        async with database.read() as connection:
            alive = tuple(await replicas.live(connection, now))
            run = await runs.current(connection)
            if run is None:
                return msgspec.json.encode(as_json(Status(run=None, replicas=alive)))
            dataset = await runs.dataset_row(connection, run.dataset_sha256)
            used = await pins.used(connection, run.id)
            lines = await self._of(connection, run, now)
        await asyncio.sleep(0)
        counts = Counter(line.state for line in lines)
        head = {
            "schema": SCHEMA,
            "run": plain(run_view(run, dataset, used)),
            "counts": dict(sorted(counts.items())),
            "settled": all(line.settled for line in lines),
            "replicas": [plain(replica) for replica in alive],
        }
        return b'%s,"jobs":[%s]}' % (msgspec.json.encode(head)[:-1], b",".join([line.text for line in lines]))

    async def _of(self, connection: AsyncConnection, run: Run, now: float) -> list[_Line]:
        """The run's lines, by account."""
        if self._scope != (run, now // 3600):  # the hour: days left are counted by the day
            self._scope, self._lines = (run, now // 3600), {}
        listed = await marks.of_run(connection, run.id)
        await asyncio.sleep(0)
        kept = {row[0]: line for row in listed if (line := self._lines.get(row[0])) and line.holds(row, now)}
        missing = [row for row in listed if row[0] not in kept]
        for start in range(0, len(missing), CHUNK):
            kept |= await _lines(connection, run, missing[start : start + CHUNK], now)
            await asyncio.sleep(0)
        self._lines = kept
        return [kept[row[0]] for row in listed if row[0] in kept]


def _heard(building: asyncio.Task[None]) -> None:
    """What went wrong is told to whoever waited; that nobody did is no second fault."""
    if not building.cancelled():
        building.exception()


async def _lines(
    connection: AsyncConnection, run: Run, rows: Sequence[Sequence[Any]], now: float
) -> dict[JobId, _Line]:
    marked: dict[JobId, Sequence[Any]] = {row[0]: row for row in rows}
    found = await jobs.by_id(connection, list(marked))
    standings = await accounts.some(connection, [job.account for job in found.values()])
    latest = await events.newest(connection, list(found))
    made = {}
    for job in found.values():
        standing = standings[job.account]
        view = job_view(job, run, standing, latest.get(job.id), now)
        ends = any(hold and hold.until for hold in (job.hold, standing.hold))
        made[job.id] = _Line(
            mark=marked[job.id],
            at=now,
            moving=ends or job.state is State.RUNNING,
            state="held" if view.held else view.state,
            settled=view.settled,
            text=msgspec.json.encode(plain(view)),
        )
    return made


def encode(body: bytes, problem: Failure | None) -> bytes:
    """The document with why the accounts file as it is now is not in force."""
    return b'%s,"problem":%s}' % (body[:-1], msgspec.json.encode(problem))
