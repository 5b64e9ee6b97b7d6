"""Compares what the providers have with what the database has: after the start, once a day, and after each end."""

# The provider is the truth about what is billed (core/deployment/inventory.py). The lists find what no other step
# would: a deployment of a lost database, one that arrived after its end was confirmed, and leftovers.
#
# An account is read once it is verified, so that nothing is adopted with the key of somebody else. The inventory
# verifies it where no job does: after a release or a change of the key, the jobs of an account may all have ended.
# A new account is left to its job for UNVERIFIED_RETRY_SECONDS. A list that fails is tried again after RETRY_SECONDS.
# Slow accounts delay only those of the same provider, see `_slots`.
#
# A deployment ends after two look-ups a minute apart that find nothing. A gateway can answer 404 to both, and what
# runs would be billed on without an end. So the account is listed once more, CONFIRMATION_SECONDS after the end.

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from structlog.stdlib import BoundLogger

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.account_state import (
    AccountHeld,
    AccountState,
    AccountUpdate,
    AccountVerified,
    apply_account_update,
)
from orchestrator.core.clock import Clock
from orchestrator.core.deployment.deployment import Deployment, deployment_id
from orchestrator.core.deployment.deployment_offers import DEPLOYMENT_OFFERS
from orchestrator.core.deployment.inventory import (
    InventoryDifferences,
    compare_inventory,
    list_later_outcomes,
    list_link_outcomes,
)
from orchestrator.core.deployment.remote_deployment import RemoteDeployment
from orchestrator.core.errors import AccountError, ProviderError
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import Job
from orchestrator.core.structs import replace
from orchestrator.daemon.deployments.steps import CALL_TIMEOUT_SECONDS
from orchestrator.daemon.provider_steps import Identify
from orchestrator.planning.deployment_forecasts import find_deployment_provider
from orchestrator.providers.base import ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import accounts, jobs, notifications
from orchestrator.store.queries.deployments import deployment_records

CAUSE = "inventory"  # stored with each event
CHECK_SECONDS: Final = 24 * 3600.0  # between two lists of an account
RETRY_SECONDS: Final = 600.0  # after a verification or a list that failed
CONFIRMATION_SECONDS: Final = 600.0  # between the end of a deployment and a list of its account
UNVERIFIED_RETRY_SECONDS: Final = 10.0
MAX_CONCURRENT_LISTS: Final = 4  # of the accounts of one provider: these requests are not urgent


class DeploymentInventory:
    """Lists the deployments of each account and records what the database does not expect."""

    def __init__(
        self,
        database: Database,
        connections: Mapping[str, ProviderConnection],
        *,
        identify: Identify,
        clock: Clock,
        log: BoundLogger,
    ) -> None:
        self._database = database
        self._connections = connections
        self._identify = identify
        self._clock = clock
        self._log = log
        self._due_at: dict[str, float] = {}  # by account, on the boot clock; without an entry: due now
        self._checked_at: dict[str, float] = {}  # by account, epoch seconds
        self._slots: dict[ProviderName, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(MAX_CONCURRENT_LISTS)
        )

    async def check_due_accounts(self) -> None:
        """Compare the accounts that were not compared for a day or since an end. Called by the scheduler."""
        now = self._clock.boottime()
        known = [name for name, each in self._connections.items() if _has(each)]
        if not known:
            return
        async with self._database.read() as connection:
            ends = await deployment_records.get_latest_ends(connection, since=self._clock.now() - CHECK_SECONDS)
            unconfirmed = {name for name, ended_at in ends.items() if self._is_unconfirmed(name, ended_at)}
            due = [name for name in known if self._due_at.get(name, now) <= now or name in unconfirmed]
            if not due:
                return
            states = await accounts.get_many(connection, due)
        unheld = [name for name in due if name in states and not states[name].hold]
        ready = [name for name in unheld if states[name].verified_at or name in self._due_at]
        for name in set(due) - set(ready):
            self._due_at[name] = now + UNVERIFIED_RETRY_SECONDS
        await asyncio.gather(*(self._check(self._connections[name], states[name]) for name in ready))

    def _is_unconfirmed(self, name: str, ended_at: float) -> bool:
        """Return whether the account was not checked since the end of its latest deployment could be confirmed."""
        due_at = ended_at + CONFIRMATION_SECONDS
        return self._checked_at.get(name, 0.0) < due_at <= self._clock.now()

    async def _check(self, connection: ProviderConnection, state: AccountState) -> None:
        account = connection.account
        self._due_at[account.name] = self._clock.boottime() + RETRY_SECONDS  # also after a database outage
        verified = connection if state.verified_at else await self._verify(connection, state)
        self._checked_at[account.name] = started_at = self._clock.now()
        listed = await self._list(verified) if verified else None
        if listed:
            differences = await self._database.write(lambda tx: self._record(tx, account, listed, started_at))
            self._log_differences(account, differences)
        if listed is not None:
            self._due_at[account.name] = self._clock.boottime() + CHECK_SECONDS

    async def _verify(self, connection: ProviderConnection, state: AccountState) -> ProviderConnection | None:
        """Verify the account's key and its owner. Return its current connection; None if it is not verified.

        An account whose key is refused, or belongs to another organisation, is held.
        """
        account = connection.account
        try:
            async with self._slots[account.provider], asyncio.timeout(CALL_TIMEOUT_SECONDS):
                connection, identity = await self._identify(connection)
        except AccountError as error:
            hold = Hold(error.kind, error.message, error.hint)
            if await self._save_update(state, AccountHeld(hold)):
                self._log.warning(
                    "account.held", account=account.name, kind=hold.kind, message=hold.reason, hint=hold.hint
                )
            return None
        except (ProviderError, TimeoutError) as error:
            self._log_failed_list(account, error)
            return None
        verified = AccountVerified.from_identity(account, identity, self._clock.now())
        if not await self._save_update(state, verified):
            return None
        key = connection.key_fingerprint
        self._log.info("account.verified", account=account.name, organization=verified.organization, key=key)
        return connection

    async def _save_update(self, state: AccountState, update: AccountUpdate) -> bool:
        """Save the update, unless the account was changed or held while the provider was asked about `state`."""

        async def save(tx: Transaction) -> bool:
            before, now = (await accounts.get_many(tx.connection, [state.name]))[state.name], self._clock.now()
            if before.definition != state.definition or before.hold:
                return False
            after = apply_account_update(before, update)
            await accounts.save(tx, after)
            if after.hold:
                await notifications.publish_account_hold(tx, before, after, now)
                reason = after.hold.reason
                tx.add_events(EventData(at=now, cause=CAUSE, note="held", account=state.name, message=reason))
            return True

        return await self._database.write(save)

    async def _list(self, connection: ProviderConnection) -> list[RemoteDeployment] | None:
        """Return the account's own deployments; None if the provider did not answer."""
        account, provider = connection.account, find_deployment_provider(connection.provider)
        assert provider is not None  # see `_has`
        try:
            async with self._slots[account.provider], asyncio.timeout(CALL_TIMEOUT_SECONDS):
                return await provider.list_own_deployments()
        except (ProviderError, TimeoutError) as error:
            self._log_failed_list(account, error)
            return None

    def _log_failed_list(self, account: Account, error: ProviderError | TimeoutError) -> None:
        message = str(error) or f"the provider took longer than {CALL_TIMEOUT_SECONDS:g} seconds"
        self._log.info("deployments.list_failed", account=account.name, message=message)

    async def _record(
        self, tx: Transaction, account: Account, listed: Sequence[RemoteDeployment], started_at: float
    ) -> InventoryDifferences:
        now = self._clock.now()
        recorded = {each.id: each for each in await deployment_records.list_by_account(tx.connection, account.name)}
        found = compare_inventory(account.name, account.provider, listed, recorded.values(), now=now)
        # One that ended after the list was requested may still be on it.
        late = [each for each in found.reappeared if (recorded[each.deployment.id].ended_at or 0.0) < started_at]
        reappeared = [each for each in late if await deployment_records.record(tx, each, at=now, cause=CAUSE)]
        known_jobs = await jobs.list_by_accounts(tx.connection, [account.name]) if found.unknown else []
        unknown = [_with_job(each, known_jobs) for each in found.unknown]
        added = await deployment_records.add(tx, unknown, at=now, cause=CAUSE)
        linked = [list_link_outcomes(wanted, remote, now=now) for wanted, remote in found.early]
        linked += [list_later_outcomes(known, remote, now=now) for known, remote in found.later]
        for outcome in (each for outcomes in linked for each in outcomes):
            await deployment_records.record(tx, outcome, at=now, cause=CAUSE)
        return replace(found, unknown=tuple(added), reappeared=tuple(reappeared))

    def _log_differences(self, account: Account, differences: InventoryDifferences) -> None:
        for deployment in differences.unknown:
            self._log.warning(
                "deployment.adopted",
                account=account.name,
                deployment=deployment.id,
                remote_deployment=deployment.remote_id,
                expires_at=deployment.expires_at,
            )
        for known, remote in (*differences.early, *differences.later):
            self._log.warning(
                "deployment.adopted",
                account=account.name,
                deployment=known.id,
                remote_deployment=remote.id,
                expires_at=remote.stop_at,
            )
        for outcome in differences.reappeared:
            self._log.warning(
                "deployment.reappeared",
                account=account.name,
                deployment=outcome.deployment.id,
                remote_deployment=outcome.deployment.remote_id,
            )
        for remote in differences.leftovers:
            self._log.warning(
                "deployment.leftover",
                account=account.name,
                remote_deployment=remote.id,
                hint="`orchestrator prune` removes it.",
            )


def _has(connection: ProviderConnection) -> bool:
    """Return whether the account can have deployments."""
    offer = DEPLOYMENT_OFFERS[connection.account.provider]
    return not offer.ready_by_itself and find_deployment_provider(connection.provider) is not None


def _with_job(deployment: Deployment, known_jobs: Sequence[Job]) -> Deployment:
    """Return the adopted deployment with its job, if one of the account's jobs has its id."""
    for job in known_jobs:
        if deployment.id in {deployment_id(job.id, number) for number in range(job.round + 1)}:
            return replace(deployment, job_id=job.id)
    return deployment
