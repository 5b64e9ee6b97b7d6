from __future__ import annotations

from typing import Any

import pytest
import structlog
from store_values import NOW, a_job, fill

from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.structs import replace
from orchestrator.daemon.maintenance import event_retention
from orchestrator.daemon.maintenance.event_retention import DAY_SECONDS, EventPurger
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import events

OLD, NEW = NOW - 40 * DAY_SECONDS, NOW - DAY_SECONDS


async def write(database: Database, *lines: tuple[float, str, str | None, str]) -> None:
    async def change(tx: Transaction) -> None:
        for at, account, job, note in lines:
            tx.add_events(EventData(at=at, cause="test", note=note, account=account, job_id=job))

    await database.write(change)


async def notes(database: Database, account: str) -> list[str]:
    async with database.read() as connection:
        return [entry.note for entry in await events.list_by_account(connection, account)]


@pytest.fixture
async def history(database: Database) -> Database:
    """An ended job, an open one, and lines of no job."""
    done = replace(a_job("done"), state=JobState.SUCCEEDED, wake_at=None)
    open_ = a_job("open")
    await fill(database, [done, open_])
    for job in (done, open_):
        await write(database, *((OLD, job.account, job.id, note) for note in ("one", "two", "three")))
    await write(database, (OLD, "done", None, "old hold"), (NEW, "done", None, "new hold"))
    return database


def a_retention(database: Database, now: float = NOW) -> EventPurger:
    log: Any = structlog.get_logger()
    return EventPurger(database, keep_days=30, now=lambda: now, log=log)


async def test_old_events_are_purged_except_open_jobs_and_last_events(history: Database) -> None:
    await a_retention(history).purge()
    assert await notes(history, "done") == ["three", "new hold"]
    assert await notes(history, "open") == ["one", "two", "three"]


async def test_recent_events_are_not_purged(history: Database) -> None:
    await a_retention(history, now=OLD + 29 * DAY_SECONDS).purge()
    assert len(await notes(history, "done")) == 5


async def test_purge_deletes_a_bounded_batch_per_tick(history: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_retention, "BATCH_SIZE", 1)
    monkeypatch.setattr(event_retention, "MAX_BATCHES_PER_RUN", 2)
    await a_retention(history).purge()
    assert await notes(history, "done") == ["three", "old hold", "new hold"]
    await a_retention(history).purge()
    assert await notes(history, "done") == ["three", "new hold"]
