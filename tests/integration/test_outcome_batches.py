"""Outcomes that wait for the same commit are recorded with few statements, with the result of one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, select
from store_values import NOW, RUN, a_job, fill

from orchestrator.core.account import Account, BudgetPeriod, ProviderName
from orchestrator.core.errors import BudgetExceeded, JobLimitReached, StaleJob
from orchestrator.core.jobs.job import Job, JobId, RunId
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.jobs.transitions import Outcome, advance, poll_again, request_cancel
from orchestrator.core.structs import replace
from orchestrator.daemon.outcome_batch import RecordRequest, Refusal, record_batch
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import jobs, losses, runs
from orchestrator.store.schema.tables import announcements


@contextmanager
def count_statements(engine: Engine) -> Iterator[list[str]]:
    """List what is sent to the database; a statement with the values of many rows is one round trip."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def to_request(outcome: Outcome, *, slots: int | None = None, **changes: Any) -> RecordRequest:
    name = outcome.job.account
    limits = Account(name=name, provider=ProviderName.OPENAI, api_key="env:KEY", max_running_jobs=slots or 1)
    return RecordRequest(
        outcome=outcome,
        at=NOW + 1,
        limits_of=replace(limits, **changes) if slots else None,
        stops_if_held=bool(slots),
        rebase_on_cancel=slots is None,
        build_deployment=lambda job, now: None,
    )


def start_submit(job: Job) -> Outcome:
    return advance(job, JobEvent.SUBMIT_STARTED, now=NOW, intent_until=NOW + 30, wake_at=NOW + 30, submitted_at=NOW)


def finish(job: Job) -> Outcome:
    model = f"ft:{job.account}"
    return replace(
        advance(job, JobEvent.REMOTE_SUCCEEDED, now=NOW, fine_tuned_model=model), losses=(Loss(1, 0.5), Loss(2, 0.4))
    )


async def record(database: Database, requests: Sequence[RecordRequest]) -> tuple[list[Outcome | Refusal], int]:
    """Record the requests in one transaction. Returns the results and the number of statements."""

    async def change(tx: Transaction) -> tuple[list[Outcome | Refusal], int]:
        with count_statements(tx.connection.sync_connection.engine) as sent:
            results = await record_batch(tx, requests)
            await tx.flush(None)
        return results, len(sent)

    return await database.write(change)


async def get_states(database: Database) -> dict[str, JobState]:
    async with database.read() as connection:
        return {job.id: job.state for job in await jobs.list_by_run(connection, RUN.id)}


async def list_topics(database: Database) -> list[str]:
    async with database.read() as connection:
        return [payload["type"] for payload in (await connection.execute(select(announcements.c.payload))).scalars()]


@pytest.mark.parametrize("state", [JobState.READY, JobState.RUNNING])
async def test_number_of_statements_does_not_grow_with_the_outcomes(database: Database, state: JobState) -> None:
    """Three intents or three ends, then forty: all replicas wait while they are written."""
    stored = [a_job(f"a{number}", state=state, estimated_usd=1.0) for number in range(44)]
    await fill(database, stored)
    needed = []
    for part in (stored[:3], stored[3:43]):
        if state is JobState.READY:
            requests = [to_request(start_submit(job), slots=1, budget_usd=5.0) for job in part]
        else:
            requests = [to_request(finish(job)) for job in part]
        results, statements = await record(database, requests)
        assert results == [request.outcome for request in requests]
        needed.append(statements)
    assert needed[0] == needed[1] <= 7
    after = JobState.SUBMITTING if state is JobState.READY else JobState.SUCCEEDED
    assert await get_states(database) == {job.id: after for job in stored[:43]} | {stored[43].id: state}


async def test_run_ends_once_when_its_last_jobs_end_together(database: Database) -> None:
    stored = [a_job(name, state=JobState.RUNNING) for name in ("one", "two", "three")]
    await fill(database, stored)
    await record(database, [to_request(finish(stored[0]))])
    assert await list_topics(database) == ["model.ready"]
    await record(database, [to_request(finish(job)) for job in stored[1:]])
    assert sorted(await list_topics(database)) == ["model.ready", "model.ready", "model.ready", "run.finished"]
    async with database.read() as connection:
        curves = await losses.list_by_jobs(connection, [job.id for job in stored])
    assert curves == {job.id: [Loss(1, 0.5), Loss(2, 0.4)] for job in stored}


async def test_two_intents_of_one_account_do_not_share_its_slot(database: Database) -> None:
    stored = [
        a_job("acme", id=JobId("one"), state=JobState.READY),
        a_job("acme", id=JobId("two"), state=JobState.READY),
    ]
    await fill(database, stored)
    results, _ = await record(database, [to_request(start_submit(job), slots=1) for job in stored])
    assert results[0] == start_submit(stored[0])
    assert isinstance(results[1], JobLimitReached)
    assert await get_states(database) == {"one": JobState.SUBMITTING, "two": JobState.READY}


async def test_limits_count_for_an_intent_behind_outcomes_without_limits(database: Database) -> None:
    ended, busy = a_job("acme", state=JobState.RUNNING), a_job("globex", id=JobId("busy"), state=JobState.RUNNING)
    ready, free = a_job("globex", id=JobId("ready"), state=JobState.READY), a_job("free", state=JobState.READY)
    await fill(database, [ended, busy, ready, free])
    intents = [to_request(start_submit(job), slots=1) for job in (ready, free)]
    results, _ = await record(database, [to_request(finish(ended)), *intents])
    assert [type(result) for result in results] == [Outcome, JobLimitReached, Outcome]
    assert (await get_states(database))["ready"] is JobState.READY


async def test_step_of_a_job_that_has_ended_announces_no_end(database: Database) -> None:
    ended = a_job("acme", state=JobState.SUCCEEDED, fine_tuned_model="ft:x", wake_at=None)
    await fill(database, [ended])
    outcome = poll_again(ended, NOW + 9)
    results, _ = await record(database, [to_request(outcome)])
    assert results == [outcome]
    assert await list_topics(database) == []


async def test_slot_that_an_end_frees_is_used_by_an_intent_of_the_same_batch(database: Database) -> None:
    running, ready = a_job("acme", id=JobId("one"), state=JobState.RUNNING), a_job("acme", state=JobState.READY)
    await fill(database, [running, ready])
    results, _ = await record(database, [to_request(start_submit(ready), slots=1), to_request(finish(running))])
    assert isinstance(results[0], JobLimitReached)
    [woken] = [job for job in await _list_jobs(database) if job.id == ready.id]
    assert (woken.wake_at, woken.version) == (NOW + 1, ready.version + 1)
    results, _ = await record(database, [to_request(start_submit(woken), slots=1)])
    assert results == [start_submit(woken)]


async def test_only_one_first_job_of_a_run_with_pinned_values_is_submitted(database: Database) -> None:
    stored = [a_job(f"a{number}", state=JobState.READY) for number in range(4)]
    await fill(database, stored)
    pinned = replace(RUN, pins={ProviderName.OPENAI: None})
    await database.write(lambda tx: runs.save(tx, pinned))
    results, _ = await record(database, [to_request(start_submit(job), slots=1) for job in stored])
    assert [isinstance(result, Outcome) for result in results] == [True, False, False, False]
    assert list((await get_states(database)).values()).count(JobState.SUBMITTING) == 1


async def test_intent_waits_for_the_ready_job_of_a_run_that_comes_first(database: Database) -> None:
    first = replace(RUN, id=RunId("run-0"), name="first", priority=5)
    ahead = a_job("acme", id=JobId("ahead"), run_id=first.id, state=JobState.READY)
    behind = a_job("acme", state=JobState.READY)
    await fill(database, [behind])
    await fill(database, [ahead], first)
    await database.write(lambda tx: runs.set_current(tx, [first.id, RUN.id]))
    results, _ = await record(database, [to_request(start_submit(behind), slots=1)])
    assert isinstance(results[0], JobLimitReached)
    assert "higher priority" in results[0].message


async def test_refused_and_stale_outcomes_do_not_stop_the_others(database: Database) -> None:
    stored = {name: a_job(name, state=JobState.READY, estimated_usd=3.0) for name in ("dear", "full", "fine", "late")}
    other = a_job("full", id=JobId("other"), state=JobState.RUNNING)
    cancelled = a_job("asked", state=JobState.SUBMITTING, intent_until=NOW + 30)
    await fill(database, [*stored.values(), other, cancelled])
    changed = [poll_again(stored["late"], NOW + 9), request_cancel(cancelled, now=NOW)]
    results, _ = await record(database, [to_request(outcome) for outcome in changed])
    assert results == changed

    total = {"budget_usd": 2.0, "budget_period": BudgetPeriod.TOTAL}
    created = advance(cancelled, JobEvent.REMOTE_CREATED, now=NOW, remote_job_id="ftjob-1")
    results, _ = await record(
        database,
        [
            to_request(start_submit(stored["dear"]), slots=1, **total),
            to_request(start_submit(stored["full"]), slots=1),
            to_request(start_submit(stored["fine"]), slots=1),
            to_request(start_submit(stored["late"]), slots=1),
            to_request(created),
        ],
    )
    assert [type(result) for result in results] == [BudgetExceeded, JobLimitReached, Outcome, StaleJob, Outcome]
    rebased = results[4]
    assert isinstance(rebased, Outcome)
    assert (rebased.job.cancel_asked, rebased.job.remote_job_id) == (True, "ftjob-1")


async def _list_jobs(database: Database) -> list[Job]:
    async with database.read() as connection:
        return await jobs.list_by_run(connection, RUN.id)
