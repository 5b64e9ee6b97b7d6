"""A job that stays as it is: what is stored, announced and shown of it, by a reconciler on real databases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from reconciler_values import clock, make_reconciler, ready_job, verify_accounts
from sqlalchemy import select
from store_values import fill, record

from orchestrator.app import App
from orchestrator.app.service_factory import _build_reconciler
from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities
from orchestrator.core.errors import DailyLimitReached, RequestRejected
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job import Job, JobId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.jobs.observer import NULL_OBSERVER
from orchestrator.core.jobs.stall import DEFAULT_STALL_SECONDS
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.core.remote import RemoteFile, RemoteFileStatus, RemoteJob, RemoteJobStatus, RemoteModel
from orchestrator.core.secret import Redactor
from orchestrator.core.structs import replace
from orchestrator.providers.base import Deadline, JobOrder
from orchestrator.settings import Settings
from orchestrator.status import find_run_overview, get_status
from orchestrator.store.db.database import Database
from orchestrator.store.queries import events, jobs
from orchestrator.store.schema.tables import announcements

NAME = JobId("acme")
UPLOADED = RemoteFile(id="file-1", status=RemoteFileStatus.UPLOADED, raw_status="uploaded")


@dataclass
class Remote:
    """A provider whose job and file are as they are told to be. A create raises `refusal`, if there is one."""

    status: RemoteJobStatus = RemoteJobStatus.RUNNING
    raw: str = "running"
    progress: float | None = None
    file: RemoteFile = UPLOADED
    refusal: Exception | None = None
    created: int = 0
    capabilities: Capabilities = CAPABILITIES[ProviderName.OPENAI]

    async def get_job(self, name: str) -> RemoteJob:
        return RemoteJob(
            id=name,
            status=self.status,
            raw_status=self.raw,
            training_file="file-1",
            base_model="sandbox-small",
            progress=self.progress,
        )

    async def get_file(self, _name: str) -> RemoteFile:
        return self.file

    async def find_model(self, name: str) -> RemoteModel:
        return RemoteModel(id=name)

    async def losses(self, _job: str, _after: int) -> list[Loss]:
        return []

    async def find_jobs(self, _order: JobOrder) -> list[RemoteJob]:
        return []

    async def create_job(self, _order: JobOrder, _deadline: Deadline) -> RemoteJob:
        if self.refusal:
            raise self.refusal
        self.created += 1
        return await self.get_job("ftjob-1")


async def begin(database: Database, state: JobState, *, ago: float, **values: Any) -> None:
    """One job in this state, in which nothing has changed for so many seconds."""
    since = clock.now() - ago
    job = replace(ready_job("acme"), state=state, state_since=since, changed_at=since, **values)
    await fill(database, [job])
    await verify_accounts(database, ["acme"])


async def handle(database: Database, remote: Remote) -> Job:
    """One look of the service at the job."""
    await make_reconciler(database, {"acme": remote}).handle(NAME)
    async with database.read() as connection:
        return (await jobs.get_many(connection, [NAME]))[NAME]


async def list_announcements(database: Database) -> tuple[list[str], list[dict[str, Any]]]:
    """The messages of the warnings in the history, and what was announced."""
    async with database.read() as connection:
        lines = [
            entry.message or ""
            for entry in await events.list_by_account(connection, "acme")
            if entry.note == "warning"
        ]
        rows = await connection.execute(
            select(announcements.c.topic, announcements.c.payload).order_by(announcements.c.at)
        )
        return lines, [payload | {"topic": topic} for topic, payload in rows]


async def retry_job(database: Database, remote: Remote) -> Job:
    """Another look, as if the job was due."""
    async with database.read() as connection:
        job = (await jobs.get_many(connection, [NAME]))[NAME]
    moved = replace(job, wake_at=clock.now(), version=job.version + 1)
    assert await record(database, Outcome(job=moved, previous_state=job.state, label=None))
    return await handle(database, remote)


async def test_stalled_job_is_logged_announced_and_marked_once(database: Database) -> None:
    remote = Remote()
    known = {"remote_job_id": "ftjob-1", "remote_status": "running"}
    await begin(database, JobState.RUNNING, ago=DEFAULT_STALL_SECONDS + 60, **known)
    await handle(database, remote)
    await retry_job(database, remote)  # the same stretch
    lines, announced = await list_announcements(database)
    assert lines == ["job_stalled: nothing has changed for 6 h: the job is running; the provider reports 'running'"]
    [payload] = announced
    assert (payload["topic"], payload["data"]["state"], payload["data"]["error"]["kind"]) == (
        "job.warning",
        "running",
        "job_stalled",
    )
    [view] = (await get_status(database, clock.now())).jobs
    assert view.warning is not None
    assert view.warning.kind == "job_stalled"
    seen = await find_run_overview(database, clock.now())
    assert seen is not None
    assert [(cause.error, cause.count, cause.accounts) for cause in seen.warnings] == [(view.warning, 1, ("acme",))]
    remote.progress = 0.5
    job = await retry_job(database, remote)
    assert job.warning is None
    assert len((await list_announcements(database))[0]) == 1


async def test_an_unknown_status_is_reported_once_and_the_job_goes_on(database: Database) -> None:
    remote = Remote(status=RemoteJobStatus.UNKNOWN, raw="reticulating")
    await begin(database, JobState.RUNNING, ago=1, remote_job_id="ftjob-1", remote_status="running")
    job = await handle(database, remote)
    assert (job.state, job.wake_at is not None) == (JobState.RUNNING, True)
    await retry_job(database, remote)
    lines, announced = await list_announcements(database)
    assert len(lines) == len(announced) == 1
    assert "'reticulating', a status that is not known here" in lines[0]


async def test_a_file_that_stays_uploaded_is_tried_and_the_job_created(database: Database) -> None:
    remote = Remote()
    await begin(database, JobState.PROCESSING, ago=601)
    job = await handle(database, remote)
    assert (job.state, remote.created) == (JobState.QUEUED, 1)
    async with database.read() as connection:
        notes = {entry.note: entry.message for entry in await events.list_by_account(connection, "acme")}
    assert "has reported only the status 'uploaded' for file file-1" in (notes["file assumed ready"] or "")


async def test_create_refused_because_of_its_file_is_retried(database: Database) -> None:
    remote = Remote(refusal=RequestRejected("400: training file is not processed yet"))
    await begin(database, JobState.PROCESSING, ago=601)
    job = await handle(database, remote)
    assert (job.state, job.attempts) == (JobState.SUBMITTING, 1)
    assert job.failure is not None
    assert (job.failure.kind, "file file-1 is still 'uploaded'" in job.failure.message) == ("temporary_error", True)
    remote.refusal = None
    assert ((await retry_job(database, remote)).state, remote.created) == (JobState.QUEUED, 1)


@pytest.mark.parametrize(
    "file",
    [
        RemoteFile(id="file-1", status=RemoteFileStatus.READY, raw_status="processed"),
        RemoteFile(id="file-1", status=RemoteFileStatus.UPLOADED, raw_status=""),  # it will never say more
    ],
)
async def test_a_refusal_that_the_file_does_not_explain_is_final(database: Database, file: RemoteFile) -> None:
    remote = Remote(file=file, refusal=RequestRejected("400: unknown model"))
    await begin(database, JobState.PROCESSING, ago=601)
    job = await handle(database, remote)
    assert (job.state, job.failure and job.failure.message) == (JobState.FAILED, "400: unknown model")


async def test_repeated_file_refusal_becomes_final(database: Database) -> None:
    remote = Remote(refusal=RequestRejected("400: no"))
    await begin(database, JobState.SUBMITTING, ago=3000, attempts=16)
    assert (await handle(database, remote)).state is JobState.FAILED


async def test_a_daily_limit_says_when_it_is_tried_again(database: Database) -> None:
    remote = Remote(refusal=DailyLimitReached("429: full for today", retry_after=7200))
    await begin(database, JobState.READY, ago=1)
    job = await handle(database, remote)
    assert job.wake_at is not None
    [view] = (await get_status(database, clock.now())).jobs
    assert (view.waits_for, view.wake_at) == ("a slot", job.wake_at)


async def test_hold_reason_is_shown_once(database: Database) -> None:
    reason = Hold("upload_differs", "999 bytes", "look")
    await begin(database, JobState.PROCESSING, ago=1, hold=reason, warning=reason.failure)
    [view] = (await get_status(database, clock.now())).jobs
    assert (view.error, view.warning) == (reason.failure, None)
    seen = await find_run_overview(database, clock.now())
    assert seen is not None
    assert (seen.warnings, [cause.error.kind for cause in seen.problem_groups]) == ((), ["upload_differs"])


async def test_stall_setting_is_applied(tmp_path: Path) -> None:
    app = App(Settings(data_dir=tmp_path, stalled_after_hours=2), Redactor())
    try:
        assert (
            _build_reconciler(app.get_service_parts(), NULL_OBSERVER, lambda: True)._timing.stalled_after_seconds
            == 7200
        )
    finally:
        await app.close()
