"""OpenAI's API: files, fine-tuning jobs, events, cancellation. Its dialects differ by the data in `dialects.py`.

Source: the OpenAI API reference and the published OpenAPI document.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

from orchestrator.aio import SingleFlight
from orchestrator.core.account import Account, AccountIdentity
from orchestrator.core.capabilities import Capabilities, needs_multipart
from orchestrator.core.dataset import filename_has_tag
from orchestrator.core.errors import FileNotReady, RemoteNotFound, RequestRejected, TemporaryError
from orchestrator.core.inference import ChatQuestion, ChatReply, ModelAddress, OptionalParameter
from orchestrator.core.jobs.checkpoint import Checkpoint
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.moderation import ModerationVerdict
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.remote import (
    RemoteEvent,
    RemoteFile,
    RemoteFileStatus,
    RemoteJob,
    RemoteJobStatus,
    RemoteModel,
)
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import replace
from orchestrator.providers.base import (
    DatasetFile,
    Deadline,
    JobOrder,
    JobPaging,
    ProviderDefaults,
)
from orchestrator.providers.chat.openai_chat import ask_openai_model
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.deadline import send_deadline
from orchestrator.providers.http.response_decoder import check_id, name_or_none
from orchestrator.providers.http.status_errors import parse_request_id
from orchestrator.providers.openai.client import OpenAIClient, RawResponse, build_sdk_factory
from orchestrator.providers.openai.dialects import DIALECTS, Dialect
from orchestrator.providers.openai.mapping import (
    TAG_METADATA_KEY,
    build_create_arguments,
    build_suffix_getter,
    find_loss,
    find_metadata_tag,
    metadata_has_tag,
    metadata_tag_or_empty,
    to_checkpoint,
    to_moderation_verdict,
    to_remote_event,
    to_remote_file,
    to_remote_job,
    to_remote_model,
)
from orchestrator.providers.openai.multipart import UploadIncomplete, complete_upload, upload_parts
from orchestrator.providers.openai.responses import (
    CHECKPOINT_LIST_DECODER,
    EVENT_LIST_DECODER,
    FILE_DECODER,
    FILE_LIST_DECODER,
    JOB_DECODER,
    JOB_LIST_DECODER,
    MODEL_DECODER,
    MODEL_LIST_DECODER,
    MODERATION_DECODER,
    OpenAICheckpoint,
    OpenAIEvent,
    OpenAIJob,
)
from orchestrator.providers.tagging import select_jobs_by_file, select_tagged_jobs
from orchestrator.providers.upload_stream import check_upload_size, compute_md5, open_upload_stream

JOBS_PATH: Final = "/fine_tuning/jobs"
MODERATION_MODEL: Final = "omni-moderation-latest"
FileKey = tuple[str, bool]
"""The SHA-256 of a file, and whether it is sent with a byte order mark: the same bytes for each account."""


def build_provider_factory(http: HttpClient, redact: Redactor) -> Callable[[Account, Secret], OpenAIProvider]:
    """Build the factory for the accounts of all dialects. They share the HTTP client, the SDK and the MD5s."""
    sdk = build_sdk_factory(http)
    md5s = SingleFlight[FileKey, str](keep_results=True)

    def connect(account: Account, key: Secret) -> OpenAIProvider:
        dialect = DIALECTS[account.provider].for_account(account)
        address = account.base_url or PROVIDERS[account.provider].default_base_url or ""
        client = OpenAIClient(
            http, sdk, account, base_url=address, key=key, redact=redact, error_codes=dialect.error_codes
        )
        return OpenAIProvider(account, dialect, client, md5s)

    return connect


class OpenAIProvider(ProviderDefaults):
    """One account at OpenAI or at a server that implements its API."""

    __slots__ = ("_account", "_client", "_dialect", "_md5s")

    def __init__(
        self, account: Account, dialect: Dialect, client: OpenAIClient, md5s: SingleFlight[FileKey, str]
    ) -> None:
        self._account = account
        self._dialect = dialect
        self._client = client
        self._md5s = md5s

    @property
    def capabilities(self) -> Capabilities:
        return self._dialect.capabilities

    async def verify(self) -> AccountIdentity:
        async with self._client.read_call():
            answer = await self._client.get("/models")
            self._client.decode(MODEL_LIST_DECODER, answer.content, "/models")
        return AccountIdentity(organization=name_or_none(answer.headers.get("openai-organization")))

    async def find_model(self, name: str) -> RemoteModel | None:
        try:
            async with self._client.read_call():
                return to_remote_model(
                    await self._client.get_decoded(MODEL_DECODER, f"/models/{_encode_path_segment(name)}")
                )
        except RemoteNotFound:
            return None

    async def list_models(self) -> list[str]:
        try:
            return [
                model.id
                async for model in self._client.iter_items("/models", MODEL_LIST_DECODER, usually_single_page=True)
            ]
        except RemoteNotFound:
            return []

    async def find_file(self, dataset_file: DatasetFile) -> RemoteFile | None:
        candidates = [
            to_remote_file(file)
            async for file in self._client.iter_items("/files", FILE_LIST_DECODER, {"purpose": "fine-tune"})
            if file.filename == dataset_file.filename
            and file.bytes in (None, dataset_file.wire_bytes)  # None: not known yet
        ]
        usable = [file for file in candidates if file.status not in {RemoteFileStatus.REFUSED, RemoteFileStatus.GONE}]
        return min(usable, key=lambda file: file.status is not RemoteFileStatus.READY, default=None)

    async def upload_file(self, dataset_file: DatasetFile, deadline: Deadline) -> RemoteFile:
        check_upload_size(dataset_file, self.capabilities, self._account.name)
        if needs_multipart(dataset_file.wire_bytes, self.capabilities):
            return await self._upload_in_parts(dataset_file, deadline)
        async with self._client.write_call(deadline):
            with open_upload_stream(dataset_file) as handle:
                answer = await self._client.sdk.files.with_raw_response.create(
                    file=(dataset_file.filename, handle, "application/jsonl"),
                    purpose="fine-tune",
                    timeout=max(deadline.seconds_left, 1.0),
                    extra_headers=self._client.auth_headers,
                )
                return to_remote_file(self._client.decode(FILE_DECODER, answer.content, "/files"))

    async def get_file(self, file_id: str) -> RemoteFile:
        async with self._client.read_call():
            path = f"/files/{_encode_path_segment(file_id)}"
            file = await self._client.get_decoded(FILE_DECODER, path)
            check_id(file_id, file.id, path)
            return to_remote_file(file)

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        # Not every compatible server honours the filter, so it is applied again here. Where metadata may be ignored
        # the server is asked for all jobs, since a filter on what it does not keep would hide ours.
        query = {f"metadata[{TAG_METADATA_KEY}]": order.tag} if self._dialect.needs_metadata else {}
        show_tag = self._build_tag_getter(order)
        # Converted at once: what a job has besides is not kept until the last page is read.
        listed = [
            (to_remote_job(job, self._dialect), metadata_has_tag(job, order), show_tag(job))
            async for job in self._client.iter_items(JOBS_PATH, JOB_LIST_DECODER, query)
        ]
        tagged = [job for job, has_tag, _ in listed if has_tag]
        if self.capabilities.has_file_per_job:
            own_files = await self._list_own_files(order)
            if order.training_file in own_files or await self._is_own_file(order):
                others = [job for job, has_tag, _ in listed if not has_tag]
                return [*tagged, *select_jobs_by_file(others, order, own_files)]
        if tagged:
            return tagged
        return select_tagged_jobs([(job, shown) for job, _, shown in listed], order)

    async def _list_own_files(self, order: JobOrder) -> set[str]:
        """Return the ids of the files that were uploaded for the order alone."""
        files = self._client.iter_items("/files", FILE_LIST_DECODER, {"purpose": "fine-tune"})
        return {file.id async for file in files if filename_has_tag(file.filename or "", order.tag)}

    async def _is_own_file(self, order: JobOrder) -> bool:
        """Return whether the order's file was uploaded for it alone: not, if `file_per_job` was set afterwards."""
        try:
            return filename_has_tag((await self.get_file(order.training_file)).filename or "", order.tag)
        except RemoteNotFound:
            return False

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        arguments = build_create_arguments(order, self._dialect)
        try:
            return await self._send_create(arguments, deadline)
        except RequestRejected:
            # A refusal created nothing. A server without metadata may refuse the field: the suffix has the tag, too,
            # or the name of the file.
            has_other_sign = self._dialect.suffix_fits_tag(order.tag) or self.capabilities.has_file_per_job
            if not (has_other_sign and arguments.pop("metadata", None)):
                raise
            return await self._send_create(arguments, deadline)
        except FileNotReady as error:
            if error.code not in self._dialect.ambiguous_codes or not await self._are_files_ready(order):
                raise
            raise TemporaryError(
                error.message, account=error.account, request_id=error.request_id, code=error.code
            ) from error

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        async with self._client.read_call():
            path = f"{JOBS_PATH}/{_encode_path_segment(remote_job_id)}"
            answer = await self._client.get(path)
            job = self._parse_job(answer, path)
            check_id(remote_job_id, job.id, path)
        if job.status is RemoteJobStatus.SUCCEEDED and self._dialect.result_is_checkpoint:
            return replace(job, fine_tuned_model=job.fine_tuned_model or await self._find_last_checkpoint(job.id))
        return job

    async def _send_cancel(self, remote_job_id: str) -> None:
        async with self._client.read_call():
            await self._client.sdk.fine_tuning.jobs.cancel(remote_job_id, extra_headers=self._client.auth_headers)

    async def events(self, remote_job_id: str) -> list[RemoteEvent]:
        listed = self._iter_events(remote_job_id)
        return [to_remote_event(event) async for event in listed][::-1]

    async def losses(self, remote_job_id: str, after: int) -> list[Loss]:
        losses: list[Loss] = []
        async for event in self._iter_events(remote_job_id):  # newest first
            loss = find_loss(event)
            if loss is not None and loss.step <= after:
                break
            losses += [loss] if loss else []
        return losses

    async def checkpoints(self, remote_job_id: str) -> list[Checkpoint]:
        """Return those that name their step and their model. A compatible server may not have the list."""
        try:
            saved = [each async for each in self._iter_checkpoints(remote_job_id)]
        except RemoteNotFound:
            return []
        return [found for each in saved if (found := to_checkpoint(each, self._dialect))]

    async def moderate(self, texts: Sequence[str]) -> list[ModerationVerdict]:
        async with self._client.read_call():
            answer = await self._client.sdk.moderations.with_raw_response.create(
                model=MODERATION_MODEL, input=list(texts), extra_headers=self._client.auth_headers
            )
            results = self._client.decode(MODERATION_DECODER, answer.content, "/moderations").results
        return [to_moderation_verdict(result) for result in results]

    async def ask(
        self, address: ModelAddress, question: ChatQuestion, left_out: frozenset[OptionalParameter] | None
    ) -> ChatReply:
        return await ask_openai_model(self._client, address, question, self._dialect.chat, left_out)

    async def delete_file(self, file_id: str) -> None:
        with suppress(RemoteNotFound):
            async with self._client.read_call():
                await self._client.sdk.files.delete(file_id, extra_headers=self._client.auth_headers)

    async def cancel_upload(self, upload_id: str) -> None:
        with suppress(RequestRejected):  # it is completed, cancelled, expired or gone
            async with self._client.read_call():
                await self._client.sdk.uploads.cancel(upload_id, extra_headers=self._client.auth_headers)

    async def probe_job_paging(self, remote_job_id: str) -> JobPaging:
        async with self._client.read_call():
            first = await self._client.get_decoded(JOB_LIST_DECODER, JOBS_PATH, limit="1")
            following = await self._client.get_decoded(JOB_LIST_DECODER, JOBS_PATH, limit="1", after=remote_job_id)
        honours_cursor = all(job.id != remote_job_id for job in following.data)
        if honours_cursor:
            return JobPaging(honours_cursor=True, hides_jobs=False)
        listed = [job.id async for job in self._client.iter_items(JOBS_PATH, JOB_LIST_DECODER)]
        return JobPaging(honours_cursor=False, hides_jobs=len(first.data) < len(listed))

    async def _upload_in_parts(self, dataset_file: DatasetFile, deadline: Deadline) -> RemoteFile:
        """Upload in parts. Only completing creates a file, so the parts are a call that may be repeated."""
        try:
            with send_deadline(deadline):
                async with self._client.read_call(max(deadline.seconds_left, 0)):
                    parts = upload_parts(self._client, dataset_file, deadline, self._dialect.part_bytes)
                    key = dataset_file.sha256, dataset_file.byte_order_mark
                    hashing = self._md5s.run(key, lambda: asyncio.to_thread(compute_md5, dataset_file))
                    (upload, resumed), md5 = await asyncio.gather(parts, hashing)
            async with self._client.write_call(deadline):
                return to_remote_file(
                    await complete_upload(self._client, dataset_file, upload, deadline, resumed=resumed, md5=md5)
                )
        except UploadIncomplete as error:
            raise FileNotReady(str(error), account=self._account.name) from error

    def _parse_job(self, answer: RawResponse, path: str) -> RemoteJob:
        return to_remote_job(
            self._client.decode(JOB_DECODER, answer.content, path), self._dialect, parse_request_id(answer.headers)
        )

    def _build_tag_getter(self, order: JobOrder) -> Callable[[OpenAIJob], str | None]:
        """Return the function that reads the tag, or the suffix, of a job that may be this order's."""
        if self.capabilities.has_file_per_job:  # the order's file is shared: no job on it is certainly another's
            return find_metadata_tag
        if not self._dialect.uses_suffix_tag:
            return metadata_tag_or_empty
        return build_suffix_getter(order) if self._dialect.suffix_fits_tag(order.tag) else find_metadata_tag

    async def _send_create(self, arguments: dict[str, Any], deadline: Deadline) -> RemoteJob:
        async with self._client.write_call(deadline):
            create = self._client.sdk.fine_tuning.jobs.with_raw_response.create
            timeout = max(deadline.seconds_left, 1.0)
            answer = await create(**arguments, timeout=timeout, extra_headers=self._client.auth_headers)
            return self._parse_job(answer, JOBS_PATH)

    async def _are_files_ready(self, order: JobOrder) -> bool:
        ids = [file_id for file_id in (order.training_file, order.validation_file) if file_id]
        return all([(await self.get_file(file_id)).status is RemoteFileStatus.READY for file_id in ids])

    def _iter_events(self, remote_job_id: str) -> AsyncIterator[OpenAIEvent]:
        return self._client.iter_items(
            f"{JOBS_PATH}/{_encode_path_segment(remote_job_id)}/events", EVENT_LIST_DECODER
        )

    def _iter_checkpoints(self, remote_job_id: str) -> AsyncIterator[OpenAICheckpoint]:
        return self._client.iter_items(
            f"{JOBS_PATH}/{_encode_path_segment(remote_job_id)}/checkpoints", CHECKPOINT_LIST_DECODER
        )

    async def _find_last_checkpoint(self, remote_job_id: str) -> str | None:
        saved = self._iter_checkpoints(remote_job_id)
        ids = {checkpoint.step_number or 0: checkpoint.id async for checkpoint in saved}
        return ids[max(ids)] if ids else None


def _encode_path_segment(name: str) -> str:
    """Percent-encode a provider's id as a part of a path."""
    return quote(name, safe="")
