"""The deployments that a comparison waits for, and those that it has started: ready, price, stop."""

# Theory of operation
#
# The deployments are requested together with the comparison, in one transaction, as an operator does it: with the
# budget, the price hold and the expiry of any deployment. The rows carry the id of the comparison, so that whatever
# happens to the process, the rows state which comparison has to stop which deployments. `ComparisonWorker` stops
# those of each comparison that has ended; an expiry of about an hour is the last resort.
#
# A deployment that somebody else requested is waited for and called, and never stopped.
#
# The cost of a deployment is that of all rounds since the comparison requested it: a create that is repeated after a
# conflict begins another round, and so does an operator who deploys the model again after it was stopped. What it
# cost before is part of the comparison, because the record of a deployment only has the sum of its earlier rounds.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from orchestrator.control.comparisons import stop_own_deployments
from orchestrator.core.comparison.comparison import Comparison, ModelToAsk
from orchestrator.core.deployment.cost import calculate_cost_so_far
from orchestrator.core.deployment.deployment import Deployment, DeploymentId
from orchestrator.core.deployment.lifecycle import TERMINAL_DEPLOYMENT_STATES, DeploymentState
from orchestrator.core.hold import Hold
from orchestrator.core.structs import Struct, replace
from orchestrator.core.text import format_exact_duration
from orchestrator.store.db.connection import StoreConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts
from orchestrator.store.queries.deployments import deployment_records

MAX_START_SECONDS: Final = 2400.0  # the slowest provider needs half an hour
MAX_HELD_SECONDS: Final = 900.0  # for an operator to end a hold: the others may be billed meanwhile
MAX_STOP_SECONDS: Final = 900.0  # then the comparison ends; the service goes on removing
WAIT_SECONDS: Final = 2.0


class ResolvedModels(Struct, frozen=True, kw_only=True):
    """The models of a comparison with the addresses of the deployments that are ready."""

    models: tuple[ModelToAsk, ...]
    waiting: int = 0
    """How many deployments may still become ready."""
    unavailable: Mapping[str, str]
    """Why a model is not callable, by its name."""

    @property
    def usable(self) -> int:
        """The number of fine-tuned models that can be called."""
        return sum(not model.is_base and model.name not in self.unavailable for model in self.models)


def resolve_models(
    models: Sequence[ModelToAsk],
    deployments: Mapping[DeploymentId, Deployment],
    account_holds: Mapping[str, Hold],
    *,
    now: float,
    requested_at: float,
) -> ResolvedModels:
    """Return the models with the addresses of their deployments. What has an address keeps it.

    `account_holds` are those in force, by account: nothing becomes ready during a hold.
    """
    resolved, unavailable, waiting = [], {}, 0
    for model in models:
        if model.base_url or model.deployment_id is None:
            resolved.append(model)
            continue
        deployment = deployments.get(DeploymentId(model.deployment_id))
        if deployment is not None and (address := _find_address(deployment)):
            resolved.append(replace(model, base_url=address[0], model=address[1]))
            continue
        resolved.append(model)
        reason = _find_obstacle(deployment, account_holds.get(model.account), now - requested_at)
        if reason is None:
            waiting += 1
        else:
            unavailable[model.name] = reason
    addresses = {model.account: model.base_url for model in resolved if model.base_url}
    for number, model in enumerate(resolved):
        if model.is_base and not model.base_url:
            resolved[number] = replace(model, base_url=addresses.get(model.account, ""))
            if model.account not in addresses:
                unavailable[model.name] = "no fine-tuned model of its group is deployed"
    return ResolvedModels(models=tuple(resolved), waiting=waiting, unavailable=unavailable)


def _find_address(deployment: Deployment) -> tuple[str, str] | None:
    """Return the base URL and the model string of a deployment that answers calls; None while it does not."""
    if deployment.state is not DeploymentState.READY or deployment.stop_reason is not None:
        return None
    if not deployment.base_url or not deployment.model_string:
        return None
    return deployment.base_url, deployment.model_string


def _find_obstacle(deployment: Deployment | None, account_hold: Hold | None, waited: float) -> str | None:
    """Return why the deployment is not waited for any more; None if it may still become ready."""
    if deployment is None:
        return "its deployment does not exist"
    why = f": {deployment.failure.message}" if deployment.failure else ""
    if deployment.state in TERMINAL_DEPLOYMENT_STATES:
        return f"its deployment is {deployment.state}{why}"
    if not deployment.needs_stop_request:
        return "its deployment is being stopped"
    if waited >= MAX_HELD_SECONDS and deployment.hold is not None:
        return f"its deployment is on hold: {deployment.hold.reason}"
    if waited >= MAX_HELD_SECONDS and account_hold is not None:
        return f"its account is on hold: {account_hold.reason}"
    if waited >= MAX_START_SECONDS:
        return f"its deployment was not ready after {format_exact_duration(MAX_START_SECONDS)}{why}"
    return None


class ComparisonDeployments:
    """The deployments of one comparison, as they were at the last `load`."""

    def __init__(self, database: Database, comparison: Comparison) -> None:
        self._database = database
        self._comparison_id = comparison.id
        self._requested_at = comparison.created_at
        self._before_usd = {
            DeploymentId(model.deployment_id): model.hosted_before_usd
            for model in comparison.models
            if model.starts_deployment and model.deployment_id is not None
        }
        self._started: list[Deployment] = []
        self._taken_over: list[Deployment] = []  # an operator has requested the model again

    async def resolve(self, models: Sequence[ModelToAsk], now: float) -> ResolvedModels:
        """Load the deployments, and return the models with the addresses of those that are ready."""
        ids = [DeploymentId(model.deployment_id) for model in models if model.deployment_id is not None]
        async with self._database.read() as connection:
            await self._load(connection)
            found = await deployment_records.get_many(connection, ids)
            holds = await accounts.get_holds(connection, [model.account for model in models], now)
        return resolve_models(models, found, holds, now=now, requested_at=self._requested_at)

    async def load(self) -> None:
        """Load the deployments that the comparison has started."""
        async with self._database.read() as connection:
            await self._load(connection)

    async def _load(self, connection: StoreConnection) -> None:
        self._started = await deployment_records.list_by_comparison(connection, self._comparison_id)
        known = await deployment_records.get_many(connection, list(self._before_usd))
        self._taken_over = [each for each in known.values() if each.comparison_id != self._comparison_id]

    async def stop(self, *, cause: str, now: float) -> None:
        """Request the stop of the deployments that the comparison has started."""
        if self._started:
            await self._database.write(lambda tx: stop_own_deployments(tx, self._comparison_id, by=cause, now=now))

    @property
    def has_ended(self) -> bool:
        """Whether nothing that the comparison has started can be billed any more."""
        return all(each.state in TERMINAL_DEPLOYMENT_STATES for each in self._started)

    def calculate_usd(self, now: float) -> float | None:
        """Return what they cost at most until now; None: the price of one is unknown."""
        costs = [calculate_cost_so_far(each, now) for each in self._started]
        known = [usd for usd in costs if usd is not None]
        earlier = sum(map(self._get_earlier_usd, [*self._started, *self._taken_over]))
        return sum(known) + earlier if len(known) == len(costs) else None

    def _get_earlier_usd(self, deployment: Deployment) -> float:
        """Return what the rounds between the request of the comparison and the latest one have cost."""
        before = self._before_usd.get(deployment.id)
        return 0.0 if before is None else max((deployment.earlier_usd or 0.0) - before, 0.0)
