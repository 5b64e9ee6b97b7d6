"""Queries about deployments for people: pages of matching ones, and all that may cost money now."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, func, or_, select, true

from orchestrator.core.deployment.deployment import Deployment, DeploymentId
from orchestrator.core.deployment.deployment_filter import DeploymentFilter
from orchestrator.core.deployment.lifecycle import MAY_EXIST_STATES, TERMINAL_DEPLOYMENT_STATES, DeploymentState
from orchestrator.core.jobs.job import JobId
from orchestrator.core.structs import Struct
from orchestrator.store.db.any_of import is_one_of
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.schema.mapping import DEPLOYMENT_COLUMNS, deployment_from_row
from orchestrator.store.schema.tables import accounts, deployments, jobs, runs


class DeploymentRow(Struct, frozen=True, kw_only=True):
    """A deployment with what its account and its job's run add to it."""

    deployment: Deployment
    run: str | None
    """Name of the run that created the job; None: the job is not known here."""
    labels: tuple[str, ...]
    is_account_removed: bool


async def list_page(
    connection: StoreConnection,
    wanted: DeploymentFilter,
    *,
    limit: int | None = None,
    after: tuple[str, str] = ("", ""),
    skip: int = 0,
) -> list[DeploymentRow]:
    """Return matching deployments sorted by account and id, after this account and id. `skip` omits that many."""
    account, identity = after
    later = or_(deployments.c.account > account, (deployments.c.account == account) & (deployments.c.id > identity))
    query = (
        select(*DEPLOYMENT_COLUMNS, runs.c.name, accounts.c.labels, accounts.c.removed_at)
        .join(accounts, accounts.c.name == deployments.c.account)
        .outerjoin(jobs, jobs.c.id == deployments.c.job_id)
        .outerjoin(runs, runs.c.id == jobs.c.run_id)
        .where(_build_condition(wanted), later)
        .order_by(deployments.c.account, deployments.c.id)
        .limit(limit)
        .offset(skip)
    )
    width = len(DEPLOYMENT_COLUMNS)
    return [
        DeploymentRow(
            deployment=deployment_from_row(row[:width]),
            run=row[width],
            labels=tuple(row[width + 1]),
            is_account_removed=row[width + 2] is not None,
        )
        for row in await connection.execute(query)
    ]


async def count_by_state(connection: StoreConnection, wanted: DeploymentFilter) -> dict[DeploymentState, int]:
    """Count the matching deployments by state; states without any are missing."""
    query = (
        select(deployments.c.state, func.count())
        .outerjoin(jobs, jobs.c.id == deployments.c.job_id)
        .outerjoin(runs, runs.c.id == jobs.c.run_id)
        .where(_build_condition(wanted))
        .group_by(deployments.c.state)
    )
    return {DeploymentState(state): count for state, count in await connection.execute(query)}


async def list_billed(connection: StoreConnection) -> list[Deployment]:
    """Return all deployments that may exist at a provider, and so may cost money now."""
    query = select(*DEPLOYMENT_COLUMNS).where(deployments.c.state.in_(MAY_EXIST_STATES)).order_by(deployments.c.id)
    return [deployment_from_row(row) for row in await connection.execute(query)]


async def list_by_jobs(connection: StoreConnection, ids: Collection[JobId]) -> list[Deployment]:
    """Return the deployments of these jobs, those that have not ended after those that have."""
    if not ids:
        return []
    query = select(*DEPLOYMENT_COLUMNS).where(is_one_of(deployments.c.job_id, ids))
    order = (deployments.c.state.not_in(TERMINAL_DEPLOYMENT_STATES), deployments.c.created_at, deployments.c.id)
    return [deployment_from_row(row) for row in await connection.execute(query.order_by(*order))]


async def find_position(connection: StoreConnection, deployment_id: DeploymentId) -> tuple[str, str] | None:
    """Return account and id of the deployment, by which a list is continued after it; None if there is none."""
    query = select(deployments.c.account, deployments.c.id).where(deployments.c.id == deployment_id)
    row = (await connection.execute(query)).first()
    return None if row is None else (row.account, row.id)


def _build_condition(wanted: DeploymentFilter) -> ColumnElement[bool]:
    parts: list[ColumnElement[bool]] = [true()]
    if wanted.accounts:
        parts.append(is_one_of(deployments.c.account, wanted.accounts))
    if wanted.provider:
        parts.append(deployments.c.provider == wanted.provider)
    if wanted.state:
        parts.append(deployments.c.state == wanted.state)
    elif not wanted.with_ended:
        parts.append(deployments.c.state.not_in(TERMINAL_DEPLOYMENT_STATES))
    if wanted.run:
        parts.append((runs.c.name == wanted.run) | (runs.c.id == wanted.run))
    condition = parts[0]
    for part in parts[1:]:
        condition &= part
    return condition
