"""A service that stops begins no further step, because the next one may spend money; the work stays due."""

from __future__ import annotations

from typing import Any

from deployment_world import DeploymentCloud, DeploymentReplica, SteppedClock, request, trained_job, work
from reconciler_values import clock, make_reconciler, ready_job, verify_accounts
from store_values import fill

from orchestrator.core.jobs.job import JobId
from orchestrator.core.remote import RemoteJob
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs
from orchestrator.store.queries.deployments import deployment_records


class Remote:
    """A provider that counts what is asked of it."""

    def __init__(self) -> None:
        self.calls = 0

    async def find_jobs(self, *_: Any) -> list[RemoteJob]:
        self.calls += 1
        return []


async def test_stopped_reconciler_leaves_a_ready_job_due(database: Database) -> None:
    await fill(database, [ready_job("acme", "acme")])
    await verify_accounts(database, ["acme"])
    remote = Remote()
    reconciler = make_reconciler(database, {"acme": remote})
    reconciler.stop()
    await reconciler.handle(JobId("acme"))
    assert remote.calls == 0
    async with database.read() as connection:
        assert await jobs.list_due(connection, clock.now(), 9) == [("acme", "acme")]


async def test_stopped_reconciler_leaves_a_requested_deployment_due(database: Database) -> None:
    cloud = DeploymentCloud(SteppedClock())
    replica = DeploymentReplica(database, cloud, ["acme"])
    [deployment] = await request(database, trained_job("acme"))
    replica.reconciler.stop()
    await replica.reconciler.handle(deployment.id)
    assert not cloud.calls
    async with database.read() as connection:
        due = await deployment_records.list_due(connection, cloud.clock.now(), 9)
    assert [each.id for each in due] == [deployment.id]
    await work(DeploymentReplica(database, cloud, ["acme"]))
    assert cloud.calls["create_deployment"] == 1, "another replica goes on"
