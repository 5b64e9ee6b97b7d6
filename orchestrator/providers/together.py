"""Together: files and fine-tunes of its own API.

Source: the published OpenAPI document and the vendor's SDK 3.1.1, which is newer and wins where they differ: files
have a `processing_status`, an estimate may be unavailable, `whoami` is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import httpx2

from orchestrator.core.account import Account, Identity, ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities
from orchestrator.core.errors import QuotaExhausted, RemoteMissing, RequestRejected
from orchestrator.core.loss import MOST_POINTS, Loss, loss_at
from orchestrator.core.price import Quote
from orchestrator.core.remote import FileStatus, JobStatus, RemoteEvent, RemoteFile, RemoteJob, RemoteModel
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.providers.answers import check_id, count_of, hyperparameters_of, text_of
from orchestrator.providers.base import Connect, Deadline, FileToSend, JobOrder
from orchestrator.providers.cancelling import cancelled
from orchestrator.providers.failures import Codes
from orchestrator.providers.rest import Refusal, Rest, epoch
from orchestrator.providers.tagging import pick, tagged_suffix
from orchestrator.providers.together_answers import (
    ESTIMATE,
    EVENTS,
    FILE,
    FILES,
    JOB,
    JOBS,
    LIMITS,
    METRICS,
    WHO_AM_I,
    TogetherFile,
    TogetherJob,
)
from orchestrator.providers.wire import check_size, open_to_send

BASE_URL: Final = "https://api.together.ai/v1"
CODES: Final[Codes] = {"insufficient_quota": QuotaExhausted, "insufficient_funds": QuotaExhausted}
PENDING: Final = "PENDING"
FILE_STATUS: Final[Mapping[str, FileStatus]] = {
    "COMPLETED": FileStatus.READY,
    "FAILED": FileStatus.REFUSED,
    "INVALID_FORMAT": FileStatus.REFUSED,
}
JOB_STATUS: Final[Mapping[str, JobStatus]] = {
    "pending": JobStatus.PENDING,
    "queued": JobStatus.PENDING,
    "running": JobStatus.RUNNING,
    "compressing": JobStatus.RUNNING,
    "uploading": JobStatus.RUNNING,
    "cancel_requested": JobStatus.CANCELLING,
    "cancelled": JobStatus.CANCELLED,
    "error": JobStatus.FAILED,
    "user_error": JobStatus.FAILED,
    "completed": JobStatus.SUCCEEDED,
}
USED: Final = ("n_epochs", "batch_size", "learning_rate", "random_seed", "training_type", "max_seq_length")
STEP: Final = "train/global_step"
NOT_THERE: Final = frozenset({404, 405})


def connector(http: httpx2.AsyncClient, redact: Redactor) -> Connect:
    """How accounts at Together are connected."""

    def connect(account: Account, key: Secret) -> TogetherProvider:
        base_url = (account.base_url or BASE_URL).rstrip("/")

        def rest(url: str) -> Rest:
            return Rest(http, url, key=key, account=account.name, redact=redact, codes=CODES)

        return TogetherProvider(account, rest(base_url), rest(base_url.removesuffix("/v1")))

    return connect


class TogetherProvider:
    """One account at Together. `whole` reaches the API's other versions."""

    capabilities: Capabilities = CAPABILITIES[ProviderName.TOGETHER]

    def __init__(self, account: Account, rest: Rest, whole: Rest) -> None:
        self._account = account
        self._rest = rest
        self._whole = whole

    async def verify(self) -> Identity:
        try:
            async with self._whole.reading():
                who = await self._whole.get_decoded(WHO_AM_I, "/v3/whoami")
        except RemoteMissing:  # the SDK says v3, other documents say v1
            async with self._rest.reading():
                who = await self._rest.get_decoded(WHO_AM_I, "/whoami")
        return Identity(
            organization=who.organization.id if who.organization else None,
            project=who.project.id if who.project else None,
        )

    async def find_model(self, name: str) -> RemoteModel | None:
        """What has limits for fine-tuning can be tuned; nothing here says until when."""
        try:
            async with self._rest.reading():
                limits = await self._rest.get_decoded(LIMITS, "/fine-tunes/models/limits", model_name=name)
                return RemoteModel(id=limits.model_name, tunable=True)
        except RemoteMissing:
            return None

    async def list_models(self) -> list[str]:
        """What can be fine-tuned."""
        try:
            async with self._rest.reading():
                return [str(name) for name in (await self._rest.get("/fine-tunes/models/supported"))["models"]]
        except RemoteMissing:
            return []

    async def find_file(self, wanted: FileToSend) -> RemoteFile | None:
        async with self._rest.reading():
            listed = await self._rest.list_items(FILES, "/files")
        same = [_file(file) for file in listed if _same(file, wanted)]
        # One whose upload was cut off stays PENDING for ever: uploading it again ends it, or answers 409.
        usable = [file for file in same if file.status is not FileStatus.REFUSED and file.raw != PENDING]
        return min(usable, key=lambda file: file.status is not FileStatus.READY, default=None)

    async def upload_file(self, wanted: FileToSend, deadline: Deadline) -> RemoteFile:
        """Straight into the provider's storage, or as a form where the server does not redirect there."""
        check_size(wanted, self.capabilities, self._account.name)
        async with self._rest.creating(deadline):
            try:
                return _file(await self._upload(wanted))
            except Refusal as refusal:
                known = refusal.body().get("file_id") if refusal.status == httpx2.codes.CONFLICT else None
                if known is None:
                    raise
                return _file(await self._preprocess(str(known)))

    async def get_file(self, file_id: str) -> RemoteFile:
        async with self._rest.reading():
            path = f"/files/{file_id}"
            file = await self._rest.get_decoded(FILE, path)
            check_id(file_id, file.id, path)
            return _file(file)

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        async with self._rest.reading():
            listed = await self._rest.list_items(JOBS, "/fine-tunes")
            candidates = [(self._job(job), job.suffix or None) for job in listed]
        return pick(candidates, order)

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        await self._check_funds(order)
        async with self._rest.creating(deadline):
            suffix = tagged_suffix(order, self.capabilities.suffix_length)
            body = _asked(order) | _hyperparameters(order.spec) | {"suffix": suffix}
            return self._job(await self._rest.post_decoded(JOB, "/fine-tunes", body))

    async def quote(self, order: JobOrder) -> Quote | None:
        spec = _hyperparameters(order.spec)
        asked = {name: spec[name] for name in ("n_epochs", "training_method", "training_type") if name in spec}
        try:
            async with self._rest.reading():
                told = await self._rest.post_decoded(ESTIMATE, "/fine-tunes/estimate-price", _asked(order) | asked)
        except RequestRejected:
            return None  # no estimate, which is no reason against the job
        usd = told.estimated_total_price
        refused = told.allowed_to_proceed is False
        why = f"the provider estimates ${usd} and the account's limit is ${told.user_limit}"
        return Quote(usd, "together's estimate", why if refused else None) if usd is not None or refused else None

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        async with self._rest.reading():
            path = f"/fine-tunes/{remote_job_id}"
            job = await self._rest.get_decoded(JOB, path)
            check_id(remote_job_id, job.id, path)
            return self._job(job)

    async def cancel_job(self, remote_job_id: str) -> RemoteJob:
        async def ask() -> None:
            async with self._rest.reading():
                await self._rest.post(f"/fine-tunes/{remote_job_id}/cancel", {})

        return await cancelled(ask(), lambda: self.get_job(remote_job_id))

    async def events(self, remote_job_id: str) -> list[RemoteEvent]:
        async with self._rest.reading():
            listed = await self._rest.list_items(EVENTS, f"/fine-tunes/{remote_job_id}/events")
        told = [
            RemoteEvent(at=epoch(event.created_at) or 0.0, message=text_of(event.message) or "") for event in listed
        ]
        return sorted(told, key=lambda event: event.at)

    async def losses(self, remote_job_id: str, after: int) -> list[Loss]:
        """Steps of training and of evaluation come apart."""
        asked = {"global_step_from": str(after + 1), "resolution": str(MOST_POINTS)}
        async with self._rest.reading():
            told = await self._rest.get_decoded(METRICS, f"/fine-tunes/{remote_job_id}/metrics", **asked)
        rows = told.metrics or []
        losses = [loss_at(row.get(STEP), row.get("train/loss"), row.get("eval/loss")) for row in rows]
        return [loss for loss in losses if loss]

    async def delete_file(self, file_id: str) -> None:
        with suppress(RemoteMissing):
            async with self._rest.reading():
                await self._rest.send("DELETE", f"/files/{file_id}")

    async def _upload(self, wanted: FileToSend) -> TogetherFile:
        form = {"purpose": "fine-tune", "file_name": wanted.filename, "file_type": "jsonl"}
        fields = {name: (None, value) for name, value in (form | {"checksum": wanted.sha256}).items()}
        try:
            answer = await self._rest.send("POST", "/files", files=fields, expect=httpx2.codes.FOUND)
        except Refusal as refusal:
            if refusal.status not in NOT_THERE:
                raise
            with open_to_send(wanted) as handle:
                files = {"file": (wanted.filename, handle, "application/jsonl")}
                return await self._rest.send_decoded(
                    FILE, "POST", "/files/upload", data=form, files=files, timeout=None
                )
        file_id = answer.headers["x-together-file-id"]
        await self._rest.put_file(answer.headers["location"], wanted)
        return await self._preprocess(file_id)

    async def _preprocess(self, file_id: str) -> TogetherFile:
        """The end of an upload. An older server does it by itself and does not know the word."""
        try:
            return await self._rest.post_decoded(FILE, f"/files/{file_id}/preprocess", {})
        except Refusal as refusal:
            if refusal.status not in NOT_THERE:
                raise
            return await self._rest.get_decoded(FILE, f"/files/{file_id}")

    async def _check_funds(self, order: JobOrder) -> None:
        """A refusal here has created nothing."""
        quote = await self.quote(order)
        if quote and quote.refused:
            raise QuotaExhausted(quote.refused, account=self._account.name)

    def _job(self, job: TogetherJob) -> RemoteJob:
        status = JOB_STATUS.get(job.status, JobStatus.UNKNOWN)
        used = hyperparameters_of({name: getattr(job, name) for name in USED})
        return RemoteJob(
            id=job.id,
            status=status,
            raw=job.status,
            training_file=job.training_file or "",
            base_model=job.model or "",
            fine_tuned_model=(job.model_output_name or None) if status is JobStatus.SUCCEEDED else None,
            servable=self.capabilities.servable,
            error_message=_last_error(job.events) if status is JobStatus.FAILED else None,
            trained_tokens=count_of(job.token_count) or None,
            created_at=epoch(job.created_at),
            hyperparameters=used,
        )


def _last_error(events: object) -> str | None:
    told = [event for event in events if isinstance(event, dict)] if isinstance(events, list) else []
    errors = [text_of(event.get("message")) for event in told if event.get("level") == "error"]
    return errors[-1] if errors else None


def _same(file: TogetherFile, wanted: FileToSend) -> bool:
    return file.filename == wanted.filename and file.bytes in (None, wanted.wire_bytes)  # None: not known yet


def _file(file: TogetherFile) -> RemoteFile:
    raw = file.processing_status or ("COMPLETED" if file.processed else PENDING)
    return RemoteFile(
        id=file.id,
        status=FILE_STATUS.get(raw, FileStatus.PROCESSING),
        raw=raw,
        message=text_of(file.validation_report.get("error")) if isinstance(file.validation_report, dict) else None,
        filename=text_of(file.filename),
        bytes=file.bytes or None,  # 0 before its bytes were counted
    )


def _asked(order: JobOrder) -> dict[str, Any]:
    asked = {"model": order.spec.base_model, "training_file": order.training_file}
    return asked | ({"validation_file": order.validation_file} if order.validation_file else {})


def _hyperparameters(spec: TrainingSpec) -> dict[str, Any]:
    """The spec in this provider's words; what it leaves open is left out."""
    dpo = spec.method == "dpo"
    values = {
        "n_epochs": None if spec.n_epochs == "auto" else spec.n_epochs,
        "batch_size": "max" if spec.batch_size == "auto" else spec.batch_size,
        "learning_rate": spec.learning_rate,
        "max_seq_length": spec.context_length,
        "random_seed": spec.seed,
        "training_method": {"method": "dpo"} if dpo else {"method": "sft", "train_on_inputs": "auto"},
        "training_type": _training_type(spec),
    }
    return {name: value for name, value in values.items() if value is not None}


def _training_type(spec: TrainingSpec) -> dict[str, Any] | None:
    """LoRA is the provider's default; its rank and alpha are only said together."""
    if spec.lora is False:
        return {"type": "Full"}
    if spec.lora_rank is None:
        return None
    return {"type": "Lora", "lora_r": spec.lora_rank, "lora_alpha": spec.lora_alpha or 2 * spec.lora_rank}
