"""Document: what `/status` answers, as bytes. Built only when something changed, and then only the lines that did."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from orchestrator.core.errors import Failure
from orchestrator.core.lifecycle import State
from orchestrator.core.run import Run
from orchestrator.status.views import Status, job_view, plain, run_view
from orchestrator.status.whole import SCHEMA, as_json
from orchestrator.store import accounts, events, jobs, marks, pins, replicas, runs
from orchestrator.store.connection import AsyncConnection
from orchestrator.store.database import Database

AGE: Final = 10.0  # seconds after which what depends on the time alone, as progress does, is worked out again
SHARE: Final = 5  # while jobs change all the time, at most a fifth of it goes into building
CHUNK: Final = 50  # lines built at a time; others get their turn in between
AGED: Final = 300  # lines at most that are built anew for their age alone, while somebody waits
WAIT: Final = 0.02  # seconds that an answer waits for what changed; then it is what was known last
STALE: Final = 3.0  # unless that was so many seconds ago


@dataclass(frozen=True, slots=True)
class _Line:
    at: float
    moving: bool
    state: str
    settled: bool
    text: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """The document without its problem: what it says of the run, and each job in bytes."""

    head: dict[str, Any]
    jobs: Sequence[bytes]


class Document:
    """Remembers what it said last."""

    def __init__(self) -> None:
        self._building: asyncio.Task[None] | None = None
        self._lines: dict[str, _Line] = {}  # by mark
        self._scope: object = None
        self._body: Body | None = None
        self._mark: object = None
        self._at = -AGE
        self._fresh_at = 0.0  # on the event loop's clock
        self._until = 0.0  # on the event loop's clock: so long the body serves whatever changed
        self._answer: tuple[Body | None, Failure | None, bytes] = (None, None, b"")

    async def read(self, database: Database, problem: Failure | None, now: float) -> bytes:
        """The document now; `problem` is why the accounts file is not in force."""
        body = await self._catch_up(database, now)
        if self._answer[0] is not body or self._answer[1] != problem:
            self._answer = (body, problem, _encode(body, problem))
        return self._answer[2]

    async def _catch_up(self, database: Database, now: float) -> Body:
        """Be up to date, or as good as that in a short time. Raises what prevents it."""
        clock = asyncio.get_running_loop().time
        known = self._body if clock() - self._fresh_at < STALE else None
        end = clock() + WAIT
        for _ in range(2):  # a build that is under way may have begun before what is asked for
            begins = self._building is None or self._building.done()
            if begins:
                most = None if known is None else AGED
                self._building = asyncio.create_task(self._refresh(database, now, most), name="status")
                self._building.add_done_callback(_heard)
            assert self._building is not None
            building = self._building
            await asyncio.wait({building}, timeout=None if known is None else max(end - clock(), 0))
            if known is not None and not building.done():
                return known
            building.result()
            if begins:
                break
        assert self._body is not None
        return self._body

    async def _refresh(self, database: Database, now: float, most: int | None) -> None:
        clock = asyncio.get_running_loop().time
        asked = clock()
        if asked < self._until:
            return
        mark = await database.mark()
        if mark != self._mark or now - self._at >= AGE:
            begun = clock()
            self._body, all_built = await self._build(database, now, most)
            self._mark, self._at = mark, now if all_built else -AGE
            self._until = clock() + (clock() - begun) * (SHARE - 1)
        self._fresh_at = asked

    async def _build(self, database: Database, now: float, most: int | None) -> tuple[Body, bool]:
        """The body, and whether nothing in it is older than it should be."""
        async with database.read() as connection:
            alive = tuple(await replicas.live(connection, now))
            run = await runs.current(connection)
            if run is None:
                nothing = as_json(Status(run=None, replicas=alive))
                del nothing["jobs"], nothing["problem"]  # `_encode` adds them
                return Body(nothing, []), True
            dataset = await runs.dataset_row(connection, run.dataset_sha256)
            used = await pins.used(connection, run.id)
            twins = await accounts.same_definitions(connection) if run.current else []
        lines, all_built = await self._of(database, run, now, most)
        counts = Counter(line.state for line in lines)
        head = {
            "schema": SCHEMA,
            "run": plain(run_view(run, dataset, used, twins)),
            "counts": dict(sorted(counts.items())),
            "settled": all(line.settled for line in lines),
            "replicas": [plain(replica) for replica in alive],
        }
        return Body(head, [line.text for line in lines]), all_built

    async def _of(self, database: Database, run: Run, now: float, most: int | None) -> tuple[list[_Line], bool]:
        """The run's lines by account, of those that are only old `most` anew; and whether that was all."""
        # The hour: days left are counted by the day. Of the moderation a line shows what it holds, not how far it is.
        scope = (replace(run, moderation=None), run.holds, now // 3600)
        if self._scope != scope:
            self._scope, self._lines = scope, {}
        async with database.survey() as connection:
            listed = await marks.of_run(connection, run.id)
        kept = {mark: line for mark in listed if (line := self._lines.get(mark))}
        await asyncio.sleep(0)
        aged = [mark for mark, line in kept.items() if line.moving and now - line.at >= AGE]
        missing = [mark for mark in listed if mark not in kept]
        building = [*missing, *aged[:most]]
        for start in range(0, len(building), CHUNK):
            async with database.read() as connection:
                kept |= await _lines(connection, run, building[start : start + CHUNK], now)
            await asyncio.sleep(0)
        self._lines = kept
        return [kept[mark] for mark in listed if mark in kept], len(aged) == len(aged[:most])


def _heard(building: asyncio.Task[None]) -> None:
    """What went wrong is told to whoever waited; that nobody did is no second fault."""
    if not building.cancelled():
        building.exception()


async def _lines(connection: AsyncConnection, run: Run, listed: Sequence[str], now: float) -> dict[str, _Line]:
    marked = {marks.job_of(mark): mark for mark in listed}
    found = await jobs.by_id(connection, list(marked))
    standings = await accounts.some(connection, [job.account for job in found.values()])
    latest = await events.newest(connection, list(found))
    made = {}
    for job in found.values():
        standing = standings[job.account]
        view = job_view(job, run, standing, latest.get(job.id), now)
        ends = any(hold and hold.until for hold in (job.hold, standing.hold))
        made[marked[job.id]] = _Line(
            at=now,
            moving=ends or job.state is State.RUNNING,
            state="held" if view.held else view.state,
            settled=view.settled,
            text=msgspec.json.encode(plain(view)),
        )
    return made


def _encode(body: Body, problem: Failure | None) -> bytes:
    """The document with why the accounts file as it is now is not in force."""
    head = msgspec.json.encode(body.head)[:-1]
    return b"".join((head, b',"jobs":[', b",".join(body.jobs), b'],"problem":', msgspec.json.encode(problem), b"}"))
