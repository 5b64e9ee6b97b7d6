"""Deployments of accounts that are given another key, on both databases."""

from __future__ import annotations

import pytest
from deployment_world import (
    HOUR,
    DeploymentCloud,
    DeploymentReplica,
    SteppedClock,
    read_one,
    request,
    trained_job,
    work,
)
from store_values import a_standing

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.errors import WrongOrganization
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts
from orchestrator.store.queries.deployments import deployment_requests


@pytest.fixture
def cloud() -> DeploymentCloud:
    return DeploymentCloud(SteppedClock())


async def replace_key(database: Database, replica: DeploymentReplica) -> None:
    state = a_standing("acme", provider=ProviderName.FIREWORKS, verified_at=None)
    await database.write(lambda tx: accounts.save(tx, state))


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
