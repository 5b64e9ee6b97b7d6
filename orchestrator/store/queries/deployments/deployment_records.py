"""Queries about deployments: creating their records, loading those that are due, and recording outcomes."""

# The rules are those of outcomes.py: the UPDATE has the condition `version = deployment.version - 1`, so of two
# replicas only one records its intent and may create something; row, event and the account's hold are one
# transaction. `add` never replaces a record: a model has one deployment, also if two replicas request it.
#
# Deployments have no queue of their own. Their wake-ups are read from the table (`list_due`), on both databases:
# there are at most a few for each account, and none is urgent to the second.

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Integer, bindparam, func, insert, or_, select, update

from orchestrator.core.account_state import apply_account_update
from orchestrator.core.comparison.comparison import ComparisonState
from orchestrator.core.deployment.deployment import Deployment, DeploymentId, StopReason
from orchestrator.core.deployment.lifecycle import MAY_EXIST_STATES, TERMINAL_DEPLOYMENT_STATES, DeploymentState
from orchestrator.core.deployment.transitions import DeploymentOutcome, rebase_on_stop
from orchestrator.core.notifications.deployment_notifications import (
    build_deployment_notification,
    build_expiry_notification,
    is_ending_soon,
)
from orchestrator.core.structs import replace
from orchestrator.store.db.any_of import any_of, is_one_of
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import accounts, notifications
from orchestrator.store.schema.mapping import DEPLOYMENT_COLUMNS, deployment_from_row, deployment_to_row
from orchestrator.store.schema.tables import comparisons, deployments, events

EXPIRY_NOTE: Final = "deployment ends soon"

# Built once: compiling a statement takes longer than executing it.
_UPDATE_IF_VERSION = update(deployments).where(
    deployments.c.id == bindparam("same_id"), deployments.c.version == bindparam("version_before")
)
_SELECT_MANY = select(*DEPLOYMENT_COLUMNS).where(any_of(deployments.c.id, "ids"))
_SELECT_DUE = (
    select(*DEPLOYMENT_COLUMNS)
    .where(deployments.c.wake_at <= bindparam("now"))
    .order_by(deployments.c.wake_at, deployments.c.id)
    .limit(bindparam("limit", type_=Integer))
)
_SELECT_NEXT_WAKE = select(func.min(deployments.c.wake_at))


async def find(connection: StoreConnection, deployment_id: DeploymentId) -> Deployment | None:
    """Return the deployment; None if there is no record of it."""
    return (await get_many(connection, [deployment_id])).get(deployment_id)


async def get_many(connection: StoreConnection, ids: Collection[DeploymentId]) -> dict[DeploymentId, Deployment]:
    """Return those of the deployments that exist, by id."""
    rows = await connection.execute(_SELECT_MANY, {"ids": list(ids)})
    return {each.id: each for each in map(deployment_from_row, rows)}


async def list_due(connection: StoreConnection, now: float, limit: int) -> list[Deployment]:
    """Return the deployments that are due, the longest waiting first."""
    return [deployment_from_row(row) for row in await connection.execute(_SELECT_DUE, {"now": now, "limit": limit})]


async def find_next_wake_at(connection: StoreConnection) -> float | None:
    """Return the earliest time at which a deployment is due; None when none is."""
    earliest: float | None = (await connection.execute(_SELECT_NEXT_WAKE)).scalar_one()
    return earliest


async def list_open(connection: StoreConnection, account_names: Collection[str] | None = None) -> list[Deployment]:
    """Return the deployments that have not ended, of these accounts or (None) of all, the next to expire first."""
    query = select(*DEPLOYMENT_COLUMNS).where(deployments.c.state.not_in(TERMINAL_DEPLOYMENT_STATES))
    if account_names is not None:
        query = query.where(is_one_of(deployments.c.account, account_names))
    # NULL sorts first on SQLite and last on PostgreSQL; a deployment without an expiry has not been created.
    order = (deployments.c.expires_at.is_(None), deployments.c.expires_at, deployments.c.id)
    return [deployment_from_row(row) for row in await connection.execute(query.order_by(*order))]


async def list_all(connection: StoreConnection) -> list[Deployment]:
    """Return all deployments that were ever requested or found."""
    return [deployment_from_row(row) for row in await connection.execute(select(*DEPLOYMENT_COLUMNS))]


async def list_by_comparison(connection: StoreConnection, comparison_id: str) -> list[Deployment]:
    """Return the deployments that the comparison has requested."""
    query = select(*DEPLOYMENT_COLUMNS).where(deployments.c.comparison_id == comparison_id)
    return [deployment_from_row(row) for row in await connection.execute(query.order_by(deployments.c.id))]


async def list_comparisons_to_stop(connection: StoreConnection) -> list[str]:
    """Return the ended comparisons with a deployment of their own whose stop was not requested yet."""
    query = (
        select(comparisons.c.id)
        .join(deployments, deployments.c.comparison_id == comparisons.c.id)
        .where(
            comparisons.c.state != ComparisonState.ASKING,
            deployments.c.state.not_in(TERMINAL_DEPLOYMENT_STATES),
            or_(deployments.c.stop_reason.is_(None), deployments.c.stop_reason == StopReason.CONFLICT),
        )
    )
    return list((await connection.execute(query.distinct())).scalars())


async def list_by_account(connection: StoreConnection, account: str) -> list[Deployment]:
    """Return all deployments of the account, the latest first."""
    query = select(*DEPLOYMENT_COLUMNS).where(deployments.c.account == account)
    rows = await connection.execute(query.order_by(deployments.c.created_at.desc(), deployments.c.id))
    return [deployment_from_row(row) for row in rows]


async def get_latest_ends(connection: StoreConnection, since: float) -> dict[str, float]:
    """Return when the latest deployment ended, by account; only what was created and has ended after `since`."""
    query = select(deployments.c.account, func.max(deployments.c.ended_at).label("latest")).where(
        deployments.c.ended_at > since, deployments.c.create_started_at.is_not(None)
    )
    rows = await connection.execute(query.group_by(deployments.c.account))
    return {row.account: row.latest for row in rows}


async def is_operation_in_progress(
    connection: StoreConnection, account: str, except_id: DeploymentId, now: float
) -> bool:
    """Return whether another deployment of the account is being created, or is removed at this moment.

    For providers that allow one operation at a time. A create counts until its intent has ended; call it in the
    transaction that writes the intent.
    """
    query = select(func.count()).where(
        deployments.c.account == account,
        deployments.c.id != except_id,
        (deployments.c.state == DeploymentState.STOPPING)
        | ((deployments.c.state == DeploymentState.CREATING) & (deployments.c.intent_until > now))
        | ((deployments.c.state == DeploymentState.STARTING) & (deployments.c.ready_at.is_(None))),
    )
    count: int = (await connection.execute(query)).scalar_one()
    return count > 0


async def count_may_exist(connection: StoreConnection) -> dict[str, int]:
    """Return how many deployments may exist at the provider, by account; accounts without one are missing."""
    query = select(deployments.c.account, func.count().label("total")).where(
        deployments.c.state.in_(MAY_EXIST_STATES)
    )
    rows = await connection.execute(query.group_by(deployments.c.account))
    return {row.account: row.total for row in rows}


async def add(tx: Transaction, wanted: Sequence[Deployment], *, at: float, cause: str) -> list[Deployment]:
    """Insert the deployments that have no record yet. Returns these; an existing record is never changed."""
    existing = await get_many(tx.connection, [each.id for each in wanted])
    new = list({each.id: each for each in wanted if each.id not in existing}.values())
    if new:
        await tx.connection.execute(insert(deployments), [deployment_to_row(each) for each in new])
    tx.add_events(*(_build_event(each, "deployment requested", at=at, cause=cause) for each in new))
    return new


async def record(tx: Transaction, outcome: DeploymentOutcome, *, at: float, cause: str) -> bool:
    """Record the outcome unless it is stale. Returns False, and writes nothing, when it is."""
    result = await tx.connection.execute(_UPDATE_IF_VERSION, _to_versioned_row(outcome.deployment))
    if result.rowcount == 0:
        return False
    if outcome.account_update is not None:
        # Read in this transaction, not taken from the loaded step: an operator may have held the account meanwhile.
        before = (await accounts.get_many(tx.connection, {outcome.deployment.account}))[outcome.deployment.account]
        after = apply_account_update(before, outcome.account_update)
        await notifications.publish_account_hold(tx, before, after, at)
        await accounts.save_many(tx, [after])
    if outcome.label is not None:
        tx.add_events(_build_event_of_outcome(outcome, at=at, cause=cause))
    await _publish(tx, outcome, at)
    return True


async def _publish(tx: Transaction, outcome: DeploymentOutcome, at: float) -> None:
    """Publish what subscribers want to know of the change, in its transaction."""
    deployment = outcome.deployment
    if notification := build_deployment_notification(deployment, outcome.previous_state, at):
        await notifications.publish(tx, notification)
    if is_ending_soon(deployment, at) and not await _is_expiry_published(tx.connection, deployment):
        tx.add_events(_build_event(deployment, EXPIRY_NOTE, at=at, cause="service"))
        await notifications.publish(tx, build_expiry_notification(deployment, at))


async def _is_expiry_published(connection: StoreConnection, deployment: Deployment) -> bool:
    """Return whether the history has the warning already. The account is named because of the index."""
    query = select(events.c.id).where(
        events.c.account == deployment.account,
        events.c.deployment_id == deployment.id,
        events.c.note == EXPIRY_NOTE,
        events.c.at >= (deployment.create_started_at or 0.0),
    )
    return (await connection.execute(query.limit(1))).first() is not None


async def record_rebased(
    tx: Transaction, outcome: DeploymentOutcome, *, at: float, cause: str
) -> DeploymentOutcome | None:
    """Record a stale outcome if a requested stop is all that came between. Returns what was recorded, or None."""
    latest = await find(tx.connection, outcome.deployment.id)
    rebased = rebase_on_stop(outcome, latest, now=at) if latest else None
    if rebased and await record(tx, rebased, at=at, cause=cause):
        return rebased
    return None


def _to_versioned_row(deployment: Deployment) -> dict[str, Any]:
    values = deployment_to_row(deployment)
    del values["id"]
    return values | {"same_id": deployment.id, "version_before": deployment.version - 1}


def _build_event_of_outcome(outcome: DeploymentOutcome, *, at: float, cause: str) -> EventData:
    failure = outcome.failure
    event = _build_event(outcome.deployment, outcome.label or "", at=at, cause=cause)
    message = f"{failure.kind}: {failure.message}" if failure else None
    return replace(event, state_before=outcome.previous_state, request_id=outcome.request_id, message=message)


def _build_event(deployment: Deployment, note: str, *, at: float, cause: str) -> EventData:
    """Build an event of a deployment. It has no job id: the history of a job shows states of jobs only."""
    return EventData(
        at=at,
        cause=cause,
        note=note,
        account=deployment.account,
        state_after=deployment.state,
        attempt=deployment.attempts,
        deployment_id=deployment.id,
    )
