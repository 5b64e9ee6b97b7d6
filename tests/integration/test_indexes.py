"""What is asked of the database all the time goes by an index, however many jobs there are."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event, text
from store_values import NOW, RUN, a_job, fill, id_of

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.structs import replace
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import (
    costs,
    deliveries,
    events,
    job_search,
    jobs,
    losses,
    row_versions,
    stats,
    uploads,
    webhooks,
)

JOBS = 1000
OPEN = 100
LATER = 3600.0


@contextmanager
def explained(connection: StoreConnection, how: str) -> Iterator[list[str]]:
    """How the database goes about each statement that is executed meanwhile."""
    plan: list[str] = []

    def look(inner: Connection, _: Any, statement: str, values: Any, __: Any, many: bool) -> None:
        if not statement.startswith("EXPLAIN"):
            plan.extend(str(row[-1]) for row in inner.exec_driver_sql(how + statement, values[0] if many else values))

    event.listen(connection.sync_connection, "before_cursor_execute", look)
    try:
        yield plan
    finally:
        event.remove(connection.sync_connection, "before_cursor_execute", look)


Query = Callable[[Any], Awaitable[Any]]
QUERIES: dict[str, tuple[Query, str]] = {
    "what is due": (lambda c: jobs.list_due(c, NOW, 500), "ix_jobs_wake_at"),
    "how much is due": (lambda c: stats.count_due(c, NOW), "ix_jobs_wake_at"),
    "the next wake-up": (jobs.find_next_wake_at, "ix_jobs_wake_at"),
    "lost wake-ups": (lambda c: jobs.list_overdue(c, NOW, NOW, 500), "ix_jobs_wake_at"),
    "a job with its circumstances": (lambda c: jobs.load(c, id_of("a1")), "ix_jobs_account_state"),
    "several jobs": (lambda c: jobs.get_many(c, [id_of("a1"), id_of("a2")]), ""),
    "slots": (lambda c: jobs.count_used_slots(c, "a1"), "ix_jobs_account_state"),
    "who is woken when a slot is free": (
        lambda c: jobs.wake_account(Transaction(c), "a1", NOW),
        "ix_jobs_account_state",
    ),
    "who is woken by a start": (lambda c: jobs.wake_unsubmitted(Transaction(c), RUN.id, NOW), "ix_jobs_run_id_state"),
    "what an account has committed": (lambda c: costs.get_committed(c, "a1", RUN.id, 0.0), "ix_jobs_account_state"),
    "whom a webhook is about": (lambda c: webhooks.find_job(c, "a1", "ftjob-1"), "ix_jobs_account_state"),
    "durations": (
        lambda c: stats.get_job_durations(c, RUN.id, ProviderName.OPENAI, 200),
        "ix_jobs_run_id_state",
    ),
    "a page of jobs": (lambda c: job_search.list_page(c, RUN, JobFilter(), NOW, limit=50), "run_jobs"),
    "a page of one state": (lambda c: job_search.list_page(c, RUN, JobFilter(state="running"), NOW, limit=50), ""),
    "marks": (lambda c: row_versions.list_by_run(c, RUN.id), "run_jobs"),
    "an upload under way": (lambda c: uploads.find(c, id_of("a1"), "0" * 64), ""),
    "a curve": (lambda c: losses.list_by_job(c, id_of("a1")), ""),
    "the history of an account": (lambda c: events.list_by_account(c, "a1"), "ix_events_account"),
    "the log of an account": (lambda c: events.list_latest(c, "a1", limit=1000), "ix_events_account"),
    "the newest lines": (lambda c: events.get_latest_notes(c, [id_of("a1"), id_of("a2")]), "ix_events_job_id"),
    "what happened since": (lambda c: events.list_after(c, JOBS - 5, limit=100), ""),
    "what happened last": (events.get_latest_id, ""),
    "whether a webhook came before": (lambda c: webhooks.insert_if_new(Transaction(c), "a1", "w1", NOW), ""),
    "whom something is to be told": (lambda c: deliveries.list_due_targets(c, NOW), "ix_deliveries_due_at"),
    "what is to be told": (
        lambda c: deliveries.claim(Transaction(c), "t", now=NOW, until=NOW + 1, limit=50),
        "ix_deliveries_due_at",
    ),
}
# SQLite's words and PostgreSQL's for reading all of a table that grows.
SCAN = re.compile(r"(SCAN|Seq Scan on) (jobs|run_jobs|events|deliveries|webhooks|losses|uploads)(?! USING)")


FULL_SCAN_QUERIES = {
    "what is due",
    "how much is due",
    "the next wake-up",
}  # also where reading all of it would be cheap


async def insert_many_jobs(database: Database) -> None:
    """A run at work, and one that is over and has most of the jobs."""
    ended = {"state": JobState.SUCCEEDED, "wake_at": None, "submitted_at": NOW, "finished_at": NOW}
    over = [a_job(f"old{number}", run_id="run-0", **ended) for number in range(JOBS - OPEN)]
    rows = [a_job(f"a{number}", state=JobState.RUNNING, wake_at=NOW + LATER) for number in range(OPEN)]
    await fill(database, over, replace(RUN, id=RunId("run-0")))
    await fill(database, rows)
    lines = [EventData(at=NOW, cause="test", note="step", account=job.account, job_id=job.id) for job in over + rows]
    async with database.transaction() as tx:
        tx.add_events(*lines)


async def test_every_query_uses_its_index(database: Database) -> None:
    await insert_many_jobs(database)
    wrong = {}
    async with database.read() as connection:
        if not database.is_sqlite:  # which keeps no statistics of its own
            await connection.execute(text("ANALYZE"))
        for name, (ask, index) in QUERIES.items():
            if not database.is_sqlite:  # it reads all of a small table rather; here it is asked what fits
                reads_all = "on" if name in FULL_SCAN_QUERIES else "off"
                await connection.execute(text(f"SET enable_seqscan = {reads_all}"))
            with explained(connection, "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN ") as lines:
                await ask(connection)
            plan = "\n".join(lines)
            if not plan or index not in plan or SCAN.search(plan):
                wrong[name] = plan
    assert wrong == {}
