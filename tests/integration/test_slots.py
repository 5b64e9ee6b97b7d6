"""Slots: two ready jobs of one account never both pass, whichever replicas move them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
import structlog
from store_values import a_job, a_standing, fill

from orchestrator.app import SystemClock
from orchestrator.core.account import Account, Identity, ProviderName
from orchestrator.core.job import Job, JobId
from orchestrator.core.lifecycle import State
from orchestrator.core.remote import JobStatus, RemoteJob
from orchestrator.daemon.reconciler import Reconciler
from orchestrator.daemon.steps import Pace
from orchestrator.providers.base import Connection, Deadline, JobOrder, Provider
from orchestrator.store import accounts, jobs
from orchestrator.store.database import Database

ACCOUNTS = [f"acme-{number}" for number in range(8)]
clock = SystemClock()


class Remote:
    """A provider that creates whatever is ordered."""

    def __init__(self) -> None:
        self.created: list[str] = []

    async def find_jobs(self, _order: JobOrder) -> list[RemoteJob]:
        return []

    async def create_job(self, order: JobOrder, _deadline: Deadline) -> RemoteJob:
        self.created.append(order.tag)
        return RemoteJob(
            id=f"ftjob-{order.tag}",
            status=JobStatus.PENDING,
            raw="queued",
            training_file=order.training_file,
            base_model=order.spec.base_model,
        )


@pytest.fixture
async def replicas(database_url: str, database: Database) -> AsyncIterator[list[Database]]:
    others = [Database(database_url), Database(database_url)]
    yield others
    for other in others:
        await other.close()


def ready(account: str, number: int) -> Job:
    now = clock.now()
    return a_job(
        account,
        id=JobId(f"{account}.{number}"),
        state=State.READY,
        remote_file_id="file-1",
        wake_at=now,
        created_at=now,
        state_since=now,
    )


def reconciler(database: Database, remotes: dict[str, Remote]) -> Reconciler:
    async def identify(connection: Connection) -> tuple[Connection, Identity]:
        raise AssertionError("the accounts are verified")

    def connected(name: str) -> Connection:
        account = Account(name=name, provider=ProviderName.OPENAI, api_key="env:KEY", max_running_jobs=1)
        return Connection(account, "12345678", cast(Provider, remotes[name]))

    return Reconciler(
        database,
        {name: connected(name) for name in remotes},
        identify=identify,
        redact=str,
        clock=clock,
        jitter=lambda: 0.5,
        pace=Pace(poll_min=60, poll_max=60, intent=30),
        datasets=Path("datasets"),
        replica="replica",
        log=structlog.get_logger("orchestrator"),
    )


async def test_two_ready_jobs_and_one_slot(database: Database, replicas: list[Database]) -> None:
    await fill(database, [ready(account, number) for account in ACCOUNTS for number in (1, 2)])
    for account in ACCOUNTS:
        await database.write(lambda c, account=account: accounts.save(c, a_standing(account)))  # type: ignore[misc]
    remotes = {account: Remote() for account in ACCOUNTS}
    one, other = (reconciler(replica, remotes) for replica in replicas)
    for account in ACCOUNTS:
        await asyncio.gather(one.handle(JobId(f"{account}.1")), other.handle(JobId(f"{account}.2")))
    assert [len(remote.created) for remote in remotes.values()] == [1] * len(ACCOUNTS)
    async with database.read() as connection:
        states = sorted(job.state for job in await jobs.of_accounts(connection, ACCOUNTS))
        due = await jobs.due(connection, clock.now(), 99)
    assert states == [State.QUEUED] * len(ACCOUNTS) + [State.READY] * len(ACCOUNTS)
    assert due == []
