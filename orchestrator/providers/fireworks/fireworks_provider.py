"""Fireworks' API: datasets, supervised and DPO jobs.

The client chooses every id, so a create that is sent twice creates one object: the second is refused with 409.

Source: the vendor's documentation and its SDK 1.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from typing import Any, Final

import httpx2

from orchestrator.core.account import Account, AccountIdentity, ProviderName
from orchestrator.core.capabilities import Capabilities
from orchestrator.core.dataset import short_tag
from orchestrator.core.errors import (
    ProviderError,
    QuotaExhausted,
    RemoteNotFound,
    TrainingNotAllowed,
    UnknownOutcome,
    WrongOrganization,
)
from orchestrator.core.inference import ChatQuestion, ChatReply, ModelAddress, OptionalParameter
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.remote import (
    RemoteFile,
    RemoteFileStatus,
    RemoteJob,
    RemoteJobStatus,
    RemoteModel,
)
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import Method
from orchestrator.providers.base import DatasetFile, Deadline, JobOrder, ProviderDefaults, ProviderFactory
from orchestrator.providers.chat.openai_chat import FIREWORKS_CHAT, ask_openai_model
from orchestrator.providers.fireworks.deployments import FireworksDeployments
from orchestrator.providers.fireworks.responses import (
    ACCOUNT_DECODER,
    DATASET_DECODER,
    JOB_DECODER,
    MODEL_DECODER,
    FireworksDataset,
    FireworksDate,
    FireworksJob,
    FireworksStatus,
)
from orchestrator.providers.http.api_client import UnsuccessfulResponse
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.response_decoder import (
    check_id,
    name_or_none,
    number_or_none,
    parse_hyperparameters,
    text_or_none,
)
from orchestrator.providers.http.rest_client import RestClient, epoch_from_iso
from orchestrator.providers.http.status_errors import ErrorCodes
from orchestrator.providers.tagging import tagged_suffix
from orchestrator.providers.upload_stream import check_upload_size, open_upload_stream

INFO: Final = PROVIDERS[ProviderName.FIREWORKS]
MAX_DIRECT_UPLOAD_BYTES: Final = 150_000_000  # larger files are sent to a signed address
MAX_RESOURCE_ID_LENGTH: Final = 60
MAX_MODEL_PAGES: Final = 10  # of 200 names each; a list may announce another page forever
ERROR_CODES: Final[ErrorCodes] = {"412": QuotaExhausted}  # a suspended account
JOB_STATUS: Final[Mapping[str, RemoteJobStatus]] = {
    "CREATING": RemoteJobStatus.PENDING,
    "PENDING": RemoteJobStatus.PENDING,
    "VALIDATING": RemoteJobStatus.PENDING,
    "CREATING_INPUT_DATASET": RemoteJobStatus.PENDING,
    "RE_QUEUEING": RemoteJobStatus.PENDING,
    "IDLE": RemoteJobStatus.PENDING,
    "RUNNING": RemoteJobStatus.RUNNING,
    "WRITING_RESULTS": RemoteJobStatus.RUNNING,
    "PAUSED": RemoteJobStatus.PAUSED,
    "CANCELLING": RemoteJobStatus.CANCELLING,
    "COMPLETED": RemoteJobStatus.SUCCEEDED,
    "EARLY_STOPPED": RemoteJobStatus.SUCCEEDED,
    "FAILED": RemoteJobStatus.FAILED,
    "EXPIRED": RemoteJobStatus.FAILED,
    "CANCELLED": RemoteJobStatus.CANCELLED,
    "DELETING": RemoteJobStatus.CANCELLED,
    "DELETING_CLEANING_UP": RemoteJobStatus.CANCELLED,
}
JOB_RESOURCE_TYPES: Final[Mapping[Method, str]] = {"supervised": "supervisedFineTuningJob", "dpo": "dpoJob"}
HYPERPARAMETER_NAMES: Final[Mapping[str, str]] = {
    "epochs": "n_epochs",
    "batch_size_samples": "batch_size",
    "learning_rate": "learning_rate",
    "lora_rank": "lora_rank",
    "max_context_length": "context_length",
}


def build_provider_factory(http: HttpClient, redact: Redactor) -> ProviderFactory:
    """Build the factory for accounts at Fireworks. Their `organization` is the account's id there."""

    def connect(account: Account, key: Secret) -> FireworksProvider:
        base_url = account.base_url or INFO.default_base_url or ""
        return FireworksProvider(
            account, RestClient(http, base_url, key=key, account=account.name, redact=redact, error_codes=ERROR_CODES)
        )

    return connect


class FireworksProvider(FireworksDeployments, ProviderDefaults):
    """One account at Fireworks. The ids of files and jobs are complete resource names."""

    capabilities: Capabilities = INFO.capabilities

    async def verify(self) -> AccountIdentity:
        try:
            async with self._client.read_call():
                found = await self._client.get_decoded(ACCOUNT_DECODER, f"/{self._account_path}")
        except (RemoteNotFound, TrainingNotAllowed) as error:
            raise WrongOrganization(
                f"the key may not see {self._account_path}: {error.message}",
                account=self._account.name,
                request_id=error.request_id,
            ) from error
        suspended = text_or_none(found.suspend_state) or "UNSUSPENDED"
        if suspended != "UNSUSPENDED":
            kind = TrainingNotAllowed if "ABUSE" in suspended else QuotaExhausted
            raise kind(f"the account is suspended: {suspended}", account=self._account.name)
        return AccountIdentity(organization=found.name.removeprefix("accounts/"))

    async def find_model(self, name: str) -> RemoteModel | None:
        try:
            async with self._client.read_call():
                found = await self._client.get_decoded(MODEL_DECODER, f"/{name}")
                return RemoteModel(id=found.name, tunable=found.tunable, shutdown=_to_date(found.deprecation_date))
        except RemoteNotFound:
            return None

    async def list_models(self) -> list[str]:
        """Return the models that Fireworks offers for tuning, without the account's own."""
        names: list[str] = []
        query = {"filter": "tunable=true", "pageSize": "200"}
        for _ in range(MAX_MODEL_PAGES):
            try:
                async with self._client.read_call():
                    page = await self._client.get_json("/accounts/fireworks/models", **query)
                    names += [known for model in page.get("models") or [] if (known := name_or_none(model["name"]))]
            except RemoteNotFound:
                return []
            if not page.get("nextPageToken"):
                break
            query["pageToken"] = page["nextPageToken"]
        return names

    async def find_file(self, dataset_file: DatasetFile) -> RemoteFile | None:
        """Return only a READY dataset: one without its bytes looks like one that is being checked."""
        try:
            file = await self.get_file(self._dataset_name(dataset_file))
        except RemoteNotFound:
            return None
        return file if file.status is RemoteFileStatus.READY else None

    async def upload_file(self, dataset_file: DatasetFile, deadline: Deadline) -> RemoteFile:
        check_upload_size(dataset_file, self.capabilities, self._account.name)
        name = self._dataset_name(dataset_file)
        async with self._client.write_call(deadline):
            dataset = {"exampleCount": str(dataset_file.examples), "userUploaded": {}}
            body = {"datasetId": name.rpartition("/")[2], "dataset": dataset}
            try:
                await self._client.post_json(f"/{self._account_path}/datasets", body)
            except UnsuccessfulResponse as refusal:
                if refusal.status != httpx2.codes.CONFLICT:
                    raise
            await (
                self._upload if dataset_file.wire_bytes <= MAX_DIRECT_UPLOAD_BYTES else self._upload_to_signed_url
            )(name, dataset_file)
        return await self.get_file(name)

    async def get_file(self, file_id: str) -> RemoteFile:
        async with self._client.read_call():
            file = await self._client.get_decoded(DATASET_DECODER, f"/{file_id}")
            check_id(file_id, file.name, f"/{file_id}")
            return _to_remote_file(file)

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        try:
            return [await self.get_job(self._job_name(order))]
        except RemoteNotFound:
            return []

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        name, kind = self._job_name(order), JOB_RESOURCE_TYPES[order.spec.method]
        async with self._client.write_call(deadline):
            try:
                path, ours = f"/{self._account_path}/{kind}s", {f"{kind}Id": name.rpartition("/")[2]}
                made = await self._client.post_decoded(JOB_DECODER, path, self._build_job_body(order), **ours)
            except UnsuccessfulResponse as refusal:
                if refusal.status != httpx2.codes.CONFLICT:
                    raise
            else:
                return self._to_remote_job(made)
        return await self._get_existing_job(name)

    async def _get_existing_job(self, name: str) -> RemoteJob:
        """Return the job that exists already according to a refused create. Raises UnknownOutcome if that fails."""
        try:
            return await self.get_job(name)
        except ProviderError as error:
            raise UnknownOutcome(
                f"the job exists already and cannot be read: {error.message}",
                account=self._account.name,
                request_id=error.request_id,
            ) from error

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        async with self._client.read_call():
            job = await self._client.get_decoded(JOB_DECODER, f"/{remote_job_id}")
            check_id(remote_job_id, job.name, f"/{remote_job_id}")
            return self._to_remote_job(job)

    async def _send_cancel(self, remote_job_id: str) -> None:
        async with self._client.read_call():
            await self._client.post_json(f"/{remote_job_id}:cancel", {})

    async def ask(
        self, address: ModelAddress, question: ChatQuestion, left_out: frozenset[OptionalParameter] | None
    ) -> ChatReply:
        return await ask_openai_model(self._client, address, question, FIREWORKS_CHAT, left_out)

    async def delete_file(self, file_id: str) -> None:
        with suppress(RemoteNotFound):
            async with self._client.read_call():
                await self._client.send("DELETE", f"/{file_id}")

    async def _upload(self, name: str, dataset_file: DatasetFile) -> None:
        with open_upload_stream(dataset_file) as handle:
            files = {"file": (dataset_file.filename, handle, "application/jsonl")}
            await self._client.send("POST", f"/{name}:upload", files=files, timeout=None)

    async def _upload_to_signed_url(self, name: str, dataset_file: DatasetFile) -> None:
        size = str(dataset_file.wire_bytes)
        signed = await self._client.post_json(
            f"/{name}:getUploadEndpoint", {"filenameToSize": {dataset_file.filename: size}}
        )
        headers = {"content-type": "application/octet-stream", "x-goog-content-length-range": f"{size},{size}"}
        await self._client.put_file(str(signed["filenameToSignedUrls"][dataset_file.filename]), dataset_file, headers)
        await self._client.post_json(f"/{name}:validateUpload", {})

    def _dataset_name(self, dataset_file: DatasetFile) -> str:
        """Return the dataset's resource name, which must begin with a letter."""
        return f"{self._account_path}/datasets/{dataset_file.filename.removesuffix('.jsonl').lower()}"

    def _job_name(self, order: JobOrder) -> str:
        return f"{self._account_path}/{JOB_RESOURCE_TYPES[order.spec.method]}s/orchestrator-{short_tag(order.tag)}"

    def _build_job_body(self, order: JobOrder) -> dict[str, Any]:
        spec = order.spec
        model = f"ft-{tagged_suffix(order, MAX_RESOURCE_ID_LENGTH - 3)}".lower().replace("_", "-")
        values = {
            "baseModel": spec.base_model,
            "outputModel": f"{self._account_path}/models/{model}",
            "epochs": None if spec.n_epochs == "auto" else spec.n_epochs,
            "batchSizeSamples": None if spec.batch_size == "auto" else spec.batch_size,
            "learningRate": spec.learning_rate,
            "loraRank": spec.lora_rank,
            "maxContextLength": spec.context_length,
        }
        training = {name: value for name, value in values.items() if value is not None}
        body = {"dataset": order.training_file, "displayName": model}
        if spec.method == "dpo":  # has no dataset for evaluation
            return body | {"trainingConfig": training}
        return body | training | ({"evaluationDataset": order.validation_file} if order.validation_file else {})

    def _to_remote_job(self, job: FireworksJob) -> RemoteJob:
        status = JOB_STATUS.get(job.state.removeprefix("JOB_STATE_"), RemoteJobStatus.UNKNOWN)
        said, training = job.status or FireworksStatus(), job.training_config or job
        failed = status is RemoteJobStatus.FAILED
        used = parse_hyperparameters(
            {ours: getattr(training, theirs) for theirs, ours in HYPERPARAMETER_NAMES.items()}
        )
        return RemoteJob(
            id=job.name,
            status=status,
            raw_status=job.state,
            training_file=job.dataset or "",
            base_model=training.base_model or "",
            fine_tuned_model=(training.output_model or None) if status is RemoteJobStatus.SUCCEEDED else None,
            servable=self.capabilities.servable,
            error_code=str(said.code) if failed and said.code is not None else None,
            error_message=text_or_none(said.message) if failed else None,
            organization=self._account.organization,
            created_at=epoch_from_iso(job.create_time),
            progress=_parse_progress(job.job_progress),
            quoted_usd=_parse_usd(job.estimated_cost),
            hyperparameters=used,
        )


def _to_date(day: FireworksDate | None) -> date | None:
    return date(day.year, day.month, day.day) if day else None


def _parse_progress(progress: object) -> float | None:
    percent = number_or_none(progress.get("percent")) if isinstance(progress, dict) else None
    return None if percent is None else min(max(percent / 100, 0.0), 1.0)


def _parse_usd(cost: object) -> float | None:
    """Parse an amount, which has units as text and billionths beside them; None for other currencies than USD."""
    if not isinstance(cost, dict) or cost.get("currencyCode") != "USD":
        return None
    try:
        return number_or_none(float(cost.get("units", 0)) + float(cost.get("nanos", 0)) / 1e9)
    except (ValueError, TypeError, OverflowError):
        return None


def _to_remote_file(file: FireworksDataset) -> RemoteFile:
    """Convert a dataset. It has no state for a refusal: its status then has an error code."""
    raw, said = file.state, file.status or FireworksStatus()
    status = RemoteFileStatus.READY if raw == "READY" else RemoteFileStatus.PROCESSING
    if said.code not in (None, 0, "OK"):
        status, raw = RemoteFileStatus.REFUSED, str(said.code)
    return RemoteFile(
        id=file.name,
        status=status,
        raw_status=raw,
        message=text_or_none(said.message),
        filename=f"{file.name.rpartition('/')[2]}.jsonl",
    )
