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

from orchestrator.core.advance import Outcome
from orchestrator.core.job import Job, JobId, RunId
from orchestrator.core.lifecycle import AT_PROVIDER, ENDS, UNSENT, State
from orchestrator.core.run import Run, Standing
from orchestrator.store import leases, pins
from orchestrator.store.among import among
from orchestrator.store.connection import AsyncConnection, chunks, execute_each
from orchestrator.store.rows import (
    JOB_COLUMNS,
    RUN_COLUMNS,
    STANDING_COLUMNS,
    job_from,
    job_row,
    run_from,
    standing_from,
)
from orchestrator.store.tables import accounts as account_table
from orchestrator.store.tables import jobs, run_jobs
from orchestrator.store.tables import runs as run_table
from orchestrator.store.wakeups import WakeUp, promise


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A job with what its next step depends on. `running` counts the account's jobs that hold a slot."""

    job: Job
    run: Run
    standing: Standing
    running: int

    def after(self, outcome: Outcome, job: Job) -> Loaded:
        """The same after an outcome was recorded as `job`."""
        standing = outcome.standing(self.standing) if outcome.standing else self.standing
        return replace(self, job=job, standing=standing)


async def load(connection: AsyncConnection, job_id: JobId) -> Loaded | None:
    """The job and its circumstances, or None when there is no such job."""
    return (await load_all(connection, [job_id])).get(job_id)


async def load_all(connection: AsyncConnection, ids: Sequence[JobId]) -> dict[JobId, Loaded]:
    """The same of several, in one go; of those that exist."""
    rows = (await connection.execute(_LOAD, {"ids": ids})).all()
    standing = len(JOB_COLUMNS)
    found = [(job_from(row[:standing]), standing_from(row[standing:-1]), row[-1]) for row in rows]
    belongs = {"runs": list({job.run_id for job, _, _ in found})}
    of = {run.id: run for run in map(run_from, await connection.execute(_LOAD_RUNS, belongs))}
    return {job.id: Loaded(job=job, run=of[job.run_id], standing=how, running=slots) for job, how, slots in found}


async def due(connection: AsyncConnection, now: float, limit: int) -> list[tuple[JobId, str]]:
    """Ids and accounts of the jobs whose wake-up has come, the longest waiting first."""
    rows = await connection.execute(_DUE, {"now": now, "most": limit})
    return [(JobId(job_id), account) for job_id, account in rows]


async def overdue(connection: AsyncConnection, since: float, now: float, limit: int) -> list[WakeUp]:
    """Wake-ups that should have come by `since`, of accounts on which no live replica is at work.

    What a replica was about to do has no wake-up: if it came to no end, it is found here when its intent has ended.
    """
    lost = (jobs.c.wake_at <= since) | (jobs.c.wake_at == jobs.c.intent_until)
    query = (
        select(jobs.c.id, jobs.c.account, jobs.c.wake_at)
        .where(jobs.c.wake_at <= now, lost, jobs.c.account.not_in(leases.held(now)))
        .order_by(jobs.c.wake_at)
        .limit(limit)
    )
    return [WakeUp(JobId(row.id), row.account, row.wake_at) for row in await connection.execute(query)]


async def wake_times(connection: AsyncConnection, ids: Collection[JobId]) -> dict[JobId, float]:
    """When those of the jobs are due that ever are."""
    rows = await connection.execute(_WAKE_TIMES, {"ids": list(ids)})
    return {JobId(row.id): row.wake_at for row in rows}


async def holding_slots(connection: AsyncConnection, account: str) -> int:
    """How many of the account's jobs are, or may be, at the provider."""
    return (await connection.execute(_HOLDERS, {"holder": account})).scalar_one()


async def refusal(connection: AsyncConnection, job: Job, slots: int) -> str | None:
    """Why the job may not be submitted now; None when it may."""
    if await holding_slots(connection, job.account) >= slots:
        return "another job of the account took the slot"
    if await pins.awaited(connection, job):
        return "another job is first: it waits for what the provider chooses"
    return None


async def next_wake(connection: AsyncConnection) -> float | None:
    """When the next wake-up comes."""
    earliest: float | None = (await connection.execute(_NEXT_WAKE)).scalar_one()
    return earliest


async def by_id(connection: AsyncConnection, ids: Collection[JobId]) -> dict[JobId, Job]:
    """Those of the jobs that exist."""
    found: dict[JobId, Job] = {}
    for chunk in chunks(ids):
        found |= {job.id: job for job in _jobs(await connection.execute(_BY_ID, {"ids": chunk}))}
    return found


async def ids_of_run(connection: AsyncConnection, run_id: RunId) -> Sequence[JobId]:
    """Every job of the run, by account name."""
    query = select(jobs.c.id).join(run_jobs).where(run_jobs.c.run_id == run_id).order_by(jobs.c.account)
    return (await connection.execute(query)).scalars().all()


async def of_run(connection: AsyncConnection, run_id: RunId) -> list[Job]:
    """Every job of the run, by account name."""
    query = select(*JOB_COLUMNS).join(run_jobs).where(run_jobs.c.run_id == run_id).order_by(jobs.c.account)
    return _jobs(await connection.execute(query))


async def unsent_or_held(connection: AsyncConnection, run_id: RunId) -> list[Job]:
    """The run's jobs that a plan may still change."""
    which = (jobs.c.run_id == run_id) & (jobs.c.state.in_(UNSENT) | jobs.c.hold.is_not(None))
    return _jobs(await connection.execute(select(*JOB_COLUMNS).where(which).order_by(jobs.c.account)))


async def of_accounts(connection: AsyncConnection, names: Collection[str]) -> list[Job]:
    """Every job of these accounts, whatever its run."""
    return _jobs(await connection.execute(select(*JOB_COLUMNS).where(jobs.c.account.in_(list(names)))))


async def add(connection: AsyncConnection, run_id: RunId, wanted: Sequence[Job]) -> list[Job]:
    """Make these the jobs of the run: insert the new ones, move the others over. Returns the new ones."""
    known: set[str] = set()
    for ids in chunks(job.id for job in wanted):
        known |= set((await connection.execute(_EXISTING, {"ids": ids})).scalars())
    new = [job for job in wanted if job.id not in known]
    await execute_each(connection, insert(jobs), map(job_row, new))
    promise(connection, (WakeUp(job.id, job.account, job.wake_at) for job in new if job.wake_at is not None))
    those = select(run_jobs.c.job_id).where(run_jobs.c.run_id == run_id)
    linked = set((await connection.execute(those)).scalars())
    links = ({"run_id": run_id, "job_id": job.id} for job in wanted if job.id not in linked)
    await execute_each(connection, insert(run_jobs), links)
    await connection.execute(update(jobs).where(jobs.c.id.in_(those), jobs.c.run_id != run_id).values(run_id=run_id))
    return new


async def wake_unsent(connection: AsyncConnection, run_id: RunId, at: float) -> None:
    """Look again at the run's jobs that have not reached a provider: something they waited for may have changed."""
    await _wake(connection, _WAKE_UNSENT, at, run_id)


async def wake_ready(connection: AsyncConnection, account: str, at: float) -> None:
    """Look again at the account's jobs that wait for a slot: one became free."""
    await _wake(connection, _WAKE_READY, at, account)


async def wake_account(connection: AsyncConnection, account: str, at: float) -> None:
    """Look again at all open jobs of the account."""
    await _wake(connection, _WAKE_ACCOUNT, at, account)


async def _wake(connection: AsyncConnection, which: ReturningUpdate[Any], at: float, of: str) -> None:
    woken = await connection.execute(which, {"at": at, "of": of})
    promise(connection, [WakeUp(JobId(job_id), account, at) for job_id, account in woken])


def _waking(which: ColumnElement[bool]) -> ReturningUpdate[Any]:
    at: BindParameter[float] = bindparam("at", type_=Float)
    # A ready job waits for nothing but a slot, a start or a release, so its next look is no reason to wait.
    asleep = jobs.c.wake_at.is_(None) | (jobs.c.state == State.READY)
    # A new version, also for what is due: a step that is just going to rest would write its later look over this one.
    which &= (asleep | (jobs.c.wake_at <= at)) & jobs.c.hold.is_(None)
    return (
        update(jobs).where(which).values(wake_at=at, version=jobs.c.version + 1).returning(jobs.c.id, jobs.c.account)
    )


# Made once: to put a statement together takes longer than to execute it.
_of: BindParameter[str] = bindparam("of", type_=String)
_WAKE_READY = _waking((jobs.c.account == _of) & (jobs.c.state == State.READY))
_WAKE_UNSENT = _waking((jobs.c.run_id == _of) & jobs.c.state.in_(UNSENT))
_WAKE_ACCOUNT = _waking((jobs.c.account == _of) & jobs.c.state.not_in(ENDS))
_DUE = (
    select(jobs.c.id, jobs.c.account)
    .where(jobs.c.wake_at <= bindparam("now"))
    .order_by(jobs.c.wake_at)
    .limit(bindparam("most", type_=Integer))
)
_BY_ID = select(*JOB_COLUMNS).where(among(jobs.c.id, "ids"))
_EXISTING = select(jobs.c.id).where(among(jobs.c.id, "ids"))
_WAKE_TIMES = select(jobs.c.id, jobs.c.wake_at).where(among(jobs.c.id, "ids"), jobs.c.wake_at.is_not(None))
_NEXT_WAKE = select(func.min(jobs.c.wake_at))
_HOLDERS = select(func.count()).where(jobs.c.account == bindparam("holder"), jobs.c.state.in_(AT_PROVIDER))
_slots = jobs.alias("slots")
_LOAD = (
    select(
        *JOB_COLUMNS,
        *STANDING_COLUMNS,
        select(func.count())
        .where(_slots.c.account == jobs.c.account, _slots.c.state.in_(AT_PROVIDER))
        .scalar_subquery(),
    )
    .join(account_table, account_table.c.name == jobs.c.account)
    .where(among(jobs.c.id, "ids"))
)
_LOAD_RUNS = select(*RUN_COLUMNS).where(among(run_table.c.id, "runs"))


def _jobs(rows: Iterable[Row[Any]]) -> list[Job]:
    return [job_from(row) for row in rows]
