"""DashScope's API: files and fine-tunes of Alibaba Cloud Model Studio, at its two sites.

Source: the documentation of Model Studio of June 2026 and the vendor's SDK 2.0.2, which is newer and takes precedence
where they differ. A failure may come with status 200: an upload whose file failed, or an envelope with a code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from orchestrator.core.account import Account, AccountIdentity, ProviderName
from orchestrator.core.capabilities import Capabilities
from orchestrator.core.dataset import filename_has_tag, short_tag
from orchestrator.core.errors import (
    AuthenticationFailed,
    JobLimitReached,
    QuotaExhausted,
    RateLimited,
    RemoteNotFound,
    RequestRejected,
)
from orchestrator.core.inference import ChatQuestion, ChatReply, ModelAddress, OptionalParameter
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.remote import (
    RemoteFile,
    RemoteFileStatus,
    RemoteJob,
    RemoteJobStatus,
    RemoteModel,
)
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.base import DatasetFile, Deadline, JobOrder, ProviderDefaults, ProviderFactory
from orchestrator.providers.chat.openai_chat import DASHSCOPE_CHAT, ask_openai_model
from orchestrator.providers.dashscope.deployments import DashScopeDeployments
from orchestrator.providers.dashscope.numbered_pages import PAGE_SIZE, NumberedPageReader
from orchestrator.providers.dashscope.responses import (
    FILE_DECODER,
    FILE_PAGE_DECODER,
    JOB_DECODER,
    JOB_PAGE_DECODER,
    LOG_DECODER,
    MODELS_DECODER,
    UPLOAD_DECODER,
    DashScopeFile,
    DashScopeFilePage,
    DashScopeJob,
    DashScopeJobPage,
)
from orchestrator.providers.dashscope.training_log import parse_losses
from orchestrator.providers.http.api_client import UnsuccessfulResponse
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.response_decoder import (
    ListLimits,
    check_id,
    name_or_none,
    number_or_none,
    text_or_none,
)
from orchestrator.providers.http.rest_client import RestClient
from orchestrator.providers.http.status_errors import ErrorCodes
from orchestrator.providers.tagging import select_jobs_by_file, suffix_has_tag
from orchestrator.providers.upload_stream import check_upload_size, open_upload_stream

INFO: Final = PROVIDERS[ProviderName.DASHSCOPE]
API_PATH: Final = "/api/v1"  # for a `base_url` without a path
WORKSPACE_HEADER: Final = "X-DashScope-WorkSpace"
MISSING_FILE_CODE: Final = "InvalidParameter"  # status 400: the only parameter of these calls is the file's id
ERROR_CODES: Final[ErrorCodes] = {
    "InvalidApiKey": AuthenticationFailed,
    "Arrearage": QuotaExhausted,
    "ModelNotFound": RequestRejected,
    "NotFound": RemoteNotFound,  # of a deployment, whatever the status
    "Throttling": JobLimitReached,  # of a create: too many fine-tunes; elsewhere it means the same delay
    "Throttling.RateQuota": RateLimited,
    "Throttling.AllocationQuota": RateLimited,
}
OPTIONAL_FIELDS: Final = frozenset({"job_name", "finetuned_output_suffix"})
"""Fields of a create without which the job is the same. The name is a second sign of a job, if it is stored."""
LOG_PAGE_LINES: Final = 1000  # the maximum of one response
MAX_LOG_LINES: Final = 20_000  # the losses of a longer log are read up to here
LIST_SECONDS: Final = 180.0  # for all passes over a list
WRONG_SITE_HINT: Final = (
    "Check the key that the account's `api_key` refers to. A key belongs to one site: for a key of the Beijing site, "
    'set base_url = "https://dashscope.aliyuncs.com/api/v1". Then `orchestrator release` the account.'
)
JOB_STATUS: Final[Mapping[str, RemoteJobStatus]] = {
    "PENDING": RemoteJobStatus.PENDING,
    "QUEUING": RemoteJobStatus.PENDING,
    "RUNNING": RemoteJobStatus.RUNNING,
    "SUSPENDED": RemoteJobStatus.PAUSED,
    "CANCELING": RemoteJobStatus.CANCELLING,
    "SUCCEEDED": RemoteJobStatus.SUCCEEDED,
    "FAILED": RemoteJobStatus.FAILED,
    "CANCELED": RemoteJobStatus.CANCELLED,
}


def build_provider_factory(http: HttpClient, redact: Redactor) -> ProviderFactory:
    """Build the factory for accounts at DashScope."""

    def connect(account: Account, key: Secret) -> DashScopeProvider:
        base_url = (account.base_url or INFO.default_base_url or "").rstrip("/")
        client = RestClient(
            http,
            base_url if urlsplit(base_url).path else base_url + API_PATH,
            key=key,
            account=account.name,
            redact=redact,
            error_codes=ERROR_CODES,
            headers={WORKSPACE_HEADER: account.project} if account.project else {},
        )
        return DashScopeProvider(account, client)

    return connect


class DashScopeProvider(DashScopeDeployments, ProviderDefaults):
    """One account at DashScope: a key of one site, and a workspace if the account names one as its project."""

    capabilities: Capabilities = INFO.capabilities

    async def verify(self) -> AccountIdentity:
        """Read one file of the list: the API does not report who owns a key."""
        try:
            async with self._client.read_call():
                await self._client.get_decoded(FILE_PAGE_DECODER, "/files", page_no="1", page_size="1")
        except AuthenticationFailed as error:
            error.hint = WRONG_SITE_HINT
            raise
        return AccountIdentity()

    async def find_model(self, name: str) -> RemoteModel | None:
        """Find the model in the catalogue, which does not report what can be fine-tuned."""
        async with self._client.read_call():
            query = {"model": name, "page_no": "1", "page_size": "1"}
            found = await self._client.get_decoded(MODELS_DECODER, "/models", **query)
        return next((RemoteModel(id=each.model) for each in found.output.models if each.model == name), None)

    async def list_models(self) -> list[str]:
        """Return nothing: the catalogue lists models to call, and a model to train may not be among them."""
        return []

    async def find_file(self, dataset_file: DatasetFile) -> RemoteFile | None:
        same = [file for file in await self._list_files() if _is_same_file(file, dataset_file)]
        return min(map(_to_remote_file, same), key=lambda file: file.id, default=None)

    async def upload_file(self, dataset_file: DatasetFile, deadline: Deadline) -> RemoteFile:
        check_upload_size(dataset_file, self.capabilities, self._account.name)
        async with self._client.write_call(deadline):
            form = {"purpose": "fine-tune", "descriptions": dataset_file.filename}
            with open_upload_stream(dataset_file) as handle:
                files = {"files": (dataset_file.filename, handle, "application/jsonl")}
                sent = await self._client.send("POST", "/files", data=form, files=files, timeout=None)
            upload = self._client.decode(UPLOAD_DECODER, sent.content, "/files").data
            if upload.failed_uploads:  # with status 200: nothing was stored
                reason = msgspec.json.encode(upload.failed_uploads[0])
                raise UnsuccessfulResponse(400, sent.headers, reason, "/files")
            return _to_remote_file(upload.uploaded_files[0])

    async def get_file(self, file_id: str) -> RemoteFile:
        async with self._client.read_call():
            path = f"/files/{file_id}"
            try:
                file = (await self._client.get_decoded(FILE_DECODER, path)).data
            except UnsuccessfulResponse as refusal:
                raise _to_missing_file(refusal) from None
            check_id(file_id, file.file_id, path)
            return _to_remote_file(file)

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        """List all jobs: whether the server's filter by model knows the base model's name is not documented."""
        own_files = {
            file.file_id for file in await self._list_files() if file.name and filename_has_tag(file.name, order.tag)
        }
        own_files.add(order.training_file)
        named: list[RemoteJob] = []
        others: list[RemoteJob] = []
        for job in await self._list_jobs():
            is_named = suffix_has_tag(job.job_name or "", order)
            (named if is_named else others).append(self._to_remote_job(job, own_files))
        return [*named, *select_jobs_by_file(others, order, own_files)]

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        body = _build_job_body(order, self.capabilities.suffix_length)
        try:
            return await self._send_create(body, deadline)
        except RequestRejected as error:
            # A refusal created nothing. The pages of the documentation disagree on the optional fields.
            if error.code != "InvalidParameter":
                raise
            required = {name: value for name, value in body.items() if name not in OPTIONAL_FIELDS}
            return await self._send_create(required, deadline)

    async def _send_create(self, body: Mapping[str, Any], deadline: Deadline) -> RemoteJob:
        async with self._client.write_call(deadline):
            answer = await self._client.post_decoded(JOB_DECODER, "/fine-tunes", body)
            return self._to_remote_job(answer.output, body["training_file_ids"], answer.request_id)

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        async with self._client.read_call():
            path = f"/fine-tunes/{remote_job_id}"
            job = (await self._client.get_decoded(JOB_DECODER, path)).output
            check_id(remote_job_id, job.job_id, path)
            return self._to_remote_job(job)

    async def _send_cancel(self, remote_job_id: str) -> None:
        async with self._client.read_call():
            await self._client.post_json(f"/fine-tunes/{remote_job_id}/cancel", {})

    async def losses(self, remote_job_id: str, after: int) -> list[Loss]:
        """Read the whole log, because a record without a step gets its number in the log."""
        return [loss for loss in parse_losses(await self._read_log(remote_job_id)) if loss.step > after]

    async def _read_log(self, remote_job_id: str) -> list[object]:
        lines: list[object] = []
        while len(lines) < MAX_LOG_LINES:
            async with self._client.read_call():
                query = {"offset": str(len(lines)), "line": str(LOG_PAGE_LINES)}
                path = f"/fine-tunes/{remote_job_id}/logs"
                log = (await self._client.get_decoded(LOG_DECODER, path, **query)).output
            lines += log.logs
            if len(log.logs) < LOG_PAGE_LINES:
                break
        return lines

    async def ask(
        self, address: ModelAddress, question: ChatQuestion, left_out: frozenset[OptionalParameter] | None
    ) -> ChatReply:
        return await ask_openai_model(self._client, address, question, DASHSCOPE_CHAT, left_out)

    async def delete_file(self, file_id: str) -> None:
        with suppress(RemoteNotFound):
            async with self._client.read_call():
                try:
                    await self._client.send("DELETE", f"/files/{file_id}")
                except UnsuccessfulResponse as refusal:
                    raise _to_missing_file(refusal) from None

    async def _list_files(self) -> list[DashScopeFile]:
        async def read_page(number: int, limits: ListLimits) -> DashScopeFilePage:
            async with self._client.read_call():
                query = {"page_no": str(number), "page_size": str(PAGE_SIZE)}
                page = await self._client.get_page(limits, FILE_PAGE_DECODER, "/files", **query)
                return page.data

        async with self._client.read_call(LIST_SECONDS):
            return await NumberedPageReader("/files", read_page, asyncio.get_running_loop().time).read()

    async def _list_jobs(self) -> list[DashScopeJob]:
        async def read_page(number: int, limits: ListLimits) -> DashScopeJobPage:
            async with self._client.read_call():
                query = {"page_no": str(number), "page_size": str(PAGE_SIZE)}
                page = await self._client.get_page(limits, JOB_PAGE_DECODER, "/fine-tunes", **query)
                return page.output

        async with self._client.read_call(LIST_SECONDS):
            return await NumberedPageReader("/fine-tunes", read_page, asyncio.get_running_loop().time).read()

    def _to_remote_job(
        self, job: DashScopeJob, own_files: Collection[str] = (), request_id: object = None
    ) -> RemoteJob:
        """Convert a job; a training file in `own_files` is preferred. Its times have no zone and are not used."""
        status = JOB_STATUS.get(job.status, RemoteJobStatus.UNKNOWN)
        files = job.training_file_ids or [""]
        failed = status is RemoteJobStatus.FAILED
        return RemoteJob(
            id=job.job_id,
            status=status,
            raw_status=job.status,
            training_file=next((file for file in files if file in own_files), files[0]),
            base_model=job.model or job.base_model or "",
            fine_tuned_model=(job.finetuned_output or None) if status is RemoteJobStatus.SUCCEEDED else None,
            servable=self.capabilities.servable,
            error_code=job.code if failed else None,
            error_message=job.message if failed else None,
            trained_tokens=job.usage or None,  # 0 before they were counted
            hyperparameters=_parse_hyperparameters(job.hyper_parameters),
            request_id=name_or_none(request_id),
        )


def _is_same_file(file: DashScopeFile, dataset_file: DatasetFile) -> bool:
    return file.name == dataset_file.filename and file.size in (None, dataset_file.wire_bytes)


def _to_remote_file(file: DashScopeFile) -> RemoteFile:
    """Convert a file. It has no status: what was stored can be used."""
    return RemoteFile(
        id=file.file_id,
        status=RemoteFileStatus.READY,
        raw_status="",
        filename=text_or_none(file.name),
        bytes=file.size,
    )


def _to_missing_file(refusal: UnsuccessfulResponse) -> UnsuccessfulResponse:
    """Turn the refusal of an unknown file, which has status 400 here, into a 404."""
    if refusal.status == 400 and refusal.parse_body().get("code") == MISSING_FILE_CODE:
        return UnsuccessfulResponse(404, refusal.headers, refusal.content, refusal.path)
    return refusal


def _build_job_body(order: JobOrder, suffix_length: int) -> dict[str, Any]:
    spec = order.spec
    values = {
        "model": spec.base_model,
        "training_file_ids": [order.training_file],
        "validation_file_ids": [order.validation_file] if order.validation_file else None,
        "training_type": "sft" if spec.lora is False else "efficient_sft",
        "hyper_parameters": _build_hyperparameters(spec),
        "job_name": f"orchestrator-{short_tag(order.tag)}",
        "finetuned_output_suffix": spec.suffix[:suffix_length] if spec.suffix else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _build_hyperparameters(spec: TrainingSpec) -> dict[str, Any]:
    """Convert the spec to this provider's names, without the options that it leaves open."""
    values = {
        "n_epochs": spec.n_epochs,
        "batch_size": spec.batch_size,
        "learning_rate": spec.learning_rate,
        "max_length": spec.context_length,
        "lora_rank": spec.lora_rank,
        "lora_alpha": spec.lora_alpha,
    }
    return {name: value for name, value in values.items() if value not in (None, "auto")}


def _parse_hyperparameters(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters with their numbers, which may come back as texts."""
    return {name: _to_number(value) for name, value in raw.items()}


def _to_number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    for parse in (int, float):
        with suppress(ValueError):  # a number that cannot be stored, such as "nan", stays a text
            return value if number_or_none(number := parse(value)) is None else number
    return value
