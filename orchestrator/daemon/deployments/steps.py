"""Executes the actions that call a provider, and turns each answer into an outcome. Nothing is recorded here."""

# As for jobs (daemon/provider_steps.py), every method raises provider errors and the reconciler decides about them.
#
# * Search before create: what a lost answer may have created is found by its tag and used. Of several the oldest is
#   used, and the others are removed before anything else happens.
# * A deployment that is ready is polled, not called, while the provider reports no problem. A call would start the
#   provider's idle time again, so that the deployment never stops by itself, and it would wake one that is scaled to
#   zero, which is billed.
# * Each call has a time limit, whatever the provider does. A create has the deadline of its intent.

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from orchestrator.core.account_state import AccountVerified
from orchestrator.core.clock import Clock
from orchestrator.core.deployment.cost import DeploymentOption
from orchestrator.core.deployment.deployment import Deployment, format_deployment_name
from orchestrator.core.deployment.deployment_offers import DEPLOYMENT_OFFERS
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.remote_deployment import (
    RemoteDeployment,
    RemoteDeploymentStatus,
    RemoteMatches,
    select_remote_deployment,
)
from orchestrator.core.deployment.remote_state import get_next_poll, interpret_deployment_error, observe_deployment
from orchestrator.core.deployment.transitions import (
    DeploymentOutcome,
    describe_remote,
    poll_deployment_again,
    record_answer,
    record_created,
    record_missing,
    record_removal_progress,
    sleep_deployment_until,
)
from orchestrator.core.errors import ProviderError, ProviderUnavailable, RequestRejected
from orchestrator.core.structs import replace
from orchestrator.daemon.provider_steps import Identify
from orchestrator.planning.base_models import TimeLimit
from orchestrator.providers.base import (
    Deadline,
    DeploymentOrder,
    DeploymentProvider,
    DeploymentSearch,
    ProviderConnection,
)
from orchestrator.store.queries.deployments.deployment_requests import LoadedDeployment

CALL_TIMEOUT_SECONDS = 120.0  # of one call; a list may have many pages
SURPLUS_RECHECK_SECONDS = 5.0  # after the removal of a deployment that was created twice
T = TypeVar("T")


class DeploymentSteps:
    """The steps that call a provider. Each raises the provider's errors."""

    def __init__(
        self,
        *,
        identify: Identify,
        clock: Clock,
        jitter: Callable[[], float],
        time_limit: TimeLimit = asyncio.timeout,
    ) -> None:
        self._identify = identify
        self._clock = clock
        self._jitter = jitter
        self._time_limit = time_limit

    async def verify(self, deployment: Deployment, connection: ProviderConnection) -> DeploymentOutcome:
        """Ask the provider who owns the account's key, and mark the account as verified.

        What was not found with the key before its verification is looked up again. A refusal of the verification
        itself is no answer about a deployment that may exist: otherwise its 404 would confirm that nothing does.
        """
        try:
            connection, identity = await self._limit(self._identify(connection))
        except RequestRejected as error:
            if deployment.state is DeploymentState.WANTED:
                raise
            raise ProviderUnavailable(
                f"the key could not be verified: {error.message}",
                account=deployment.account,
                request_id=error.request_id,
            ) from error
        now = self._clock.now()
        verified = AccountVerified.from_identity(connection.account, identity, now)
        outcome = sleep_deployment_until(replace(deployment, missing_since=None), now)
        return replace(outcome, account_update=verified)

    async def list_options(self, provider: DeploymentProvider, base_model: str) -> list[DeploymentOption] | None:
        """Return the ways of deploying models of this base model; None: the provider does not report them."""
        try:
            return await self._limit(provider.list_deployment_options(base_model))
        except RequestRejected:  # the price is unknown then, which needs an approval; that is no reason to fail
            return None

    async def create(
        self, loaded: LoadedDeployment, provider: DeploymentProvider, deadline: Deadline
    ) -> DeploymentOutcome:
        """Find the remote deployment of an earlier attempt, or create it before `deadline`."""
        deployment, order = loaded.deployment, build_deployment_order(loaded)
        search = await self._limit(provider.find_deployments(order))
        matches = select_remote_deployment(order.tag, order.model, search.found, named=search.named)
        if matches.surplus:
            for surplus in matches.surplus:
                await self._limit(provider.remove_deployment(surplus))
            return poll_deployment_again(deployment, self._clock.now() + SURPLUS_RECHECK_SECONDS, intent_until=None)
        remote = matches.chosen or await provider.create_deployment(order, deadline)
        return record_created(deployment, remote, now=self._clock.now())

    async def poll(self, deployment: Deployment, provider: DeploymentProvider) -> DeploymentOutcome:
        """Read the remote deployment, and make one real call if only that shows whether it is ready."""
        remote = await self._limit(provider.get_deployment(deployment.remote_id or ""))
        described = replace(deployment, **describe_remote(deployment, remote))
        if not _needs_call(deployment, remote):
            return observe_deployment(described, remote, now=self._clock.now(), wake_at=self._next_poll(described))
        try:
            await self._limit(provider.call_deployment(remote))
        except ProviderError as error:
            if remote.status is RemoteDeploymentStatus.DEGRADED:
                now = self._clock.now()
                return observe_deployment(described, remote, now=now, wake_at=self._next_poll(described))
            return interpret_deployment_error(described, error, now=self._clock.now(), jitter=self._jitter())
        now = self._clock.now()
        ready = replace(described, state=DeploymentState.READY, state_since=now)
        since = described if deployment.state is DeploymentState.READY else ready
        return record_answer(described, now=now, wake_at=self._next_poll(since))

    async def remove(self, loaded: LoadedDeployment, provider: DeploymentProvider) -> DeploymentOutcome:
        """Find the remote deployment and every surplus of it, and make one step of their removal."""
        deployment, order = loaded.deployment, build_deployment_order(loaded)
        matches = _select_own(order, await self._limit(provider.find_deployments(order)))
        if matches.chosen is None:
            return record_missing(deployment, now=self._clock.now())
        for remote in (matches.chosen, *matches.surplus):
            await self._limit(provider.remove_deployment(remote))
        return record_removal_progress(deployment, matches.chosen, until=self._next_poll(deployment))

    def _next_poll(self, deployment: Deployment) -> float:
        return get_next_poll(deployment, self._clock.now(), self._jitter())

    async def _limit(self, call: Awaitable[T]) -> T:
        """Await a call that may be repeated, for at most CALL_TIMEOUT_SECONDS."""
        try:
            async with self._time_limit(CALL_TIMEOUT_SECONDS):
                return await call
        except TimeoutError:
            raise ProviderUnavailable(f"the provider took longer than {CALL_TIMEOUT_SECONDS:g} seconds") from None


def build_deployment_order(loaded: LoadedDeployment) -> DeploymentOrder:
    """Build the order by which the deployment is created and found. One without a job has no base model."""
    deployment = loaded.deployment
    offer = DEPLOYMENT_OFFERS[deployment.provider]
    assert deployment.expires_at is not None  # written with the intent
    return DeploymentOrder(
        tag=deployment.tag,
        name=format_deployment_name(deployment.tag, offer.name_length),
        model=deployment.model,
        base_model=loaded.job.base_model if loaded.job else "",
        spec=deployment.spec,
        expires_at=deployment.expires_at,
    )


def _needs_call(deployment: Deployment, remote: RemoteDeployment) -> bool:
    """Return whether only a call shows if the deployment is ready, see above."""
    if deployment.state is DeploymentState.READY:
        return remote.status is RemoteDeploymentStatus.DEGRADED
    return remote.is_worth_a_call


def _select_own(order: DeploymentOrder, search: DeploymentSearch) -> RemoteMatches:
    """Select what carries our tag. A name that somebody else has is no obstacle to a removal."""
    named = [search.named] if search.named else []
    return select_remote_deployment(order.tag, order.model, [*search.found, *named])
