"""The losses of a job are worth having, and nothing about them keeps a finished model from being recorded."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from reconciler_values import clock, make_reconciler, ready_job, verify_accounts
from store_values import fill

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities
from orchestrator.core.errors import ProviderUnavailable
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.remote import RemoteJob, RemoteJobStatus
from orchestrator.core.structs import replace
from orchestrator.daemon import provider_steps
from orchestrator.status import list_job_losses
from orchestrator.store.db.database import Database
from orchestrator.store.queries import jobs

Losses = Callable[[], Awaitable[list[Loss]]]


@dataclass
class Finished:
    """A provider whose job has ended; `told` is what becomes of the question for its losses."""

    told: Losses
    capabilities: Capabilities = CAPABILITIES[ProviderName.OPENAI]

    async def get_job(self, name: str) -> RemoteJob:
        return RemoteJob(
            id=name,
            status=RemoteJobStatus.SUCCEEDED,
            raw_status="succeeded",
            training_file="file-1",
            base_model="m",
            fine_tuned_model="ft:m",
        )

    async def losses(self, _job: str, _after: int) -> list[Loss]:
        return await self.told()


def failing(error: Exception) -> Losses:
    async def losses() -> list[Loss]:
        raise error

    return losses


async def hanging() -> list[Loss]:
    await asyncio.sleep(3600)
    return []


def returning(*losses: Any) -> Losses:
    async def told() -> list[Loss]:
        return list(losses)

    return told


async def follow(database: Database, told: Losses) -> JobState:
    job = replace(ready_job("acme"), state=JobState.RUNNING, remote_job_id="ftjob-1", submitted_at=clock.now())
    await fill(database, [job])
    await verify_accounts(database, ["acme"])
    async with asyncio.timeout(60):
        await make_reconciler(database, {"acme": Finished(told)}).handle(job.id)
    async with database.read() as connection:
        [seen] = await jobs.list_by_accounts(connection, ["acme"])
    assert seen.fine_tuned_model == ("ft:m" if seen.state is JobState.SUCCEEDED else None), seen.failure
    return seen.state


@pytest.mark.parametrize(
    "told",
    [
        failing(ProviderUnavailable("down")),
        failing(TypeError("int() argument must be a number")),
        failing(OverflowError("cannot convert float infinity to integer")),
        failing(RecursionError("maximum recursion depth exceeded")),
        failing(MemoryError()),
        returning(None),
    ],
)
async def test_model_is_recorded_when_losses_cannot_be_read(database: Database, told: Losses) -> None:
    assert await follow(database, told) is JobState.SUCCEEDED


async def test_model_is_recorded_when_the_losses_call_hangs(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_steps, "LOSSES_TIMEOUT_SECONDS", 0.05)
    assert await follow(database, hanging) is JobState.SUCCEEDED


async def test_only_losses_that_fit_into_the_database_are_recorded(database: Database) -> None:
    odd = [Loss(3_000_000_000, 0.5), Loss(-1, 0.5), Loss(4, math.nan), Loss(5, "abc"), Loss(None, 0.5)]  # type: ignore[arg-type]
    assert await follow(database, returning(Loss(1, 0.5), *odd, Loss(6, 0.25, math.inf))) is JobState.SUCCEEDED
    async with database.read() as connection:
        [job] = await jobs.list_by_accounts(connection, ["acme"])
    assert await list_job_losses(database, job.id) == [Loss(1, 0.5), Loss(6, 0.25)]
