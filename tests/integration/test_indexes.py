"""What is asked of the database all the time goes by an index, however many jobs there are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import ClauseElement, Executable, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from store_values import NOW, RUN, a_job, fill, id_of

from orchestrator.core.account import ProviderName
from orchestrator.core.lifecycle import State
from orchestrator.core.selection import Selection
from orchestrator.store import durations, events, jobs, marks, selected
from orchestrator.store.database import Database

JOBS = 1000
LATER = 3600.0


class _Explain(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, statement: Any) -> None:
        self.statement = statement


@compiles(_Explain, "sqlite")
def _of_sqlite(element: _Explain, compiler: Any, **options: Any) -> str:
    return "EXPLAIN QUERY PLAN " + str(compiler.process(element.statement, **options))


@compiles(_Explain, "postgresql")
def _of_postgresql(element: _Explain, compiler: Any, **options: Any) -> str:
    explained = "EXPLAIN " + str(compiler.process(element.statement, **options))
    compiler._result_columns.clear()  # an explanation is text, whatever the statement's own columns are
    return explained


class Explaining:
    """A connection that notes how the database goes about each statement before it is executed."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.sync_connection = connection.sync_connection
        self.plan = ""

    async def execute(self, statement: Any, *values: Any) -> Any:
        explained = await self._connection.execute(_Explain(statement), *values)
        self.plan += "\n".join(str(row[-1]) for row in explained) + "\n"
        return await self._connection.execute(statement, *values)


Query = Callable[[Any], Awaitable[Any]]
QUERIES: dict[str, tuple[Query, str]] = {
    "what is due": (lambda c: jobs.due(c, NOW, 500), "ix_jobs_wake_at"),
    "the next wake-up": (jobs.next_wake, "ix_jobs_wake_at"),
    "lost wake-ups": (lambda c: jobs.overdue(c, NOW, NOW, 500), "ix_jobs_wake_at"),
    "a job with its circumstances": (lambda c: jobs.load(c, id_of("a1")), "ix_jobs_account_state"),
    "slots": (lambda c: jobs.holding_slots(c, "a1"), "ix_jobs_account_state"),
    "durations": (
        lambda c: durations.of_run(c, RUN.id, ProviderName.OPENAI, 200),
        "ix_jobs_run_id_state",
    ),
    "a page of jobs": (lambda c: selected.page(c, RUN, Selection(), NOW, limit=50), ""),
    "marks": (lambda c: marks.of_run(c, RUN.id), ""),
    "the history of an account": (lambda c: events.of_account(c, "a1"), "ix_events_account"),
    "the newest lines": (lambda c: events.newest(c, [id_of("a1"), id_of("a2")]), "ix_events_job_id"),
}
SCANS = ("SCAN jobs\n", "SCAN events\n", "Seq Scan on jobs", "Seq Scan on events")


async def crowd(database: Database) -> None:
    ended = {"state": State.SUCCEEDED, "wake_at": None, "submitted_at": NOW, "finished_at": NOW}
    waiting = {"state": State.RUNNING, "wake_at": NOW + LATER}
    rows = [a_job(f"a{number}", **(waiting if number % 10 == 0 else ended)) for number in range(JOBS)]
    await fill(database, rows)
    lines = [events.Entry(at=NOW, cause="test", note="step", account=job.account, job_id=job.id) for job in rows]
    await database.write(lambda connection: events.append(connection, *lines))


async def test_each_goes_by_its_index(database: Database) -> None:
    await crowd(database)
    wrong = {}
    async with database.read() as connection:
        await connection.execute(text("ANALYZE"))
        if not database.is_sqlite:  # which would read all of so small a table; whether an index fits is asked here
            await connection.execute(text("SET enable_seqscan = off"))
        for name, (ask, index) in QUERIES.items():
            explaining = Explaining(connection)
            await ask(explaining)
            if index not in explaining.plan or any(scan in explaining.plan for scan in SCANS):
                wrong[name] = explaining.plan
    assert wrong == {}
