"""Rows for the tests beside this file: one run, its dataset, an account and a job each."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from orchestrator.core.account import ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.dataset import Dataset, DatasetPart, local_filename
from orchestrator.core.jobs.job import Job, JobId, RunId, job_id
from orchestrator.core.jobs.run import Run
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.core.spec import TrainingSpec
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import accounts, jobs, outcomes, runs

NOW = 1_000_000.0
SPEC = TrainingSpec(base_model="sandbox-small", n_epochs=3, seed=42)
CONTENT = b"x" * 999 + b"\n"
SHA256 = sha256(CONTENT).hexdigest()
TRAINING = DatasetPart(
    path=Path("datasets") / local_filename(SHA256), sha256=SHA256, bytes=len(CONTENT), examples=12, tokens=500
)
DATASET = Dataset(training=TRAINING)
RUN = Run(
    id=RunId("run-1"),
    name="support",
    dataset_sha256=DATASET.sha256,
    specs={ProviderName.OPENAI: SPEC},
    created_at=NOW,
    started_at=NOW,
)


def a_standing(name: str, **changes: Any) -> AccountState:
    values: dict[str, Any] = {
        "name": name,
        "provider": ProviderName.OPENAI,
        "definition": f"d-{name}",
        "key_fingerprint": "12345678",
        "verified_at": NOW,
    }
    return AccountState(**(values | changes))


def a_job(account: str, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": id_of(account),
        "run_id": RUN.id,
        "account": account,
        "provider": ProviderName.OPENAI,
        "base_model": SPEC.base_model,
        "wake_at": NOW,
        "created_at": NOW,
        "state_since": NOW,
    }
    return Job(**(values | changes))


def id_of(account: str) -> JobId:
    return job_id(DATASET.sha256, ProviderName.OPENAI, SPEC, account)


async def fill(database: Database, wanted: Sequence[Job], run: Run = RUN) -> None:
    """The run with these jobs, each in its account. No other run is current afterwards."""

    async def change(tx: Transaction) -> None:
        await runs.save_dataset(tx, DATASET, NOW)
        await runs.save(tx, run)
        await runs.set_current(tx, [run.id] if run.current else [])
        for name in sorted({job.account for job in wanted} - set(await accounts.list_all(tx.connection))):
            await accounts.save(tx, a_standing(name))
        await jobs.assign_to_run(tx, run.id, wanted)

    await database.write(change)


async def read_job(database: Database, account: str) -> Job:
    async with database.read() as connection:
        loaded = await jobs.load(connection, id_of(account))
    assert loaded is not None
    return loaded.job


async def record(database: Database, outcome: Outcome, *, at: float = NOW, cause: str = "service") -> bool:
    return await database.write(lambda tx: outcomes.record(tx, outcome, at=at, cause=cause))


async def save_standing(database: Database, standing: AccountState) -> None:
    await database.write(lambda tx: accounts.save(tx, standing))
