"""Another process has the database for too long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from store_values import NOW

from orchestrator.app import SystemClock
from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.store.db import postgresql, sqlite
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction

LOCK_TIMEOUT_SECONDS = 0.3  # seconds
now = SystemClock().now


@pytest.fixture
async def hasty(database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """On the same database, less patient."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MILLISECONDS", int(LOCK_TIMEOUT_SECONDS * 1000))
    monkeypatch.setitem(
        postgresql.SERVER_TIMEOUTS_MILLISECONDS, "lock_timeout", f"{int(LOCK_TIMEOUT_SECONDS * 1000)}"
    )
    opened = Database(database_url)
    yield opened
    await opened.close()


async def test_lock_timeout_fails_all_waiting_writes_at_once(database: Database, hasty: Database) -> None:
    has_it, may_go = asyncio.Event(), asyncio.Event()

    async def hog(_tx: Transaction) -> None:
        has_it.set()
        await may_go.wait()

    async def note(tx: Transaction) -> None:
        tx.add_events(EventData(at=NOW, cause="test", note="x"))

    hogging = asyncio.create_task(database.write(hog))
    await has_it.wait()
    start = now()
    outcomes = await asyncio.gather(*(hasty.write(note) for _ in range(10)), return_exceptions=True)
    assert LOCK_TIMEOUT_SECONDS <= now() - start < 5 * LOCK_TIMEOUT_SECONDS
    assert all(isinstance(outcome, DatabaseUnavailable) for outcome in outcomes)
    may_go.set()
    await hogging
    await hasty.write(note)
