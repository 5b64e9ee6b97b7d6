"""Slots: two ready jobs of one account never both pass, whichever replicas move them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest
from reconciler_values import clock, make_reconciler, ready_job, verify_accounts
from sqlalchemy import delete
from store_values import RUN, fill, record

from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import JobId, RunId
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.run import Run
from orchestrator.core.jobs.transitions import advance, release_job
from orchestrator.core.remote import RemoteJob, RemoteJobStatus
from orchestrator.core.structs import replace
from orchestrator.providers.base import Deadline, JobOrder
from orchestrator.store.db.database import Database
from orchestrator.store.queries import costs, jobs, runs
from orchestrator.store.schema.tables import jobs as job_table
from orchestrator.store.schema.tables import run_jobs

ACCOUNTS = [f"acme-{number}" for number in range(8)]


class Remote:
    """A provider that creates whatever is ordered."""

    def __init__(self) -> None:
        self.created: list[str] = []

    async def find_jobs(self, _order: JobOrder) -> list[RemoteJob]:
        return []

    async def create_job(self, order: JobOrder, _deadline: Deadline) -> RemoteJob:
        self.created.append(order.tag)
        return RemoteJob(
            id=f"ftjob-{order.tag}",
            status=RemoteJobStatus.PENDING,
            raw_status="queued",
            training_file=order.training_file,
            base_model=order.spec.base_model,
        )


@pytest.fixture
async def replicas(database_url: str, database: Database) -> AsyncIterator[list[Database]]:
    others = [Database(database_url), Database(database_url)]
    yield others
    for other in others:
        await other.close()


async def test_one_of_two_ready_jobs_gets_the_slot(database: Database, replicas: list[Database]) -> None:
    await fill(database, [ready_job(account, f"{account}.{number}") for account in ACCOUNTS for number in (1, 2)])
    await verify_accounts(database, ACCOUNTS)
    remotes = {account: Remote() for account in ACCOUNTS}
    one, other = (make_reconciler(replica, remotes) for replica in replicas)
    for account in ACCOUNTS:
        await asyncio.gather(one.handle(JobId(f"{account}.1")), other.handle(JobId(f"{account}.2")))
    assert [len(remote.created) for remote in remotes.values()] == [1] * len(ACCOUNTS)
    async with database.read() as connection:
        states = sorted(job.state for job in await jobs.list_by_accounts(connection, ACCOUNTS))
        due = await jobs.list_due(connection, clock.now(), 99)
    assert states == [JobState.QUEUED] * len(ACCOUNTS) + [JobState.READY] * len(ACCOUNTS)
    assert due == []


async def test_waiting_runs_get_a_free_slot_in_turn(database: Database) -> None:
    """Each in turn is the current run; no second job is at the provider before the first has ended."""
    remotes = {"acme": Remote()}
    moving = make_reconciler(database, remotes)
    wanted = [replace(RUN, id=RunId(f"run-{number}")) for number in range(3)]
    for number, run in enumerate(wanted):
        await fill(database, [replace(ready_job("acme", f"acme.{number}"), run_id=run.id)], run)
    for number, run in enumerate(wanted):
        await fill(database, [], run)  # the current one from now on
        for other in range(3):
            await moving.handle(JobId(f"acme.{other}"))
        assert len(remotes["acme"].created) == (1 if number == 0 else number), "only when the slot is free"
        if number:
            await finish_running_jobs(database)
            await moving.handle(JobId(f"acme.{number}"))
            assert remotes["acme"].created[-1] == f"acme.{number}.0"
    assert len(remotes["acme"].created) == len(set(remotes["acme"].created)) == 3


async def finish_running_jobs(database: Database) -> None:
    async with database.read() as connection:
        [job] = [job for job in await jobs.list_by_accounts(connection, ["acme"]) if job.state is JobState.QUEUED]
    ended = advance(job, JobEvent.REMOTE_FAILED, now=clock.now())
    assert await record(database, ended, at=clock.now())


async def test_nothing_is_submitted_beyond_the_accounts_budget(database: Database) -> None:
    """A retry, or another run of the same account, may come when the money is spent."""
    spent = replace(
        ready_job("acme", "acme.1"),
        state=JobState.SUCCEEDED,
        submitted_at=clock.now(),
        estimated_usd=0.8,
        wake_at=None,
    )
    await fill(database, [spent, replace(ready_job("acme", "acme.2"), estimated_usd=0.3)])
    remotes = {"acme": Remote()}
    await make_reconciler(database, remotes, budget_usd=1.0).handle(JobId("acme.2"))
    async with database.read() as connection:
        [job] = [job for job in await jobs.list_by_accounts(connection, ["acme"]) if job.id == "acme.2"]
    assert job.hold is not None
    assert (job.state, job.hold.kind, job.submitted_at) == (JobState.READY, HoldKind.OVER_BUDGET, None)
    assert "$0.80 of the account's budget of $1.00 are committed already" in job.hold.reason
    assert remotes["acme"].created == []
    released = release_job(job, now=clock.now())
    assert await record(database, released, at=clock.now())
    await make_reconciler(database, remotes, budget_usd=1.1).handle(JobId("acme.2"))
    assert remotes["acme"].created == ["acme.2.0"]


LOW = replace(RUN, id=RunId("run-low"), name="low")
HIGH = replace(RUN, id=RunId("run-high"), name="high", created_at=RUN.created_at + 1, priority=5)
YOUNG = replace(RUN, id=RunId("run-young"), name="young", created_at=RUN.created_at + 2)


async def fill_runs(database: Database, *runs_: Run) -> None:
    """Each of these runs is current and has one ready job in account acme, whose id is the name of its run."""
    for run in runs_:
        await fill(database, [replace(ready_job("acme", run.name), run_id=run.id)], run)
    await database.write(lambda tx: runs.set_current(tx, [run.id for run in runs_]))
    await verify_accounts(database, ["acme"])


async def find_due(database: Database) -> set[str]:
    async with database.read() as connection:
        return {job_id for job_id, _ in await jobs.list_due(connection, clock.now(), 99)}


async def test_free_slot_goes_to_the_higher_priority_and_then_to_the_older_run(database: Database) -> None:
    await fill_runs(database, YOUNG, LOW, HIGH)
    remotes = {"acme": Remote()}
    reconciler = make_reconciler(database, remotes)
    for number, name in enumerate(["high.0", "low.0", "young.0"], start=1):
        for job in ("young", "low", "high"):  # the job that has to wait comes first
            await reconciler.handle(JobId(job))
        await reconciler.handle(JobId(name.removesuffix(".0")))
        assert remotes["acme"].created[number - 1 :] == [name]
        await finish_running_jobs(database)
        assert await find_due(database) == {"high", "low", "young"} - {
            created.removesuffix(".0") for created in remotes["acme"].created
        }


async def test_run_that_cannot_use_the_slot_does_not_keep_it(database: Database) -> None:
    """The better run is held because of its price, is not started, or its job is cancelled or held."""
    held = Hold(HoldKind.RUN_TOO_EXPENSIVE, "too expensive", "Approve it.")
    for changes in ({"hold": held}, {"started_at": None}):
        await fill_runs(database, LOW, replace(HIGH, **changes))
        remotes = {"acme": Remote()}
        await make_reconciler(database, remotes).handle(JobId("low"))
        assert remotes["acme"].created == ["low.0"]
        await database.write(lambda tx: tx.connection.execute(delete(run_jobs)))
        await database.write(lambda tx: tx.connection.execute(delete(job_table)))


async def test_job_that_gives_its_slot_up_wakes_the_next_run(database: Database) -> None:
    """The better run's job does not fit into the budget: it is held, and the other run's job is due at once."""
    await fill_runs(database, LOW, HIGH)
    await database.write(lambda tx: costs.save_estimates(tx, {JobId("high"): 9.0, JobId("low"): 0.5}))
    remotes = {"acme": Remote()}
    reconciler = make_reconciler(database, remotes, budget_usd=1.0)
    await reconciler.handle(JobId("low"))
    assert remotes["acme"].created == [], "the job of the higher priority may use the slot"
    assert await find_due(database) == {"high"}
    await reconciler.handle(JobId("high"))
    assert await find_due(database) == {"low"}
    await reconciler.handle(JobId("low"))
    assert remotes["acme"].created == ["low.0"]


async def test_three_runs_share_slots_and_budget_of_their_accounts(
    database: Database, replicas: list[Database]
) -> None:
    """Two replicas, two slots: one job per account and run, and one account's budget pays for two of its jobs."""
    accounts = [f"acme-{number}" for number in range(4)]
    for run in (YOUNG, LOW, HIGH):
        wanted = [ready_job(account, f"{account}.{run.name}") for account in accounts]
        await fill(database, [replace(job, run_id=run.id, estimated_usd=1.0) for job in wanted], run)
    await database.write(lambda tx: runs.set_current(tx, [YOUNG.id, LOW.id, HIGH.id]))
    await verify_accounts(database, accounts)
    remotes = {account: Remote() for account in accounts}
    reconcilers = [make_reconciler(replica, remotes, slots=2, budget_usd=2.0) for replica in replicas]
    names = [f"{account}.{run.name}" for run in (YOUNG, LOW, HIGH) for account in accounts]
    shuffle = Random(15).sample
    for _ in range(6):
        for one, other in zip(shuffle(names, len(names)), shuffle(names, len(names)), strict=True):
            await asyncio.gather(reconcilers[0].handle(JobId(one)), reconcilers[1].handle(JobId(other)))
        async with database.read() as connection:
            used = [await jobs.count_used_slots(connection, account) for account in accounts]
            assert max(used) <= 2
            stored = await jobs.list_by_accounts(connection, accounts)
        for job in stored:
            if job.state is JobState.QUEUED:
                await record(database, advance(job, JobEvent.REMOTE_FAILED, now=clock.now()), at=clock.now())
    for account in accounts:
        created = [f"{account}.high.0", f"{account}.low.0"]
        assert sorted(remotes[account].created) == created, "each once, and the youngest run is over the budget"
    held = {job.id: job.hold.kind for job in stored if job.hold}
    assert held == {f"{account}.young": HoldKind.OVER_BUDGET for account in accounts}
