"""Checkpoints are read once, when a job succeeds, and nothing about them keeps its model from being recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import pytest
from reconciler_values import clock, make_reconciler, ready_job, verify_accounts
from store_values import NOW, a_job, fill, id_of

from orchestrator import status
from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities
from orchestrator.core.errors import Failure, ProviderUnavailable
from orchestrator.core.jobs.checkpoint import Checkpoint, number_checkpoints
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.jobs.transitions import advance
from orchestrator.core.remote import RemoteJob, RemoteJobStatus
from orchestrator.core.structs import replace
from orchestrator.daemon import provider_steps
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs, outcomes
from orchestrator.store.queries.deployments import checkpoints

Read = Callable[[], Awaitable[list[Checkpoint]]]
KEPT = [
    Checkpoint(id="ckpt-2", step=20, model="ft:m:2", training_loss=0.4),
    Checkpoint(id="ckpt-1", step=10, model="ft:m:1", training_loss=0.9, validation_loss=0.5, epoch=1),
]


@dataclass
class Finished:
    """A provider whose job has succeeded; `read` is what becomes of the question for its checkpoints."""

    read: Read
    job_status: RemoteJobStatus = RemoteJobStatus.SUCCEEDED
    capabilities: Capabilities = CAPABILITIES[ProviderName.OPENAI]
    reads: int = 0

    async def get_job(self, name: str) -> RemoteJob:
        return RemoteJob(
            id=name,
            status=self.job_status,
            raw_status="ended",
            training_file="file-1",
            base_model="m",
            fine_tuned_model="ft:m" if self.job_status is RemoteJobStatus.SUCCEEDED else None,
        )

    async def losses(self, _job: str, _after: int) -> list[Loss]:
        return [Loss(20, 0.41, 0.6)]

    async def checkpoints(self, _job: str) -> list[Checkpoint]:
        self.reads += 1
        return await self.read()


def returning(*kept: Checkpoint) -> Read:
    async def read() -> list[Checkpoint]:
        return list(kept)

    return read


def failing(error: Exception) -> Read:
    async def read() -> list[Checkpoint]:
        raise error

    return read


async def hanging() -> list[Checkpoint]:
    await asyncio.sleep(3600)
    return []


async def follow(database: Database, provider: Finished, *, before: JobState = JobState.RUNNING) -> JobState:
    job = replace(ready_job("acme"), state=before, remote_job_id="ftjob-1", submitted_at=clock.now())
    await fill(database, [job])
    await verify_accounts(database, ["acme"])
    async with asyncio.timeout(60):
        await make_reconciler(database, {"acme": provider}).handle(job.id)
    async with database.read() as connection:
        [seen] = await jobs.list_by_accounts(connection, ["acme"])
    return seen.state


async def read_kept(database: Database) -> list[Checkpoint]:
    async with database.read() as connection:
        [job] = await jobs.list_by_accounts(connection, ["acme"])
        return (await checkpoints.list_by_jobs(connection, [job.id])).get(job.id, [])


async def test_checkpoints_are_recorded_with_the_model_and_the_losses_of_the_curve(database: Database) -> None:
    provider = Finished(returning(*KEPT))
    assert await follow(database, provider) is JobState.SUCCEEDED
    first, second = await read_kept(database)
    assert (first.number, first.id, first.model, first.epoch) == (1, "ckpt-1", "ft:m:1", 1)
    assert (second.number, second.training_loss, second.validation_loss) == (2, 0.4, 0.6)
    assert provider.reads == 1
    view = await status.find_account(database, "acme", clock.now())
    assert view is not None
    assert [each.id for each in view.jobs[0].job.checkpoints] == ["ckpt-1", "ckpt-2"]
    (shown,) = status.status_to_dict(await status.get_status(database, clock.now()))["jobs"]
    assert shown["checkpoints"][0] == {
        "number": 1,
        "id": "ckpt-1",
        "model": "ft:m:1",
        "step": 10,
        "epoch": 1,
        "training_loss": 0.9,
        "validation_loss": 0.5,
    }


async def test_job_that_ends_while_it_is_cancelled_has_its_checkpoints(database: Database) -> None:
    assert await follow(database, Finished(returning(*KEPT)), before=JobState.CANCELLING) is JobState.SUCCEEDED
    assert len(await read_kept(database)) == 2


@pytest.mark.parametrize("read", [failing(ProviderUnavailable("down")), failing(TypeError("odd")), hanging])
async def test_model_is_recorded_without_its_checkpoints(
    database: Database, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_steps, "CHECKPOINTS_TIMEOUT_SECONDS", 0.05)
    assert await follow(database, Finished(read)) is JobState.SUCCEEDED
    assert await read_kept(database) == []


async def test_checkpoints_that_do_not_fit_into_the_database_are_left_out(database: Database) -> None:
    odd = [replace(KEPT[0], step=2**40), replace(KEPT[0], step=-1), replace(KEPT[0], step=3, epoch=2**70)]
    assert await follow(database, Finished(returning(*odd))) is JobState.SUCCEEDED
    assert [(each.step, each.epoch) for each in await read_kept(database)] == [(3, None)]


@pytest.mark.parametrize("ended", [RemoteJobStatus.FAILED, RemoteJobStatus.CANCELLED, RemoteJobStatus.RUNNING])
async def test_only_a_succeeded_job_is_asked_for_them(database: Database, ended: RemoteJobStatus) -> None:
    provider = Finished(returning(*KEPT), job_status=ended)
    await follow(database, provider)
    assert provider.reads == 0


async def test_provider_without_checkpoints_is_not_asked(database: Database) -> None:
    provider = Finished(returning(*KEPT), capabilities=CAPABILITIES[ProviderName.BEDROCK])
    assert await follow(database, provider) is JobState.SUCCEEDED
    assert provider.reads == 0


async def test_retried_job_loses_the_checkpoints_of_its_earlier_round(database: Database) -> None:
    failure = Failure("job_failed", "loss is NaN", "retry")
    await fill(
        database, [a_job(name, state=JobState.FAILED, failure=failure, wake_at=None) for name in ("acme", "b")]
    )
    for name in ("acme", "b"):
        await database.write(partial(checkpoints.save, job_id=id_of(name), kept=number_checkpoints(KEPT)))
    async with database.read() as connection:
        [job] = await jobs.list_by_accounts(connection, ["acme"])
    outcome = advance(job, JobEvent.RETRIED, now=NOW)
    assert await database.write(lambda tx: outcomes.record(tx, outcome, at=NOW, cause="operator:ann"))
    async with database.read() as connection:
        kept = await checkpoints.list_by_jobs(connection, [id_of("acme"), id_of("b")])
    assert {job_id: len(each) for job_id, each in kept.items()} == {id_of("b"): 2}
