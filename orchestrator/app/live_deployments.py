"""Lists the deployments of this program that the providers have at this moment, whatever the database says."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from orchestrator.control.accounts import unknown_accounts_error
from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment import Deployment
from orchestrator.core.deployment.deployment_offers import DEPLOYMENT_OFFERS
from orchestrator.core.deployment.deployment_spec import SECONDS_PER_HOUR
from orchestrator.core.deployment.remote_deployment import RemoteDeployment
from orchestrator.core.errors import ProviderError
from orchestrator.core.structs import Struct
from orchestrator.planning.deployment_forecasts import find_deployment_provider
from orchestrator.providers.base import ProviderConnection
from orchestrator.store.queries.deployments import deployment_records

if TYPE_CHECKING:
    from orchestrator.app.wiring import App

LIST_TIMEOUT_SECONDS: Final = 60.0
MAX_CONCURRENT_LISTS: Final = 16


class LiveDeployment(Struct, frozen=True, kw_only=True):
    """A deployment at a provider, with the record of this database, if there is one."""

    account: str
    provider: ProviderName
    remote: RemoteDeployment
    record: Deployment | None

    @property
    def usd_per_hour(self) -> float | None:
        """The price of all its replicas; None: unknown."""
        price = self.remote.usd_per_hour
        if price is None and self.record is not None:
            price = self.record.usd_per_hour
        return None if price is None else price * max(self.remote.ready_replicas or 1, 1)

    @property
    def ends_at(self) -> float | None:
        """When it is stopped, epoch seconds; None: no end is known."""
        return self.record.expires_at if self.record is not None else self.remote.stop_at or self.remote.expires_at

    def calculate_usd(self, now: float) -> float | None:
        """Return what it has cost since its create, at most; None: unknown."""
        if self.usd_per_hour is None or self.remote.created_at is None:
            return 0.0 if self.usd_per_hour == 0 else None
        return self.usd_per_hour * max(now - self.remote.created_at, 0.0) / SECONDS_PER_HOUR


class LiveListing(Struct, frozen=True, kw_only=True):
    """What the providers list, and the accounts that could not be read, with the reason."""

    deployments: tuple[LiveDeployment, ...]
    failures: dict[str, str]


async def list_live_deployments(app: App, names: Collection[str]) -> LiveListing:
    """List the deployments of these accounts, or of all, by account. Changes nothing. Raises ConfigError."""
    _, keys = await app.loader.load_accounts()
    listed = app.connections.get_listed_accounts()
    if unknown := sorted(set(names) - set(listed)):
        raise unknown_accounts_error(unknown, listed)
    chosen = {name: account for name, account in listed.items() if not names or name in names}
    failures = {
        name: "its key cannot be read"
        for name, account in chosen.items()
        if name in keys.missing and not DEPLOYMENT_OFFERS[account.provider].ready_by_itself
    }
    connections = [each for name, each in app.connections.by_name.items() if name in chosen and _can_deploy(each)]
    async with app.database.read() as connection:
        records = await deployment_records.list_open(connection)
    slots = asyncio.Semaphore(MAX_CONCURRENT_LISTS)

    async def read(each: ProviderConnection) -> list[RemoteDeployment]:
        provider = find_deployment_provider(each.provider)
        assert provider is not None  # see `_can_deploy`
        try:
            async with slots, asyncio.timeout(LIST_TIMEOUT_SECONDS):
                return await provider.list_own_deployments()
        except TimeoutError:
            failures[each.account.name] = f"the provider took longer than {LIST_TIMEOUT_SECONDS:g} seconds"
        except ProviderError as error:
            failures[each.account.name] = error.message
        return []

    answers = await asyncio.gather(*(read(each) for each in connections))
    return LiveListing(
        deployments=tuple(
            LiveDeployment(
                account=each.account.name,
                provider=each.account.provider,
                remote=remote,
                record=_find_record(records, each.account.name, remote),
            )
            for each, answer in sorted(zip(connections, answers, strict=True), key=lambda pair: pair[0].account.name)
            for remote in sorted(answer, key=lambda remote: remote.id)
        ),
        failures=failures,
    )


def _can_deploy(connection: ProviderConnection) -> bool:
    offer = DEPLOYMENT_OFFERS[connection.account.provider]
    return not offer.ready_by_itself and find_deployment_provider(connection.provider) is not None


def _find_record(records: Collection[Deployment], account: str, remote: RemoteDeployment) -> Deployment | None:
    """Return the open record of a remote deployment: by its id, or by its tag while the id is not known yet."""
    own = [each for each in records if each.account == account]
    by_id = next((each for each in own if each.remote_id == remote.id), None)
    return by_id or next((each for each in own if remote.tag is not None and each.tag == remote.tag), None)
