"""Records outcomes of deployment steps in the database, then logs them."""

# Before an intent is written, everything that could forbid the create is checked in the same transaction: the account
# (an operator may hold or remove it while the provider is asked for the price), another operation of it (Azure allows
# one at a time), its budget, the run's limit. Write transactions follow each other, also between replicas, so what
# was checked is still true at the commit.

from __future__ import annotations

import logging
from collections.abc import Mapping

from structlog.stdlib import BoundLogger

from orchestrator.core.account import Account
from orchestrator.core.account_state import AccountState
from orchestrator.core.clock import Clock
from orchestrator.core.deployment.cost import build_superseded_hold, find_price_hold
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.deployment.deployment_offers import DEPLOYMENT_OFFERS
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.transitions import (
    DeploymentOutcome,
    hold_deployment,
    sleep_deployment_until,
    start_create,
)
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.jobs.job import RunId
from orchestrator.core.jobs.run import Run
from orchestrator.core.plans.budget import month_start
from orchestrator.core.secret import Redactor
from orchestrator.core.structs import replace
from orchestrator.daemon.deployments.run_deployments import RunDeploymentTable
from orchestrator.providers.base import ProviderConnection
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import accounts, costs, runs
from orchestrator.store.queries.deployments import deployment_costs, deployment_records
from orchestrator.store.queries.deployments.deployment_requests import LoadedDeployment

CAUSE = "service"  # stored with each event: the service itself changed the deployment
BUSY_ACCOUNT_RECHECK_SECONDS = 10.0  # while another operation of the account must end first
CHANGED_ACCOUNT_RECHECK_SECONDS = 60.0  # after the account was held, removed or changed in the last moment
PRICE_HOLD_RECHECK_SECONDS = 600.0  # of a deployment that waits for a budget or the limit of its run
UNKNOWN_LIMIT_RECHECK_SECONDS = 60.0  # while this process has not read what the run may cost


class StaleDeployment(Exception):
    """The deployment was changed meanwhile: nothing was recorded, and it is loaded again."""


class DeploymentRecorder:
    """Commits the outcomes of one replica's steps. Each record raises StaleDeployment if it comes too late."""

    def __init__(
        self,
        database: Database,
        connections: Mapping[str, ProviderConnection],
        runs: RunDeploymentTable,
        *,
        redact: Redactor,
        clock: Clock,
        replica: str,
        log: BoundLogger,
    ) -> None:
        self._database = database
        self._connections = connections
        self._runs = runs
        self._redact = redact
        self._clock = clock
        self._replica = replica
        self._log = log

    async def record(self, outcome: DeploymentOutcome, *, rebase_on_stop: bool = False) -> Deployment:
        """Commit the outcome with its history. With `rebase_on_stop` a requested stop does not make it stale."""
        at, outcome = self._clock.now(), self._redacted(outcome)

        async def change(tx: Transaction) -> DeploymentOutcome | None:
            if await deployment_records.record(tx, outcome, at=at, cause=CAUSE):
                return outcome
            if not rebase_on_stop:
                return None
            return await deployment_records.record_rebased(tx, outcome, at=at, cause=CAUSE)

        return self._report(await self._database.write(change), outcome)

    async def write_intent(self, loaded: LoadedDeployment, *, until: float) -> Deployment:
        """Commit the intent to create the deployment until `until`.

        What is recorded instead, if the create is not possible now: a hold, or another time for the next attempt.
        The state of the result shows which it was.
        """
        at = self._clock.now()

        async def change(tx: Transaction) -> DeploymentOutcome | None:
            outcome = self._redacted(await self._decide_create(tx.connection, loaded, at, until))
            return outcome if await deployment_records.record(tx, outcome, at=at, cause=CAUSE) else None

        return self._report(await self._database.write(change), None)

    async def _decide_create(
        self, connection: StoreConnection, loaded: LoadedDeployment, now: float, until: float
    ) -> DeploymentOutcome:
        deployment, listed = loaded.deployment, self._connections.get(loaded.deployment.account)
        state = (await accounts.get_many(connection, [deployment.account]))[deployment.account]
        if listed is None or not _is_usable(state, now):
            return sleep_deployment_until(deployment, now + CHANGED_ACCOUNT_RECHECK_SECONDS)
        if not DEPLOYMENT_OFFERS[deployment.provider].parallel_creates and (
            await deployment_records.is_operation_in_progress(
                connection, deployment.account, except_id=deployment.id, now=now
            )
        ):
            return sleep_deployment_until(deployment, now + BUSY_ACCOUNT_RECHECK_SECONDS)
        if deployment.state is DeploymentState.WANTED:  # the cost of one that is being created is committed already
            # Read again: another run may have replaced it while the provider was asked for the price.
            run = await runs.find(connection, loaded.run.id) if loaded.run else None
            if run and run.current and not self._runs.knows_limit(run) and deployment.approved_at is None:
                return sleep_deployment_until(deployment, now + UNKNOWN_LIMIT_RECHECK_SECONDS)
            if hold := await self._find_price_hold(connection, deployment, run, listed.account, now):
                # Nothing wakes it when a month begins or another deployment ends. An unknown price needs an operator.
                recheck_at = None if deployment.usd_per_hour is None else now + PRICE_HOLD_RECHECK_SECONDS
                if hold == deployment.hold:
                    return sleep_deployment_until(deployment, recheck_at)
                return hold_deployment(deployment, hold, wake_at=recheck_at)
            deployment = replace(deployment, hold=None, failure=None)
        return start_create(deployment, now=now, intent_until=until)

    async def _find_price_hold(
        self, connection: StoreConnection, deployment: Deployment, run: Run | None, account: Account, now: float
    ) -> Hold | None:
        approved = deployment.approved_at is not None
        if run and not run.current and not approved:
            return build_superseded_hold(deployment.spec, deployment.usd_per_hour)
        budget_left = None
        if account.budget_usd is not None:
            if not approved and (hold := await _find_unpriced_hold(connection, account)):
                return hold
            budget_left = account.budget_usd - await _get_spent_usd(connection, account, run, now)
        return find_price_hold(
            deployment.spec,
            deployment.usd_per_hour,
            budget_left_usd=budget_left,
            run_left_usd=await self._find_run_left_usd(connection, run),
            is_approved=approved,
        )

    async def _find_run_left_usd(self, connection: StoreConnection, run: Run | None) -> float | None:
        limit = self._runs.find_limit_usd(run) if run else None
        if limit is None or run is None:
            return None
        started = await deployment_costs.list_started(connection, run_id=run.id)
        return limit - (run.planned_usd or 0.0) - sum(each.committed_usd for each in started)

    def _redacted(self, outcome: DeploymentOutcome) -> DeploymentOutcome:
        """Return a copy without keys in the provider's texts, recorded in the name of this replica."""
        deployment = outcome.deployment
        return replace(
            outcome,
            deployment=replace(
                deployment,
                failure=deployment.failure and deployment.failure.redacted(self._redact),
                replica=self._replica,
            ),
            failure=outcome.failure and outcome.failure.redacted(self._redact),
        )

    def _report(self, recorded: DeploymentOutcome | None, attempted: DeploymentOutcome | None) -> Deployment:
        """Log the outcome, after it was committed."""
        if recorded is None:
            lost = f"; {attempted.label} was not recorded" if attempted and attempted.label else ""
            raise StaleDeployment(f"the deployment was changed meanwhile{lost}")
        if recorded.label is not None:
            _log_outcome(self._log, recorded)
        return recorded.deployment


def _is_usable(state: AccountState, now: float) -> bool:
    """Return whether something may be created in the account: it is listed, verified and not held."""
    is_held = state.hold is not None and state.hold.is_active(now)
    return state.verified_at is not None and state.removed_at is None and not is_held


async def _get_spent_usd(connection: StoreConnection, account: Account, run: Run | None, now: float) -> float:
    """Return what counts towards the account's budget."""
    run_id = run.id if run else RunId("")
    committed = await costs.get_committed(connection, account.name, run_id, month_start(now))
    return committed.amount_for(account.budget_period)


async def _find_unpriced_hold(connection: StoreConnection, account: Account) -> Hold | None:
    """Return a hold if another deployment of the account has an unknown price: the budget's rest is then unknown."""
    for each in await deployment_costs.list_started(connection, accounts=[account.name]):
        if each.is_unpriced and each.deployment.ended_at is None:
            return Hold(
                HoldKind.PRICE_UNKNOWN,
                f"the rest of the account's budget is unknown, because the price of its deployment "
                f"{each.deployment.remote_id or each.deployment.id} is",
                "Stop that deployment, or approve this one.",
            )
    return None


def _log_outcome(log: BoundLogger, outcome: DeploymentOutcome) -> None:
    """Log an outcome that has a line in the history: at level warning where something failed, otherwise info."""
    deployment, failure = outcome.deployment, outcome.failure
    log.log(
        logging.WARNING if failure else logging.INFO,
        "deployment.state_changed" if deployment.state is not outcome.previous_state else "deployment.updated",
        account=deployment.account,
        what=outcome.label,
        before=outcome.previous_state,
        after=deployment.state,
        attempt=deployment.attempts,
        deployment=deployment.id,
        remote_deployment=deployment.remote_id,
        model=deployment.model_string,
        request_id=outcome.request_id,
        **({"kind": failure.kind, "message": failure.message, "hint": failure.hint} if failure else {}),
    )
