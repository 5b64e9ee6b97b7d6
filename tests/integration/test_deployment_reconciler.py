"""The service and its deployments, on both databases: one each, never without an end, none left."""

from __future__ import annotations

import pytest
from deployment_world import (
    HOUR,
    INTENT_SECONDS,
    USD_PER_HOUR,
    CloudProvider,
    Crash,
    DeploymentCloud,
    DeploymentReplica,
    SteppedClock,
    add_remote,
    read_all,
    read_one,
    request,
    trained_job,
    work,
)
from store_values import NOW, a_standing

from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment import StopReason
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.remote_deployment import RemoteDeploymentStatus
from orchestrator.core.deployment.transitions import release_deployment, request_stop
from orchestrator.core.errors import AuthenticationFailed, RateLimited, RemoteNotFound
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, clock_adjustment
from orchestrator.store.queries.deployments import deployment_records, deployment_requests

POINTS = [
    f"deployment {state}: {when}"
    for state, whens in {
        "creating": ("after intent", "before record", "after record"),
        "starting": ("before record", "after record"),
        "ready": ("before record", "after record"),
        "stopping": ("before record", "after record"),
    }.items()
    for when in whens
]


@pytest.fixture
def cloud() -> DeploymentCloud:
    return DeploymentCloud(SteppedClock())


async def test_deployment_lives_from_its_request_to_its_expiry(database: Database, cloud: DeploymentCloud) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=300)
    ready = await read_one(database)
    assert ready.state is DeploymentState.READY
    assert (ready.usd_per_hour, ready.model_string) == (USD_PER_HOUR, "acme/dep-1")
    assert ready.expires_at == NOW + 2 * HOUR
    await work(replica, seconds=2 * HOUR)
    ended = await read_one(database)
    assert (ended.state, ended.stop_reason) == (DeploymentState.STOPPED, StopReason.EXPIRED)
    assert ended.ended_at is not None
    assert ended.ended_at < NOW + 2 * HOUR + 120
    assert (cloud.creates["acme"], cloud.removals["acme"], cloud.made) == (1, 1, {})


@pytest.mark.parametrize("point", POINTS)
async def test_kill_at_each_point_leaves_one_and_later_none(
    database: Database, cloud: DeploymentCloud, point: str
) -> None:
    await request(database, trained_job("acme"))
    killed = DeploymentReplica(database, cloud, ["acme"], crash_at=point)
    with pytest.raises(Crash):
        await work(killed, seconds=3 * HOUR)
    assert cloud.creates["acme"] <= 1
    restarted = DeploymentReplica(database, cloud, ["acme"], replica="two")
    await work(restarted, seconds=INTENT_SECONDS + 300)
    assert cloud.creates["acme"] == 1
    await work(restarted, seconds=3 * HOUR)
    assert (await read_one(database)).state is DeploymentState.STOPPED
    assert (cloud.creates["acme"], cloud.made) == (1, {})


async def test_lost_answer_of_a_create_is_found_again(database: Database, cloud: DeploymentCloud) -> None:
    cloud.lose_creates = 1
    await request(database, trained_job("acme"))
    await work(DeploymentReplica(database, cloud, ["acme"]), seconds=600)
    assert (await read_one(database)).state is DeploymentState.READY
    assert cloud.creates["acme"] == 1


async def test_two_replicas_create_one_each_and_share_the_calls(database: Database, cloud: DeploymentCloud) -> None:
    names = [f"account-{number}" for number in range(6)]
    await request(database, *(trained_job(name) for name in names))
    replicas = [DeploymentReplica(database, cloud, names, replica=name) for name in ("one", "two")]
    await work(*replicas, seconds=300)
    assert [(await read_one(database, name)).state for name in names] == [DeploymentState.READY] * 6
    assert cloud.creates == dict.fromkeys(names, 1)
    if not database.is_sqlite:  # several replicas exist on PostgreSQL only
        assert cloud.calls["find_deployments"] == 6
    await work(*replicas, seconds=3 * HOUR)
    assert cloud.made == {}
    assert cloud.removals == dict.fromkeys(names, 1)


async def test_lost_database_adopts_what_expires_and_is_stopped(
    database: Database, cloud: DeploymentCloud, tmp_path_factory: pytest.TempPathFactory
) -> None:
    await request(database, trained_job("acme"))
    killed = DeploymentReplica(database, cloud, ["acme"], crash_at="deployment creating: before record")
    with pytest.raises(Crash):
        await work(killed)
    [made] = cloud.made.values()
    other = Database(f"sqlite:///{tmp_path_factory.mktemp('other') / 'new.db'}")
    await other.migrate()
    try:
        await other.write(lambda tx: accounts.save(tx, a_standing("acme", provider=ProviderName.FIREWORKS)))
        restarted = DeploymentReplica(other, cloud, ["acme"])
        await restarted.inventory.check_due_accounts()
        adopted = await read_one(other)
        assert adopted.remote_id == made.remote.id
        assert adopted.expires_at == NOW + 2 * HOUR  # as it was written at the provider
        await work(restarted, seconds=300)
        assert (await read_one(other)).state is DeploymentState.READY
        await work(restarted, seconds=3 * HOUR)
        assert (await read_one(other)).state is DeploymentState.STOPPED
        assert (cloud.creates["acme"], cloud.made) == (1, {})
        # The job that succeeds again in the new database does not deploy its model a second time.
        await request(other, trained_job("acme"), now=cloud.clock.now())
        await work(restarted, seconds=HOUR)
        assert cloud.creates["acme"] == 1
        assert (await read_one(other)).job_id == trained_job("acme").id
    finally:
        await other.close()


async def test_lost_database_whose_job_requests_again_links_what_exists_without_an_approval(
    database: Database, cloud: DeploymentCloud
) -> None:
    cloud.options = None  # the price is unknown, so the new record waits for an approval
    [wanted] = await request(database, trained_job("acme"))
    made = add_remote(cloud, "acme", wanted.tag, wanted.model, stop_at=NOW + HOUR)
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=60)
    assert (await read_one(database)).hold is not None
    await replica.inventory.check_due_accounts()
    linked = await read_one(database)
    assert (linked.state, linked.hold, linked.remote_id) == (DeploymentState.STARTING, None, made.remote.id)
    assert linked.expires_at == NOW + HOUR
    await work(replica, seconds=2 * HOUR)
    assert (await read_one(database)).state is DeploymentState.STOPPED
    assert (cloud.creates.total(), cloud.made) == (0, {})


async def test_clock_that_jumps_a_day_ahead_stops_what_has_expired_once(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=300)
    cloud.clock.set_wall_clock(24 * HOUR)
    await database.write(lambda tx: clock_adjustment.apply_clock_step(tx, 24 * HOUR, cloud.clock.now()))
    await work(replica, seconds=600)
    assert (await read_one(database)).state is DeploymentState.STOPPED
    cloud.clock.set_wall_clock(-24 * HOUR)
    await database.write(lambda tx: clock_adjustment.apply_clock_step(tx, -24 * HOUR, cloud.clock.now()))
    await work(replica, seconds=3 * HOUR)
    assert (cloud.creates["acme"], cloud.removals["acme"], cloud.made) == (1, 1, {})


async def test_clock_that_is_set_back_does_not_prolong_a_deployment(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=300)
    cloud.clock.set_wall_clock(-24 * HOUR)
    await database.write(lambda tx: clock_adjustment.apply_clock_step(tx, -24 * HOUR, cloud.clock.now()))
    await work(replica, seconds=2 * HOUR)
    assert (await read_one(database)).state is DeploymentState.STOPPED
    assert cloud.made == {}


@pytest.mark.parametrize("status", [RemoteDeploymentStatus.RUNNING, RemoteDeploymentStatus.ASLEEP])
async def test_ready_deployment_is_polled_and_not_called(
    database: Database, cloud: DeploymentCloud, status: RemoteDeploymentStatus
) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=300)
    cloud.status = status
    before, polls = cloud.calls["call_deployment"], cloud.calls["get_deployment"]
    await work(replica, seconds=HOUR)
    assert cloud.calls["call_deployment"] == before
    assert cloud.calls["get_deployment"] > polls
    assert (await read_one(database)).state is DeploymentState.READY


async def test_degraded_deployment_that_answers_stays_ready_and_one_that_does_not_recovers(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=300)
    cloud.status = RemoteDeploymentStatus.DEGRADED
    await work(replica, seconds=1200)
    assert (await read_one(database)).state is DeploymentState.READY
    cloud.refuse_seconds = 10_000.0
    await work(replica, seconds=1500)
    degraded = await read_one(database)
    assert degraded.state is DeploymentState.DEGRADED
    assert degraded.failure is not None
    cloud.refuse_seconds, cloud.status = 0.0, None
    await work(replica, seconds=600)
    assert (await read_one(database)).state is DeploymentState.READY


async def test_unknown_price_holds_until_it_is_approved(database: Database, cloud: DeploymentCloud) -> None:
    cloud.options = None
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=HOUR)
    held = await read_one(database)
    assert held.state is DeploymentState.WANTED
    assert held.hold is not None
    assert held.hold.kind == HoldKind.PRICE_UNKNOWN
    assert held.wake_at is None
    approved = release_deployment(held, now=cloud.clock.now(), approved=True)
    assert await database.write(
        lambda tx: deployment_records.record(tx, approved, at=cloud.clock.now(), cause="operator:ann")
    )
    await work(replica, seconds=300)
    assert (await read_one(database)).state is DeploymentState.READY


async def test_budget_holds_until_the_accounts_file_raises_it(database: Database, cloud: DeploymentCloud) -> None:
    await request(database, trained_job("acme"))
    await work(DeploymentReplica(database, cloud, ["acme"], budget_usd=7.99), seconds=HOUR)
    held = await read_one(database)
    assert held.hold is not None
    assert held.hold.kind == HoldKind.OVER_BUDGET
    assert "8.00 USD" in held.hold.reason
    now = cloud.clock.now()
    await database.write(lambda tx: deployment_requests.wake_price_holds(tx, ["acme"], now))
    await work(DeploymentReplica(database, cloud, ["acme"], budget_usd=8.0), seconds=300)
    ready = await read_one(database)
    assert (ready.state, ready.hold) == (DeploymentState.READY, None)


async def test_deployment_counts_towards_the_budget_of_the_next_one(
    database: Database, cloud: DeploymentCloud
) -> None:
    first, second = trained_job("acme"), trained_job("acme", id="another")
    await request(database, first, second)
    await work(DeploymentReplica(database, cloud, ["acme"], budget_usd=12.0), seconds=300)
    states = sorted(each.state for each in await read_all(database))
    assert states == [DeploymentState.READY, DeploymentState.WANTED]
    assert cloud.creates["acme"] == 1


async def test_base_model_that_cannot_be_deployed_fails_its_deployment(
    database: Database, cloud: DeploymentCloud
) -> None:
    cloud.options = ()
    await request(database, trained_job("acme"))
    await work(DeploymentReplica(database, cloud, ["acme"]), seconds=HOUR)
    failed = await read_one(database)
    assert failed.state is DeploymentState.FAILED
    assert failed.failure is not None
    assert failed.failure.kind == HoldKind.NOT_SERVABLE
    assert cloud.creates.total() == 0


async def test_provider_with_one_operation_at_a_time_starts_the_second_after_the_first(
    database: Database, cloud: DeploymentCloud
) -> None:
    spec = DeploymentSpec(kind=DeploymentKind.TOKEN, keep_hours=2)
    jobs = [trained_job("acme", ProviderName.AZURE), trained_job("acme", ProviderName.AZURE, id="another")]
    await request(database, *jobs, spec=spec)
    replicas = [
        DeploymentReplica(database, cloud, ["acme"], provider=ProviderName.AZURE, replica=name)
        for name in ("one", "two")
    ]
    await work(*replicas, seconds=30)
    assert cloud.creates["acme"] == 1
    await work(*replicas, seconds=300)
    assert cloud.creates["acme"] == 2
    assert {each.state for each in await read_all(database)} == {DeploymentState.READY}


async def test_surplus_of_the_same_tag_is_removed_and_the_oldest_is_used(
    database: Database, cloud: DeploymentCloud
) -> None:
    [wanted] = await request(database, trained_job("acme"))
    oldest = add_remote(cloud, "acme", wanted.tag, wanted.model)
    cloud.clock.seconds += 1
    add_remote(cloud, "acme", wanted.tag, wanted.model)
    await work(DeploymentReplica(database, cloud, ["acme"]), seconds=300)
    ready = await read_one(database)
    assert (ready.state, ready.remote_id) == (DeploymentState.READY, oldest.remote.id)
    assert (list(cloud.made), cloud.creates.total()) == ([oldest.remote.id], 0)


async def test_stop_that_is_requested_during_a_create_keeps_its_answer(
    database: Database, cloud: DeploymentCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    create = CloudProvider.create_deployment

    async def create_while_somebody_stops(self, order, deadline):  # type: ignore[no-untyped-def]
        remote = await create(self, order, deadline)
        stop = request_stop(await read_one(database), now=cloud.clock.now())
        await database.write(lambda tx: deployment_records.record(tx, stop, at=cloud.clock.now(), cause="ann"))
        return remote

    monkeypatch.setattr(CloudProvider, "create_deployment", create_while_somebody_stops)
    await work(replica, seconds=300)
    stopped = await read_one(database)
    assert (stopped.state, stopped.remote_id) == (DeploymentState.STOPPED, "dep-1")
    assert (cloud.creates["acme"], cloud.made) == (1, {})


async def test_account_on_hold_creates_nothing_and_what_exists_still_expires(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"), trained_job("other"))
    replica = DeploymentReplica(database, cloud, ["acme", "other"])
    hold = Hold("by_operator", "stopped", "release it")
    held = a_standing("other", provider=ProviderName.FIREWORKS, hold=hold)
    await database.write(lambda tx: accounts.save(tx, held))
    await work(replica, seconds=300)
    assert (await read_one(database, "other")).state is DeploymentState.WANTED
    also = a_standing("acme", provider=ProviderName.FIREWORKS, hold=hold)
    await database.write(lambda tx: accounts.save(tx, also))
    await work(replica, seconds=3 * HOUR)
    assert (await read_one(database, "acme")).state is DeploymentState.STOPPED
    assert cloud.made == {}
    assert cloud.creates == {"acme": 1}


async def test_key_that_is_refused_holds_the_account_and_the_release_continues(
    database: Database, cloud: DeploymentCloud
) -> None:
    def refuse(operation: str, account: str) -> None:
        if operation == "find_deployments":
            raise AuthenticationFailed("401 wrong key")

    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    fine, cloud.fail = cloud.fail, refuse
    await work(replica, seconds=60)
    async with database.read() as connection:
        state = (await accounts.get_many(connection, ["acme"]))["acme"]
    assert state.hold is not None
    assert cloud.calls["find_deployments"] == 1
    cloud.fail = fine
    await database.write(lambda tx: accounts.save(tx, replace(state, hold=None)))
    await database.write(lambda tx: deployment_requests.wake_account(tx, "acme", cloud.clock.now()))
    await work(replica, seconds=300)
    assert (await read_one(database)).state is DeploymentState.READY


async def test_busy_provider_is_asked_again_and_counts_no_second_create(
    database: Database, cloud: DeploymentCloud
) -> None:
    refusals = iter([True, True, False])

    def limit(operation: str, account: str) -> None:
        if operation == "create_deployment" and next(refusals, False):
            raise RateLimited("429 slow down", retry_after=20.0)

    cloud.fail = limit
    await request(database, trained_job("acme"))
    await work(DeploymentReplica(database, cloud, ["acme"]), seconds=300)
    assert (await read_one(database)).state is DeploymentState.READY
    assert cloud.creates["acme"] == 1


async def test_account_that_is_not_in_the_file_is_shown_and_stopped_when_it_is_back(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    await work(DeploymentReplica(database, cloud, ["acme"]), seconds=300)
    await work(DeploymentReplica(database, cloud, []), seconds=3 * HOUR)
    left = await read_one(database)
    assert left.state is DeploymentState.STOPPING
    assert left.failure is not None
    assert "not in the accounts file" in left.failure.message
    await work(DeploymentReplica(database, cloud, ["acme"]), seconds=HOUR)
    assert (await read_one(database)).state is DeploymentState.STOPPED
    assert cloud.made == {}


async def test_process_that_ends_with_its_jobs_creates_nothing(database: Database, cloud: DeploymentCloud) -> None:
    await request(database, trained_job("acme"))
    await work(DeploymentReplica(database, cloud, ["acme"], creates=False), seconds=HOUR)
    assert (await read_one(database)).state is DeploymentState.WANTED
    assert cloud.calls.total() == 0
    await work(DeploymentReplica(database, cloud, ["acme"]), seconds=300)
    assert (await read_one(database)).state is DeploymentState.READY
    await work(DeploymentReplica(database, cloud, ["acme"], creates=False), seconds=3 * HOUR)
    assert cloud.made == {}


async def test_deployment_that_reappears_after_its_end_is_removed(database: Database, cloud: DeploymentCloud) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=3 * HOUR)
    ended = await read_one(database)
    add_remote(cloud, "acme", ended.tag, ended.model)
    add_remote(cloud, "acme", f"{ended.id}.9", ended.model)  # of another round: not removed without a word
    await replica.inventory.check_due_accounts()
    await work(replica, seconds=HOUR)
    again = await read_one(database)
    assert (again.state, again.stop_reason) == (DeploymentState.STOPPED, StopReason.FOUND_AFTER_END)
    assert [each.remote.tag for each in cloud.made.values()] == [f"{ended.id}.9"]


async def test_inventory_lists_each_verified_account_once_a_day(database: Database, cloud: DeploymentCloud) -> None:
    await request(database, trained_job("acme"), trained_job("other"))
    hold = Hold(HoldKind.BY_OPERATOR, "do not use it", "Release it.")
    held = a_standing("other", provider=ProviderName.FIREWORKS, verified_at=None, hold=hold)
    await database.write(lambda tx: accounts.save(tx, held))
    replica = DeploymentReplica(database, cloud, ["acme", "other"])
    for _ in range(3):
        await replica.inventory.check_due_accounts()
        cloud.clock.seconds += 60
    assert cloud.calls["list_own_deployments"] == 1
    cloud.clock.seconds += 24 * HOUR
    await replica.inventory.check_due_accounts()
    assert cloud.calls["list_own_deployments"] == 2


async def test_deployment_that_a_gateway_hides_is_removed_soon_after_its_supposed_end(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await replica.inventory.check_due_accounts()
    await work(replica, seconds=300)

    def answer_404(operation: str, account: str) -> None:
        raise RemoteNotFound(f"404 page not found for {operation}", account=account)

    cloud.fail = answer_404
    await work(replica, seconds=900)
    assert (await read_one(database)).state is DeploymentState.GONE
    for minute in range(60):
        if minute == 15:  # the first list after the end fails as well
            cloud.fail = lambda operation, account: None
        cloud.clock.seconds += 60
        await replica.inventory.check_due_accounts()
        await work(replica)
    assert (cloud.made, cloud.removals.total()) == ({}, 1)
    lists = cloud.calls["list_own_deployments"]
    ended = await read_one(database)
    assert (ended.state, ended.stop_reason) == (DeploymentState.STOPPED, StopReason.FOUND_AFTER_END)
    cloud.clock.seconds += HOUR
    for _ in range(2):
        await replica.inventory.check_due_accounts()
    assert cloud.calls["list_own_deployments"] == lists


async def test_deployment_that_was_requested_after_the_backup_of_the_database_is_followed_and_stopped(
    database: Database, cloud: DeploymentCloud
) -> None:
    await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=3 * HOUR)
    ended = await read_one(database)
    end = cloud.clock.now() + 3 * HOUR
    add_remote(cloud, "acme", f"{ended.id}.3", ended.model, stop_at=end)
    await replica.inventory.check_due_accounts()
    await work(replica, seconds=300)
    again = await read_one(database)
    assert (again.state, again.round, again.expires_at) == (DeploymentState.READY, 3, end)
    assert again.earlier_usd is not None
    await work(replica, seconds=3 * HOUR)
    assert ((await read_one(database)).state, cloud.made) == (DeploymentState.STOPPED, {})
