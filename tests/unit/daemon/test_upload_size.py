"""The size that a provider reports for an upload is compared with what was sent, before a job costs money."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from orchestrator.app import SystemClock
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.capabilities import WireFormat
from orchestrator.core.hold import PLAN_HOLD_KINDS
from orchestrator.core.jobs.job import Job, JobId, RunId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.next_action import CheckFiles, Idle, JobContext, next_action
from orchestrator.core.jobs.run import Run
from orchestrator.core.jobs.stall import with_warning
from orchestrator.core.jobs.transitions import Outcome, release_job
from orchestrator.core.remote import RemoteFile, RemoteFileStatus
from orchestrator.daemon.duration_estimator import DurationEstimator
from orchestrator.daemon.provider_steps import ProviderSteps, StepTiming
from orchestrator.providers.base import DatasetFile, Deadline, Provider, ProviderConnection
from orchestrator.store.queries.jobs import LoadedJob

NOW = 1_000_000.0
SENT = DatasetFile(path=Path("a.jsonl"), filename="a.jsonl", bytes=1000, sha256="a" * 64, examples=12)
ACCOUNT = Account(name="acme", provider=ProviderName.OPENAI, api_key="env:KEY")
JOB = Job(
    id=JobId("0123456789abcdef"),
    run_id=RunId("fedcba9876543210"),
    account="acme",
    provider=ProviderName.OPENAI,
    base_model="base",
    state=JobState.UPLOADING,
    created_at=NOW,
    state_since=NOW,
)


class Remote:
    """A provider that reports `reported_bytes` as the size of every file."""

    def __init__(self, reported_bytes: int | None, *, exists: bool = False) -> None:
        self._reported_bytes = reported_bytes
        self._exists = exists

    async def find_file(self, dataset_file: DatasetFile) -> RemoteFile | None:
        return await self.upload_file(dataset_file) if self._exists else None

    async def upload_file(self, dataset_file: DatasetFile, *_deadline: Deadline) -> RemoteFile:
        return RemoteFile(
            id=f"file-{dataset_file.filename}",
            status=RemoteFileStatus.READY,
            raw_status="processed",
            bytes=self._reported_bytes,
        )


async def upload(remote: Remote, *files: DatasetFile) -> Job:
    return (await attempt(remote, *files)).job


async def attempt(remote: Remote, *files: DatasetFile) -> Outcome:
    async def identify(_connection: Any) -> Any:
        raise AssertionError("the account is verified")

    steps = ProviderSteps(
        identify=identify,
        clock=SystemClock(),
        jitter=lambda: 0.5,
        timing=StepTiming(poll_min_seconds=1, poll_max_seconds=1, intent_seconds=1),
        duration_estimator=cast(DurationEstimator, None),
        log=structlog.get_logger(),
    )
    deadline = Deadline(1.0, lambda: 0.0)
    loaded = LoadedJob(job=JOB, run=cast(Run, None), account_state=cast(AccountState, None), used_slots=0)
    connection = ProviderConnection(ACCOUNT, "12345678", cast(Provider, remote))
    return await steps.upload(loaded, connection, list(files), deadline)


@pytest.mark.parametrize("remote", [Remote(1000), Remote(None), Remote(7, exists=True)])
async def test_matching_or_unknown_file_size_continues(remote: Remote) -> None:
    job = await upload(remote, SENT)
    assert (job.state, job.hold) == (JobState.PROCESSING, None)


async def test_different_file_size_holds_the_job_until_release() -> None:
    job = await upload(Remote(999), SENT)
    assert job.hold is not None
    assert job.hold.reason == "the provider reports 999 bytes for file file-a.jsonl; 1,000 were sent"
    assert job.hold.kind not in PLAN_HOLD_KINDS  # neither a plan nor a reload of the accounts file lifts it
    around = JobContext(holds=(job.hold,))
    assert next_action(job, around, NOW + 1e9) == Idle()
    freed = release_job(job, now=NOW).job
    assert next_action(freed, JobContext(), NOW) == CheckFiles()  # it continues with the uploaded file


async def test_sizes_of_both_files_are_compared() -> None:
    validation = DatasetFile(path=Path("b.jsonl"), filename="b.jsonl", bytes=999, sha256="b" * 64, examples=2)
    job = await upload(Remote(999), SENT, validation)
    assert job.hold is not None
    assert job.hold.reason == "the provider reports 999 bytes for file file-a.jsonl; 1,000 were sent"
    assert job.remote_validation_file_id == "file-b.jsonl"


async def test_different_file_size_is_announced() -> None:
    outcome = with_warning(JOB, await attempt(Remote(999), SENT), now=NOW)
    assert outcome.job.hold is not None
    assert (outcome.is_warning_new, outcome.job.warning) == (True, outcome.job.hold.failure)
    assert release_job(outcome.job, now=NOW).job.warning is None


async def test_hash_of_converted_bytes_is_part_of_the_outcome() -> None:
    converted = DatasetFile(
        path=SENT.path, filename="a.jsonl", bytes=1000, sha256="c" * 64, examples=12, wire_format=WireFormat.GEMINI
    )
    assert (await attempt(Remote(1000), SENT)).detail is None
    detail = (await attempt(Remote(1000), converted)).detail
    assert detail == f"sent as gemini: 1,000 bytes, SHA-256 {'c' * 64}"
