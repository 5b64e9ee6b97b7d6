"""Refused parts and completions of an upload: which mean that the upload has expired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from scripted_server import DEADLINE, ScriptedServer, Step, create_dataset_file

from orchestrator.core.account import ProviderName
from orchestrator.core.remote import MultipartUpload
from orchestrator.core.structs import replace
from orchestrator.providers.base import DatasetFile
from orchestrator.providers.openai.multipart import UploadIncomplete, complete_upload, upload_parts

REFUSED = {"error": {"message": "refused"}}
PARTS = "POST /v1/uploads/up/parts"
COMPLETION = "POST /v1/uploads/up/complete"
UPLOAD = MultipartUpload(id="up", part_bytes=1)
CUT = httpx2.ReadError("cut")


class Progress:
    """Keeps the progress in memory."""

    def __init__(self, upload: MultipartUpload | None) -> None:
        self.upload = upload

    async def load(self) -> MultipartUpload | None:
        return self.upload

    async def save(self, upload: MultipartUpload | None) -> None:
        self.upload = upload


def create_file(folder: Path, upload: MultipartUpload | None) -> tuple[DatasetFile, Progress]:
    progress = Progress(upload)
    return replace(create_dataset_file(folder), upload_state=progress), progress


async def send_parts(file: DatasetFile, *steps: Step) -> None:
    created = (200, {"id": "up"})
    server = ScriptedServer({PARTS: list(steps), "POST /v1/uploads": created})
    client = server.connect(ProviderName.OPENAI)._client
    await upload_parts(client, file, DEADLINE, UPLOAD.part_bytes)


async def complete(file: DatasetFile, status: int, *, resumed: bool) -> Any:
    body = {"id": "up", "status": "cancelled", "file": None} if status == 200 else REFUSED
    client = ScriptedServer({COMPLETION: (status, body)}).connect(ProviderName.OPENAI)._client
    upload = replace(UPLOAD, parts={0: "p0", 1: "p1", 2: "p2"})
    return await complete_upload(client, file, upload, DEADLINE, resumed=resumed, md5="0" * 32)


@pytest.mark.parametrize("status", [400, 404])
async def test_refused_part_of_an_earlier_upload_starts_again(tmp_path: Path, status: int) -> None:
    file, progress = create_file(tmp_path, UPLOAD)
    with pytest.raises(UploadIncomplete, match="up has expired; it is started again"):
        await send_parts(file, CUT, (status, REFUSED), CUT)
    assert progress.upload is None


@pytest.mark.parametrize("step", [(413, REFUSED), (500, REFUSED), CUT])
async def test_other_failure_of_an_earlier_upload_is_reported(tmp_path: Path, step: Step) -> None:
    file, progress = create_file(tmp_path, UPLOAD)
    with pytest.raises(openai.APIError):
        await send_parts(file, step)
    assert progress.upload == UPLOAD


async def test_failure_of_the_only_part_that_is_missing_is_reported(tmp_path: Path) -> None:
    file, progress = create_file(tmp_path, replace(UPLOAD, parts={0: "p0", 1: "p1"}))
    with pytest.raises(openai.APIConnectionError):
        await send_parts(file, CUT)
    assert progress.upload is not None


async def test_completion_without_a_file_keeps_the_progress(tmp_path: Path) -> None:
    file, progress = create_file(tmp_path, UPLOAD)
    with pytest.raises(ValueError, match="upload up is cancelled and has no file"):
        await complete(file, 200, resumed=True)
    assert progress.upload == UPLOAD


async def test_server_without_a_list_of_models_has_no_suggestions() -> None:
    provider = ScriptedServer({"GET /v1/models": (404, REFUSED)}).connect(ProviderName.OPENAI)
    assert await provider.list_models() == []


async def test_refused_part_of_a_new_upload_is_reported(tmp_path: Path) -> None:
    file, progress = create_file(tmp_path, None)
    with pytest.raises(openai.BadRequestError):
        await send_parts(file, (400, REFUSED))
    assert progress.upload == UPLOAD


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("resumed", [False, True])
async def test_refused_completion_ends_the_upload(tmp_path: Path, status: int, *, resumed: bool) -> None:
    """One that this attempt began has not expired: the refusal has another reason."""
    file, progress = create_file(tmp_path, UPLOAD)
    with pytest.raises(UploadIncomplete if resumed else openai.APIStatusError):
        await complete(file, status, resumed=resumed)
    assert progress.upload is None


@pytest.mark.parametrize("status", [413, 500])
async def test_completion_that_failed_otherwise_is_repeated(tmp_path: Path, status: int) -> None:
    file, progress = create_file(tmp_path, UPLOAD)
    with pytest.raises(openai.APIStatusError):
        await complete(file, status, resumed=True)
    assert progress.upload == UPLOAD
