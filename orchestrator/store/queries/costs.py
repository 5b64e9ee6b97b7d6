"""Queries about estimated prices: what jobs and deployments have committed in each account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, Float, Row, bindparam, case, func, select, update

from orchestrator.core.jobs.job import JobId, RunId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.plans.budget import NO_COMMITTED_SPEND, CommittedSpend
from orchestrator.store.db.any_of import any_of
from orchestrator.store.db.connection import StoreConnection, execute_each
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries.deployments import deployment_costs
from orchestrator.store.schema.tables import jobs, run_jobs

_Usd = ColumnElement[float]
_has_ended_without_model: Final = jobs.c.state.in_([JobState.FAILED, JobState.CANCELLED])
_is_create_uncertain: Final = (jobs.c.state == JobState.FAILED) & jobs.c.intent_until.is_not(None)
IS_CREATED: Final = jobs.c.submitted_at.is_not(None) & (
    jobs.c.remote_job_id.is_not(None) | ~_has_ended_without_model | _is_create_uncertain
)
"""Whether the latest remote job exists or may exist at the provider. A job whose creation was refused does not."""

CREATED_USD: Final = case((IS_CREATED, func.coalesce(jobs.c.estimated_usd, 0.0)), else_=0.0) + func.coalesce(
    jobs.c.earlier_usd, 0.0
)
"""Estimated price of the job's remote jobs of all rounds, in USD; unknown prices count as 0."""


async def get_committed_by_account(
    connection: StoreConnection, run_id: RunId, since: float
) -> dict[str, CommittedSpend]:
    """Return the committed spend by account; `since` is the start of the month in epoch seconds."""
    query = select(jobs.c.account, *_sums(run_id, since)).group_by(jobs.c.account)
    rows = await connection.execute(query)
    spent = {account: CommittedSpend(total, month, run) for account, total, month, run in rows if total}
    started = await deployment_costs.list_started(connection)
    for account, deployed in deployment_costs.sum_committed(started, run_id, since).items():
        spent[account] = spent.get(account, NO_COMMITTED_SPEND).add(deployed)
    return spent


async def get_committed(connection: StoreConnection, account: str, run_id: RunId, since: float) -> CommittedSpend:
    """Return the committed spend of one account."""
    return (await get_committed_many(connection, {account: run_id}, since))[account]


async def get_committed_many(
    connection: StoreConnection, run_of: Mapping[str, RunId], since: float
) -> dict[str, CommittedSpend]:
    """Return the committed spend of several accounts, each with that of the given run, with two queries."""
    spent = dict.fromkeys(run_of, NO_COMMITTED_SPEND)
    values = {"names": list(run_of), "since": since}
    for account, run_id, total, month in await connection.execute(_SELECT_SPENT, values):
        spent[account] = spent[account].add(CommittedSpend(total, month, total if run_id == run_of[account] else 0.0))
    for each in await deployment_costs.list_started(connection, accounts=run_of):
        account = each.deployment.account
        spent[account] = spent[account].add(each.to_committed(run_of[account], since))
    return spent


async def list_by_run(connection: StoreConnection, run_id: RunId) -> Sequence[Row[Any]]:
    """Return what is stored about the price of each job of the run."""
    query = select(
        jobs.c.provider,
        jobs.c.base_model,
        jobs.c.estimated_usd,
        jobs.c.earlier_usd,
        jobs.c.quoted_usd,
        jobs.c.trained_tokens,
        jobs.c.submitted_at,
        IS_CREATED.label("is_created"),
        CREATED_USD.label("created_usd"),
    ).join(run_jobs, run_jobs.c.job_id == jobs.c.id)
    return (await connection.execute(query.where(run_jobs.c.run_id == run_id).order_by(jobs.c.account))).all()


async def save_estimates(tx: Transaction, prices: Mapping[JobId, float | None]) -> None:
    """Store the estimated prices of jobs."""
    values = ({"same_id": job_id, "estimated_usd": usd} for job_id, usd in prices.items())
    await execute_each(tx.connection, update(jobs).where(jobs.c.id == bindparam("same_id")), values)


def _sums(run_id: RunId, since: float) -> tuple[_Usd, _Usd, _Usd]:
    return (
        _sum(CREATED_USD),
        _sum_recent(since),
        _sum(case((jobs.c.run_id == run_id, CREATED_USD), else_=0.0)),
    )


def _sum_recent(since: float | BindParameter[float]) -> _Usd:
    # The time of earlier rounds is not stored: they count in the month of the latest round, or while that is open.
    is_recent = jobs.c.submitted_at.is_(None) | (jobs.c.submitted_at >= since)
    return _sum(case((is_recent, CREATED_USD), else_=0.0))


def _sum(usd: _Usd) -> _Usd:
    return func.coalesce(func.sum(usd), 0.0)


# Built once: compiling a statement takes longer than executing it.
_SELECT_SPENT = (
    select(jobs.c.account, jobs.c.run_id, _sum(CREATED_USD), _sum_recent(bindparam("since", type_=Float)))
    .where(any_of(jobs.c.account, "names"))
    .group_by(jobs.c.account, jobs.c.run_id)
)
