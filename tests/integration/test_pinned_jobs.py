"""One job a provider is first; the others wait for what the provider chose, whichever replicas move them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from reconciler_values import clock, make_reconciler, ready_job, verify_accounts
from store_values import RUN, fill

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities
from orchestrator.core.jobs.job import JobId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.remote import RemoteJob, RemoteJobStatus
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import replace
from orchestrator.daemon.reconciler import Reconciler
from orchestrator.providers.base import Deadline, JobOrder
from orchestrator.status import get_status
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs, runs

ACCOUNTS = [f"acme-{number}" for number in range(6)]
SPEC = TrainingSpec(base_model="sandbox-small")


@dataclass
class Remote:
    """A provider that chooses what it is not told, and says so once a job trains."""

    specs: dict[str, TrainingSpec] = field(default_factory=dict)
    status: RemoteJobStatus = RemoteJobStatus.PENDING
    batch_size: int = 4
    capabilities: Capabilities = CAPABILITIES[ProviderName.OPENAI]

    async def find_jobs(self, _order: JobOrder) -> list[RemoteJob]:
        return []

    async def create_job(self, order: JobOrder, _deadline: Deadline) -> RemoteJob:
        name = f"ftjob-{order.tag}"
        self.specs[name] = order.spec
        return await self.get_job(name)

    async def get_job(self, name: str) -> RemoteJob:
        spec = self.specs[name]
        chosen: dict[str, Any] = {"n_epochs": 3, "batch_size": self.batch_size, "learning_rate_multiplier": 1.8}
        asked = {each: getattr(spec, each) for each in chosen}
        trains = self.status is not RemoteJobStatus.PENDING
        used = {each: chosen[each] if value == "auto" and trains else value for each, value in asked.items()}
        job = RemoteJob(
            id=name, status=self.status, raw_status=self.status, training_file="file-1", base_model=spec.base_model
        )
        return replace(job, hyperparameters=used)

    async def losses(self, _job: str, _after: int) -> list[Loss]:
        return []


def replica(database: Database, remote: Remote) -> Reconciler:
    return make_reconciler(database, dict.fromkeys(ACCOUNTS, remote))


async def begin(database: Database) -> None:
    await fill(database, [ready_job(account) for account in ACCOUNTS])
    run = replace(RUN, specs={ProviderName.OPENAI: SPEC}, pins={ProviderName.OPENAI: None})
    await database.write(lambda tx: runs.save(tx, run))
    await verify_accounts(database, ACCOUNTS)


async def states(database: Database) -> dict[str, JobState]:
    async with database.read() as connection:
        return {job.account: job.state for job in await jobs.list_by_accounts(connection, ACCOUNTS)}


async def test_jobs_wait_for_the_first_job_and_use_its_values(database: Database, database_url: str) -> None:
    await begin(database)
    other, remote = Database(database_url), Remote()
    replicas = [replica(each, remote) for each in (database, other)]
    await asyncio.gather(*(replicas[n % 2].handle(JobId(name)) for n, name in enumerate(ACCOUNTS)))
    assert list(remote.specs.values()) == [SPEC]
    first = next(name for name, state in (await states(database)).items() if state is JobState.QUEUED)
    waiting = [JobId(name) for name in ACCOUNTS if name != first]

    remote.status = RemoteJobStatus.RUNNING
    await replicas[0].handle(JobId(first))
    async with database.read() as connection:
        due = {job for job, _ in await jobs.list_due(connection, clock.now(), 99)}
    assert due == set(waiting)
    await asyncio.gather(*(replicas[n % 2].handle(name) for n, name in enumerate(waiting)))
    given = replace(SPEC, n_epochs=3, batch_size=4, learning_rate_multiplier=1.8)
    assert sorted(remote.specs.values(), key=lambda spec: spec != SPEC) == [SPEC] + [given] * 5
    seen = await get_status(database, clock.now())
    assert seen.run is not None
    assert seen.run.pins == {"openai": {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 1.8}}
    assert seen.run.warnings == []
    assert {job.hyperparameters["batch_size"] for job in seen.jobs} == {4}
    await other.close()


async def test_next_job_becomes_first_when_the_first_fails(database: Database) -> None:
    await begin(database)
    remote = Remote()
    one = replica(database, remote)
    for name in ACCOUNTS[:2]:
        await one.handle(JobId(name))
    remote.status = RemoteJobStatus.FAILED
    await one.handle(JobId(ACCOUNTS[0]))
    remote.status = RemoteJobStatus.PENDING
    for name in ACCOUNTS[1:]:
        await one.handle(JobId(name))
    assert list(remote.specs.values()) == [SPEC, SPEC]
    assert list((await states(database)).values()) == [JobState.FAILED, JobState.QUEUED] + [JobState.READY] * 4


async def test_differing_jobs_are_reported(database: Database) -> None:
    await begin(database)
    unpinned = replace(RUN, specs={ProviderName.OPENAI: SPEC})
    await database.write(lambda tx: runs.save(tx, unpinned))
    remote = Remote(status=RemoteJobStatus.RUNNING)
    one = replica(database, remote)
    for name in ACCOUNTS:
        await one.handle(JobId(name))
        remote.batch_size = 4 if name < ACCOUNTS[3] else 8
    seen = await get_status(database, clock.now())
    assert seen.run is not None
    assert list(seen.run.warnings) == [
        "the jobs at openai were trained with different values: batch_size is 4 in acme-0 and 3 more, "
        "8 in acme-4 and 1 more"
    ]
