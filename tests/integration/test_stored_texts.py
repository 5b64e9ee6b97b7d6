"""Providers may write anything; a database that refuses it would stop the job for good."""

from __future__ import annotations

from store_values import NOW, a_job, fill, read_job, record

from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.transitions import hold_job, retry_later
from orchestrator.core.secret import Redactor, Secret
from orchestrator.store.db.database import Database
from orchestrator.store.queries import events


async def test_invalid_characters_are_removed_before_storing(database: Database) -> None:
    await fill(database, [a_job("acme")])
    failure = Failure("rate_limited", "nul \0, half a pair \ud800, a whole one \U0001f600", "wait")
    outcome = retry_later(
        await read_job(database, "acme"), failure, until=NOW, counts_as_attempt=True, maybe_sent=False
    )
    assert await record(database, outcome.redacted(Redactor(), replica="r1"))
    kept = (await read_job(database, "acme")).failure
    assert kept is not None
    assert kept.message == "nul , half a pair ?, a whole one \U0001f600"
    async with database.read() as connection:
        [entry] = await events.list_by_account(connection, "acme")
    assert entry.message == f"rate_limited: {kept.message}"


async def test_held_job_is_stored_without_keys_and_invalid_characters(database: Database) -> None:
    key = Secret("sk-live-0123456789abcdef")
    redact = Redactor()
    redact.add(key)
    await fill(database, [a_job("acme")])
    remote_id = f"job-{key.reveal()}\0\ud800"
    outcome = hold_job(await read_job(database, "acme"), Hold("ambiguous", f"two: {remote_id}", f"adopt {remote_id}"))
    assert await record(database, outcome.redacted(redact, replica="r1"))
    safe_id = f"job-[key {key.fingerprint}]?"
    assert (await read_job(database, "acme")).hold == Hold("ambiguous", f"two: {safe_id}", f"adopt {safe_id}")
    async with database.read() as connection:
        [entry] = await events.list_by_account(connection, "acme")
    assert key.reveal() not in repr(entry)


async def test_long_text_is_stored(database: Database) -> None:
    long = "x" * 5000
    await fill(database, [a_job("acme", remote_job_id=long, fine_tuned_model=long, remote_status=long)])
    assert (await read_job(database, "acme")).fine_tuned_model == long
