"""Subscribers learn that a deployment is ready, ends soon, has failed or is gone: once, in its transaction."""

from __future__ import annotations

from typing import Any

from deployment_actions import deploy, fill_finished, record
from sqlalchemy import select
from store_values import NOW

from orchestrator.core.deployment.deployment import Deployment, StopReason
from orchestrator.core.deployment.remote_deployment import RemoteDeployment, RemoteDeploymentStatus
from orchestrator.core.deployment.remote_state import EXPIRY_NOTICE_SECONDS, get_next_poll
from orchestrator.core.deployment.transitions import (
    ABSENCE_CONFIRMATION_SECONDS,
    poll_deployment_again,
    record_answer,
    record_created,
    record_missing,
    record_refusal,
    request_stop,
    start_create,
    start_stop,
)
from orchestrator.core.errors import Failure
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries.deployments import deployment_records
from orchestrator.store.schema.tables import announcements

FAILURE = Failure("deployment_failed", "no capacity", "Choose other options.")
REMOTE = RemoteDeployment(
    id="dep-1",
    status=RemoteDeploymentStatus.RUNNING,
    raw_status="READY",
    model="m",
    model_string="m#dep-1",
    base_url="https://call.example/v1",
)


async def list_published(database: Database) -> list[tuple[str, dict[str, Any]]]:
    async with database.read() as connection:
        rows = await connection.execute(select(announcements.c.payload).order_by(announcements.c.at))
        return [(row.payload["type"], row.payload["data"]) for row in rows]


async def start(database: Database) -> Deployment:
    await fill_finished(database, "acme")
    [requested] = await deploy(database, "acme")
    creating = await record(database, start_create(requested, now=NOW, intent_until=NOW + 60))
    return await record(database, record_created(creating, REMOTE, now=NOW + 1), NOW + 1)


async def answer(database: Database, deployment: Deployment, at: float) -> Deployment:
    return await record(database, record_answer(deployment, now=at, wake_at=at + 300), at)


async def test_a_deployment_is_announced_as_ready_with_how_to_call_it(database: Database) -> None:
    ready = await answer(database, await start(database), NOW + 2)
    degraded = await record(database, record_refusal(ready, FAILURE, now=NOW + 3, wake_at=NOW + 4), NOW + 3)
    await answer(database, degraded, NOW + 5)  # it recovers: not announced again
    [(topic, data)] = await list_published(database)
    assert topic == "deployment.ready"
    assert (data["account"], data["model_string"], data["base_url"]) == ("acme", "m#dep-1", "https://call.example/v1")
    assert data["expires_at"] == "1970-01-12T17:46:40+00:00"
    assert (data["deployment"], data["job"]) == (ready.id, ready.job_id)


async def test_the_end_is_announced_once_and_only_shortly_before(database: Database) -> None:
    ready = await answer(database, await start(database), NOW + 2)
    assert ready.expires_at is not None
    notice_at = ready.expires_at - EXPIRY_NOTICE_SECONDS
    assert get_next_poll(ready, notice_at - 100, 0.5) == notice_at  # it is polled when it is due
    assert get_next_poll(ready, notice_at, 0.5) > notice_at
    for at in (notice_at - 1, notice_at, notice_at + 300):
        ready = await record(database, poll_deployment_again(ready, at + 300), at)
    assert [topic for topic, _ in await list_published(database)] == ["deployment.ready", "deployment.expiring"]
    [_, (_, data)] = await list_published(database)
    assert data["error"]["message"] == f"the deployment of {ready.model} is stopped in 15 min"


async def test_a_deployment_that_is_stopped_on_request_does_not_end_soon(database: Database) -> None:
    ready = await answer(database, await start(database), NOW + 2)
    late = (ready.expires_at or 0) - 60
    await record(database, request_stop(ready, now=late), late)
    assert [topic for topic, _ in await list_published(database)] == ["deployment.ready"]


async def test_failures_and_disappearances_are_announced_when_they_are_certain(database: Database) -> None:
    starting = await start(database)
    stopping = await record(database, start_stop(starting, StopReason.FAILED, now=NOW + 2, failure=FAILURE), NOW + 2)
    missing = await record(database, record_missing(stopping, now=NOW + 3), NOW + 3)
    assert await list_published(database) == []
    later = NOW + 3 + ABSENCE_CONFIRMATION_SECONDS
    await record(database, record_missing(missing, now=later), later)
    [(topic, data)] = await list_published(database)
    assert (topic, data["error"]["message"]) == ("deployment.failed", "no capacity")


async def test_what_the_provider_removed_is_announced(database: Database) -> None:
    ready = await answer(database, await start(database), NOW + 2)
    missing = await record(database, record_missing(ready, now=NOW + 3), NOW + 3)
    later = NOW + 3 + ABSENCE_CONFIRMATION_SECONDS
    await record(database, record_missing(missing, now=later), later)
    assert [topic for topic, _ in await list_published(database)] == ["deployment.ready", "deployment.gone"]


async def test_a_stale_outcome_announces_nothing(database: Database) -> None:
    starting = await start(database)
    stale = record_answer(replace(starting, version=starting.version - 1), now=NOW + 2, wake_at=NOW + 3)
    assert not await database.write(lambda tx: deployment_records.record(tx, stale, at=NOW + 2, cause="service"))
    assert await list_published(database) == []
