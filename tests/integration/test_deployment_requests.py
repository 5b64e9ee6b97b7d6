"""When deployments are requested: with the success of a job, and for models that exist already; and their limits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from deployment_world import (
    LOG,
    SPEC,
    CloudProvider,
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
from machine_speed import scale_seconds
from store_values import DATASET, NOW, RUN, a_job, fill

from orchestrator import control
from orchestrator.core.account import ProviderName
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.deployment.lifecycle import DeploymentState
from orchestrator.core.deployment.remote_deployment import RemoteDeployment
from orchestrator.core.errors import StaleJob
from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.transitions import advance
from orchestrator.core.jobs.unused_resource import ResourceKind
from orchestrator.core.plans.plan import Plan, PlanLine, PlanStep
from orchestrator.core.secret import Redactor
from orchestrator.core.structs import replace
from orchestrator.daemon.deployments.deployment_worker import DeploymentWorker
from orchestrator.daemon.deployments.run_deployments import RunDeployments, RunDeploymentTable
from orchestrator.daemon.maintenance.cleanup import ResourceCleaner
from orchestrator.daemon.outcome_recorder import OutcomeRecorder
from orchestrator.dispatch.embedded import EmbeddedDispatcher
from orchestrator.providers.base import Deadline, DeploymentOrder
from orchestrator.store.db.database import Database
from orchestrator.store.queries import runs
from orchestrator.store.queries.deployments.deployment_requests import DueDeployments

FIREWORKS = ProviderName.FIREWORKS


def requested(max_total_usd: float | None = None, spec: DeploymentSpec = SPEC) -> RunDeploymentTable:
    table = RunDeploymentTable()
    entry = RunDeployments(run_id=RUN.id, specs={FIREWORKS: spec})
    table.apply({RUN.name: entry}, {RUN.name: max_total_usd})
    return table


def make_recorder(database: Database, table: RunDeploymentTable) -> OutcomeRecorder:
    return OutcomeRecorder(
        database,
        {},
        redact=Redactor(),
        clock=SteppedClock(),
        replica="one",
        log=LOG,
        run_deployments=table,
    )


async def test_job_that_succeeds_requests_its_deployment_once(database: Database) -> None:
    job = a_job("acme", provider=FIREWORKS, state=JobState.RUNNING)
    await fill(database, [job])
    recorder = make_recorder(database, requested())
    succeeded = advance(job, JobEvent.REMOTE_SUCCEEDED, now=NOW, fine_tuned_model="models/acme")
    await recorder.record(succeeded)
    deployment = await read_one(database)
    assert (deployment.job_id, deployment.model, deployment.spec) == (job.id, "models/acme", SPEC)
    assert (deployment.state, deployment.wake_at) == (DeploymentState.WANTED, NOW)
    with pytest.raises(StaleJob):  # what is not recorded requests nothing
        await recorder.record(replace(succeeded, job=replace(succeeded.job, round=1)))
    assert len(await read_all(database)) == 1


@pytest.mark.parametrize("event", [JobEvent.REMOTE_FAILED, JobEvent.REMOTE_CANCELLED])
async def test_job_without_a_model_requests_nothing(database: Database, event: JobEvent) -> None:
    job = a_job("acme", provider=FIREWORKS, state=JobState.RUNNING)
    await fill(database, [job])
    await make_recorder(database, requested()).record(advance(job, event, now=NOW))
    assert await read_all(database) == []


async def test_run_that_the_file_no_longer_has_requests_nothing(database: Database) -> None:
    job = a_job("acme", provider=FIREWORKS, state=JobState.RUNNING)
    await fill(database, [job])
    table = requested()
    table.apply({}, {"another": None})
    await make_recorder(database, table).record(
        advance(job, JobEvent.REMOTE_SUCCEEDED, now=NOW, fine_tuned_model="models/acme")
    )
    assert await read_all(database) == []


async def test_models_that_exist_are_deployed_when_the_file_requests_it(database: Database) -> None:
    trained, open_job = trained_job("acme"), a_job("other", provider=FIREWORKS)
    await fill(database, [trained, open_job])
    plan = Plan(
        run_id=RUN.id,
        name=RUN.name,
        dataset=DATASET,
        specs={FIREWORKS: RUN.specs[ProviderName.OPENAI]},
        lines=tuple(
            PlanLine(
                account=job.account,
                provider=FIREWORKS,
                base_model=job.base_model,
                job_id=job.id,
                step=PlanStep.DONE,
                usd=1.0,
            )
            for job in (trained, open_job)
        ),
    )
    for _ in range(2):  # a second reload changes nothing
        await control.apply_plans(
            database,
            [control.CheckedPlan(plan=plan, deployments={FIREWORKS: SPEC})],
            accounts=["acme", "other"],
            start=True,
            now=NOW,
            cause="service",
        )
    assert (await read_one(database)).model == "models/acme"
    assert await read_all(database, "other") == []


async def test_kind_per_token_has_no_price_per_hour(database: Database) -> None:
    [deployment] = await request(
        database, trained_job("acme"), spec=DeploymentSpec(kind=DeploymentKind.TOKEN, keep_hours=24)
    )
    assert deployment.usd_per_hour == 0.0


async def test_limit_of_the_run_counts_training_and_deployments(database: Database) -> None:
    cloud = DeploymentCloud(SteppedClock())
    await request(database, trained_job("acme"), trained_job("other"))
    run = replace(RUN, planned_usd=5.0)
    await database.write(lambda tx: runs.save(tx, run))
    replica = DeploymentReplica(database, cloud, ["acme", "other"], runs=requested(max_total_usd=20.9))
    await work(replica, seconds=300)
    states = {name: await read_one(database, name) for name in ("acme", "other")}
    held = [each for each in states.values() if each.state is DeploymentState.WANTED]
    assert len(held) == 1
    assert held[0].hold is not None
    assert held[0].hold.kind == HoldKind.RUN_TOO_EXPENSIVE
    assert "7.90 USD of the run's limit are left" in held[0].hold.reason
    assert cloud.creates.total() == 1


async def test_slow_provider_does_not_delay_the_deployments_of_another(database: Database) -> None:
    cloud = DeploymentCloud(SteppedClock())
    slow = [f"slow-{number}" for number in range(20)]
    names = [*slow, "quick"]
    await request(database, *(trained_job(name) for name in names))
    replica = DeploymentReplica(database, cloud, names)
    for name in slow:
        replica.connections[name] = replace(replica.connections[name], provider=_Hanging(cloud, name))  # type: ignore[arg-type]
    quick = _Announcing(cloud, "quick")
    replica.connections["quick"] = replace(replica.connections["quick"], provider=quick)  # type: ignore[arg-type]
    worker = DeploymentWorker(
        EmbeddedDispatcher(
            database,
            now=cloud.clock.now,
            max_in_flight=10,
            find_server=lambda account: account[:4],
            queries=DueDeployments(),
        ),
        replica.reconciler,
    )
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(scale_seconds(60)):
            await quick.created.wait()
    finally:
        worker.stop()
        worker.abort()
        await asyncio.gather(running, return_exceptions=True)
    assert cloud.creates == {"quick": 1}


class _Hanging(CloudProvider):
    async def list_deployment_options(self, base_model: str) -> None:
        await asyncio.Event().wait()


class _Announcing(CloudProvider):
    def __init__(self, cloud: DeploymentCloud, account: str) -> None:
        super().__init__(cloud, account)
        self.created = asyncio.Event()

    async def create_deployment(self, order: DeploymentOrder, deadline: Deadline) -> RemoteDeployment:
        remote = await super().create_deployment(order, deadline)
        self.created.set()
        return remote


async def test_prune_removes_only_deployments_of_an_earlier_request(database: Database, tmp_path: Path) -> None:
    cloud = DeploymentCloud(SteppedClock())
    [wanted] = await request(database, trained_job("acme"))
    replica = DeploymentReplica(database, cloud, ["acme"])
    await work(replica, seconds=300)
    in_use = (await read_one(database)).remote_id
    leftover = add_remote(cloud, "acme", f"{wanted.id}.7", wanted.model).remote
    unknown = add_remote(cloud, "acme", "0123456789abcdef.0", wanted.model).remote
    cleaner = ResourceCleaner(database, replica.connections, tmp_path, max_concurrent_requests=4)
    found = [each for each in await cleaner.list_unused() if each.kind is ResourceKind.DEPLOYMENT]
    assert [(each.account, each.id, each.name) for each in found] == [("acme", leftover.id, leftover.tag)]
    retagged = replace(found[0], name="somebody-elses")
    assert not (await cleaner.delete(retagged, by="ann", now=NOW)).deleted
    assert (await cleaner.delete(found[0], by="ann", now=NOW)).deleted
    assert set(cloud.made) == {in_use, unknown.id}
    assert (await cleaner.delete(found[0], by="ann", now=NOW)).deleted  # gone already
