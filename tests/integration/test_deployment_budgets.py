"""Budgets of an account and of a run over several deployments of the same model, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from deployment_world import (
    HOUR,
    SPEC,
    USD_PER_HOUR,
    DeploymentCloud,
    DeploymentReplica,
    SteppedClock,
    limited_to,
    read_all,
    read_one,
    request,
    trained_job,
    work,
)
from store_values import NOW, RUN

from orchestrator.control.deployment_plan import DeploymentPlan, PlannedDeployment
from orchestrator.control.deployments import DeploymentTarget, approve_deployments, deploy, undeploy
from orchestrator.core.account import BudgetPeriod
from orchestrator.core.deployment.cost import DeploymentPrice
from orchestrator.core.deployment.deployment import Deployment, StopReason, build_deployment
from orchestrator.core.deployment.deployment_spec import DeploymentKind
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.transitions import (
    ABSENCE_CONFIRMATION_SECONDS,
    DeploymentOutcome,
    start_stop,
)
from orchestrator.core.hold import HoldKind
from orchestrator.core.plans.budget import CommittedSpend, month_start
from orchestrator.core.structs import replace
from orchestrator.daemon.deployments.run_deployments import RunDeploymentTable
from orchestrator.store.db.database import Database
from orchestrator.store.queries import costs, runs
from orchestrator.store.queries.deployments import deployment_records, deployment_requests

# The second confirmation that nothing is left at the provider is billed as well.
ROUND_USD = USD_PER_HOUR * (2 + 2 * ABSENCE_CONFIRMATION_SECONDS / HOUR)


@pytest.fixture
def cloud() -> DeploymentCloud:
    return DeploymentCloud(SteppedClock())


async def deploy_again(database: Database, cloud: DeploymentCloud, *, usd_per_hour: float = USD_PER_HOUR) -> None:
    """Request the ended deployment again, as `orchestrator deploy` and a scheduled comparison do."""
    ended = await read_one(database)
    line = PlannedDeployment(
        job=trained_job("acme"),
        id=ended.id,
        model=ended.model,
        spec=SPEC,
        price=DeploymentPrice(kind=DeploymentKind.HOUR, usd_per_hour=usd_per_hour, source="list"),
        existing=ended,
    )
    plan = DeploymentPlan(run=RUN, lines=(line,))
    assert len(await deploy(database, plan, by="operator:ann", now=cloud.clock.now())) == 1


async def deploy_until_held(database: Database, replica: DeploymentReplica) -> Deployment:
    """Deploy the model again whenever it has expired, until the deployment is held or there were five."""
    for _ in range(5):
        await work(replica, seconds=3 * HOUR)
        if (deployment := await read_one(database)).ended_at is None:
            break
        await deploy_again(database, replica.cloud)
    return deployment


async def read_committed(database: Database, now: float) -> CommittedSpend:
    since = month_start(now)
    async with database.read() as connection:
        committed = await costs.get_committed(connection, "acme", RUN.id, since)
        assert (await costs.get_committed_by_account(connection, RUN.id, since))["acme"] == committed
    return committed


async def test_each_deployment_of_a_model_counts_towards_the_budget(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    held = await deploy_until_held(database, DeploymentReplica(database, cloud, ["acme"], budget_usd=20.0))
    assert cloud.creates["acme"] == 2
    assert (held.state, held.hold and held.hold.kind) == (DeploymentState.WANTED, HoldKind.OVER_BUDGET)
    assert held.hold is not None
    assert f"{20 - 2 * ROUND_USD:.2f} USD of the account's budget are left" in held.hold.reason
    committed = await read_committed(database, cloud.clock.now())
    assert (committed.total, committed.month, committed.run) == pytest.approx((2 * ROUND_USD,) * 3)


async def test_each_deployment_of_a_model_counts_towards_the_limit_of_the_run(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    await database.write(lambda tx: runs.save(tx, RUN))
    held = await deploy_until_held(database, DeploymentReplica(database, cloud, ["acme"], runs=limited_to(20.0)))
    assert cloud.creates["acme"] == 2
    assert held.hold is not None
    assert held.hold.kind == HoldKind.RUN_TOO_EXPENSIVE


async def test_earlier_deployment_counts_with_its_own_price_and_in_its_own_month(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=3 * HOUR)
    await deploy_again(database, cloud, usd_per_hour=2 * USD_PER_HOUR)  # its create reports USD_PER_HOUR again
    assert (await read_committed(database, cloud.clock.now())).month == pytest.approx(ROUND_USD)
    await work(replica, seconds=3 * HOUR)

    cloud.clock.seconds = datetime(1970, 2, 1, tzinfo=UTC).timestamp() - NOW + HOUR  # NOW is in January
    await deploy_again(database, cloud)
    committed = await read_committed(database, cloud.clock.now())
    assert (committed.total, committed.month, committed.run) == pytest.approx((2 * ROUND_USD, 0, 2 * ROUND_USD))
    await work(replica, seconds=HOUR)
    committed = await read_committed(database, cloud.clock.now())
    assert (committed.total, committed.month) == pytest.approx((2 * ROUND_USD + 8, 8))


async def test_create_that_is_repeated_after_a_conflict_counts_both(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=20)
    starting = await read_one(database)
    assert starting.state is DeploymentState.STARTING
    removal = start_stop(starting, StopReason.CONFLICT, now=cloud.clock.now())
    await database.write(lambda tx: deployment_records.record(tx, removal, at=cloud.clock.now(), cause="service"))
    await work(replica, seconds=HOUR)
    again = await read_one(database)
    assert (again.state, again.round, cloud.creates["acme"]) == (DeploymentState.READY, 1, 2)
    assert again.earlier_usd is not None
    assert 0 < again.earlier_usd < 1
    committed = await read_committed(database, cloud.clock.now())
    assert committed.total == pytest.approx(again.earlier_usd + 8)


async def test_deployment_that_its_run_limits_is_not_created_when_another_run_replaces_that(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    await database.write(lambda tx: runs.save(tx, RUN))
    replica = DeploymentReplica(database, cloud, ["acme"], runs=limited_to(5.0))
    await work(replica, seconds=60)
    held = await read_one(database)
    assert (held.hold and held.hold.kind, cloud.creates.total()) == (HoldKind.RUN_TOO_EXPENSIVE, 0)
    await database.write(lambda tx: runs.save(tx, replace(RUN, current=False)))
    await database.write(lambda tx: deployment_requests.wake_price_holds(tx, ["acme"], cloud.clock.now()))
    await work(replica, seconds=60)
    held = await read_one(database)
    assert (held.hold and held.hold.kind, cloud.creates.total()) == (HoldKind.SUPERSEDED, 0)
    target = DeploymentTarget(accounts=["acme"])
    await approve_deployments(database, target, by="operator:ann", now=cloud.clock.now())
    await work(replica, seconds=300)
    assert ((await read_one(database)).state, cloud.creates.total()) == (DeploymentState.READY, 1)


@pytest.mark.parametrize(("priced", "shown"), [(True, "8.00 USD"), (False, "2 hours at an unknown price")])
async def test_hold_of_a_replaced_run_names_the_price_that_an_approval_accepts(
    database: Database, cloud: DeploymentCloud, *, priced: bool, shown: str
) -> None:
    if not priced:
        cloud.options = None
    await request(database, trained_job("acme"))
    await database.write(lambda tx: runs.save(tx, replace(RUN, current=False)))
    await work(DeploymentReplica(database, cloud, ["acme"], runs=limited_to(5.0)), seconds=60)
    held = await read_one(database)
    assert held.hold is not None
    assert (held.hold.kind, held.hold.reason.rpartition(": ")[2]) == (HoldKind.SUPERSEDED, shown)


async def test_deployment_waits_until_the_limit_of_its_run_is_known(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    await database.write(lambda tx: runs.save(tx, RUN))
    table = RunDeploymentTable()  # the accounts file was not read yet
    replica = DeploymentReplica(database, cloud, ["acme"], runs=table)
    await work(replica, seconds=600)
    waiting = await read_one(database)
    assert (waiting.state, waiting.hold, cloud.creates.total()) == (DeploymentState.WANTED, None, 0)
    table.apply({}, {RUN.name: 9.0})  # its dataset is refused, so the run was not applied
    await work(replica, seconds=300)
    assert ((await read_one(database)).state, cloud.creates.total()) == (DeploymentState.READY, 1)


async def test_budget_of_a_month_lets_the_deployment_start_in_the_next_one(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    connection = replica.connections["acme"]
    account = replace(connection.account, budget_usd=10.0, budget_period=BudgetPeriod.MONTH)
    replica.connections["acme"] = replace(connection, account=account)
    held = await deploy_until_held(database, replica)
    assert (held.hold and held.hold.kind, cloud.creates["acme"]) == (HoldKind.OVER_BUDGET, 1)
    await work(replica, seconds=HOUR)
    assert (await read_one(database)).version > held.version
    assert (await read_one(database)).hold == held.hold
    cloud.clock.seconds = datetime(1970, 2, 1, tzinfo=UTC).timestamp() - NOW  # NOW is in January
    await work(replica, seconds=600)
    assert ((await read_one(database)).state, cloud.creates["acme"]) == (DeploymentState.READY, 2)


async def test_deployment_starts_when_the_one_of_unknown_price_was_stopped(
    database: Database, cloud: DeploymentCloud
) -> None:
    [first] = await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"], budget_usd=20.0)
    await work(replica, seconds=300)
    [made] = cloud.made.values()
    made.remote = replace(made.remote, usd_per_hour=None)
    running = await read_one(database)
    unpriced = replace(running, usd_per_hour=None, price_source=None, version=running.version + 1)
    outcome = DeploymentOutcome(deployment=unpriced, previous_state=running.state, label=None)
    await database.write(lambda tx: deployment_records.record(tx, outcome, at=cloud.clock.now(), cause="service"))
    checkpoint = build_deployment(trained_job("acme"), SPEC, now=cloud.clock.now(), model="m-2", checkpoint="c-2")
    await database.write(
        lambda tx: deployment_records.add(tx, [checkpoint], at=cloud.clock.now(), cause="operator:ann")
    )
    await work(replica, seconds=1200)

    async def read(wanted: Deployment) -> Deployment:
        return next(each for each in await read_all(database) if each.id == wanted.id)

    held = await read(checkpoint)
    assert held.hold is not None
    assert "Stop that deployment" in held.hold.hint
    await undeploy(database, DeploymentTarget(accounts=["acme"], ids=[first.id]), by="ann", now=cloud.clock.now())
    await work(replica, seconds=1200)
    assert (await read(checkpoint)).state is DeploymentState.READY
