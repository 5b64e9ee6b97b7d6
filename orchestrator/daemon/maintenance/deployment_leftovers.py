"""Finds deployments of earlier requests that a provider still has, and removes them for `orchestrator prune`."""

# Only accounts with records of deployments are read, and only what carries the tag of an earlier round of one of them
# counts (core/deployment/inventory.py). A deployment without a record is none: the service adopts it.

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.deployment.inventory import compare_inventory
from orchestrator.core.errors import ProviderError, RemoteNotFound, RequestRejected
from orchestrator.core.jobs.unused_resource import ResourceKind, UnusedResource
from orchestrator.planning.deployment_forecasts import find_deployment_provider
from orchestrator.providers.base import DeploymentProvider, ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries.deployments import deployment_records

LIST_TIMEOUT_SECONDS = 60.0


async def find_leftovers(
    database: Database, connections: Mapping[str, ProviderConnection], slots: asyncio.Semaphore
) -> list[UnusedResource]:
    """Return the leftovers of all accounts. An account whose provider does not answer has none now."""
    async with database.read() as connection:
        records = await deployment_records.list_all(connection)
    accounts = sorted({each.account for each in records} & connections.keys())

    async def find(account: str) -> list[UnusedResource]:
        own = [each for each in records if each.account == account]
        async with slots:
            return await _find_in_account(connections[account], own)

    return [leftover for found in await asyncio.gather(*map(find, accounts)) for leftover in found]


async def remove_leftover(provider: DeploymentProvider, leftover: UnusedResource) -> None:
    """Remove the leftover, which must still have its tag. Raises ProviderError.

    A removal that takes several steps, because a running deployment cannot be deleted, is completed by the next call.
    """
    try:
        remote = await provider.get_deployment(leftover.id)
    except RemoteNotFound:
        return
    if remote.tag != leftover.name:
        raise RequestRejected(f"the deployment has the tag {remote.tag}, not {leftover.name}")
    await provider.remove_deployment(remote)


async def _find_in_account(connection: ProviderConnection, records: Sequence[Deployment]) -> list[UnusedResource]:
    provider, account = find_deployment_provider(connection.provider), connection.account
    if provider is None:
        return []
    try:
        async with asyncio.timeout(LIST_TIMEOUT_SECONDS):
            listed = await provider.list_own_deployments()
    except (ProviderError, TimeoutError):  # it is listed at the next cleanup
        return []
    # The time matters only for what the comparison would record, and nothing is recorded here.
    found = compare_inventory(account.name, account.provider, listed, records, now=0.0)
    return [
        UnusedResource(kind=ResourceKind.DEPLOYMENT, account=account.name, id=each.id, name=each.tag or "")
        for each in found.leftovers
    ]
