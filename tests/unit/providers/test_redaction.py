"""What a provider says enters the program without keys, wherever the key stands in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.core.account import AccountIdentity
from orchestrator.core.errors import AmbiguousRemoteJob, RequestRejected
from orchestrator.core.remote import (
    MultipartUpload,
    RemoteEvent,
    RemoteFile,
    RemoteFileStatus,
    RemoteJob,
    RemoteJobStatus,
)
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import replace
from orchestrator.providers.base import DatasetFile, Deadline, Provider
from orchestrator.providers.redaction import MAX_PROVIDER_TEXT_CHARACTERS, redact_provider, redact_value

KEY = "sk-canary-0123456789"
LABEL = f"[key {Secret(KEY).fingerprint}]"
JOB = RemoteJob(
    id="ftjob-1", status=RemoteJobStatus.RUNNING, raw_status="running", training_file="file-1", base_model="m",
    hyperparameters={"n_epochs": 3, "seen": [1.5, None, True]},
)  # fmt: skip
WANTED = DatasetFile(path=Path("x"), filename="x.jsonl", bytes=1, sha256="0", examples=1)


@dataclass
class Notes:
    saved: list[MultipartUpload | None]

    async def load(self) -> MultipartUpload | None:
        return None

    async def save(self, upload: MultipartUpload | None) -> None:
        self.saved.append(upload)


class Echo:
    """A provider that puts the key into everything."""

    capabilities = "not a coroutine"

    async def verify(self) -> AccountIdentity:
        return AccountIdentity(organization=f"org-{KEY}")

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        return replace(
            JOB,
            id=f"ftjob-{KEY}",
            raw_status=KEY,
            training_file=f"file-{KEY}",
            fine_tuned_model=f"ft:{KEY}",
            error_message=f"{KEY} " + "x" * 5000,
            organization=KEY,
            request_id=f"req-{KEY}",
            hyperparameters={KEY: [KEY, {"inner": KEY}]},
        )

    async def get_file(self, file_id: str) -> RemoteFile:
        return RemoteFile(id=KEY, status=RemoteFileStatus.READY, raw_status=KEY, message=KEY, filename=KEY)

    async def events(self, remote_job_id: str) -> list[RemoteEvent]:
        return [RemoteEvent(at=1.0, message=KEY)]

    async def upload_file(self, dataset_file: DatasetFile, deadline: Deadline) -> RemoteFile:
        assert dataset_file.upload_state is not None
        await dataset_file.upload_state.save(MultipartUpload(id=KEY, part_bytes=1))
        await dataset_file.upload_state.save(MultipartUpload(id="upload-1", part_bytes=1, parts={0: KEY}))
        await dataset_file.upload_state.save(MultipartUpload(id="upload-1", part_bytes=1, parts={0: "part-1"}))
        return await self.get_file("")

    async def cancel_job(self, remote_job_id: str) -> RemoteJob:
        raise RequestRejected(f"no {KEY}", request_id=f"req-{KEY}", code=KEY)

    async def find_jobs(self, order: object) -> list[RemoteJob]:
        raise AmbiguousRemoteJob(f"ftjob-{KEY} and another", hint=f"`orchestrator adopt 0123 ftjob-{KEY}`")


def provider() -> Provider:
    redact = Redactor()
    redact.add(Secret(KEY))
    return redact_provider(cast(Provider, Echo()), redact)


@pytest.mark.parametrize(
    ("operation", "arguments"), [("verify", ()), ("get_job", ("x",)), ("get_file", ("x",)), ("events", ("x",))]
)
async def test_provider_answers_contain_no_key(operation: str, arguments: tuple[Any, ...]) -> None:
    answer = await getattr(provider(), operation)(*arguments)
    assert KEY not in repr(answer)
    assert LABEL in repr(answer)


async def test_a_text_is_cut() -> None:
    message = (await provider().get_job("x")).error_message
    assert message is not None
    assert MAX_PROVIDER_TEXT_CHARACTERS - 20 < len(message) <= MAX_PROVIDER_TEXT_CHARACTERS


async def test_an_error_holds_no_key() -> None:
    with pytest.raises(RequestRejected) as caught:
        await provider().cancel_job("x")
    error = caught.value
    assert (error.message, str(error)) == (f"no {LABEL}", f"no {LABEL}")
    assert (error.request_id, error.code) == (f"req-{LABEL}", LABEL)
    with pytest.raises(AmbiguousRemoteJob) as other:
        await provider().find_jobs(cast(Any, None))
    assert KEY not in str(other.value)
    assert other.value.hint == f"`orchestrator adopt 0123 ftjob-{LABEL}`"


async def test_upload_with_a_key_in_its_ids_is_not_stored() -> None:
    notes = Notes([])
    await provider().upload_file(replace(WANTED, upload_state=notes), Deadline(1.0, lambda: 0.0))
    assert notes.saved == [None, None, MultipartUpload(id="upload-1", part_bytes=1, parts={0: "part-1"})]


def test_answer_without_a_key_is_returned_unchanged() -> None:
    redact = Redactor()
    redact.add(Secret(KEY))
    assert redact_value(JOB, redact) is JOB
    assert redact_value(JOB.status, redact) is RemoteJobStatus.RUNNING


def test_plain_attributes_are_passed_through() -> None:
    assert cast(object, provider().capabilities) == "not a coroutine"
