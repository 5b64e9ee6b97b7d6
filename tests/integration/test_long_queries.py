"""A look over a whole run lets others have their turn, whatever becomes of it."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from orchestrator.store.db.database import Database

SLOW_QUERY = text(
    "WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 1000000) "
    "SELECT count(*) AS total FROM counted"
)


async def run_slow_query(database: Database) -> int:
    async with database.read_long() as connection:
        total: int = (await connection.execute(SLOW_QUERY)).scalar_one()
    return total


async def test_event_loop_runs_during_a_long_query(database: Database) -> None:
    looking = asyncio.create_task(run_slow_query(database))
    turns = 0
    while not looking.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert looking.result() == 1_000_000
    assert turns > 5


async def test_cancelled_query_leaves_a_usable_connection(database: Database) -> None:
    looking = asyncio.create_task(run_slow_query(database))
    await asyncio.sleep(0.01)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert await asyncio.gather(*(run_slow_query(database) for _ in range(5))) == [1_000_000] * 5
