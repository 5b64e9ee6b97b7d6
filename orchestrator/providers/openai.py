"""The OpenAI API: files, fine-tuning jobs, events, cancel. Its dialects differ by the data of `openai_dialects`.

Source: the OpenAI API reference and the published OpenAPI document; what was tried is said where it matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

import httpx2

from orchestrator.core.account import Account, Identity
from orchestrator.core.capabilities import Capabilities, goes_in_parts
from orchestrator.core.errors import NotReady, RemoteMissing, RequestRejected, TemporaryError
from orchestrator.core.loss import Loss
from orchestrator.core.moderation import Verdict
from orchestrator.core.remote import FileStatus, JobStatus, RemoteEvent, RemoteFile, RemoteJob, RemoteModel
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.answers import check_id, name_of
from orchestrator.providers.base import Connect, Deadline, FileToSend, JobOrder
from orchestrator.providers.cancelling import cancelled
from orchestrator.providers.failures import request_id
from orchestrator.providers.hashes import Hashes
from orchestrator.providers.openai_answers import (
    CHECKPOINTS,
    EVENTS,
    FILE,
    FILES,
    JOB,
    JOBS,
    MODEL,
    MODELS,
    ShownEvent,
    ShownJob,
)
from orchestrator.providers.openai_calls import Answered, Calls, sdk_of
from orchestrator.providers.openai_dialects import DIALECTS, Dialect
from orchestrator.providers.openai_forms import (
    TAG_KEY,
    carries,
    creation,
    event_of,
    file_of,
    job_of,
    loss_of,
    metadata_of,
    model_of,
    tag_of,
    tagged_suffix_of,
    verdict_of,
)
from orchestrator.providers.openai_uploads import Unfinished, complete, send_parts
from orchestrator.providers.tagging import pick
from orchestrator.providers.transport import reader, sending_before
from orchestrator.providers.wire import check_size, md5_of, open_to_send

JOBS_PATH: Final = "/fine_tuning/jobs"
MODERATION_MODEL: Final = "omni-moderation-latest"


def connector(http: httpx2.AsyncClient, redact: Redactor) -> Connect:
    """How accounts of these dialects are connected: one HTTP client, a key each, none from the environment."""
    read, sdk = reader(http), sdk_of(http)
    md5s = Hashes(md5_of)

    def connect(account: Account, key: Secret) -> OpenAIProvider:
        dialect = DIALECTS[account.provider].at_server_of(account)
        address = account.base_url or dialect.base_url or ""
        calls = Calls(read, sdk, account, base_url=address, key=key, redact=redact, codes=dialect.codes)
        return OpenAIProvider(account, dialect, calls, md5s)

    return connect


class OpenAIProvider:
    """One account at OpenAI or at a server that speaks its API."""

    __slots__ = ("_account", "_calls", "_dialect", "_md5s")

    def __init__(self, account: Account, dialect: Dialect, calls: Calls, md5s: Hashes[FileToSend]) -> None:
        self._account = account
        self._dialect = dialect
        self._calls = calls
        self._md5s = md5s

    @property
    def capabilities(self) -> Capabilities:
        return self._dialect.capabilities

    async def verify(self) -> Identity:
        async with self._calls.reading():
            answer = await self._calls.get("/models")
            self._calls.decode(MODELS, answer, "/models")
        return Identity(organization=name_of(answer.headers.get("openai-organization")))

    async def find_model(self, name: str) -> RemoteModel | None:
        try:
            async with self._calls.reading():
                return model_of(await self._calls.get_decoded(MODEL, f"/models/{_part(name)}"))
        except RemoteMissing:
            return None

    async def list_models(self) -> list[str]:
        try:
            return [model.id async for model in self._calls.pages("/models", MODELS, usually_whole=True)]
        except RemoteMissing:
            return []

    async def find_file(self, wanted: FileToSend) -> RemoteFile | None:
        candidates = [
            file_of(file)
            async for file in self._calls.pages("/files", FILES, {"purpose": "fine-tune"})
            if file.filename == wanted.filename and file.bytes in (None, wanted.wire_bytes)  # None: not known yet
        ]
        usable = [file for file in candidates if file.status not in {FileStatus.REFUSED, FileStatus.GONE}]
        return min(usable, key=lambda file: file.status is not FileStatus.READY, default=None)

    async def upload_file(self, wanted: FileToSend, deadline: Deadline) -> RemoteFile:
        check_size(wanted, self.capabilities, self._account.name)
        if goes_in_parts(wanted.wire_bytes, self.capabilities):
            return await self._upload_in_parts(wanted, deadline)
        async with self._calls.creating(deadline):
            with open_to_send(wanted) as handle:
                answer = await self._calls.sdk.files.with_raw_response.create(
                    file=(wanted.filename, handle, "application/jsonl"),
                    purpose="fine-tune",
                    timeout=max(deadline.left, 1.0),
                    extra_headers=self._calls.headers,
                )
                return file_of(self._calls.decode(FILE, answer, "/files"))

    async def get_file(self, file_id: str) -> RemoteFile:
        async with self._calls.reading():
            path = f"/files/{_part(file_id)}"
            file = await self._calls.get_decoded(FILE, path)
            check_id(file_id, file.id, path)
            return file_of(file)

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        # Not every compatible server honours the filter, so it is applied again here. Where metadata may be ignored
        # the server is asked for all jobs, since a filter on what it does not keep would hide ours.
        only_metadata = self._dialect.keeps_metadata and not self._dialect.tags_suffix
        wanted = {f"metadata[{TAG_KEY}]": order.tag} if only_metadata else {}
        listed = [job async for job in self._calls.pages(JOBS_PATH, JOBS, wanted)]
        marked = [job_of(job, self._dialect) for job in listed if carries(job, order)]
        if marked:
            return marked
        show_tag = self._shows_tag(order)
        return pick([(job_of(job, self._dialect), show_tag(job)) for job in listed], order)

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        arguments = creation(order, self._dialect)
        try:
            return await self._create(arguments, deadline)
        except RequestRejected:
            # A refusal created nothing. A server without metadata may refuse the word: the suffix carries the tag.
            if not (self._dialect.carries_tag(order.tag) and arguments.pop("metadata", None)):
                raise
            return await self._create(arguments, deadline)
        except NotReady as error:
            if error.code not in self._dialect.vague or not await self._files_ready(order):
                raise
            raise TemporaryError(
                error.message, account=error.account, request_id=error.request_id, code=error.code
            ) from error

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        async with self._calls.reading():
            path = f"{JOBS_PATH}/{_part(remote_job_id)}"
            answer = await self._calls.get(path)
            job = self._job(answer, path)
            check_id(remote_job_id, job.id, path)
        if job.status is JobStatus.SUCCEEDED and self._dialect.result_is_checkpoint:
            return replace(job, fine_tuned_model=job.fine_tuned_model or await self._last_checkpoint(job.id))
        return job

    async def cancel_job(self, remote_job_id: str) -> RemoteJob:
        async def ask() -> None:
            async with self._calls.reading():
                await self._calls.sdk.fine_tuning.jobs.cancel(remote_job_id, extra_headers=self._calls.headers)

        return await cancelled(ask(), lambda: self.get_job(remote_job_id))

    async def events(self, remote_job_id: str) -> list[RemoteEvent]:
        listed = self._events(remote_job_id)
        return [event_of(event) async for event in listed][::-1]

    async def losses(self, remote_job_id: str, after: int) -> list[Loss]:
        found: list[Loss] = []
        async for event in self._events(remote_job_id):  # newest first
            loss = loss_of(event)
            if loss is not None and loss.step <= after:
                break
            found += [loss] if loss else []
        return found

    async def moderate(self, texts: Sequence[str]) -> list[Verdict]:
        async with self._calls.reading():
            answer = await self._calls.sdk.moderations.create(
                model=MODERATION_MODEL, input=list(texts), extra_headers=self._calls.headers
            )
        return [verdict_of(result) for result in answer.results]

    async def delete_file(self, file_id: str) -> None:
        with suppress(RemoteMissing):
            async with self._calls.reading():
                await self._calls.sdk.files.delete(file_id, extra_headers=self._calls.headers)

    async def cancel_upload(self, upload_id: str) -> None:
        with suppress(RequestRejected):  # it is completed, cancelled, expired or gone
            async with self._calls.reading():
                await self._calls.sdk.uploads.cancel(upload_id, extra_headers=self._calls.headers)

    async def _upload_in_parts(self, wanted: FileToSend, deadline: Deadline) -> RemoteFile:
        """A part may be sent twice without harm; only the end of it all makes a file."""
        try:
            with sending_before(deadline):
                async with self._calls.reading(max(deadline.left, 0)):
                    parts = send_parts(self._calls, wanted, deadline, self._dialect.part_bytes)
                    (upload, resumed), md5 = await asyncio.gather(parts, self._md5s.of(wanted))
            async with self._calls.creating(deadline):
                return file_of(await complete(self._calls, wanted, upload, deadline, resumed=resumed, md5=md5))
        except Unfinished as error:
            raise NotReady(str(error), account=self._account.name) from error

    def _job(self, answer: Answered, path: str) -> RemoteJob:
        return job_of(self._calls.decode(JOB, answer, path), self._dialect, request_id(answer.headers))

    def _shows_tag(self, order: JobOrder) -> Callable[[ShownJob], str | None]:
        """Where a job that was created for this order shows its tag."""
        if not self._dialect.tags_suffix:
            return metadata_of
        return tagged_suffix_of(order) if self._dialect.carries_tag(order.tag) else tag_of

    async def _create(self, arguments: dict[str, Any], deadline: Deadline) -> RemoteJob:
        async with self._calls.creating(deadline):
            create = self._calls.sdk.fine_tuning.jobs.with_raw_response.create
            timeout = max(deadline.left, 1.0)
            answer = await create(**arguments, timeout=timeout, extra_headers=self._calls.headers)
            return self._job(answer, JOBS_PATH)

    async def _files_ready(self, order: JobOrder) -> bool:
        ids = [file_id for file_id in (order.training_file, order.validation_file) if file_id]
        return all([(await self.get_file(file_id)).status is FileStatus.READY for file_id in ids])

    def _events(self, remote_job_id: str) -> AsyncIterator[ShownEvent]:
        return self._calls.pages(f"{JOBS_PATH}/{_part(remote_job_id)}/events", EVENTS)

    async def _last_checkpoint(self, remote_job_id: str) -> str | None:
        saved = self._calls.pages(f"{JOBS_PATH}/{_part(remote_job_id)}/checkpoints", CHECKPOINTS)
        ids = {checkpoint.step_number or 0: checkpoint.id async for checkpoint in saved}
        return ids[max(ids)] if ids else None


def _part(name: str) -> str:
    """An id of the provider's as a part of a path."""
    return quote(name, safe="")
