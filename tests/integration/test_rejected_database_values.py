"""A value that the database does not take is a fault of its own change: no outage, and no other change suffers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from store_values import NOW, a_job, fill
from structlog.testing import capture_logs

from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.schema.tables import events as events_table
from orchestrator.store.schema.tables import losses

LOSSES = {
    "a text for a number": {"training_loss": "abc"},
    "an object": {"training_loss": object()},
    "too large for 32 bits, and for 64": {"step": 2**70},
    "a surrogate": {"job_id": "\ud800"},
    "no such job": {"job_id": "nobody"},
    "nothing where there must be something": {"job_id": None},
}


async def note(tx: Transaction) -> None:
    tx.add_events(EventData(at=NOW, cause="test", note="good"))


async def notes(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.execute(select(events_table.c.note))).scalars())


@pytest.mark.parametrize("values", LOSSES.values(), ids=LOSSES)
async def test_a_refused_value_fails_its_own_change_only(database: Database, values: dict[str, Any]) -> None:
    job = a_job("acme")
    await fill(database, [job])
    before = len(await notes(database))

    async def write_loss(tx: Transaction) -> None:
        row = {"job_id": job.id, "step": 1, "training_loss": 1.0, "validation_loss": None} | values
        await tx.connection.execute(insert(losses), row)

    with capture_logs() as said:
        results = await asyncio.gather(
            database.write(note), database.write(write_loss), database.write(note), return_exceptions=True
        )
    assert isinstance(results[1], Exception)
    assert not isinstance(results[1], DatabaseUnavailable)
    assert (results[0], results[2]) == (None, None)
    assert len(await notes(database)) == before + 2
    assert said == []
    assert await database.is_reachable()


async def test_rejected_query_value_is_not_an_outage(database: Database) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - SQLite and PostgreSQL raise different ones
        async with database.read() as connection:
            await connection.execute(select(losses).where(losses.c.step == 2**70))
    assert not isinstance(raised.value, DatabaseUnavailable)
    assert database.outage.reason is None


async def test_nul_character_is_not_an_outage_on_postgresql(postgres_url: str) -> None:
    database = Database(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
    await database.migrate()
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the driver's class
        async with database.read() as connection:
            await connection.execute(select(losses).where(losses.c.job_id == "a\0b"))
    assert not isinstance(raised.value, DatabaseUnavailable)
    assert database.outage.reason is None
    await database.close()


CUT_OFF = ("SELECT pg_terminate_backend(pg_backend_pid())",)
READ_ONLY = ("SET default_transaction_read_only = on", "CREATE TABLE x (y int)")


@pytest.mark.parametrize("statements", [CUT_OFF, READ_ONLY], ids=["cut off", "read only"])
async def test_postgresql_server_failure_is_an_outage(postgres_url: str, statements: Sequence[str]) -> None:
    database = Database(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
    await database.migrate()

    async def execute_all() -> None:
        async with database.read() as connection:
            for statement in statements:
                await connection.execute(text(statement))

    with pytest.raises(DatabaseUnavailable):
        await execute_all()
    assert database.outage.reason is not None
    assert not await database.is_reachable()
    await database.close()


async def test_connection_limit_is_an_outage(postgres_url: str) -> None:
    """The driver raises before SQLAlchemy has a connection."""
    database = Database(postgres_url.replace("postgresql://", "postgresql+asyncpg://"))
    await database.migrate()
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    async with database.read() as connection:
        await connection.execute(text("CREATE ROLE guest LOGIN"))
        await connection.execute(text(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0'))
    guest = Database(postgres_url.replace("postgresql://postgres@", "postgresql+asyncpg://guest@"))
    try:
        with pytest.raises(DatabaseUnavailable):
            async with guest.read() as connection:
                await connection.execute(text("SELECT 1"))
        assert guest.outage.reason is not None
        assert "too many connections" in guest.outage.reason
    finally:
        async with database.read() as connection:
            await connection.execute(text("DROP ROLE guest"))
        await guest.close()
        await database.close()
