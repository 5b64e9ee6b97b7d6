"""Queries about jobs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Float,
    Integer,
    Row,
    String,
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from orchestrator.core.jobs.job import Job, JobId, RunId
from orchestrator.core.jobs.lifecycle import AT_PROVIDER_STATES, TERMINAL_STATES, UNSUBMITTED_STATES, JobState
from orchestrator.core.jobs.run import AccountState, Run
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.store.db.any_of import any_of
from orchestrator.store.db.connection import StoreConnection, execute_each, iter_chunks
from orchestrator.store.db.transaction import Transaction, WakeUp
from orchestrator.store.queries import pins, replicas
from orchestrator.store.schema.mapping import (
    ACCOUNT_STATE_COLUMNS,
    JOB_COLUMNS,
    RUN_COLUMNS,
    account_state_from_row,
    job_from_row,
    job_to_row,
    run_from_row,
)
from orchestrator.store.schema.tables import accounts as account_table
from orchestrator.store.schema.tables import jobs, run_jobs
from orchestrator.store.schema.tables import runs as run_table


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedJob:
    """A job with what its next step depends on. `running` counts the account's jobs that hold a slot."""

    job: Job
    run: Run
    account_state: AccountState
    used_slots: int

    def with_outcome(self, outcome: Outcome, job: Job) -> LoadedJob:
        """The same after an outcome was recorded as `job`."""
        standing = outcome.account_update(self.account_state) if outcome.account_update else self.account_state
        return replace(self, job=job, account_state=standing)


async def load(connection: StoreConnection, job_id: JobId) -> LoadedJob | None:
    """The job and its circumstances, or None when there is no such job."""
    return (await load_many(connection, [job_id])).get(job_id)


async def load_many(connection: StoreConnection, ids: Sequence[JobId]) -> dict[JobId, LoadedJob]:
    """The same of several, in one go; of those that exist."""
    rows = (await connection.execute(_LOAD, {"ids": ids})).all()
    standing = len(JOB_COLUMNS)
    found = [(job_from_row(row[:standing]), account_state_from_row(row[standing:-1]), row[-1]) for row in rows]
    belongs = {"runs": list({job.run_id for job, _, _ in found})}
    of = {run.id: run for run in map(run_from_row, await connection.execute(_LOAD_RUNS, belongs))}
    return {
        job.id: LoadedJob(job=job, run=of[job.run_id], account_state=how, used_slots=slots)
        for job, how, slots in found
    }


async def list_due(connection: StoreConnection, now: float, limit: int) -> list[tuple[JobId, str]]:
    """Ids and accounts of the jobs whose wake-up has come, the longest waiting first."""
    rows = await connection.execute(_DUE, {"now": now, "most": limit})
    return [(JobId(job_id), account) for job_id, account in rows]


async def list_overdue(connection: StoreConnection, since: float, now: float, limit: int) -> list[WakeUp]:
    """Wake-ups that should have come by `since`, of accounts on which no live replica is at work.

    What a replica was about to do has no wake-up: if it came to no end, it is found here when its intent has ended.
    """
    lost = (jobs.c.wake_at <= since) | (jobs.c.wake_at == jobs.c.intent_until)
    query = (
        select(jobs.c.id, jobs.c.account, jobs.c.wake_at)
        .where(jobs.c.wake_at <= now, lost, jobs.c.account.not_in(replicas.leased_accounts(now)))
        .order_by(jobs.c.wake_at)
        .limit(limit)
    )
    return [WakeUp(JobId(row.id), row.account, row.wake_at) for row in await connection.execute(query)]


async def get_wake_times(connection: StoreConnection, ids: Collection[JobId]) -> dict[JobId, float]:
    """When those of the jobs are due that ever are."""
    rows = await connection.execute(_WAKE_TIMES, {"ids": list(ids)})
    return {JobId(row.id): row.wake_at for row in rows}


async def count_used_slots(connection: StoreConnection, account: str) -> int:
    """How many of the account's jobs are, or may be, at the provider."""
    return (await connection.execute(_COUNT_USED_SLOTS, {"holder": account})).scalar_one()


async def find_submit_blocker(connection: StoreConnection, job: Job, slots: int) -> str | None:
    """Why the job may not be submitted now; None when it may."""
    if await count_used_slots(connection, job.account) >= slots:
        return "no job slot is free in this account"
    if await pins.is_awaiting_first_job(connection, job):
        return "waiting for the values that the provider selects for the first job"
    return None


async def find_next_wake_at(connection: StoreConnection) -> float | None:
    """When the next wake-up comes."""
    earliest: float | None = (await connection.execute(_NEXT_WAKE)).scalar_one()
    return earliest


async def get_many(connection: StoreConnection, ids: Collection[JobId]) -> dict[JobId, Job]:
    """Those of the jobs that exist."""
    found: dict[JobId, Job] = {}
    for chunk in iter_chunks(ids):
        found |= {job.id: job for job in _jobs_from_rows(await connection.execute(_SELECT_MANY, {"ids": chunk}))}
    return found


async def list_ids_by_run(connection: StoreConnection, run_id: RunId) -> Sequence[JobId]:
    """Every job of the run, by account name."""
    query = select(jobs.c.id).join(run_jobs).where(run_jobs.c.run_id == run_id).order_by(jobs.c.account)
    return (await connection.execute(query)).scalars().all()


async def list_by_run(connection: StoreConnection, run_id: RunId) -> list[Job]:
    """Every job of the run, by account name."""
    query = select(*JOB_COLUMNS).join(run_jobs).where(run_jobs.c.run_id == run_id).order_by(jobs.c.account)
    return _jobs_from_rows(await connection.execute(query))


async def list_replannable(connection: StoreConnection, run_id: RunId) -> list[Job]:
    """The run's jobs that a plan may still change."""
    which = (jobs.c.run_id == run_id) & (jobs.c.state.in_(UNSUBMITTED_STATES) | jobs.c.hold.is_not(None))
    return _jobs_from_rows(await connection.execute(select(*JOB_COLUMNS).where(which).order_by(jobs.c.account)))


async def list_by_accounts(connection: StoreConnection, names: Collection[str]) -> list[Job]:
    """Every job of these accounts, whatever its run."""
    return _jobs_from_rows(await connection.execute(select(*JOB_COLUMNS).where(jobs.c.account.in_(list(names)))))


async def assign_to_run(tx: Transaction, run_id: RunId, wanted: Sequence[Job]) -> list[Job]:
    """Make these the jobs of the run: insert the new ones, move the others over. Returns the new ones."""
    known: set[str] = set()
    for ids in iter_chunks(job.id for job in wanted):
        known |= set((await tx.connection.execute(_EXISTING, {"ids": ids})).scalars())
    new = [job for job in wanted if job.id not in known]
    await execute_each(tx.connection, insert(jobs), map(job_to_row, new))
    tx.schedule_wake_ups(WakeUp(job.id, job.account, job.wake_at) for job in new if job.wake_at is not None)
    those = select(run_jobs.c.job_id).where(run_jobs.c.run_id == run_id)
    linked = set((await tx.connection.execute(those)).scalars())
    links = ({"run_id": run_id, "job_id": job.id} for job in wanted if job.id not in linked)
    await execute_each(tx.connection, insert(run_jobs), links)
    await tx.connection.execute(
        update(jobs).where(jobs.c.id.in_(those), jobs.c.run_id != run_id).values(run_id=run_id)
    )
    return new


async def wake_unsubmitted(tx: Transaction, run_id: RunId, at: float) -> None:
    """Look again at the run's jobs that have not reached a provider: something they waited for may have changed."""
    await _wake(tx, _WAKE_UNSUBMITTED, at, run_id)


async def wake_ready(tx: Transaction, account: str, at: float) -> None:
    """Look again at the account's jobs that wait for a slot: one became free."""
    await _wake(tx, _WAKE_READY, at, account)


async def wake_account(tx: Transaction, account: str, at: float) -> None:
    """Look again at all open jobs of the account."""
    await _wake(tx, _WAKE_ACCOUNT, at, account)


async def _wake(tx: Transaction, statement: ReturningUpdate[Any], at: float, key: str) -> None:
    woken = await tx.connection.execute(statement, {"at": at, "of": key})
    tx.schedule_wake_ups([WakeUp(JobId(job_id), account, at) for job_id, account in woken])


def _wake_statement(condition: ColumnElement[bool]) -> ReturningUpdate[Any]:
    at: BindParameter[float] = bindparam("at", type_=Float)
    # A ready job waits for nothing but a slot, a start or a release, so its next look is no reason to wait.
    asleep = jobs.c.wake_at.is_(None) | (jobs.c.state == JobState.READY)
    # A new version, also for what is due: a step that is just going to rest would write its later look over this one.
    condition &= (asleep | (jobs.c.wake_at <= at)) & jobs.c.hold.is_(None)
    return (
        update(jobs)
        .where(condition)
        .values(wake_at=at, version=jobs.c.version + 1)
        .returning(jobs.c.id, jobs.c.account)
    )


# Made once: to put a statement together takes longer than to execute it.
_wake_key: BindParameter[str] = bindparam("of", type_=String)
_WAKE_READY = _wake_statement((jobs.c.account == _wake_key) & (jobs.c.state == JobState.READY))
_WAKE_UNSUBMITTED = _wake_statement((jobs.c.run_id == _wake_key) & jobs.c.state.in_(UNSUBMITTED_STATES))
_WAKE_ACCOUNT = _wake_statement((jobs.c.account == _wake_key) & jobs.c.state.not_in(TERMINAL_STATES))
_DUE = (
    select(jobs.c.id, jobs.c.account)
    .where(jobs.c.wake_at <= bindparam("now"))
    .order_by(jobs.c.wake_at)
    .limit(bindparam("most", type_=Integer))
)
_SELECT_MANY = select(*JOB_COLUMNS).where(any_of(jobs.c.id, "ids"))
_EXISTING = select(jobs.c.id).where(any_of(jobs.c.id, "ids"))
_WAKE_TIMES = select(jobs.c.id, jobs.c.wake_at).where(any_of(jobs.c.id, "ids"), jobs.c.wake_at.is_not(None))
_NEXT_WAKE = select(func.min(jobs.c.wake_at))
_COUNT_USED_SLOTS = select(func.count()).where(
    jobs.c.account == bindparam("holder"), jobs.c.state.in_(AT_PROVIDER_STATES)
)
_slots = jobs.alias("slots")
_LOAD = (
    select(
        *JOB_COLUMNS,
        *ACCOUNT_STATE_COLUMNS,
        select(func.count())
        .where(_slots.c.account == jobs.c.account, _slots.c.state.in_(AT_PROVIDER_STATES))
        .scalar_subquery(),
    )
    .join(account_table, account_table.c.name == jobs.c.account)
    .where(any_of(jobs.c.id, "ids"))
)
_LOAD_RUNS = select(*RUN_COLUMNS).where(any_of(run_table.c.id, "runs"))


def _jobs_from_rows(rows: Iterable[Row[Any]]) -> list[Job]:
    return [job_from_row(row) for row in rows]
