"""A provider's answer holds a value that the database refuses: a fault of that job, not of the database."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from reconciler_values import clock, make_reconciler, ready_job, verify_accounts
from store_values import fill, id_of, read_job
from structlog.testing import capture_logs

from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.remote import RemoteJob, RemoteJobStatus
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database

ACCOUNTS = ("acme", "globex", "initech")
BROKEN: dict[str, Any] = {
    "a text for a number": {"remote": {"estimated_finish": "soon", "trained_tokens": "many"}},
    "an object for a status": {"remote": {"raw_status": {"no": "text"}}},
    "a surrogate": {"remote": {"raw_status": "running \ud800"}},
}


class Remote:
    """A provider with a job that runs."""

    capabilities = SimpleNamespace(losses=True)

    def __init__(self, loss: Loss | None = None, remote: dict[str, Any] | None = None) -> None:
        self._loss = loss or Loss(1, 0.5, 0.6)
        self._remote = remote or {}

    async def get_job(self, job_id: str) -> RemoteJob:
        found = RemoteJob(
            id=job_id,
            status=RemoteJobStatus.RUNNING,
            raw_status="running",
            training_file="file-1",
            base_model="gpt-4.1-mini",
        )
        return replace(found, **self._remote)

    async def losses(self, _job_id: str, _after: int) -> list[Loss]:
        return [self._loss]


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_broken_answer_fails_one_job_and_others_continue(database: Database, broken: dict[str, Any]) -> None:
    queued = [
        replace(
            ready_job(name, id_of(name)),
            state=JobState.RUNNING,
            state_since=clock.now() - 3600,
            remote_job_id=f"ftjob-{name}",
            submitted_at=clock.now(),
        )
        for name in ACCOUNTS
    ]
    await fill(database, queued)
    await verify_accounts(database, ACCOUNTS)
    remotes = {name: Remote() for name in ACCOUNTS} | {"globex": Remote(**broken)}
    moving = make_reconciler(database, remotes)
    with capture_logs() as said:
        await asyncio.gather(*(moving.handle(job.id) for job in queued))
    jobs = {name: await read_job(database, name) for name in ACCOUNTS}
    assert [jobs[name].state for name in ("acme", "initech")] == [JobState.RUNNING] * 2
    failure = jobs["globex"].failure
    assert failure is not None
    assert failure.kind == "internal_error"
    assert "[SQL" not in failure.message
    assert jobs["globex"].attempts == 1
    assert "database.unreachable" not in [line["event"] for line in said]
    assert await database.is_reachable()
