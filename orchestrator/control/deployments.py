"""Operator actions on deployments: deploy models, undeploy them, approve a price.

Each is one change of the database. The service then creates and removes what is recorded here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from orchestrator.control.accounts import get_account_states
from orchestrator.control.deployment_plan import DeploymentPlan, PlannedDeployment
from orchestrator.control.runs import RECONFIRM_HINT
from orchestrator.core.deployment.cost import find_price_hold
from orchestrator.core.deployment.deployment import Deployment, DeploymentId, build_deployment
from orchestrator.core.deployment.deployment_spec import DeploymentSpec
from orchestrator.core.deployment.lifecycle import TERMINAL_DEPLOYMENT_STATES
from orchestrator.core.deployment.transitions import (
    DeploymentOutcome,
    release_deployment,
    request_again,
    request_stop,
)
from orchestrator.core.errors import ConfigError, NothingToDo
from orchestrator.core.hold import HoldKind
from orchestrator.core.structs import Struct, replace
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries.deployments import deployment_records

APPROVABLE_HOLD_KINDS: Final = frozenset({HoldKind.PRICE_UNKNOWN, HoldKind.RUN_TOO_EXPENSIVE, HoldKind.SUPERSEDED})
"""Holds that an approval lifts. The budget of an account is not approved away: it is raised in the accounts file."""


class DeploymentTarget(Struct, frozen=True, kw_only=True):
    """The deployments to which an action applies: all that match both. An empty selection selects nothing."""

    accounts: Collection[str] | None = ()
    """Account names; None: every account."""
    ids: Collection[str] | None = None
    """Ids of deployments; None: every deployment of the accounts that has not ended."""


async def deploy(database: Database, plan: DeploymentPlan, *, by: str, now: float) -> list[Deployment]:
    """Request the deployments that the plan accepts. Returns the new records, and those that were requested again.

    One whose price is unknown is held until it is approved. A model that was deployed since the plan was made keeps
    its deployment.
    """
    async with database.transaction() as tx:
        return await request_deployments(tx, plan, by=by, now=now)


async def request_deployments(
    tx: Transaction, plan: DeploymentPlan, *, by: str, now: float, comparison_id: str | None = None
) -> list[Deployment]:
    """Request the deployments as `deploy` does, within a transaction. A comparison stops those that it requests."""
    first = [
        replace(_build_record(line, now), comparison_id=comparison_id)
        for line in plan.accepted
        if line.existing is None
    ]
    requested = await deployment_records.add(tx, first, at=now, cause=by)
    for line in plan.accepted:
        if line.existing is not None and (again := await _request_again(tx, line, by, now, comparison_id)):
            requested.append(again)
    return sorted(requested, key=lambda each: (each.account, each.id))


async def undeploy(database: Database, target: DeploymentTarget, *, by: str, now: float) -> list[Deployment]:
    """Request that the deployments are stopped. Returns those of which it was not requested before.

    One that is removed only because it is to be created again, after a conflict, is stopped as well.
    """

    def stop(deployment: Deployment) -> DeploymentOutcome | None:
        return request_stop(deployment, now=now) if deployment.needs_stop_request else None

    return await _apply(database, target, stop, by=by, now=now)


async def approve_deployments(
    database: Database,
    target: DeploymentTarget,
    *,
    by: str,
    now: float,
    shown_reasons: Collection[str] | None = None,
) -> list[Deployment]:
    """Approve the prices of deployments that are held because of them. Returns the approved ones.

    `shown_reasons` are the reasons of the holds as the operator was shown them, which name the dollars; None: none
    were shown. Raises NothingToDo if none of the selected deployments waits for an approval, and ConfigError, without
    any change, if one of them waits for another reason than those.
    """

    def approve(deployment: Deployment) -> DeploymentOutcome | None:
        if deployment.hold is None or deployment.hold.kind not in APPROVABLE_HOLD_KINDS:
            return None
        if shown_reasons is not None and deployment.hold.reason not in shown_reasons:
            raise ConfigError(
                f"The price changed: the deployment of {deployment.account} is now held because "
                f"{deployment.hold.reason}.",
                hint=RECONFIRM_HINT,
            )
        return replace(release_deployment(deployment, now=now, approved=True), label="approved")

    approved = await _apply(database, target, approve, by=by, now=now)
    if not approved:
        raise NothingToDo(
            "there is nothing to approve: no selected deployment is held because of its price",
            hint="`orchestrator deployments` shows what each deployment waits for. A hold because of `budget_usd` "
            "is lifted by a higher `budget_usd`.",
        )
    return approved


async def list_open_deployments(database: Database, target: DeploymentTarget) -> list[Deployment]:
    """Return the selected deployments that have not ended. Raises ConfigError for unknown accounts and ids."""
    async with database.read() as connection:
        return await _list_selected(connection, target)


async def _list_selected(connection: StoreConnection, target: DeploymentTarget) -> list[Deployment]:
    if target.accounts is not None:
        await get_account_states(connection, target.accounts)
    selected = await deployment_records.list_open(connection, target.accounts)
    if target.ids is None:
        return selected
    known = await deployment_records.get_many(connection, [DeploymentId(each) for each in target.ids])
    if unknown := sorted(set(target.ids) - set(known)):
        raise ConfigError(
            f"no deployment has the id {', '.join(unknown)}", hint="`orchestrator deployments --json` lists all ids."
        )
    return [each for each in selected if each.id in target.ids]


async def _apply(
    database: Database,
    target: DeploymentTarget,
    change: Callable[[Deployment], DeploymentOutcome | None],
    *,
    by: str,
    now: float,
) -> list[Deployment]:
    async with database.transaction() as tx:
        changed = []
        for deployment in await _list_selected(tx.connection, target):
            outcome = change(deployment)
            if outcome is not None and await deployment_records.record(tx, outcome, at=now, cause=by):
                changed.append(outcome.deployment)
        return changed


def _build_record(line: PlannedDeployment, now: float) -> Deployment:
    spec, usd_per_hour, source = _get_accepted_terms(line)
    hold = find_price_hold(spec, usd_per_hour)
    return replace(
        build_deployment(line.job, spec, now=now, model=line.model, checkpoint=line.checkpoint),
        wake_at=None if hold else now,
        hold=hold,
        failure=hold.failure if hold else None,
        usd_per_hour=usd_per_hour,
        price_source=source,
    )


async def _request_again(
    tx: Transaction, line: PlannedDeployment, by: str, now: float, comparison_id: str | None
) -> Deployment | None:
    """Request an ended deployment again with the spec and price of the plan; None if it has not ended any more."""
    latest = await deployment_records.find(tx.connection, line.id)
    if latest is None or latest.state not in TERMINAL_DEPLOYMENT_STATES:
        return None
    spec, usd_per_hour, source = _get_accepted_terms(line)
    hold = find_price_hold(spec, usd_per_hour)
    outcome = request_again(latest, now=now)
    deployment = replace(
        outcome.deployment,
        spec=spec,
        model=line.model,
        usd_per_hour=usd_per_hour,
        price_source=source,
        hold=hold,
        failure=hold.failure if hold else None,
        wake_at=None if hold else now,
        comparison_id=comparison_id,
    )
    outcome = replace(outcome, deployment=deployment, failure=deployment.failure)
    return deployment if await deployment_records.record(tx, outcome, at=now, cause=by) else None


def _get_accepted_terms(line: PlannedDeployment) -> tuple[DeploymentSpec, float | None, str | None]:
    assert line.spec is not None  # the plan accepts no line without a spec
    return line.spec, line.price.usd_per_hour if line.price else None, line.price.source if line.price else None
