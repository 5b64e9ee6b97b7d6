"""Queries about jobs: loading them for a step, waking them, and assigning them to runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Float,
    Integer,
    Row,
    String,
    bindparam,
    case,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from orchestrator.core.account_state import AccountState, apply_account_update
from orchestrator.core.jobs.job import Job, JobId, RunId
from orchestrator.core.jobs.lifecycle import AT_PROVIDER_STATES, TERMINAL_STATES, UNSUBMITTED_STATES, JobState
from orchestrator.core.jobs.next_action import can_use_slot
from orchestrator.core.jobs.pins import PinnedValues
from orchestrator.core.jobs.run import Run
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.core.moderation import ModerationStatus
from orchestrator.core.structs import Struct, replace
from orchestrator.store.db.any_of import any_of, is_one_of
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

NO_SLOT_REASON = "no job slot is free in this account"


class LoadedJob(Struct, frozen=True, kw_only=True):
    """A job with everything its next step depends on."""

    job: Job
    run: Run
    """The run that the job belongs to now."""
    account_state: AccountState
    used_slots: int
    """Jobs of the account that are, or may be, at the provider."""

    def with_outcome(self, outcome: Outcome, job: Job) -> LoadedJob:
        """Return what is loaded as it is after the outcome was recorded as `job`, without reading it again."""
        state, update = self.account_state, outcome.account_update
        return replace(self, job=job, account_state=apply_account_update(state, update) if update else state)


class RecordFacts(Struct, frozen=True, kw_only=True):
    """What decides, in the write transaction, whether and how the outcome of a job's step is recorded."""

    version: int
    """Of the job as it is stored now."""
    used_slots: int
    """Jobs of the account that are, or may be, at the provider; 0 if the account was not counted."""
    ready_jobs: int
    """Other jobs of the account that wait for a slot; 0 if the account was not counted."""
    pins: Mapping[str, PinnedValues | None]
    """Of the job's run; empty if the account was not counted."""
    may_be_held: bool
    """Whether the account or the run has a hold, or does not count any more; False if the account was not counted."""


async def load(connection: StoreConnection, job_id: JobId) -> LoadedJob | None:
    """Load a job with everything its next step depends on; None when there is no such job."""
    return (await load_many(connection, [job_id])).get(job_id)


async def load_many(connection: StoreConnection, ids: Sequence[JobId]) -> dict[JobId, LoadedJob]:
    """Load those of the jobs that exist, with two queries however many they are."""
    rows = (await connection.execute(_LOAD, {"ids": ids})).all()
    width = len(JOB_COLUMNS)
    loaded = [(job_from_row(row[:width]), account_state_from_row(row[width:-1]), row[-1]) for row in rows]
    # Runs are read separately: thousands of jobs belong to one run, whose specs are large.
    run_ids = list({job.run_id for job, _, _ in loaded})
    runs = {run.id: run for run in map(run_from_row, await connection.execute(_LOAD_RUNS, {"runs": run_ids}))}
    return {
        job.id: LoadedJob(job=job, run=runs[job.run_id], account_state=account_state, used_slots=slots)
        for job, account_state, slots in loaded
    }


async def get_record_facts(
    connection: StoreConnection, ids: Collection[JobId], *, counted: Collection[JobId]
) -> dict[JobId, RecordFacts]:
    """Return the facts of those of the jobs that exist, with one query. `counted`: the jobs whose accounts count."""
    if not counted:  # most batches are polls, which need the version only
        rows = (await connection.execute(_SELECT_VERSIONS, {"ids": list(ids)})).all()
        return {
            JobId(job_id): RecordFacts(version=version, used_slots=0, ready_jobs=0, pins={}, may_be_held=False)
            for job_id, version in rows
        }
    values = {"ids": list(ids), "counted": list(counted)}
    return {
        JobId(job_id): RecordFacts(
            version=version, used_slots=used or 0, ready_jobs=ready or 0, pins=pins or {}, may_be_held=bool(held)
        )
        for job_id, version, used, ready, pins, held in (await connection.execute(_SELECT_FACTS, values)).all()
    }


async def list_due(connection: StoreConnection, now: float, limit: int) -> list[tuple[JobId, str]]:
    """Return ids and accounts of the jobs that are due, the longest waiting first."""
    rows = await connection.execute(_DUE, {"now": now, "limit": limit})
    return [(JobId(job_id), account) for job_id, account in rows]


async def list_overdue(connection: StoreConnection, since: float, now: float, limit: int) -> list[WakeUp]:
    """Return wake-ups that were due by `since`, of accounts that no live replica has leased.

    A step with an intent has no wake-up. If its replica died, the job is found here when the intent has ended.
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
    """Return the times at which the jobs are due; jobs without one are missing."""
    rows = await connection.execute(_WAKE_TIMES, {"ids": list(ids)})
    return {JobId(row.id): row.wake_at for row in rows}


async def count_used_slots(connection: StoreConnection, account: str) -> int:
    """Count the account's jobs that are, or may be, at the provider."""
    return (await connection.execute(_COUNT_USED_SLOTS, {"holder": account})).scalar_one()


async def find_submit_blocker(connection: StoreConnection, job: Job, slots: int, now: float) -> str | None:
    """Return why the job has to wait for a slot, or None. Call it in the transaction of the intent."""
    used = await count_used_slots(connection, job.account)
    if used >= slots:
        return NO_SLOT_REASON
    if used + await _count_jobs_ahead(connection, job, now) >= slots:
        return "the free job slots of this account belong to runs with a higher priority, or to older runs"
    if await pins.is_awaiting_first_job(connection, job):
        return "waiting for the values that the provider selects for the first job"
    return None


async def _count_jobs_ahead(connection: StoreConnection, job: Job, now: float) -> int:
    """Count the account's jobs of other runs that get a free slot before this job, and can use it now."""
    rows = (await connection.execute(_SELECT_RIVALS, {"holder": job.account, "same_id": job.id})).all()
    if not rows:  # always so with a single run
        return 0
    run = run_from_row((await connection.execute(_SELECT_RUN_OF_JOB, {"same_id": job.id})).one())
    width, ahead = len(JOB_COLUMNS), 0
    for row in rows:
        rival, rival_run = job_from_row(row[:width]), run_from_row(row[width:])
        if rival_run.rank < run.rank and can_use_slot(rival, rival_run, now):
            ahead += not await pins.is_awaiting_first_job(connection, rival)
    return ahead


async def find_next_wake_at(connection: StoreConnection) -> float | None:
    """Return the earliest time at which a job is due; None when none is."""
    earliest: float | None = (await connection.execute(_NEXT_WAKE)).scalar_one()
    return earliest


async def get_many(connection: StoreConnection, ids: Collection[JobId]) -> dict[JobId, Job]:
    """Return those of the jobs that exist, by id."""
    result: dict[JobId, Job] = {}
    for chunk in iter_chunks(ids):
        result |= {job.id: job for job in _jobs_from_rows(await connection.execute(_SELECT_MANY, {"ids": chunk}))}
    return result


async def list_ids_by_run(connection: StoreConnection, run_id: RunId) -> Sequence[JobId]:
    """Return the ids of all jobs of the run, by account name."""
    query = select(jobs.c.id).join(run_jobs).where(run_jobs.c.run_id == run_id).order_by(jobs.c.account)
    return (await connection.execute(query)).scalars().all()


async def get_account_by_job(connection: StoreConnection, run_id: RunId) -> dict[JobId, str]:
    """Return the account of each job of the run."""
    query = select(jobs.c.id, jobs.c.account).join(run_jobs).where(run_jobs.c.run_id == run_id)
    return {JobId(row.id): row.account for row in await connection.execute(query)}


async def list_by_run(connection: StoreConnection, run_id: RunId) -> list[Job]:
    """Return all jobs of the run, by account name."""
    query = select(*JOB_COLUMNS).join(run_jobs).where(run_jobs.c.run_id == run_id).order_by(jobs.c.account)
    return _jobs_from_rows(await connection.execute(query))


async def list_replannable(connection: StoreConnection, run_id: RunId) -> list[Job]:
    """Return the run's jobs that a new plan may change: those that are perhaps not at the provider, or held."""
    is_open = jobs.c.state.in_(UNSUBMITTED_STATES | {JobState.SUBMITTING})
    which = (jobs.c.run_id == run_id) & (is_open | jobs.c.hold.is_not(None))
    return _jobs_from_rows(await connection.execute(select(*JOB_COLUMNS).where(which).order_by(jobs.c.account)))


async def list_by_accounts(connection: StoreConnection, names: Collection[str]) -> list[Job]:
    """Return all jobs of these accounts, in any run, in the order of the accounts."""
    query = select(*JOB_COLUMNS).where(is_one_of(jobs.c.account, names)).order_by(jobs.c.account, jobs.c.id)
    return _jobs_from_rows(await connection.execute(query))


async def assign_to_run(tx: Transaction, run_id: RunId, planned: Sequence[Job]) -> list[Job]:
    """Make these the jobs of the run: insert new ones, move existing ones over. Returns the new ones."""
    existing: set[str] = set()
    for ids in iter_chunks(job.id for job in planned):
        existing |= set((await tx.connection.execute(_EXISTING, {"ids": ids})).scalars())
    new = [job for job in planned if job.id not in existing]
    await execute_each(tx.connection, insert(jobs), map(job_to_row, new))
    tx.schedule_wake_ups(WakeUp(job.id, job.account, job.wake_at) for job in new if job.wake_at is not None)
    job_ids = select(run_jobs.c.job_id).where(run_jobs.c.run_id == run_id)
    linked = set((await tx.connection.execute(job_ids)).scalars())
    links = ({"run_id": run_id, "job_id": job.id} for job in planned if job.id not in linked)
    await execute_each(tx.connection, insert(run_jobs), links)
    await tx.connection.execute(
        update(jobs).where(jobs.c.id.in_(job_ids), jobs.c.run_id != run_id).values(run_id=run_id)
    )
    return new


async def unlink_from_run(tx: Transaction, run_id: RunId, ids: Collection[JobId]) -> None:
    """Take jobs out of a run: they are not listed, counted or awaited with it before `assign_to_run` adds them."""
    await tx.connection.execute(
        delete(run_jobs).where(run_jobs.c.run_id == run_id, is_one_of(run_jobs.c.job_id, ids))
    )


async def wake_unsubmitted(tx: Transaction, run_id: RunId, at: float) -> None:
    """Make the run's unsubmitted jobs due: something they wait for may have changed."""
    await _wake(tx, _WAKE_UNSUBMITTED, at, run_id)


async def wake_ready(tx: Transaction, names: Collection[str], at: float) -> None:
    """Make the ready jobs of these accounts due: a job slot may have become free."""
    await _wake(tx, _WAKE_READY, at, list(names))


async def wake_account(tx: Transaction, account: str, at: float) -> None:
    """Make all open jobs of the account due, and clear their failures: the account is verified again."""
    await _wake(tx, _WAKE_ACCOUNT, at, account)


async def _wake(tx: Transaction, statement: ReturningUpdate[Any], at: float, key: str | list[str]) -> None:
    woken = await tx.connection.execute(statement, {"at": at, "of": key})
    tx.schedule_wake_ups([WakeUp(JobId(job_id), account, at) for job_id, account in woken])


def _wake_statement(condition: ColumnElement[bool], **changes: ColumnElement[Any]) -> ReturningUpdate[Any]:
    at: BindParameter[float] = bindparam("at", type_=Float)
    # A ready job waits only for a slot, a start or a release, so its next regular check is no reason to leave it.
    is_asleep = jobs.c.wake_at.is_(None) | (jobs.c.state == JobState.READY)
    # The version is raised also for jobs that are due already: a step that is in progress may be about to set a later
    # `wake_at`, which would overwrite this one. With the new version its outcome is stale and it starts again.
    condition &= (is_asleep | (jobs.c.wake_at <= at)) & jobs.c.hold.is_(None)
    return (
        update(jobs)
        .where(condition)
        .values(wake_at=at, version=jobs.c.version + 1, **changes)
        .returning(jobs.c.id, jobs.c.account)
    )


# Built once: compiling a statement takes longer than executing it.
_wake_key: BindParameter[str] = bindparam("of", type_=String)
_WAKE_READY = _wake_statement(any_of(jobs.c.account, "of") & (jobs.c.state == JobState.READY))
_WAKE_UNSUBMITTED = _wake_statement((jobs.c.run_id == _wake_key) & jobs.c.state.in_(UNSUBMITTED_STATES))
# The job whose call led to the hold of its account has the same failure: it would be shown as if the hold had stayed.
_WAKE_ACCOUNT = _wake_statement((jobs.c.account == _wake_key) & jobs.c.state.not_in(TERMINAL_STATES), failure=null())
_DUE = (
    select(jobs.c.id, jobs.c.account)
    .where(jobs.c.wake_at <= bindparam("now"))
    .order_by(jobs.c.wake_at)
    .limit(bindparam("limit", type_=Integer))
)
_SELECT_MANY = select(*JOB_COLUMNS).where(any_of(jobs.c.id, "ids"))
_EXISTING = select(jobs.c.id).where(any_of(jobs.c.id, "ids"))
_WAKE_TIMES = select(jobs.c.id, jobs.c.wake_at).where(any_of(jobs.c.id, "ids"), jobs.c.wake_at.is_not(None))
_NEXT_WAKE = select(func.min(jobs.c.wake_at))
_COUNT_USED_SLOTS = select(func.count()).where(
    jobs.c.account == bindparam("holder"), jobs.c.state.in_(AT_PROVIDER_STATES)
)
# The run is read here and not taken from the loaded job: an operator or a new plan may have changed it meanwhile.
_SELECT_RUN_OF_JOB = (
    select(*RUN_COLUMNS).join(jobs, jobs.c.run_id == run_table.c.id).where(jobs.c.id == bindparam("same_id"))
)
_SELECT_RIVALS = (
    select(*JOB_COLUMNS, *RUN_COLUMNS)
    .join(run_table, run_table.c.id == jobs.c.run_id)
    .where(jobs.c.account == bindparam("holder"), jobs.c.state == JobState.READY, jobs.c.id != bindparam("same_id"))
    .where(run_table.c.current.is_(True))
)
_slots = jobs.alias("slots")
_SELECT_VERSIONS = select(jobs.c.id, jobs.c.version).where(any_of(jobs.c.id, "ids"))


def _count_if_counted(*conditions: ColumnElement[bool]) -> ColumnElement[int]:
    """Count other jobs of the account; NULL if the job is not among the `counted`."""
    others = select(func.count()).where(_slots.c.account == jobs.c.account, *conditions)
    return case((any_of(jobs.c.id, "counted"), others.scalar_subquery()))


_may_be_held = or_(
    account_table.c.hold.is_not(None),
    account_table.c.removed_at.is_not(None),
    run_table.c.hold.is_not(None),
    run_table.c.moderation["state"].as_string() == ModerationStatus.MISSING,
    run_table.c.current.is_(False),
)
_SELECT_FACTS = (
    select(
        jobs.c.id,
        jobs.c.version,
        _count_if_counted(_slots.c.state.in_(AT_PROVIDER_STATES)),
        _count_if_counted(_slots.c.state == JobState.READY, _slots.c.id != jobs.c.id),
        case((any_of(jobs.c.id, "counted"), run_table.c.pins)),
        case((any_of(jobs.c.id, "counted"), _may_be_held)),
    )
    .join(run_table, run_table.c.id == jobs.c.run_id)
    .join(account_table, account_table.c.name == jobs.c.account)
    .where(any_of(jobs.c.id, "ids"))
)
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
