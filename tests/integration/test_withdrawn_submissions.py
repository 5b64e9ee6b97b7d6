"""A job that may not be created any more is not created, neither between two attempts nor while an intent is written.

The provider's limit for the day is reached at the first create, so the job waits in SUBMITTING for its next attempt.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from reconciler_values import make_reconciler, ready_job, verify_accounts
from sqlalchemy import select
from store_values import RUN, fill, id_of, read_job

from orchestrator import status
from orchestrator.app import SystemClock
from orchestrator.control.accounts import hold_accounts, release_accounts
from orchestrator.core.account import BudgetPeriod
from orchestrator.core.errors import DailyLimitReached
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import Job, JobId, RunId
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.next_action import INTENT_GRACE_SECONDS
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.jobs.transitions import deselect_job, poll_again
from orchestrator.core.moderation import Moderation, ModerationStatus
from orchestrator.core.plans.budget import CommittedSpend, month_start
from orchestrator.core.remote import RemoteJob, RemoteJobStatus
from orchestrator.core.structs import replace
from orchestrator.daemon.reconciler import Reconciler
from orchestrator.providers.base import Deadline, JobOrder
from orchestrator.store.db.database import Database
from orchestrator.store.queries import costs, jobs, outcomes, runs
from orchestrator.store.schema.tables import announcements

LAST_EVENING = datetime(2027, 1, 31, 23, 50, tzinfo=UTC).timestamp()
FEBRUARY = datetime(2027, 2, 1, tzinfo=UTC).timestamp()
OTHER_RUN = RunId("run-of-other-chats")
Change = Callable[[Database], Awaitable[object]]


class MovedClock(SystemClock):
    """A clock that stands where a test puts it."""

    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at


class LimitedProvider:
    """A provider that refuses the first creates. A lost job was created, and its refusal was not true."""

    capabilities = SimpleNamespace(losses=False, checkpoints=False)

    def __init__(self, *, refusals: int = 1, loses: bool = False) -> None:
        self.created: list[str] = []
        self._refusals = refusals
        self._loses = loses
        self._jobs: dict[str, RemoteJob] = {}

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        return [remote for tag, remote in self._jobs.items() if tag == order.tag]

    async def create_job(self, order: JobOrder, _deadline: Deadline) -> RemoteJob:
        refused, self._refusals = self._refusals > 0, self._refusals - 1
        if not refused or self._loses:
            self.created.append(order.tag)
            self._jobs[order.tag] = RemoteJob(
                id=f"ftjob-{order.tag}",
                status=RemoteJobStatus.PENDING,
                raw_status="queued",
                training_file=order.training_file,
                base_model=order.spec.base_model,
            )
        if refused:
            raise DailyLimitReached("no more jobs today")
        return self._jobs[order.tag]

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        return next(remote for remote in self._jobs.values() if remote.id == remote_job_id)


async def replace_run(database: Database) -> None:
    """Other chats: another run is the current one."""
    await fill(
        database, [replace(ready_job("acme", "job-of-other-chats"), run_id=OTHER_RUN)], replace(RUN, id=OTHER_RUN)
    )


async def hold_run(database: Database) -> None:
    """The plan has become more expensive than the file allows."""
    held = replace(RUN, hold=Hold(HoldKind.RUN_TOO_EXPENSIVE, "It is too expensive.", "Approve it."))
    await database.write(lambda tx: runs.save(tx, held))


async def hold_account(database: Database) -> None:
    await hold_accounts(database, ["acme"], reason="stop", by="operator", now=LAST_EVENING)


async def moderate_run(database: Database) -> None:
    """The moderation of the run's chats begins again, because its account has changed."""
    missing = Moderation(state=ModerationStatus.MISSING, by="acme", at=LAST_EVENING, reason="not moderated yet")
    await database.write(lambda tx: runs.save(tx, replace(RUN, moderation=missing)))


async def deselect(database: Database) -> None:
    """The run no longer selects the account."""
    outcome = deselect_job(await read_job(database, "acme"), now=LAST_EVENING)
    assert await database.write(lambda tx: outcomes.record(tx, outcome, at=LAST_EVENING, cause="service"))


async def submit(database: Database, remote: LimitedProvider, clock: MovedClock) -> Job:
    """Submit a job once, and return it as it waits for its next attempt."""
    now = clock.now()
    job = replace(ready_job("acme", id_of("acme")), estimated_usd=50.0, wake_at=now, created_at=now, state_since=now)
    await fill(database, [job])
    await verify_accounts(database, ["acme"])
    await make_reconciler(database, {"acme": remote}, clock=clock).handle(job.id)
    waiting = await read_job(database, "acme")
    assert waiting.state is JobState.SUBMITTING
    assert waiting.wake_at is not None
    return waiting


def change_after_load(reconciler: Reconciler, database: Database, change: Change) -> None:
    """Let the change come between the load of the job and its intent."""
    load_job = reconciler._load

    async def load_before_change(job_id: JobId) -> jobs.LoadedJob | None:
        loaded = await load_job(job_id)
        await change(database)
        return loaded

    reconciler._load = load_before_change


async def load(database: Database, job_id: JobId) -> Job:
    async with database.read() as connection:
        return (await jobs.get_many(connection, [job_id]))[job_id]


@pytest.mark.parametrize("change", [replace_run, hold_run, moderate_run, deselect])
async def test_job_of_a_held_or_replaced_run_is_not_created_at_its_next_attempt(
    database: Database, change: Change
) -> None:
    clock, remote = MovedClock(LAST_EVENING - 86_400), LimitedProvider()
    waiting = await submit(database, remote, clock)
    await change(database)
    clock.at = (waiting.wake_at or 0) + 1
    await make_reconciler(database, {"acme": remote}, clock=clock).handle(waiting.id)
    job = await load(database, waiting.id)
    assert (job.state, job.submitted_at, job.intent_until) == (JobState.READY, None, None)
    assert remote.created == []


@pytest.mark.parametrize("change", [hold_run, deselect])
async def test_job_that_was_created_all_the_same_is_found(database: Database, change: Change) -> None:
    clock, remote = MovedClock(LAST_EVENING - 86_400), LimitedProvider(loses=True)
    waiting = await submit(database, remote, clock)
    await change(database)
    clock.at = (waiting.wake_at or 0) + 1
    await make_reconciler(database, {"acme": remote}, clock=clock).handle(waiting.id)
    job = await load(database, waiting.id)
    assert (job.state, job.remote_job_id, job.hold) == (JobState.QUEUED, f"ftjob-{job.tag}", None)
    assert len(remote.created) == 1


@pytest.mark.parametrize("earlier_usd", [None, 4.0])
async def test_deselected_job_that_was_not_created_leaves_the_run(
    database: Database, earlier_usd: float | None
) -> None:
    """Unless an earlier round was paid: its costs stay in the run."""
    clock, remote = MovedClock(LAST_EVENING - 86_400), LimitedProvider()
    waiting = await submit(database, remote, clock)
    await database.write(
        lambda tx: outcomes.record(tx, poll_again(waiting, clock.at, earlier_usd=earlier_usd), at=clock.at, cause="x")
    )
    await deselect(database)
    clock.at = (waiting.wake_at or 0) + 1
    await make_reconciler(database, {"acme": remote}, clock=clock).handle(waiting.id)
    job = await load(database, waiting.id)
    assert (job.state, job.is_deselected) == (JobState.READY, True)
    async with database.read() as connection:
        linked = await jobs.get_account_by_job(connection, RUN.id)
        topics = [each["type"] for each in (await connection.execute(select(announcements.c.payload))).scalars()]
    assert (list(linked.values()), topics) == (([], ["run.finished"]) if earlier_usd is None else (["acme"], []))


async def test_deselected_job_counts_as_open_until_it_was_looked_up(database: Database) -> None:
    """Otherwise `orchestrator run` would end before it: the job may have been created, and is paid for then."""
    clock, remote = MovedClock(LAST_EVENING - 86_400), LimitedProvider(loses=True)
    waiting = await submit(database, remote, clock)
    await deselect(database)

    async def list_held() -> tuple[str, ...]:
        found = await status.preview_action(database, OperatorAction.HOLD, JobFilter(held=True), clock.at)
        return found.accounts

    snapshot = await status.get_status(database, clock.at)
    assert ([job.held for job in snapshot.jobs], snapshot.settled, await list_held()) == ([False], False, ())
    await hold_accounts(database, ["acme"], reason="do not use it", by="operator:ann", now=clock.at)
    snapshot = await status.get_status(database, clock.at)
    assert ([job.held for job in snapshot.jobs], snapshot.settled, await list_held()) == ([True], True, ("acme",))
    await release_accounts(database, ["acme"], by="operator:ann", now=clock.at)
    clock.at = (waiting.wake_at or 0) + 1
    await verify_accounts(database, ["acme"])
    await make_reconciler(database, {"acme": remote}, clock=clock).handle(waiting.id)
    assert (await load(database, waiting.id)).remote_job_id is not None


async def test_create_that_is_in_progress_when_its_account_is_deselected_is_found(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, remote = MovedClock(LAST_EVENING), LimitedProvider(refusals=0)
    job = replace(ready_job("acme", id_of("acme")), wake_at=LAST_EVENING)
    await fill(database, [job])
    await verify_accounts(database, ["acme"])
    create_job = remote.create_job

    async def create_before_change(order: JobOrder, deadline: Deadline) -> RemoteJob:
        created = await create_job(order, deadline)
        await deselect(database)
        return created

    monkeypatch.setattr(remote, "create_job", create_before_change)
    reconciler = make_reconciler(database, {"acme": remote}, clock=clock)
    await reconciler.handle(job.id)
    clock.at = ((await load(database, job.id)).intent_until or 0) + INTENT_GRACE_SECONDS
    await reconciler.handle(job.id)
    found = await load(database, job.id)
    assert (found.state, found.remote_job_id, found.hold) == (JobState.QUEUED, f"ftjob-{job.tag}", None)
    assert len(remote.created) == 1


async def test_job_is_created_once_its_run_is_current_again(database: Database) -> None:
    clock, remote = MovedClock(LAST_EVENING - 86_400), LimitedProvider()
    waiting = await submit(database, remote, clock)
    await hold_run(database)
    clock.at = (waiting.wake_at or 0) + 1
    reconciler = make_reconciler(database, {"acme": remote}, clock=clock)
    await reconciler.handle(waiting.id)
    await database.write(lambda tx: runs.save(tx, RUN))
    await database.write(lambda tx: jobs.wake_unsubmitted(tx, RUN.id, clock.at))
    await reconciler.handle(waiting.id)
    assert (await load(database, waiting.id)).state is JobState.QUEUED
    assert len(remote.created) == 1


@pytest.mark.parametrize(("budget_usd", "created"), [(60.0, 1), (40.0, 0)])
async def test_job_that_waits_until_the_next_month_counts_in_that_month(
    database: Database, budget_usd: float, created: int
) -> None:
    """With the limits of that month: the budget was larger when the job was first submitted."""
    clock, remote = MovedClock(LAST_EVENING), LimitedProvider()
    waiting = await submit(database, remote, clock)
    clock.at = (waiting.wake_at or 0) + 1
    assert month_start(clock.at) > LAST_EVENING
    await make_reconciler(database, {"acme": remote}, budget_usd, clock=clock).handle(waiting.id)
    assert len(remote.created) == created
    async with database.read() as connection:
        spent = await costs.get_committed(connection, "acme", RUN.id, month_start(clock.at))
    assert spent == CommittedSpend(total=50.0 * created, month=50.0 * created, run=50.0 * created)


async def test_job_over_the_budget_of_the_month_is_created_in_the_next_one(database: Database) -> None:
    clock, remote = MovedClock(LAST_EVENING), LimitedProvider(refusals=0)
    costs_50: dict[str, Any] = {"estimated_usd": 50.0, "wake_at": LAST_EVENING}
    spent = replace(ready_job("acme", "spent"), state=JobState.RUNNING, submitted_at=LAST_EVENING - 60, **costs_50)
    waiting = replace(ready_job("acme", id_of("acme")), **costs_50)
    await fill(database, [spent, waiting])
    await verify_accounts(database, ["acme"])
    monthly = BudgetPeriod.MONTH
    reconciler = make_reconciler(database, {"acme": remote}, 60.0, clock=clock, slots=2, budget_period=monthly)
    await reconciler.handle(waiting.id)
    job = await load(database, waiting.id)
    assert job.hold is not None
    assert (job.hold.kind, job.hold.until, job.wake_at) == (HoldKind.OVER_BUDGET, FEBRUARY, FEBRUARY)
    assert remote.created == []
    clock.at = FEBRUARY
    await reconciler.handle(waiting.id)
    assert (await load(database, waiting.id)).state is JobState.QUEUED


@pytest.mark.parametrize("change", [replace_run, hold_run, hold_account, moderate_run])
async def test_hold_that_comes_before_the_intent_stops_the_create(database: Database, change: Change) -> None:
    clock, remote = MovedClock(LAST_EVENING), LimitedProvider(refusals=0)
    job = replace(ready_job("acme", id_of("acme")), wake_at=LAST_EVENING)
    await fill(database, [job])
    await verify_accounts(database, ["acme"])
    reconciler = make_reconciler(database, {"acme": remote}, clock=clock)
    change_after_load(reconciler, database, change)
    await reconciler.handle(job.id)
    assert remote.created == []
    assert (await load(database, job.id)).state is JobState.READY


@pytest.mark.parametrize("change", [replace_run, hold_run, hold_account, moderate_run, deselect])
async def test_hold_that_comes_before_a_renewed_intent_stops_the_create(database: Database, change: Change) -> None:
    clock, remote = MovedClock(LAST_EVENING - 86_400), LimitedProvider()
    waiting = await submit(database, remote, clock)
    clock.at = (waiting.wake_at or 0) + 1
    reconciler = make_reconciler(database, {"acme": remote}, clock=clock)
    change_after_load(reconciler, database, change)
    await reconciler.handle(waiting.id)
    assert remote.created == []


async def test_released_job_is_created(database: Database) -> None:
    clock, remote = MovedClock(LAST_EVENING), LimitedProvider(refusals=0)
    job = replace(ready_job("acme", id_of("acme")), wake_at=LAST_EVENING)
    await fill(database, [job])
    await hold_account(database)
    reconciler = make_reconciler(database, {"acme": remote}, clock=clock)
    await reconciler.handle(job.id)
    assert remote.created == []
    await release_accounts(database, ["acme"], by="operator", now=LAST_EVENING)
    await verify_accounts(database, ["acme"])
    await reconciler.handle(job.id)
    assert len(remote.created) == 1
