"""The OpenAI dialect: files, fine-tuning jobs, cancel. Also spoken by any OpenAI-compatible server.

Source: the OpenAI API reference and the published OpenAPI document; what was tried is said where it matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypedDict

import httpx2
import openai
from openai.types import FileObject
from openai.types.fine_tuning import FineTuningJob

from orchestrator.core.account import Account, Identity
from orchestrator.core.errors import (
    AuthenticationFailed,
    NotReady,
    ProviderError,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    RemoteMissing,
    RequestRejected,
    SlotsTaken,
    TrainingNotAllowed,
    UnknownOutcome,
    WrongOrganization,
)
from orchestrator.core.remote import FileStatus, JobStatus, RemoteFile, RemoteJob
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.base import Connect, Deadline, FileToSend, JobOrder
from orchestrator.providers.transport import DeadlinePassed, sending_before

OPENAI_URL: Final = "https://api.openai.com/v1"
CALL_SECONDS: Final = 60.0  # a read that takes longer is given up and tried again
PAGE: Final = 100
TAG_KEY: Final = "orchestrator_job"

FILE_STATUS: Final[Mapping[str, FileStatus]] = {
    "uploaded": FileStatus.PROCESSING,
    "pending": FileStatus.PROCESSING,
    "running": FileStatus.PROCESSING,
    "processed": FileStatus.READY,
    "error": FileStatus.REFUSED,
    "deleting": FileStatus.GONE,
    "deleted": FileStatus.GONE,
}
JOB_STATUS: Final[Mapping[str, JobStatus]] = {
    "validating_files": JobStatus.PENDING,
    "pending": JobStatus.PENDING,
    "queued": JobStatus.PENDING,
    "running": JobStatus.RUNNING,
    "paused": JobStatus.PAUSED,
    "cancelling": JobStatus.CANCELLING,
    "succeeded": JobStatus.SUCCEEDED,
    "failed": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELLED,
}
BY_CODE: Final[Mapping[str | None, type[ProviderError]]] = {
    "insufficient_quota": QuotaExhausted,
    "mismatched_organization": WrongOrganization,
    "mismatched_project": WrongOrganization,
    "file_not_ready": NotReady,
    "invalidPayload": NotReady,
    "too_many_running_jobs": SlotsTaken,
}
BY_STATUS: Final[Mapping[int, type[ProviderError]]] = {
    401: AuthenticationFailed,
    403: TrainingNotAllowed,
    404: RemoteMissing,
    408: ProviderUnavailable,
    409: ProviderUnavailable,
    429: RateLimited,
}


def connector(http: httpx2.AsyncClient, redact: Redactor) -> Connect:
    """How accounts of this dialect are connected: one HTTP client, a key each, none from the environment."""
    base = openai.AsyncOpenAI(api_key="unused", base_url=OPENAI_URL, http_client=http, max_retries=0)

    def connect(account: Account, key: Secret) -> OpenAIProvider:
        client = base.with_options(api_key=key.reveal(), base_url=account.base_url or OPENAI_URL, max_retries=0)
        # Set, not passed: the SDK takes OPENAI_ORG_ID and OPENAI_PROJECT_ID of the environment for a missing one.
        client.organization, client.project = account.organization, account.project
        return OpenAIProvider(account, client, redact)

    return connect


class OpenAIProvider:
    """One account at OpenAI or at a compatible server."""

    def __init__(self, account: Account, client: openai.AsyncOpenAI, redact: Redactor) -> None:
        self._account = account
        self._client = client
        self._redact = redact

    async def verify(self) -> Identity:
        async with self._reading():
            answer = await self._client.models.with_raw_response.list()
        return Identity(organization=answer.headers.get("openai-organization") or None)

    async def find_file(self, wanted: FileToSend) -> RemoteFile | None:
        candidates = [
            _file(file)
            async for file in self._pages(
                lambda after: self._client.files.list(purpose="fine-tune", limit=PAGE, after=after)
            )
            if file.filename == wanted.filename and file.bytes == wanted.bytes
        ]
        usable = [file for file in candidates if file.status in {FileStatus.PROCESSING, FileStatus.READY}]
        return min(usable, key=lambda file: file.status is not FileStatus.READY, default=None)

    async def upload_file(self, wanted: FileToSend, deadline: Deadline) -> RemoteFile:
        async with self._creating(deadline):
            with wanted.path.open("rb") as handle:  # its own: the encoder seeks, a shared one corrupts
                return _file(
                    await self._client.files.create(
                        file=(wanted.filename, handle, "application/jsonl"),
                        purpose="fine-tune",
                        timeout=max(deadline.left, 1.0),
                    )
                )

    async def get_file(self, file_id: str) -> RemoteFile:
        async with self._reading():
            return _file(await self._client.files.retrieve(file_id))

    async def find_jobs(self, tag: str) -> list[RemoteJob]:
        # Not every compatible server honours the filter, so it is applied again here.
        return [
            _job(job)
            async for job in self._pages(
                lambda after: self._client.fine_tuning.jobs.list(metadata={TAG_KEY: tag}, limit=PAGE, after=after)
            )
            if (job.metadata or {}).get(TAG_KEY) == tag
        ]

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        async with self._creating(deadline):
            return _job(
                await self._client.fine_tuning.jobs.create(
                    model=order.spec.base_model,
                    training_file=order.training_file,
                    validation_file=order.validation_file or openai.omit,
                    suffix=order.spec.suffix or openai.omit,
                    seed=openai.omit if order.spec.seed is None else order.spec.seed,
                    method=_method(order.spec),
                    metadata={TAG_KEY: order.tag},
                    timeout=max(deadline.left, 1.0),
                )
            )

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        async with self._reading():
            return _job(await self._client.fine_tuning.jobs.retrieve(remote_job_id))

    async def cancel_job(self, remote_job_id: str) -> RemoteJob:
        async with self._reading():
            return _job(await self._client.fine_tuning.jobs.cancel(remote_job_id))

    async def delete_file(self, file_id: str) -> None:
        try:
            async with self._reading():
                await self._client.files.delete(file_id)
        except RemoteMissing:
            return

    async def _pages(self, page: Callable[[Any], Any]) -> AsyncIterator[Any]:
        """Every item of a list. A cursor that comes back is an error here; the SDK's own pager would never end."""
        after: Any = openai.omit
        seen: set[str] = set()
        while True:
            async with self._reading():
                answer = await page(after)
            for item in answer.data:
                yield item
            if not answer.has_more or not answer.data:
                return
            after = answer.data[-1].id
            if after in seen:
                raise ProviderUnavailable(
                    f"the provider's list does not go on after {after}",
                    hint="Report it to the provider: paging repeats itself. It is tried again.",
                    account=self._account.name,
                )
            seen.add(after)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[None]:
        """A call that may be repeated."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                yield
        except (openai.APIError, TimeoutError, ValueError) as error:
            raise self._translate(error) from error

    @asynccontextmanager
    async def _creating(self, deadline: Deadline) -> AsyncIterator[None]:
        """A call that costs or creates something: sent before the deadline, and once."""
        try:
            with sending_before(deadline):
                async with asyncio.timeout(max(deadline.left, 0)):
                    yield
        except (openai.APIError, TimeoutError, ValueError) as error:
            known = self._translate(error)
            if isinstance(error.__cause__, DeadlinePassed):
                raise known from error
            if isinstance(known, ProviderUnavailable):
                raise UnknownOutcome(
                    f"the answer was lost: {known.message}",
                    account=self._account.name,
                    request_id=known.request_id,
                ) from error
            raise known from error

    def _translate(self, error: openai.APIError | TimeoutError | ValueError) -> ProviderError:
        """Every failure of this dialect, as an error of ours. By status and code; never by the message's words."""
        if not isinstance(error, openai.APIStatusError):
            cause = error.__cause__ or error
            text = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
            return ProviderUnavailable(
                self._redact(f"no answer from the provider ({text})"), account=self._account.name
            )
        details: _Details = {
            "account": self._account.name,
            "request_id": error.request_id,
            "code": error.code,
            "retry_after": _retry_after(error),
        }
        message = self._redact(_message(error))
        return _error_class(error.status_code, error.code)(message, **details)


class _Details(TypedDict):
    account: str
    request_id: str | None
    code: str | None
    retry_after: float | None


def _error_class(status: int, code: str | None) -> type[ProviderError]:
    if code in BY_CODE:
        return BY_CODE[code]
    if status >= 500:
        return ProviderUnavailable
    return BY_STATUS.get(status, RequestRejected)


def _retry_after(error: openai.APIStatusError) -> float | None:
    try:
        return float(error.response.headers["retry-after"])
    except (KeyError, ValueError):
        return None


def _message(error: openai.APIStatusError) -> str:
    body = error.body
    said = body.get("message") if isinstance(body, dict) else None
    text = str(said or error.message)
    return f"{error.status_code} {error.code}: {text}" if error.code else f"{error.status_code}: {text}"


def _method(spec: TrainingSpec) -> Any:
    hyperparameters = {
        "n_epochs": spec.n_epochs,
        "batch_size": spec.batch_size,
        "learning_rate_multiplier": spec.learning_rate_multiplier,
    }
    return {"type": spec.method, spec.method: {"hyperparameters": hyperparameters}}


def _file(file: FileObject) -> RemoteFile:
    raw = str(file.status)
    return RemoteFile(
        id=file.id,
        status=FILE_STATUS.get(raw, FileStatus.PROCESSING),
        raw=raw,
        message=file.status_details,
    )


def _job(job: FineTuningJob) -> RemoteJob:
    raw = str(job.status)
    # A healthy job may carry an error object full of nulls: failure is the status, not the presence of an error.
    error = job.error if job.error and (job.error.code or job.error.message) else None
    method = getattr(job.method, str(job.method.type), None) if job.method else None
    used = getattr(method, "hyperparameters", None) or job.hyperparameters
    return RemoteJob(
        id=job.id,
        status=JOB_STATUS.get(raw, JobStatus.UNKNOWN),
        raw=raw,
        training_file=job.training_file,
        base_model=job.model,
        fine_tuned_model=job.fine_tuned_model,
        error_code=error.code if error else None,
        error_message=error.message if error else None,
        organization=job.organization_id or None,
        trained_tokens=job.trained_tokens,
        created_at=job.created_at,
        estimated_finish=job.estimated_finish,
        hyperparameters=used.model_dump(exclude_none=True) if used else {},
        request_id=getattr(job, "_request_id", None),  # an item of a list has none
    )
