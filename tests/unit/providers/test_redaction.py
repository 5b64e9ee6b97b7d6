"""What a provider says enters the program without keys, wherever the key stands in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.core.account import Identity
from orchestrator.core.errors import Ambiguous, RequestRejected
from orchestrator.core.remote import FileStatus, JobStatus, PartedUpload, RemoteEvent, RemoteFile, RemoteJob
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.base import Deadline, FileToSend, Provider
from orchestrator.providers.redaction import TEXT_LIMIT, cleaned, redacted

KEY = "sk-canary-0123456789"
LABEL = f"[key {Secret(KEY).fingerprint}]"
JOB = RemoteJob(
    id="ftjob-1", status=JobStatus.RUNNING, raw="running", training_file="file-1", base_model="m",
    hyperparameters={"n_epochs": 3, "seen": [1.5, None, True]},
)  # fmt: skip
WANTED = FileToSend(path=Path("x"), filename="x.jsonl", bytes=1, sha256="0", examples=1)


@dataclass
class Notes:
    saved: list[PartedUpload | None]

    async def load(self) -> PartedUpload | None:
        return None

    async def save(self, upload: PartedUpload | None) -> None:
        self.saved.append(upload)


class Echo:
    """A provider that puts the key into everything."""

    capabilities = "not a coroutine"

    async def verify(self) -> Identity:
        return Identity(organization=f"org-{KEY}")

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        return replace(
            JOB,
            id=f"ftjob-{KEY}",
            raw=KEY,
            training_file=f"file-{KEY}",
            fine_tuned_model=f"ft:{KEY}",
            error_message=f"{KEY} " + "x" * 5000,
            organization=KEY,
            request_id=f"req-{KEY}",
            hyperparameters={KEY: [KEY, {"inner": KEY}]},
        )

    async def get_file(self, file_id: str) -> RemoteFile:
        return RemoteFile(id=KEY, status=FileStatus.READY, raw=KEY, message=KEY, filename=KEY)

    async def events(self, remote_job_id: str) -> list[RemoteEvent]:
        return [RemoteEvent(at=1.0, message=KEY)]

    async def upload_file(self, wanted: FileToSend, deadline: Deadline) -> RemoteFile:
        assert wanted.notes is not None
        await wanted.notes.save(PartedUpload(id=KEY, part_bytes=1))
        await wanted.notes.save(PartedUpload(id="upload-1", part_bytes=1, parts={0: KEY}))
        await wanted.notes.save(PartedUpload(id="upload-1", part_bytes=1, parts={0: "part-1"}))
        return await self.get_file("")

    async def cancel_job(self, remote_job_id: str) -> RemoteJob:
        raise RequestRejected(f"no {KEY}", request_id=f"req-{KEY}", code=KEY)

    async def find_jobs(self, order: object) -> list[RemoteJob]:
        raise Ambiguous(f"ftjob-{KEY} and another")


def provider() -> Provider:
    redact = Redactor()
    redact.add(Secret(KEY))
    return redacted(cast(Provider, Echo()), redact)


@pytest.mark.parametrize(
    ("operation", "arguments"), [("verify", ()), ("get_job", ("x",)), ("get_file", ("x",)), ("events", ("x",))]
)
async def test_nothing_that_a_provider_answers_holds_a_key(operation: str, arguments: tuple[Any, ...]) -> None:
    answer = await getattr(provider(), operation)(*arguments)
    assert KEY not in repr(answer)
    assert LABEL in repr(answer)


async def test_a_text_is_cut() -> None:
    message = (await provider().get_job("x")).error_message
    assert message is not None
    assert TEXT_LIMIT - 20 < len(message) <= TEXT_LIMIT


async def test_an_error_holds_no_key() -> None:
    with pytest.raises(RequestRejected) as caught:
        await provider().cancel_job("x")
    error = caught.value
    assert (error.message, str(error)) == (f"no {LABEL}", f"no {LABEL}")
    assert (error.request_id, error.code) == (f"req-{LABEL}", LABEL)
    with pytest.raises(Ambiguous) as other:
        await provider().find_jobs(cast(Any, None))
    assert KEY not in str(other.value)


async def test_an_upload_whose_ids_hold_a_key_is_not_noted() -> None:
    notes = Notes([])
    await provider().upload_file(replace(WANTED, notes=notes), Deadline(1.0, lambda: 0.0))
    assert notes.saved == [None, None, PartedUpload(id="upload-1", part_bytes=1, parts={0: "part-1"})]


def test_what_holds_no_key_stays_the_same_object() -> None:
    redact = Redactor()
    redact.add(Secret(KEY))
    assert cleaned(JOB, redact) is JOB
    assert cleaned(JOB.status, redact) is JobStatus.RUNNING


def test_what_is_no_coroutine_is_passed_on() -> None:
    assert cast(object, provider().capabilities) == "not a coroutine"
