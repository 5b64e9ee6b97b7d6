"""Deployments of accounts that are held, removed or given another key meanwhile, on both databases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

import pytest
from deployment_world import (
    HOUR,
    CloudProvider,
    DeploymentCloud,
    DeploymentReplica,
    SteppedClock,
    read_one,
    request,
    trained_job,
    work,
)
from store_values import a_standing

from orchestrator.control import hold_accounts
from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.cost import DeploymentOption
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.errors import RemoteNotFound, RequestRejected, WrongOrganization
from orchestrator.core.structs import replace
from orchestrator.providers.base import Provider
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts
from orchestrator.store.queries.deployments import deployment_requests

Change = Callable[[Database, DeploymentReplica], Awaitable[None]]


@pytest.fixture
def cloud() -> DeploymentCloud:
    return DeploymentCloud(SteppedClock())


class _Changing(CloudProvider):
    """A provider during whose first answer the account changes."""

    def __init__(self, replica: DeploymentReplica, change: Change) -> None:
        super().__init__(replica.cloud, "acme")
        self._replica = replica
        self._change: Change | None = change

    async def list_deployment_options(self, base_model: str) -> list[DeploymentOption] | None:
        change, self._change = self._change, None
        if change is not None:
            await change(self._replica.database, self._replica)
        return await super().list_deployment_options(base_model)


def change_during_answer(replica: DeploymentReplica, change: Change) -> None:
    provider = cast(Provider, _Changing(replica, change))
    replica.connections["acme"] = replace(replica.connections["acme"], provider=provider)


async def hold_account(database: Database, replica: DeploymentReplica) -> None:
    await hold_accounts(database, ["acme"], reason="do not use it", by="operator:ann", now=replica.clock.now())


async def remove_account(database: Database, replica: DeploymentReplica) -> None:
    """Remove the account from the accounts file of this replica."""
    await database.write(lambda tx: accounts.mark_removed_except(tx, [], replica.clock.now()))
    del replica.connections["acme"]


async def remove_account_elsewhere(database: Database, replica: DeploymentReplica) -> None:
    """Remove the account from the accounts file, which this replica has not read yet."""
    await database.write(lambda tx: accounts.mark_removed_except(tx, [], replica.clock.now()))


async def replace_key(database: Database, replica: DeploymentReplica) -> None:
    state = a_standing("acme", provider=ProviderName.FIREWORKS, verified_at=None)
    await database.write(lambda tx: accounts.save(tx, state))


@pytest.mark.parametrize("change", [hold_account, remove_account, remove_account_elsewhere])
async def test_nothing_is_created_in_an_account_that_is_taken_away_while_the_price_is_read(
    database: Database, cloud: DeploymentCloud, change: Change
) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    change_during_answer(replica, change)
    await work(replica, seconds=3600)
    waiting = await read_one(database)
    assert (waiting.state, cloud.creates.total()) == (DeploymentState.WANTED, 0)
    assert waiting.failure is None or waiting.failure.kind == "account_unreachable"
    assert waiting.wake_at is not None


async def test_key_that_is_replaced_while_the_price_is_read_is_verified_before_the_create(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    change_during_answer(replica, replace_key)
    await work(replica, seconds=30)
    assert (cloud.creates.total(), cloud.calls["identify"]) == (0, 0)
    await work(replica, seconds=300)
    assert (await read_one(database)).state is DeploymentState.READY
    assert (cloud.creates.total(), cloud.calls["identify"]) == (1, 1)


async def use_key_of_another_organization(database: Database, replica: DeploymentReplica) -> None:
    """Replace the account's key by one that sees none of its deployments and is refused by the verification."""
    await replace_key(database, replica)
    await database.write(lambda tx: deployment_requests.wake_account(tx, "acme", replica.clock.now()))
    replica.cloud.hidden, replica.cloud.made = replica.cloud.made, {}

    def fail(operation: str, account: str) -> None:
        if operation == "identify":
            raise WrongOrganization("the key belongs to org-2 and not to org-1", account=account)

    replica.cloud.fail = fail


async def use_right_key(database: Database, replica: DeploymentReplica) -> None:
    replica.cloud.made, replica.cloud.fail = replica.cloud.hidden, lambda operation, account: None
    await replace_key(database, replica)
    await database.write(lambda tx: deployment_requests.wake_account(tx, "acme", replica.clock.now()))


async def test_deployment_that_the_key_of_somebody_else_does_not_see_is_not_gone(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=300)
    await use_key_of_another_organization(database, replica)
    await work(replica, seconds=1200)
    assert (await read_one(database)).state is DeploymentState.READY
    async with database.read() as connection:
        hold = (await accounts.get_many(connection, ["acme"]))["acme"].hold
    assert hold is not None
    assert hold.kind == WrongOrganization.kind
    await work(replica, seconds=2 * HOUR)  # it expires meanwhile, and is no more found than before
    stopping = await read_one(database)
    assert (stopping.state, stopping.failure and stopping.failure.kind) == (DeploymentState.STOPPING, hold.kind)
    await use_right_key(database, replica)
    await work(replica, seconds=HOUR)
    assert (await read_one(database)).state is DeploymentState.STOPPED
    assert (cloud.made, cloud.removals.total()) == ({}, 1)


async def test_removal_needs_no_verified_key_for_what_it_finds(database: Database, cloud: DeploymentCloud) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=300)
    made = cloud.made
    await use_key_of_another_organization(database, replica)
    cloud.made = made
    await work(replica, seconds=3 * HOUR)
    assert (await read_one(database)).state is DeploymentState.STOPPING  # what is left of it is not known
    assert (cloud.made, cloud.removals.total()) == ({}, 1)
    await use_right_key(database, replica)
    await work(replica, seconds=HOUR)
    assert (await read_one(database)).state is DeploymentState.STOPPED


async def test_create_is_not_repeated_with_a_key_that_may_not_see_the_first_one(
    database: Database, cloud: DeploymentCloud
) -> None:
    cloud.lose_creates = 1
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=1)
    await use_key_of_another_organization(database, replica)
    await work(replica, seconds=1200)
    assert (await read_one(database)).state is DeploymentState.CREATING
    await use_right_key(database, replica)
    await work(replica, seconds=300)
    assert (await read_one(database)).state is DeploymentState.READY
    assert cloud.creates.total() == 1


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("error", [RemoteNotFound("404 from a gateway"), RequestRejected("405 from a gateway")])
async def test_refused_verification_says_nothing_about_the_deployment(
    database: Database, cloud: DeploymentCloud, error: RequestRejected, *, lost: bool
) -> None:
    """After the account's key was replaced, a gateway hides the deployment and refuses the verification."""
    cloud.lose_creates = int(lost)
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=1 if lost else 300)
    before = (await read_one(database)).state
    assert before is (DeploymentState.CREATING if lost else DeploymentState.READY)
    await replace_key(database, replica)
    await database.write(lambda tx: deployment_requests.wake_account(tx, "acme", replica.clock.now()))
    made, cloud.made = cloud.made, {}

    def fail(operation: str, account: str) -> None:
        if operation == "identify":
            raise type(error)(error.message, account=account)

    cloud.fail = fail
    await work(replica, seconds=900)
    cloud.made, cloud.fail = made, lambda operation, account: None
    await work(replica, seconds=900)
    assert ((await read_one(database)).state, cloud.creates.total()) == (DeploymentState.READY, 1)
    assert cloud.removals.total() == 0
