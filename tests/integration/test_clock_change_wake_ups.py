"""The clock is set by an hour: what waits does not wait for an hour longer, and no intent ends an hour earlier."""

from __future__ import annotations

from sqlalchemy import insert, select
from store_values import NOW, a_job, fill, read_job

from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import clock_adjustment, jobs
from orchestrator.store.schema.tables import deliveries

HOUR = 3600.0
LATER = NOW - HOUR + 1  # a second after the clock was set back


async def test_wake_ups_keep_their_remaining_time_after_a_clock_change(database: Database) -> None:
    soon = a_job("soon", wake_at=NOW + 10)
    overdue = a_job("overdue", wake_at=NOW)
    sending = a_job("sending", state=JobState.SUBMITTING, wake_at=NOW + 60, intent_until=NOW + 60)
    fresh = a_job("fresh", wake_at=LATER + 5)  # written after the clock was set, before anyone noticed
    resting = a_job("resting", wake_at=None)
    await fill(database, [soon, overdue, sending, fresh, resting])
    delivery = {"message": "m", "target": "t", "topic": "job.failed", "payload": {}, "created_at": NOW, "attempts": 1}

    async def change(tx: Transaction) -> None:
        await tx.connection.execute(insert(deliveries), delivery | {"due_at": NOW + 30})
        await clock_adjustment.apply_clock_step(tx, -HOUR, LATER)

    await database.write(change)
    assert (await read_job(database, "soon")).wake_at == LATER + 9
    assert (await read_job(database, "overdue")).wake_at == LATER
    found = await read_job(database, "sending")
    assert (found.wake_at, found.intent_until) == (LATER + 59, LATER + 59)
    assert (await read_job(database, "fresh")).wake_at == LATER
    assert (await read_job(database, "resting")).wake_at is None
    async with database.read() as connection:
        assert (await connection.execute(select(deliveries.c.due_at))).scalar_one() == LATER + 29
        assert len(await jobs.list_due(connection, LATER, 10)) == 2


async def test_intent_keeps_its_remaining_time_after_a_clock_change(database: Database) -> None:
    now = NOW + HOUR + 1  # a second after the clock was set
    sending = a_job("sending", state=JobState.SUBMITTING, wake_at=NOW + 5, intent_until=NOW + 60)
    over = a_job("over", state=JobState.SUBMITTING, wake_at=NOW + 5, intent_until=NOW - 10)
    polled = a_job("polled", state=JobState.RUNNING, wake_at=NOW + 10, intent_until=None)
    await fill(database, [sending, over, polled])
    await database.write(lambda tx: clock_adjustment.apply_clock_step(tx, HOUR, now))
    assert (await read_job(database, "sending")).intent_until == now + 59
    assert (await read_job(database, "over")).intent_until == NOW - 10
    assert (await read_job(database, "polled")).intent_until is None
