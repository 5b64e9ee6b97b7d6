"""Fireworks: datasets, supervised and DPO jobs. We choose every id, so that creating twice creates once.

Source: the vendor's documentation and its SDK 1.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from typing import Any, Final

import httpx2

from orchestrator.core.account import Account, Identity, ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities
from orchestrator.core.errors import (
    ProviderError,
    QuotaExhausted,
    RemoteMissing,
    TrainingNotAllowed,
    UnknownOutcome,
    WrongOrganization,
)
from orchestrator.core.loss import Loss
from orchestrator.core.remote import FileStatus, JobStatus, RemoteEvent, RemoteFile, RemoteJob, RemoteModel
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import Method
from orchestrator.providers.answers import check_id, hyperparameters_of, number_of, text_of
from orchestrator.providers.base import Connect, Deadline, FileToSend, JobOrder
from orchestrator.providers.cancelling import cancelled
from orchestrator.providers.failures import Codes
from orchestrator.providers.fireworks_answers import (
    ACCOUNT,
    DATASET,
    JOB,
    MODEL,
    Day,
    FireworksDataset,
    FireworksJob,
    Status,
)
from orchestrator.providers.rest import Refusal, Rest, epoch
from orchestrator.providers.tagging import short_tag, tagged_suffix
from orchestrator.providers.wire import check_size, open_to_send

BASE_URL: Final = "https://api.fireworks.ai/v1"
DIRECT_BYTES: Final = 150_000_000  # larger files go to an address that is signed for them
NAME_LENGTH: Final = 60
MODEL_PAGES: Final = 10  # of 200 names each; a list that never ends must not be read for ever
CODES: Final[Codes] = {"412": QuotaExhausted}  # a suspended account
JOB_STATUS: Final[Mapping[str, JobStatus]] = {
    "CREATING": JobStatus.PENDING,
    "PENDING": JobStatus.PENDING,
    "VALIDATING": JobStatus.PENDING,
    "CREATING_INPUT_DATASET": JobStatus.PENDING,
    "RE_QUEUEING": JobStatus.PENDING,
    "IDLE": JobStatus.PENDING,
    "RUNNING": JobStatus.RUNNING,
    "WRITING_RESULTS": JobStatus.RUNNING,
    "PAUSED": JobStatus.PAUSED,
    "CANCELLING": JobStatus.CANCELLING,
    "COMPLETED": JobStatus.SUCCEEDED,
    "EARLY_STOPPED": JobStatus.SUCCEEDED,
    "FAILED": JobStatus.FAILED,
    "EXPIRED": JobStatus.FAILED,
    "CANCELLED": JobStatus.CANCELLED,
    "DELETING": JobStatus.CANCELLED,
    "DELETING_CLEANING_UP": JobStatus.CANCELLED,
}
KINDS: Final[Mapping[Method, str]] = {"supervised": "supervisedFineTuningJob", "dpo": "dpoJob"}
USED: Final[Mapping[str, str]] = {
    "epochs": "n_epochs",
    "batch_size_samples": "batch_size",
    "learning_rate": "learning_rate",
    "lora_rank": "lora_rank",
    "max_context_length": "context_length",
}


def connector(http: httpx2.AsyncClient, redact: Redactor) -> Connect:
    """How accounts at Fireworks are connected. Their `organization` is the account's id there."""

    def connect(account: Account, key: Secret) -> FireworksProvider:
        base_url = account.base_url or BASE_URL
        return FireworksProvider(
            account, Rest(http, base_url, key=key, account=account.name, redact=redact, codes=CODES)
        )

    return connect


class FireworksProvider:
    """One account at Fireworks. Files and jobs are known by their whole resource names."""

    capabilities: Capabilities = CAPABILITIES[ProviderName.FIREWORKS]

    def __init__(self, account: Account, rest: Rest) -> None:
        self._account = account
        self._rest = rest
        self._home = f"accounts/{account.organization}"

    async def verify(self) -> Identity:
        try:
            async with self._rest.reading():
                found = await self._rest.get_decoded(ACCOUNT, f"/{self._home}")
        except (RemoteMissing, TrainingNotAllowed) as error:
            raise WrongOrganization(
                f"the key may not see {self._home}: {error.message}",
                account=self._account.name,
                request_id=error.request_id,
            ) from error
        suspended = text_of(found.suspend_state) or "UNSUSPENDED"
        if suspended != "UNSUSPENDED":
            kind = TrainingNotAllowed if "ABUSE" in suspended else QuotaExhausted
            raise kind(f"the account is suspended: {suspended}", account=self._account.name)
        return Identity(organization=found.name.removeprefix("accounts/"))

    async def find_model(self, name: str) -> RemoteModel | None:
        try:
            async with self._rest.reading():
                found = await self._rest.get_decoded(MODEL, f"/{name}")
                return RemoteModel(id=found.name, tunable=found.tunable, shutdown=_date(found.deprecation_date))
        except RemoteMissing:
            return None

    async def list_models(self) -> list[str]:
        """What Fireworks itself offers for tuning; an account's own models are not among them."""
        names: list[str] = []
        query = {"filter": "tunable=true", "pageSize": "200"}
        for _ in range(MODEL_PAGES):
            try:
                async with self._rest.reading():
                    page = await self._rest.get("/accounts/fireworks/models", **query)
                    names += [str(model["name"]) for model in page.get("models") or []]
            except RemoteMissing:
                return []
            if not page.get("nextPageToken"):
                break
            query["pageToken"] = page["nextPageToken"]
        return names

    async def find_file(self, wanted: FileToSend) -> RemoteFile | None:
        """Only what is READY: a dataset without its bytes looks like one that is being checked."""
        try:
            file = await self.get_file(self._dataset(wanted))
        except RemoteMissing:
            return None
        return file if file.status is FileStatus.READY else None

    async def upload_file(self, wanted: FileToSend, deadline: Deadline) -> RemoteFile:
        check_size(wanted, self.capabilities, self._account.name)
        name = self._dataset(wanted)
        async with self._rest.creating(deadline):
            dataset = {"exampleCount": str(wanted.examples), "userUploaded": {}}
            body = {"datasetId": name.rpartition("/")[2], "dataset": dataset}
            try:
                await self._rest.post(f"/{self._home}/datasets", body)
            except Refusal as refusal:
                if refusal.status != httpx2.codes.CONFLICT:
                    raise
            await (self._upload if wanted.wire_bytes <= DIRECT_BYTES else self._upload_signed)(name, wanted)
        return await self.get_file(name)

    async def get_file(self, file_id: str) -> RemoteFile:
        async with self._rest.reading():
            file = await self._rest.get_decoded(DATASET, f"/{file_id}")
            check_id(file_id, file.name, f"/{file_id}")
            return _file(file)

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        try:
            return [await self.get_job(self._job_name(order))]
        except RemoteMissing:
            return []

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        name, kind = self._job_name(order), KINDS[order.spec.method]
        async with self._rest.creating(deadline):
            try:
                path, ours = f"/{self._home}/{kind}s", {f"{kind}Id": name.rpartition("/")[2]}
                made = await self._rest.post_decoded(JOB, path, self._asked(order), **ours)
            except Refusal as refusal:
                if refusal.status != httpx2.codes.CONFLICT:
                    raise
            else:
                return self._job(made)
        return await self._existing(name)

    async def _existing(self, name: str) -> RemoteJob:
        """The job that a refused create said is there already. Raises UnknownOutcome when it cannot be read."""
        try:
            return await self.get_job(name)
        except ProviderError as error:
            raise UnknownOutcome(
                f"the job exists already and cannot be read: {error.message}",
                account=self._account.name,
                request_id=error.request_id,
            ) from error

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        async with self._rest.reading():
            job = await self._rest.get_decoded(JOB, f"/{remote_job_id}")
            check_id(remote_job_id, job.name, f"/{remote_job_id}")
            return self._job(job)

    async def cancel_job(self, remote_job_id: str) -> RemoteJob:
        async def ask() -> None:
            async with self._rest.reading():
                await self._rest.post(f"/{remote_job_id}:cancel", {})

        return await cancelled(ask(), lambda: self.get_job(remote_job_id))

    async def events(self, remote_job_id: str) -> list[RemoteEvent]:
        return []

    async def losses(self, remote_job_id: str, after: int) -> list[Loss]:
        return []

    async def delete_file(self, file_id: str) -> None:
        with suppress(RemoteMissing):
            async with self._rest.reading():
                await self._rest.send("DELETE", f"/{file_id}")

    async def _upload(self, name: str, wanted: FileToSend) -> None:
        with open_to_send(wanted) as handle:
            files = {"file": (wanted.filename, handle, "application/jsonl")}
            await self._rest.send("POST", f"/{name}:upload", files=files, timeout=None)

    async def _upload_signed(self, name: str, wanted: FileToSend) -> None:
        size = str(wanted.wire_bytes)
        signed = await self._rest.post(f"/{name}:getUploadEndpoint", {"filenameToSize": {wanted.filename: size}})
        headers = {"content-type": "application/octet-stream", "x-goog-content-length-range": f"{size},{size}"}
        await self._rest.put_file(str(signed["filenameToSignedUrls"][wanted.filename]), wanted, headers)
        await self._rest.post(f"/{name}:validateUpload", {})

    def _dataset(self, wanted: FileToSend) -> str:
        """The dataset's name: a letter first, then the hash."""
        return f"{self._home}/datasets/{wanted.filename.removesuffix('.jsonl').lower()}"

    def _job_name(self, order: JobOrder) -> str:
        return f"{self._home}/{KINDS[order.spec.method]}s/orchestrator-{short_tag(order.tag)}"

    def _asked(self, order: JobOrder) -> dict[str, Any]:
        spec = order.spec
        model = f"ft-{tagged_suffix(order, NAME_LENGTH - 3)}".lower().replace("_", "-")
        values = {
            "baseModel": spec.base_model,
            "outputModel": f"{self._home}/models/{model}",
            "epochs": None if spec.n_epochs == "auto" else spec.n_epochs,
            "batchSizeSamples": None if spec.batch_size == "auto" else spec.batch_size,
            "learningRate": spec.learning_rate,
            "loraRank": spec.lora_rank,
            "maxContextLength": spec.context_length,
        }
        training = {name: value for name, value in values.items() if value is not None}
        asked = {"dataset": order.training_file, "displayName": model}
        if spec.method == "dpo":  # which has no dataset for evaluation
            return asked | {"trainingConfig": training}
        return asked | training | ({"evaluationDataset": order.validation_file} if order.validation_file else {})

    def _job(self, job: FireworksJob) -> RemoteJob:
        status = JOB_STATUS.get(job.state.removeprefix("JOB_STATE_"), JobStatus.UNKNOWN)
        said, training = job.status or Status(), job.training_config or job
        failed = status is JobStatus.FAILED
        used = hyperparameters_of({ours: getattr(training, theirs) for theirs, ours in USED.items()})
        return RemoteJob(
            id=job.name,
            status=status,
            raw=job.state,
            training_file=job.dataset or "",
            base_model=training.base_model or "",
            fine_tuned_model=(training.output_model or None) if status is JobStatus.SUCCEEDED else None,
            servable=self.capabilities.servable,
            error_code=str(said.code) if failed and said.code is not None else None,
            error_message=text_of(said.message) if failed else None,
            organization=self._account.organization,
            created_at=epoch(job.create_time),
            progress=_share(job.job_progress),
            quoted_usd=_usd(job.estimated_cost),
            hyperparameters=used,
        )


def _date(day: Day | None) -> date | None:
    return date(day.year, day.month, day.day) if day else None


def _share(progress: object) -> float | None:
    percent = number_of(progress.get("percent")) if isinstance(progress, dict) else None
    return None if percent is None else min(max(percent / 100, 0.0), 1.0)


def _usd(cost: object) -> float | None:
    """Units come as text, and nanos beside them; other currencies are not ours to convert."""
    if not isinstance(cost, dict) or cost.get("currencyCode") != "USD":
        return None
    try:
        return number_of(float(cost.get("units") or 0) + float(cost.get("nanos") or 0) / 1e9)
    except (ValueError, TypeError, OverflowError):
        return None


def _file(file: FireworksDataset) -> RemoteFile:
    """A dataset has no state of its own for a refusal: its status says what is wrong."""
    raw, said = file.state, file.status or Status()
    status = FileStatus.READY if raw == "READY" else FileStatus.PROCESSING
    if said.code not in (None, 0, "OK"):
        status, raw = FileStatus.REFUSED, str(said.code)
    return RemoteFile(
        id=file.name,
        status=status,
        raw=raw,
        message=text_of(said.message),
        filename=f"{file.name.rpartition('/')[2]}.jsonl",
    )
