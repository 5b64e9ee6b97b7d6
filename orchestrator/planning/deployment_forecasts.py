"""Asks the providers, before the training, whether and at what price the models of a run can be deployed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

from structlog.stdlib import BoundLogger

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.cost import DeploymentOption
from orchestrator.core.deployment.forecast import DeploymentForecast
from orchestrator.core.errors import ProviderError
from orchestrator.inputs.accounts_file.runs import RunDefinition
from orchestrator.providers.base import DeploymentProvider, Provider, ProviderConnection

OPTIONS_TIMEOUT_SECONDS = 10.0  # short, because a plan is possible without the answer


def find_deployment_provider(provider: Provider) -> DeploymentProvider | None:
    """Return the provider with its calls for deployments; None if it has none."""
    return cast(DeploymentProvider, provider) if hasattr(provider, "create_deployment") else None


async def forecast_deployments(
    run: RunDefinition, connections: Mapping[str, ProviderConnection], log: BoundLogger
) -> list[DeploymentForecast]:
    """Return a forecast for each provider of the run that has a deployment, by the first of its accounts."""
    first = {each.provider: each.name for each in reversed(run.accounts) if each.name in connections}
    used = [name for name in run.deployments if any(each.provider is name for each in run.accounts)]

    async def forecast(name: ProviderName) -> DeploymentForecast:
        base_model = run.specs[name].base_model
        connection = connections[first[name]] if name in first else None
        options = await _fetch_options(connection, base_model, log) if connection else None
        return DeploymentForecast(
            provider=name,
            base_model=base_model,
            spec=run.deployments[name],
            options=None if options is None else tuple(options),
        )

    return list(await asyncio.gather(*map(forecast, used)))


async def _fetch_options(
    connection: ProviderConnection, base_model: str, log: BoundLogger
) -> list[DeploymentOption] | None:
    """Return the ways of deploying models of this base model; None if the provider does not report them now."""
    provider = find_deployment_provider(connection.provider)
    if provider is None:
        return None
    try:
        async with asyncio.timeout(OPTIONS_TIMEOUT_SECONDS):
            return await provider.list_deployment_options(base_model)
    except (ProviderError, TimeoutError) as error:
        log.info(
            "deployment_options.lookup_failed",
            account=connection.account.name,
            base_model=base_model,
            message=str(error) or f"no answer within {OPTIONS_TIMEOUT_SECONDS:g} seconds",
        )
        return None
