"""The inventory verifies accounts whose jobs have all ended, and repeats what failed: what is found is billed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from deployment_world import (
    HOUR,
    LOG,
    DeploymentCloud,
    DeploymentReplica,
    SteppedClock,
    add_remote,
    request,
    trained_job,
)
from store_values import a_standing
from structlog.testing import capture_logs

from orchestrator import control
from orchestrator.core.account import AccountIdentity, ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.errors import DatabaseUnavailable, ProviderError, TemporaryError, WrongOrganization
from orchestrator.core.hold import HoldKind
from orchestrator.daemon.deployments.inventory import DeploymentInventory
from orchestrator.providers.base import ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, events
from orchestrator.store.queries.deployments import deployment_records

RETRY_SECONDS = 600.0


@pytest.fixture
def cloud() -> DeploymentCloud:
    return DeploymentCloud(SteppedClock())


async def read_state(database: Database) -> AccountState:
    async with database.read() as connection:
        return (await accounts.get_many(connection, ["acme"]))["acme"]


async def add_billed(database: Database, cloud: DeploymentCloud) -> DeploymentReplica:
    """An account that was released after its list of today. It has a deployment that the database does not know."""
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await replica.inventory.check_due_accounts()
    await control.release_accounts(database, ["acme"], by="me", now=cloud.clock.now())
    add_remote(cloud, "acme", f"{'f' * 16}.0", "models/acme")
    cloud.clock.seconds += 25 * HOUR
    return replica


def raise_from_identify(error: ProviderError) -> Callable[[str, str], None]:
    def fail(operation: str, _account: str) -> None:
        if operation == "identify":
            raise error

    return fail


async def count_found(database: Database) -> int:
    async with database.read() as connection:
        return sum(
            each.remote_id is not None for each in await deployment_records.list_by_account(connection, "acme")
        )


async def test_released_account_is_verified_and_listed(database: Database, cloud: DeploymentCloud) -> None:
    replica = await add_billed(database, cloud)
    await replica.inventory.check_due_accounts()
    state = await read_state(database)
    assert (state.verified_at, state.organization, state.project) == (cloud.clock.now(), "org", "project")
    assert await count_found(database) == 1


async def test_new_account_is_left_to_its_job_at_first(database: Database, cloud: DeploymentCloud) -> None:
    await request(database, trained_job("acme"))
    new = a_standing("acme", provider=ProviderName.FIREWORKS, verified_at=None)
    await database.write(lambda tx: accounts.save(tx, new))
    replica = DeploymentReplica(database, cloud, ["acme"])
    for calls in (0, 1):
        await replica.inventory.check_due_accounts()
        assert (cloud.calls["identify"], cloud.calls["list_own_deployments"]) == (calls, calls)
        cloud.clock.seconds += 60


async def test_account_of_another_organization_is_held_and_not_listed(
    database: Database, cloud: DeploymentCloud
) -> None:
    replica = await add_billed(database, cloud)
    cloud.fail = raise_from_identify(WrongOrganization("the key belongs to globex"))
    with capture_logs() as lines:
        await replica.inventory.check_due_accounts()
    state = await read_state(database)
    assert state.hold is not None
    assert (state.hold.kind, state.verified_at) == (WrongOrganization.kind, None)
    assert await count_found(database) == 0
    assert [line["kind"] for line in lines if line["event"] == "account.held"] == [WrongOrganization.kind]
    async with database.read() as connection:
        history = [(entry.note, entry.message) for entry in await events.list_by_account(connection, "acme")]
    assert history[-1] == ("held", "the key belongs to globex")


@pytest.mark.parametrize("error", [None, WrongOrganization("the key belongs to globex")])
async def test_operator_who_holds_the_account_meanwhile_decides(
    database: Database, cloud: DeploymentCloud, error: ProviderError | None
) -> None:
    replica = await add_billed(database, cloud)

    async def identify(connection: ProviderConnection) -> tuple[ProviderConnection, AccountIdentity]:
        await control.hold_accounts(database, ["acme"], reason="do not use it", by="me", now=cloud.clock.now())
        if error:
            raise error
        return connection, AccountIdentity("org", "project")

    inventory = DeploymentInventory(database, replica.connections, identify=identify, clock=cloud.clock, log=LOG)
    for _ in range(2):  # the first look leaves the account to its job
        await inventory.check_due_accounts()
        cloud.clock.seconds += 60
    state = await read_state(database)
    assert state.hold is not None
    assert (state.hold.kind, state.verified_at) == (HoldKind.BY_OPERATOR, None)
    assert await count_found(database) == 0


async def test_verification_that_fails_for_now_is_tried_again(database: Database, cloud: DeploymentCloud) -> None:
    replica = await add_billed(database, cloud)
    cloud.fail = raise_from_identify(TemporaryError("503"))
    await replica.inventory.check_due_accounts()
    state = await read_state(database)
    assert (state.hold, state.verified_at, await count_found(database)) == (None, None, 0)
    cloud.fail = lambda _operation, _account: None
    cloud.clock.seconds += RETRY_SECONDS
    await replica.inventory.check_due_accounts()
    assert await count_found(database) == 1


async def test_list_that_could_not_be_recorded_is_repeated_soon(
    database: Database, cloud: DeploymentCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    add_remote(cloud, "acme", f"{'f' * 16}.0", "models/acme")

    async def refuse(_change: object) -> None:
        raise DatabaseUnavailable("the database does not answer")

    with monkeypatch.context() as outage:
        outage.setattr(database, "write", refuse)
        with pytest.raises(DatabaseUnavailable):
            await replica.inventory.check_due_accounts()
    assert await count_found(database) == 0
    cloud.clock.seconds += RETRY_SECONDS
    await replica.inventory.check_due_accounts()
    assert await count_found(database) == 1
