"""Deployments in the database: one record for each model, one writer for each version, never without an expiry."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from store_values import NOW, a_job, fill, id_of

from orchestrator.core.account import ProviderName
from orchestrator.core.account_state import AccountHeld
from orchestrator.core.deployment.deployment import Deployment, StopReason, deployment_id
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.deployment.transitions import (
    DeploymentOutcome,
    hold_deployment,
    record_created,
    request_stop,
    retry_deployment_later,
    start_create,
    start_stop,
)
from orchestrator.core.errors import Failure
from orchestrator.core.hold import Hold
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries import accounts, events
from orchestrator.store.queries.deployments import deployment_records

SPEC = DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=2.5, shape="FULL_PRECISION", min_replicas=0)
HOLD = Hold("price_unknown", "the price per hour is unknown", "approve it", NOW + 5)
REMOTE = RemoteDeployment(
    id="dep-1", status=RemoteDeploymentStatus.RUNNING, raw_status="READY", model="m-acme", usd_per_hour=4.0
)


def a_deployment(account: str = "acme", **changes: Any) -> Deployment:
    values: dict[str, Any] = {
        "id": deployment_id(id_of(account), 0),
        "job_id": id_of(account),
        "account": account,
        "provider": ProviderName.FIREWORKS,
        "model": f"m-{account}",
        "spec": SPEC,
        "wake_at": NOW,
        "created_at": NOW,
        "state_since": NOW,
    }
    return Deployment(**(values | changes))


async def add(database: Database, *wanted: Deployment) -> list[Deployment]:
    await fill(database, [a_job(name) for name in sorted({each.account for each in wanted})])
    return await database.write(lambda tx: deployment_records.add(tx, wanted, at=NOW, cause="operator:ann"))


async def record(database: Database, outcome: DeploymentOutcome) -> bool:
    return await database.write(lambda tx: deployment_records.record(tx, outcome, at=NOW, cause="service"))


async def read(database: Database, account: str = "acme") -> Deployment:
    async with database.read() as connection:
        found = await deployment_records.find(connection, a_deployment(account).id)
    assert found is not None
    return found


async def test_every_field_survives(database: Database) -> None:
    wanted = a_deployment()
    await add(database, wanted)
    assert await read(database) == wanted
    creating = start_create(wanted, now=NOW, intent_until=NOW + 30).deployment
    created = record_created(
        creating, replace(REMOTE, base_url="https://h", model_string="s"), now=NOW + 1
    ).deployment
    stopping = start_stop(created, StopReason.FAILED, now=NOW + 2, failure=Failure("k", "m", "h", "req-1")).deployment
    full = replace(
        stopping,
        hold=HOLD,
        checkpoint="ckpt-1",
        missing_since=NOW,
        approved_at=NOW,
        ready_at=NOW,
        ended_at=NOW,
        replica="r1",
        price_source="price page",
        earlier_usd=2.5,
        earlier_month_usd=1.5,
        earlier_started_at=NOW - 60,
        version=2,
    )
    outcome = DeploymentOutcome(deployment=full, previous_state=DeploymentState.WANTED, label=None)
    assert await record(database, outcome)
    assert await read(database) == full


async def test_second_request_for_the_same_model_changes_nothing(database: Database) -> None:
    assert len(await add(database, a_deployment())) == 1
    other = replace(a_deployment(), spec=replace(SPEC, keep_hours=99.0))
    assert await add(database, other, other) == []
    assert (await read(database)).spec == SPEC


async def test_two_replicas_write_one_intent(database: Database) -> None:
    await add(database, a_deployment())
    loaded = await read(database)
    intents = [start_create(loaded, now=NOW + each, intent_until=NOW + 30) for each in (0, 1)]
    assert sorted(await asyncio.gather(*(record(database, intent) for intent in intents))) == [False, True]
    after = await read(database)
    assert (after.state, after.version) == (DeploymentState.CREATING, 2)
    assert after.expires_at is not None


async def test_stop_that_is_requested_during_a_create_keeps_its_answer(database: Database) -> None:
    await add(database, a_deployment())
    intent = start_create(await read(database), now=NOW, intent_until=NOW + 30)
    assert await record(database, intent)
    assert await record(database, request_stop(intent.deployment, now=NOW + 1))
    created = record_created(intent.deployment, REMOTE, now=NOW + 2)
    assert not await record(database, created)
    rebased = await database.write(
        lambda tx: deployment_records.record_rebased(tx, created, at=NOW + 2, cause="service")
    )
    assert rebased is not None
    after = await read(database)
    assert (after.state, after.remote_id, after.stop_reason) == ("starting", "dep-1", StopReason.REQUESTED)


async def test_other_stale_outcome_is_dropped(database: Database) -> None:
    await add(database, a_deployment())
    intent = start_create(await read(database), now=NOW, intent_until=NOW + 30)
    await record(database, intent)
    await record(database, hold_deployment(intent.deployment, HOLD))
    created = record_created(intent.deployment, REMOTE, now=NOW + 2)
    assert (
        await database.write(lambda tx: deployment_records.record_rebased(tx, created, at=NOW + 2, cause="service"))
        is None
    )
    assert (await read(database)).remote_id is None


async def test_history_names_the_deployment_and_no_job(database: Database) -> None:
    await add(database, a_deployment())
    await record(database, start_create(await read(database), now=NOW, intent_until=NOW + 30))
    async with database.read() as connection:
        history = [event for event in await events.list_by_account(connection, "acme") if event.deployment_id]
    assert [(event.note, event.cause, event.state_before, event.state_after) for event in history] == [
        ("deployment requested", "operator:ann", None, "wanted"),
        ("create started", "service", "wanted", "creating"),
    ]
    assert {(event.job_id, event.deployment_id) for event in history} == {(None, a_deployment().id)}


async def test_account_is_held_in_the_same_transaction(database: Database) -> None:
    await add(database, a_deployment())
    failure = Failure("authentication_failed", "401", "h")
    later = retry_deployment_later(await read(database), failure, until=NOW, maybe_sent=False)
    await record(database, replace(later, account_update=AccountHeld(HOLD)))
    async with database.read() as connection:
        assert (await accounts.list_all(connection))["acme"].hold == HOLD


async def test_row_without_an_expiry_is_refused_by_the_database(database: Database) -> None:
    await add(database, a_deployment())
    with pytest.raises(IntegrityError):
        await database.write(lambda tx: tx.connection.execute(text("UPDATE deployments SET state = 'starting'")))


async def test_due_open_and_next_wake_up(database: Database) -> None:
    names = ("a", "b", "c", "d")
    a, b, c, d = (a_deployment(name, wake_at=NOW + place) for place, name in enumerate(names))
    b = start_create(b, now=NOW, intent_until=NOW + 1).deployment
    c = replace(start_create(c, now=NOW - 60, intent_until=NOW - 30).deployment, wake_at=NOW + 2)
    d = replace(d, state=DeploymentState.STOPPED, wake_at=None)
    await add(database, a, b, c, d)
    async with database.read() as connection:
        assert [each.account for each in await deployment_records.list_due(connection, NOW + 1, 10)] == ["a", "b"]
        assert len(await deployment_records.list_due(connection, NOW + 9, 1)) == 1
        assert await deployment_records.find_next_wake_at(connection) == NOW
        assert [each.account for each in await deployment_records.list_open(connection)] == ["c", "b", "a"]
        assert [each.account for each in await deployment_records.list_open(connection, ["a", "d"])] == ["a"]
        assert await deployment_records.list_open(connection, []) == []
        assert await deployment_records.count_may_exist(connection) == {"b": 1, "c": 1}
        assert await deployment_records.list_by_account(connection, "d") == [d]


async def test_one_operation_at_a_time_in_an_account(database: Database) -> None:
    first, second = a_deployment(), replace(a_deployment(), id=deployment_id(id_of("acme"), 1), job_id=None)
    creating = start_create(first, now=NOW, intent_until=NOW + 30).deployment
    await add(database, creating, second)

    async def is_blocked(except_id: str, now: float) -> bool:
        async with database.read() as connection:
            which = second.id if except_id == "second" else first.id
            return await deployment_records.is_operation_in_progress(connection, "acme", which, now)

    assert [await is_blocked("second", NOW), await is_blocked("second", NOW + 31)] == [True, False]
    assert not await is_blocked("first", NOW)
