"""Asks the providers for the prices of deployments, for the plans that operators confirm."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from orchestrator.core.deployment.cost import DeploymentOption, DeploymentPrice
from orchestrator.core.deployment.deployment_offers import DEPLOYMENT_OFFERS
from orchestrator.core.deployment.deployment_spec import DeploymentSpec
from orchestrator.core.deployment.spec_choice import find_option_price
from orchestrator.core.errors import ProviderError
from orchestrator.providers.base import ProviderConnection

PRICE_TIMEOUT_SECONDS: Final = 20.0
PRICE_CACHE_SECONDS: Final = 300.0
"""A dialog is opened, changed and confirmed within this time; the provider is asked once."""


class DeploymentPriceFinder:
    """Finds prices by the options that the providers list. A provider that does not answer has no known price."""

    def __init__(self, connections: Mapping[str, ProviderConnection], boottime: Callable[[], float]) -> None:
        self._connections = connections
        self._boottime = boottime
        self._cache: dict[tuple[str, str], tuple[float, list[DeploymentOption] | None]] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}

    async def find_price(self, account: str, base_model: str, spec: DeploymentSpec) -> DeploymentPrice | None:
        """Return the price of the spec for this base model; None if the provider cannot serve the base model."""
        connection = self._connections.get(account)
        if connection is None:  # without a key, or no longer in the accounts file
            return find_option_price(spec, ())
        # The options are those of a server, not of an account: a thousand accounts need one question.
        server = connection.account.base_url or connection.account.provider
        key = f"{server} {connection.account.region or ''}", base_model
        async with self._locks.setdefault(key, asyncio.Lock()):
            asked_at, options = self._cache.get(key, (None, None))
            if asked_at is None or self._boottime() - asked_at > PRICE_CACHE_SECONDS:
                options = await _list_options(connection, base_model)
                self._cache[key] = self._boottime(), options
        return None if options == [] else find_option_price(spec, options or ())


async def _list_options(connection: ProviderConnection, base_model: str) -> list[DeploymentOption] | None:
    """Return the options of the provider; None if it does not report them now."""
    if DEPLOYMENT_OFFERS[connection.account.provider].ready_by_itself:
        return None
    list_options = getattr(connection.provider, "list_deployment_options", None)
    if list_options is None:
        return None
    try:
        async with asyncio.timeout(PRICE_TIMEOUT_SECONDS):
            options: list[DeploymentOption] | None = await list_options(base_model)
    except (ProviderError, TimeoutError):
        return None
    return options
