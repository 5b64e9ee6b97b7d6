"""A file to several accounts at once, cut off in the middle: whoever takes over sends only what had not arrived."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
import structlog
from provider_bench import START, SmallBench

from orchestrator.core.account import Account, AccountIdentity, ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.dataset import Dataset, DatasetPart
from orchestrator.core.jobs.job import Job, JobId, RunId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.run import Run
from orchestrator.core.secret import Redactor
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import replace
from orchestrator.daemon.job_loader import build_job_loader
from orchestrator.daemon.provider_steps import StepTiming
from orchestrator.daemon.reconciler import Reconciler
from orchestrator.daemon.reconciler_factory import build_reconciler
from orchestrator.providers.base import ProviderConnection
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import accounts, jobs, runs, uploads

NAMES = ("acme", "beta", "gamma")
PART_BYTES = 50_000
CONTENT = Random(1).randbytes(1_950_000)
COUNT = 39
SPEC = TrainingSpec(base_model="sandbox-small")


class LargeBench(SmallBench):
    part_bytes = PART_BYTES


@dataclass
class Clock:
    """The provider's clock, and ours."""

    bench: LargeBench

    def now(self) -> float:
        return self.bench.now

    boottime = now


@pytest.fixture
def bench(tmp_path: Path) -> LargeBench:
    return LargeBench(tmp_path)


@pytest.fixture
async def database(bench: LargeBench) -> AsyncIterator[Database]:
    """A run whose dataset lies ready, with a planned job in each account."""
    opened = Database(f"sqlite:///{bench.folder / 'test.db'}")
    await opened.migrate()
    digest = sha256(CONTENT).hexdigest()
    path = bench.folder / f"{digest[:16]}.jsonl"
    path.write_bytes(CONTENT)
    dataset = Dataset(training=DatasetPart(path=path, sha256=digest, bytes=len(CONTENT), examples=12, tokens=None))
    await opened.write(lambda tx: fill(tx, dataset))
    yield opened
    await opened.close()


async def fill(tx: Transaction, dataset: Dataset) -> None:
    run = Run(
        id=RunId("run-1"),
        name="large",
        dataset_sha256=dataset.sha256,
        specs={ProviderName.OPENAI: SPEC},
        created_at=START,
    )
    await runs.save_dataset(tx, dataset, START)
    await runs.save(tx, run)
    for name in NAMES:
        standing = AccountState(name=name, provider=ProviderName.OPENAI, definition="d", key_fingerprint="12345678")
        await accounts.save(tx, replace(standing, verified_at=START))
    await jobs.assign_to_run(tx, run.id, [job(name, run) for name in NAMES])


def job(name: str, run: Run) -> Job:
    return Job(
        id=JobId(name),
        run_id=run.id,
        account=name,
        provider=ProviderName.OPENAI,
        base_model=SPEC.base_model,
        wake_at=START,
        created_at=START,
        state_since=START,
    )


def reconciler(bench: LargeBench, database: Database) -> Reconciler:
    async def identify(connection: ProviderConnection) -> tuple[ProviderConnection, AccountIdentity]:
        raise AssertionError("the accounts are verified")

    def connected(name: str) -> ProviderConnection:
        account = Account(name=name, provider=ProviderName.OPENAI, api_key="env:KEY")
        return ProviderConnection(account, "12345678", bench.provider(name))

    return build_reconciler(
        database,
        {name: connected(name) for name in NAMES},
        load=build_job_loader(database),
        identify=identify,
        redact=Redactor(),
        clock=Clock(bench),
        jitter=lambda: 0.5,
        timing=StepTiming(poll_min_seconds=1, poll_max_seconds=60, intent_seconds=30),
        datasets=bench.folder,
        replica="replica",
        log=structlog.get_logger("orchestrator"),
    )


async def known(database: Database) -> int:
    """How many parts are known to have arrived, once all that is being written is written."""
    digest = sha256(CONTENT).hexdigest()

    async def look(tx: Transaction) -> int:
        under_way = [await uploads.find(tx.connection, JobId(name), digest) for name in NAMES]
        return sum(len(upload.parts) for upload in under_way if upload)

    return await database.write(look)


async def test_received_parts_are_not_sent_again(bench: LargeBench, database: Database) -> None:
    first = reconciler(bench, database)
    working = [asyncio.create_task(first.handle(JobId(name))) for name in NAMES]
    while bench.parts() < COUNT * len(NAMES) // 2:  # noqa: ASYNC110 - the sandbox tells nobody
        await asyncio.sleep(0.001)
    for task in working:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    there, sent = await known(database), bench.parts()
    assert 0 < there <= sent < COUNT * len(NAMES)

    bench.now += 500
    second = reconciler(bench, database)
    await asyncio.gather(*(second.handle(JobId(name)) for name in NAMES))
    assert bench.parts() - sent == COUNT * len(NAMES) - there
    assert [bench.contents(name) for name in NAMES] == [[CONTENT]] * len(NAMES)
    async with database.read() as connection:
        assert {each.state for each in await jobs.list_by_accounts(connection, NAMES)} == {JobState.PROCESSING}
