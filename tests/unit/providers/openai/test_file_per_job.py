"""The option `file_per_job`: a server that keeps neither metadata nor suffix shows at least the training file."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.dataset import remote_filename
from orchestrator.core.errors import AmbiguousRemoteJob
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.base import Deadline, JobOrder, Provider
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.openai.openai_provider import build_provider_factory

TAG, OTHER_TAG = "0123456789abcdef.1", "fedcba9876543210.1"
SHA256 = "ab" * 32
ORDER = JobOrder(tag=TAG, spec=TrainingSpec(base_model="m"), training_file="file-1", validation_file=None)
OWN, SHARED = remote_filename(SHA256, tag=TAG), remote_filename(SHA256)


class Server:
    """Answers with one job on a file, and with files by their names."""

    def __init__(self, files: dict[str, str], *, unlisted: str = "", **job: Any) -> None:
        self.created: list[dict[str, Any]] = []
        self._job = {"id": "ftjob-1", "status": "running", "model": "m", "training_file": "file-1"} | job
        self._files = [{"id": file_id, "filename": name, "status": "processed"} for file_id, name in files.items()]
        self._unlisted = unlisted

    def connect(self) -> Provider:
        account = Account(
            name="lab",
            provider=ProviderName.OPENAI_COMPATIBLE,
            api_key="env:KEY",
            base_url="https://lab.example/v1",
            file_per_job=True,
        )
        http = HttpClient(httpx2.MockTransport(self._answer))
        return build_provider_factory(http, Redactor())(account, Secret("key-of-the-lab"))

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        last = request.url.path.rpartition("/")[2]
        if request.method == "POST":
            self.created.append(json.loads(request.content))
            return httpx2.Response(200, json=self._job)
        if last == "files":
            return httpx2.Response(200, json={"data": [f for f in self._files if f["id"] != self._unlisted]})
        if last == "jobs":
            return httpx2.Response(200, json={"data": [self._job], "has_more": False})
        found = next((file for file in self._files if file["id"] == last), None)
        return httpx2.Response(200 if found else 404, json=found or {"detail": "not found"})


@pytest.mark.parametrize(
    "server",
    [
        Server({"file-1": OWN}),
        Server({"file-1": OWN}, unlisted="file-1"),  # a list may lag behind
        Server({"file-1": OWN, "file-2": OWN}, training_file="file-2"),  # the answer to the first upload was lost
        Server({"file-1": SHARED}, metadata={"orchestrator_job": TAG}),  # created before the option was set
    ],
)
async def test_job_is_found_by_its_own_file(server: Server) -> None:
    assert [job.id for job in await server.connect().find_jobs(ORDER)] == ["ftjob-1"]


@pytest.mark.parametrize(
    "server",
    [
        Server({"file-1": OWN, "file-2": remote_filename(SHA256, tag=OTHER_TAG)}, training_file="file-2"),
        Server({"file-1": OWN, "file-2": SHARED}, training_file="file-2"),
        Server({"file-1": SHARED}, metadata={"orchestrator_job": OTHER_TAG}),
    ],
)
async def test_job_on_another_file_is_ignored(server: Server) -> None:
    assert await server.connect().find_jobs(ORDER) == []


@pytest.mark.parametrize("files", [{"file-1": SHARED}, {}])
async def test_job_on_a_shared_file_is_left_to_an_operator(files: dict[str, str]) -> None:
    """The option was set after the upload: the file was shared with other jobs, and proves nothing."""
    with pytest.raises(AmbiguousRemoteJob):
        await Server(files).connect().find_jobs(ORDER)


async def test_create_sends_metadata_as_a_second_sign_but_no_suffix() -> None:
    server = Server({"file-1": OWN})
    await server.connect().create_job(ORDER, Deadline(30.0, lambda: 0.0))
    assert server.created[0]["metadata"] == {"orchestrator_job": ORDER.tag}
    assert "suffix" not in server.created[0]
