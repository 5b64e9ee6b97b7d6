"""A seventh provider in one file: files as forms, lists of one page, the tag in the suffix."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from orchestrator.core.account import Account, AccountIdentity
from orchestrator.core.capabilities import Capabilities, JobLookup, PriceSource
from orchestrator.core.errors import RemoteNotFound
from orchestrator.core.remote import (
    RemoteFile,
    RemoteFileStatus,
    RemoteJob,
    RemoteJobStatus,
    RemoteModel,
)
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.base import DatasetFile, Deadline, JobOrder, ProviderDefaults, ProviderFactory
from orchestrator.providers.http.api_client import UnsuccessfulResponse
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.response_decoder import ListPage, check_id
from orchestrator.providers.http.rest_client import JSON_DECODER, RestClient
from orchestrator.providers.tagging import select_tagged_jobs, tagged_suffix
from orchestrator.providers.upload_stream import check_upload_size, open_upload_stream

OFFERS = Capabilities(
    job_lookup=JobLookup.SUFFIX, options=("n_epochs",), seed=False, suffix_length=40,
    events=False, price_source=PriceSource.PRICE_FILE,
    servable=False, serving="needs an endpoint", minimum_examples=1, maximum_bytes=1_000_000,
)  # fmt: skip
FILES = {"COMPLETED": RemoteFileStatus.READY, "INVALID_FORMAT": RemoteFileStatus.REFUSED}
JOBS = {
    "pending": RemoteJobStatus.PENDING, "running": RemoteJobStatus.RUNNING, "completed": RemoteJobStatus.SUCCEEDED,
    "error": RemoteJobStatus.FAILED, "cancelled": RemoteJobStatus.CANCELLED,
}  # fmt: skip
Shaped = TypeVar("Shaped")
ITEMS = msgspec.json.Decoder(ListPage[dict[str, Any]])


def build_provider_factory(http: HttpClient, redact: Redactor) -> ProviderFactory:
    return lambda account, key: Tiny(account, key, http, redact)


class Tiny(ProviderDefaults):
    """One account at the seventh provider."""

    capabilities = OFFERS

    def __init__(self, account: Account, key: Secret, http: HttpClient, redact: Redactor) -> None:
        base_url = account.base_url or "https://tiny.example"
        self._account = account.name
        self._client = RestClient(http, base_url, key=key, account=account.name, redact=redact, error_codes={})

    async def _get(self, path: str, shape: Callable[[Any], Shaped], about: str = "", **query: str) -> Shaped:
        async with self._client.read_call():  # an answer of another shape raises in here, and becomes a ProviderError
            answer = await self._client.get_json(path, **query)
            if about:
                check_id(about, answer["id"], path)
            return shape(answer)

    async def _list(self, path: str, shape: Callable[[Any], Shaped]) -> list[Shaped]:
        async with self._client.read_call():
            return [shape(item) for item in await self._client.list_items(ITEMS, path)]

    async def verify(self) -> AccountIdentity:
        return await self._get("/v3/whoami", lambda who: AccountIdentity(organization=who["organization"]["id"]))

    async def find_model(self, name: str) -> RemoteModel | None:
        with suppress(RemoteNotFound):
            path = "/v1/fine-tunes/models/limits"
            return await self._get(path, lambda limits: RemoteModel(id=limits["model_name"]), model_name=name)
        return None

    async def list_models(self) -> list[str]:
        return []

    async def find_file(self, dataset_file: DatasetFile) -> RemoteFile | None:
        name = (dataset_file.filename, dataset_file.wire_bytes)
        listed = await self._list("/v1/files", lambda file: ((file["filename"], file["bytes"]), _file(file)))
        same = [file for called, file in listed if called == name]
        return next((file for file in same if file.status is not RemoteFileStatus.REFUSED), None)

    async def upload_file(self, dataset_file: DatasetFile, deadline: Deadline) -> RemoteFile:
        check_upload_size(dataset_file, OFFERS, self._account)
        async with self._client.write_call(deadline):
            with open_upload_stream(dataset_file) as body:
                sent = {"data": {"purpose": "fine-tune", "file_name": dataset_file.filename}, "files": {"file": body}}
                try:
                    return _file(await self._client.send_decoded(JSON_DECODER, "POST", "/v1/files/upload", **sent))
                except UnsuccessfulResponse as refusal:
                    if refusal.status != 409:  # it is there already
                        raise
                    return await self.get_file(refusal.parse_body()["file_id"])

    async def get_file(self, file_id: str) -> RemoteFile:
        return await self._get(f"/v1/files/{file_id}", _file, file_id)

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        return select_tagged_jobs(
            await self._list("/v1/fine-tunes", lambda job: (_job(job), job.get("suffix"))), order
        )

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        asked = {"model": order.spec.base_model, "training_file": order.training_file}
        epochs = {} if order.spec.n_epochs == "auto" else {"n_epochs": order.spec.n_epochs}
        async with self._client.write_call(deadline):
            return _job(
                await self._client.post_json("/v1/fine-tunes", asked | epochs | {"suffix": tagged_suffix(order, 40)})
            )

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        return await self._get(f"/v1/fine-tunes/{remote_job_id}", _job, remote_job_id)

    async def _send_cancel(self, remote_job_id: str) -> None:
        async with self._client.read_call():
            await self._client.post_json(f"/v1/fine-tunes/{remote_job_id}/cancel", {})

    async def delete_file(self, file_id: str) -> None:
        with suppress(RemoteNotFound):
            async with self._client.read_call():
                await self._client.send("DELETE", f"/v1/files/{file_id}")


def _file(file: Any) -> RemoteFile:
    raw, said = file["processing_status"], file.get("validation_report", {}).get("error")
    status, name = FILES.get(raw, RemoteFileStatus.PROCESSING), file.get("filename")
    return RemoteFile(id=file["id"], status=status, raw_status=raw, message=said, filename=name)


def _job(job: Any) -> RemoteJob:
    errors = [event["message"] for event in job.get("events", ()) if event["level"] == "error"]
    return RemoteJob(
        id=job["id"], status=JOBS.get(job["status"], RemoteJobStatus.UNKNOWN), raw_status=job["status"],
        servable=False,
        training_file=job["training_file"], base_model=job["model"], fine_tuned_model=job.get("model_output_name"),
        error_message=errors[-1] if errors else None, hyperparameters={"n_epochs": job["n_epochs"]},
    )  # fmt: skip
