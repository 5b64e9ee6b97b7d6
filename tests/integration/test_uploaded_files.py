"""The file that a job uploads: shared between jobs, of its own, or converted to the format of its provider."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest
from store_values import CONTENT, DATASET, NOW, RUN, SHA256, a_job, fill, id_of
from structlog.testing import CapturingLogger

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities, JobLookup, WireFormat
from orchestrator.core.dataset import local_filename
from orchestrator.core.errors import DatasetChanged
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobEvent, JobState
from orchestrator.core.jobs.transitions import advance
from orchestrator.core.structs import replace
from orchestrator.daemon.dataset_files import DatasetFiles
from orchestrator.dataset.convert import CONVERTERS, ChatConverter
from orchestrator.providers.base import DatasetFile
from orchestrator.store.db.database import Database
from orchestrator.store.queries import events, jobs, outcomes

CANONICAL = b'{"messages":[]}\n' * 3
CONVERTED = b'{"contents":[]}\n' * 3


class UploadStage:
    """The dataset files of a service, and its log."""

    def __init__(self, database: Database, folder: Path, content: bytes = CONTENT) -> None:
        self.database = database
        self.log = CapturingLogger()
        self.folder = folder
        (folder / local_filename(SHA256)).write_bytes(content)
        self.files = DatasetFiles(database, folder, cast(Any, self.log))

    async def get_file(self, job: Job) -> DatasetFile:
        async with self.database.read() as connection:
            loaded = await jobs.load(connection, job.id)
        assert loaded is not None
        [file] = await self.files.get_verified_files(replace(loaded, job=job), CAPABILITIES[job.provider])
        return replace(file, upload_state=None)  # each call makes one of its own


def change_capabilities(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    changed = replace(CAPABILITIES[ProviderName.OPENAI], **changes)
    monkeypatch.setitem(cast(dict[ProviderName, Capabilities], CAPABILITIES), ProviderName.OPENAI, changed)


async def test_jobs_share_a_file_whose_name_has_only_the_hash(database: Database, tmp_path: Path) -> None:
    stage, job = UploadStage(database, tmp_path), a_job("acme")
    await fill(database, [job])
    file = await stage.get_file(job)
    assert (file.filename, file.sha256) == (f"orchestrator-{SHA256[:16]}.jsonl", SHA256)
    assert await stage.get_file(replace(job, round=1)) == file


async def test_each_job_and_each_round_has_its_own_file(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_capabilities(monkeypatch, job_lookup=JobLookup.TRAINING_FILE)
    stage, first, second = UploadStage(database, tmp_path), a_job("acme"), a_job("beta")
    await fill(database, [first, second])
    names = [(await stage.get_file(job)).filename for job in (first, second, replace(first, round=1))]
    tags = [f"{id_of('acme')}-0", f"{id_of('beta')}-0", f"{id_of('acme')}-1"]
    assert names == [f"orchestrator-{SHA256[:16]}-{tag}.jsonl" for tag in tags]


@pytest.fixture
def converting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One provider reads another format; the list has an entry for each converted line."""
    converted: list[int] = []

    def convert_chat(example: dict[str, Any]) -> dict[str, Any]:
        converted.append(1)
        return {"contents": example["messages"]}

    change_capabilities(monkeypatch, wire_format=WireFormat.GEMINI)
    converters = cast(dict[WireFormat, ChatConverter], CONVERTERS)
    monkeypatch.setitem(converters, WireFormat.GEMINI, ChatConverter(convert_chat))
    monkeypatch.setattr("store_values.DATASET", CANONICAL_DATASET)
    return converted


CANONICAL_SHA256 = sha256(CANONICAL).hexdigest()
CANONICAL_DATASET = replace(
    DATASET, training=replace(DATASET.training, sha256=CANONICAL_SHA256, bytes=len(CANONICAL))
)


async def add_converted_job(stage: UploadStage) -> Job:
    run = replace(RUN, dataset_sha256=CANONICAL_DATASET.sha256)
    job = a_job("acme", state=JobState.UPLOADING, version=1)
    await fill(stage.database, [job], run)
    (stage.folder / local_filename(CANONICAL_SHA256)).write_bytes(CANONICAL)
    return job


async def test_converted_file_is_uploaded_under_the_identity_of_the_dataset(
    database: Database, tmp_path: Path, converting: list[int]
) -> None:
    stage = UploadStage(database, tmp_path)
    job = await add_converted_job(stage)
    file, digest = await stage.get_file(job), sha256(CONVERTED).hexdigest()
    assert file.path.read_bytes() == CONVERTED
    assert (file.bytes, file.sha256, file.wire_format) == (len(CONVERTED), digest, WireFormat.GEMINI)
    assert file.filename == f"orchestrator-{CANONICAL_SHA256[:16]}_{digest[:16]}.jsonl"
    [line] = stage.log.calls
    assert (line.args, line.kwargs["sha256"], line.kwargs["bytes"]) == (
        ("dataset.converted",),
        digest,
        len(CONVERTED),
    )
    assert await stage.get_file(job) == file
    assert len(converting) == 3  # the file was converted once


async def test_converted_file_that_was_changed_or_deleted_is_made_again(
    database: Database, tmp_path: Path, converting: list[int]
) -> None:
    stage = UploadStage(database, tmp_path)
    job = await add_converted_job(stage)
    file = await stage.get_file(job)
    file.path.write_bytes(b"{}\n")
    assert (await stage.get_file(job)).path.read_bytes() == CONVERTED
    file.path.unlink()
    assert (await stage.get_file(job)).path.read_bytes() == CONVERTED
    assert len(converting) == 9


async def test_folder_without_space_is_an_error_that_is_retried(
    database: Database, tmp_path: Path, converting: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    stage = UploadStage(database, tmp_path)
    job = await add_converted_job(stage)
    monkeypatch.setattr("orchestrator.dataset.convert.converted_file.open_private_file", refuse)
    with pytest.raises(DatasetChanged, match="cannot be converted to gemini: No space left on device"):
        await stage.get_file(job)
    assert converting == []


async def test_detail_of_an_outcome_is_in_the_history(database: Database) -> None:
    job = a_job("acme", state=JobState.UPLOADING)
    await fill(database, [job])
    uploaded = advance(job, JobEvent.FILE_UPLOADED, now=NOW)
    outcome = replace(uploaded, detail="sent as gemini: 48 bytes")
    assert await database.write(lambda tx: outcomes.record(tx, outcome, at=NOW, cause="service"))
    async with database.read() as connection:
        lines = await events.list_by_account(connection, "acme")
    assert "sent as gemini: 48 bytes" in [line.message for line in lines]
