"""A person chooses a remote job: what is refused at once, and what is written down."""

from __future__ import annotations

import pytest
from store_values import NOW, a_job, fill, id_of, read_job

from orchestrator.control.jobs import adopt_remote_job
from orchestrator.core.errors import ConfigError
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import JobId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.store.db.database import Database
from orchestrator.store.queries import events

UNCLEAR = Hold("ambiguous", "two of them", "choose")


async def test_history_records_the_adopted_job_and_its_operator(database: Database) -> None:
    await fill(database, [a_job("acme", state=JobState.SUBMITTING, hold=UNCLEAR, wake_at=None)])
    await adopt_remote_job(database, id_of("acme"), "ftjob-2", by="operator:eva", now=NOW + 1)
    job = await read_job(database, "acme")
    assert (job.hold, job.remote_job_id, job.wake_at) == (None, "ftjob-2", NOW + 1)
    async with database.read() as connection:
        [entry] = await events.list_by_account(connection, "acme")
    assert (entry.cause, entry.note, entry.remote_job_id) == ("operator:eva", "adoption asked", "ftjob-2")


@pytest.mark.parametrize("remote_job", ["", "  "])
async def test_adoption_without_a_remote_job_keeps_the_hold(database: Database, remote_job: str) -> None:
    """Without an id the job would be released and submitted again, and the history would name an adoption."""
    await fill(database, [a_job("acme", state=JobState.SUBMITTING, hold=UNCLEAR, wake_at=None)])
    with pytest.raises(ConfigError, match="requires the id of a remote job"):
        await adopt_remote_job(database, id_of("acme"), remote_job, by="operator:eva", now=NOW + 1)
    job = await read_job(database, "acme")
    assert (job.hold, job.remote_job_id, job.wake_at) == (UNCLEAR, None, None)
    async with database.read() as connection:
        assert await events.list_by_account(connection, "acme") == []


@pytest.mark.parametrize(
    ("job_id", "said"),
    [
        ("nobody", "there is no job nobody"),
        ("going-on", "is submitting: there is nothing to choose"),
        ("running", "is running and has remote job ftjob-9: there is nothing to choose"),
        ("unclear", "remote job ftjob-9 already belongs to job running"),
    ],
)
async def test_invalid_adoption_is_refused_and_changes_nothing(database: Database, job_id: str, said: str) -> None:
    states = [
        a_job("acme", id=JobId("going-on"), state=JobState.SUBMITTING),
        a_job("acme", id=JobId("running"), state=JobState.RUNNING, remote_job_id="ftjob-9", hold=UNCLEAR),
        a_job("acme", id=JobId("unclear"), state=JobState.SUBMITTING, hold=UNCLEAR),
    ]
    await fill(database, states)
    with pytest.raises(ConfigError) as raised:
        await adopt_remote_job(database, job_id, "ftjob-9", by="operator:eva", now=NOW + 1)
    assert said in raised.value.message
    assert raised.value.hint
    async with database.read() as connection:
        assert await events.list_by_account(connection, "acme") == []
