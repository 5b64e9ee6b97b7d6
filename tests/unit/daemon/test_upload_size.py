"""The answer to an upload is compared with what was sent, before a job is paid on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from orchestrator.app import SystemClock
from orchestrator.core.account import ProviderName
from orchestrator.core.action import CheckFile, Circumstances, Rest, next_action
from orchestrator.core.advance import Outcome, release
from orchestrator.core.hold import BY_PLAN
from orchestrator.core.job import Job, JobId, RunId
from orchestrator.core.lifecycle import State
from orchestrator.core.remote import FileStatus, RemoteFile
from orchestrator.core.stall import with_warning
from orchestrator.daemon.lasting import Lasting
from orchestrator.daemon.steps import Pace, Steps
from orchestrator.providers.base import Deadline, FileToSend, Provider

NOW = 1_000_000.0
SENT = FileToSend(path=Path("a.jsonl"), filename="a.jsonl", bytes=1000, sha256="a" * 64, examples=12)
JOB = Job(
    id=JobId("0123456789abcdef"),
    run_id=RunId("fedcba9876543210"),
    account="acme",
    provider=ProviderName.OPENAI,
    base_model="base",
    state=State.UPLOADING,
    created_at=NOW,
    state_since=NOW,
)


class Remote:
    """A provider that says that each file it is sent has so many bytes."""

    def __init__(self, told: int | None, *, found: bool = False) -> None:
        self._told = told
        self._found = found

    async def find_file(self, wanted: FileToSend) -> RemoteFile | None:
        return await self.upload_file(wanted) if self._found else None

    async def upload_file(self, wanted: FileToSend, *_deadline: Deadline) -> RemoteFile:
        return RemoteFile(id=f"file-{wanted.filename}", status=FileStatus.READY, raw="processed", bytes=self._told)


async def upload(remote: Remote, *files: FileToSend) -> Job:
    return (await attempt(remote, *files)).job


async def attempt(remote: Remote, *files: FileToSend) -> Outcome:
    async def identify(_connection: Any) -> Any:
        raise AssertionError("the account is verified")

    steps = Steps(
        identify=identify,
        clock=SystemClock(),
        jitter=lambda: 0.5,
        pace=Pace(poll_min=1, poll_max=1, intent=1),
        lasting=cast(Lasting, None),
        log=structlog.get_logger(),
    )
    deadline = Deadline(1.0, lambda: 0.0)
    return await steps.upload(JOB, cast(Provider, remote), list(files), deadline)


@pytest.mark.parametrize("remote", [Remote(1000), Remote(None), Remote(7, found=True)])
async def test_what_agrees_or_is_not_told_or_was_found_by_its_size_goes_on(remote: Remote) -> None:
    job = await upload(remote, SENT)
    assert (job.state, job.hold) == (State.PROCESSING, None)


async def test_a_difference_holds_the_job_until_a_person_releases_it() -> None:
    job = await upload(Remote(999), SENT)
    assert job.hold is not None
    assert job.hold.reason == "the provider says that file file-a.jsonl has 999 bytes; 1,000 were sent"
    assert job.hold.kind not in BY_PLAN  # neither a plan nor a reload of the accounts file lifts it
    around = Circumstances(holds=(job.hold,))
    assert next_action(job, around, NOW + 1e9) == Rest()
    freed = release(job, now=NOW).job
    assert next_action(freed, Circumstances(), NOW) == CheckFile()  # it goes on with the file that is there


async def test_each_of_two_files_is_compared() -> None:
    validation = FileToSend(path=Path("b.jsonl"), filename="b.jsonl", bytes=999, sha256="b" * 64, examples=2)
    job = await upload(Remote(999), SENT, validation)
    assert job.hold is not None
    assert job.hold.reason == "the provider says that file file-a.jsonl has 999 bytes; 1,000 were sent"
    assert job.remote_validation_file_id == "file-b.jsonl"


async def test_a_difference_is_announced_as_well() -> None:
    outcome = with_warning(JOB, await attempt(Remote(999), SENT), now=NOW)
    assert outcome.job.hold is not None
    assert (outcome.warned, outcome.job.warning) == (True, outcome.job.hold.failure)
    assert release(outcome.job, now=NOW).job.warning is None
