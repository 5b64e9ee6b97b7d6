"""Queries that request deployments, and that load and wake them for the service."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Integer, Update, bindparam, select, update

from orchestrator.core.account_state import AccountState
from orchestrator.core.deployment.deployment import Deployment, DeploymentId
from orchestrator.core.deployment.lifecycle import TERMINAL_DEPLOYMENT_STATES, DeploymentState
from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.run import Run
from orchestrator.core.structs import Struct, replace
from orchestrator.store.db.any_of import is_one_of
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import accounts, jobs, runs
from orchestrator.store.queries.deployments import deployment_records
from orchestrator.store.schema.mapping import DEPLOYMENT_COLUMNS, deployment_from_row
from orchestrator.store.schema.tables import deployments

PRICE_HOLD_KINDS = frozenset(
    {HoldKind.OVER_BUDGET, HoldKind.PRICE_UNKNOWN, HoldKind.RUN_TOO_EXPENSIVE, HoldKind.SUPERSEDED}
)
"""Holds of a deployment that depend on the accounts file: they are decided again when it is applied."""

# Built once: compiling a statement takes longer than executing it.
_SELECT_DUE_IDS = (
    select(deployments.c.id, deployments.c.account)
    .where(deployments.c.wake_at <= bindparam("now"))
    .order_by(deployments.c.wake_at, deployments.c.id)
    .limit(bindparam("limit", type_=Integer))
)


class LoadedDeployment(Struct, frozen=True, kw_only=True):
    """A deployment with what its next step depends on."""

    deployment: Deployment
    account_state: AccountState
    job: Job | None  # None: it was found at the provider, and its job is not known here
    run: Run | None  # of the job


class DueDeployments:
    """The queries by which a dispatcher finds due deployments."""

    async def list_due(self, connection: StoreConnection, now: float, limit: int) -> list[tuple[DeploymentId, str]]:
        """Return ids and accounts of the deployments that are due, the longest waiting first."""
        rows = await connection.execute(_SELECT_DUE_IDS, {"now": now, "limit": limit})
        return [(DeploymentId(row.id), row.account) for row in rows]

    async def find_next_wake_at(self, connection: StoreConnection) -> float | None:
        """Return the earliest time at which a deployment is due; None when none is."""
        return await deployment_records.find_next_wake_at(connection)


async def load(connection: StoreConnection, deployment_id: DeploymentId) -> LoadedDeployment | None:
    """Load a deployment with its account, its job and its run; None if there is no record of it."""
    deployment = await deployment_records.find(connection, deployment_id)
    if deployment is None:
        return None
    state = (await accounts.get_many(connection, [deployment.account]))[deployment.account]
    job = None
    if deployment.job_id is not None:
        job = (await jobs.get_many(connection, [deployment.job_id])).get(deployment.job_id)
    run = None if job is None else await runs.find(connection, job.run_id)
    return LoadedDeployment(deployment=deployment, account_state=state, job=job, run=run)


async def request_deployments(
    tx: Transaction, wanted: Sequence[Deployment], *, at: float, cause: str
) -> list[Deployment]:
    """Insert the deployments that have no record yet, and return them.

    One that was found at the provider before its job was known gets its job and its options, and keeps its expiry.
    """
    new = await deployment_records.add(tx, wanted, at=at, cause=cause)
    existing = await deployment_records.get_many(tx.connection, [each.id for each in wanted])
    for each in wanted:
        known = existing[each.id]
        if known.job_id is None and each.job_id is not None:
            linked = replace(known, job_id=each.job_id, spec=each.spec, version=known.version + 1)
            await _save_link(tx, linked)
    return new


async def _save_link(tx: Transaction, linked: Deployment) -> None:
    await tx.connection.execute(
        update(deployments)
        .where(deployments.c.id == linked.id)
        .values(job_id=linked.job_id, spec=linked.spec.as_dict(), version=linked.version)
    )


async def wake_price_holds(tx: Transaction, accounts_of_file: Collection[str], at: float) -> None:
    """Make the deployments due that wait for a price or a budget: the limits may have changed."""
    query = select(*DEPLOYMENT_COLUMNS).where(
        deployments.c.state == DeploymentState.WANTED, is_one_of(deployments.c.account, accounts_of_file)
    )
    waiting = [deployment_from_row(row) for row in await tx.connection.execute(query)]
    held = [each.id for each in waiting if each.hold is not None and each.hold.kind in PRICE_HOLD_KINDS]
    if held:
        await tx.connection.execute(_wake().where(is_one_of(deployments.c.id, held)).values(wake_at=at))


async def wake_account(tx: Transaction, account: str, at: float) -> None:
    """Make all open deployments of the account due: its hold was released, or its key replaced."""
    await tx.connection.execute(
        _wake()
        .where(
            deployments.c.account == account,
            deployments.c.state.not_in(TERMINAL_DEPLOYMENT_STATES),
            deployments.c.hold.is_(None),
        )
        .values(wake_at=at)
    )


def _wake() -> Update:
    # The version is raised, as for jobs: a step in progress may be about to set a later `wake_at`.
    return update(deployments).values(version=deployments.c.version + 1)
