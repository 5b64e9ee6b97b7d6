"""Together's API: files and fine-tunes.

Source: the published OpenAPI document and the vendor's SDK 3.1.1, which is newer and takes precedence where they
differ: files have a `processing_status`, an estimate may be unavailable, `whoami` exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import httpx2

from orchestrator.core.account import Account, AccountIdentity, ProviderName
from orchestrator.core.capabilities import Capabilities
from orchestrator.core.errors import QuotaExhausted, RemoteNotFound, RequestRejected
from orchestrator.core.inference import (
    ChatQuestion,
    ChatReply,
    ModelAddress,
    OptionalParameter,
    ReferenceQuestion,
    ReferenceScore,
)
from orchestrator.core.jobs.checkpoint import Checkpoint
from orchestrator.core.jobs.loss import MAX_CURVE_POINTS, Loss, parse_loss
from orchestrator.core.plans.price import Quote
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
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.text import format_usd
from orchestrator.providers.base import DatasetFile, Deadline, JobOrder, ProviderDefaults, ProviderFactory
from orchestrator.providers.chat.openai_chat import TOGETHER_CHAT, ask_openai_model
from orchestrator.providers.chat.reference_chat import score_echoed_reference
from orchestrator.providers.http.api_client import UnsuccessfulResponse
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.http.response_decoder import (
    check_id,
    count_or_none,
    name_or_none,
    parse_hyperparameters,
    text_or_none,
)
from orchestrator.providers.http.rest_client import RestClient, epoch_from_iso
from orchestrator.providers.http.status_errors import ErrorCodes
from orchestrator.providers.tagging import select_tagged_jobs, tagged_suffix
from orchestrator.providers.together.deployments import TogetherDeployments
from orchestrator.providers.together.model_objects import format_object_id
from orchestrator.providers.together.responses import (
    CHECKPOINT_LIST_DECODER,
    ESTIMATE_DECODER,
    EVENT_LIST_DECODER,
    FILE_DECODER,
    FILE_LIST_DECODER,
    JOB_DECODER,
    JOB_LIST_DECODER,
    LIMITS_DECODER,
    METRICS_DECODER,
    TogetherFile,
    TogetherJob,
)
from orchestrator.providers.upload_stream import check_upload_size, open_upload_stream

INFO: Final = PROVIDERS[ProviderName.TOGETHER]
ERROR_CODES: Final[ErrorCodes] = {"insufficient_quota": QuotaExhausted, "insufficient_funds": QuotaExhausted}
PENDING_FILE_STATUS: Final = "PENDING"
FILE_STATUS: Final[Mapping[str, RemoteFileStatus]] = {
    "COMPLETED": RemoteFileStatus.READY,
    "FAILED": RemoteFileStatus.REFUSED,
    "INVALID_FORMAT": RemoteFileStatus.REFUSED,
}
JOB_STATUS: Final[Mapping[str, RemoteJobStatus]] = {
    "pending": RemoteJobStatus.PENDING,
    "queued": RemoteJobStatus.PENDING,
    "running": RemoteJobStatus.RUNNING,
    "compressing": RemoteJobStatus.RUNNING,
    "uploading": RemoteJobStatus.RUNNING,
    "cancel_requested": RemoteJobStatus.CANCELLING,
    "cancelled": RemoteJobStatus.CANCELLED,
    "error": RemoteJobStatus.FAILED,
    "user_error": RemoteJobStatus.FAILED,
    "completed": RemoteJobStatus.SUCCEEDED,
}
HYPERPARAMETER_FIELDS: Final = (
    "n_epochs",
    "batch_size",
    "learning_rate",
    "random_seed",
    "training_type",
    "max_seq_length",
)
STEP_METRIC: Final = "train/global_step"
NOT_FOUND_STATUSES: Final = frozenset({404, 405})


def build_provider_factory(http: HttpClient, redact: Redactor) -> ProviderFactory:
    """Build the factory for accounts at Together."""

    def connect(account: Account, key: Secret) -> TogetherProvider:
        base_url = (account.base_url or INFO.default_base_url or "").rstrip("/")

        def rest(url: str) -> RestClient:
            return RestClient(http, url, key=key, account=account.name, redact=redact, error_codes=ERROR_CODES)

        return TogetherProvider(account, rest(base_url), rest(base_url.removesuffix("/v1")))

    return connect


class TogetherProvider(TogetherDeployments, ProviderDefaults):
    """One account at Together."""

    capabilities: Capabilities = INFO.capabilities

    async def verify(self) -> AccountIdentity:
        who = await self._read_identity()
        return AccountIdentity(
            organization=who.organization.id if who.organization else None,
            project=who.project.id if who.project else None,
        )

    async def find_model(self, name: str) -> RemoteModel | None:
        """Look the model up by its limits: one that has limits can be tuned. They do not say until when."""
        try:
            async with self._client.read_call():
                limits = await self._client.get_decoded(LIMITS_DECODER, "/fine-tunes/models/limits", model_name=name)
                return RemoteModel(id=limits.model_name, tunable=True)
        except RemoteNotFound:
            return None

    async def list_models(self) -> list[str]:
        """Return the names of the models that can be fine-tuned."""
        try:
            async with self._client.read_call():
                listed = (await self._client.get_json("/fine-tunes/models/supported"))["models"]
                return [known for name in listed if (known := name_or_none(name))]
        except RemoteNotFound:
            return []

    async def find_file(self, dataset_file: DatasetFile) -> RemoteFile | None:
        async with self._client.read_call():
            listed = await self._client.list_items(FILE_LIST_DECODER, "/files")
        same = [_to_remote_file(file) for file in listed if _is_same_file(file, dataset_file)]
        # A file whose upload was interrupted stays PENDING forever: uploading it again completes it or returns 409.
        usable = [
            file
            for file in same
            if file.status is not RemoteFileStatus.REFUSED and file.raw_status != PENDING_FILE_STATUS
        ]
        return min(usable, key=lambda file: file.status is not RemoteFileStatus.READY, default=None)

    async def upload_file(self, dataset_file: DatasetFile, deadline: Deadline) -> RemoteFile:
        """Upload to the provider's storage, or as a form if the server does not redirect there."""
        check_upload_size(dataset_file, self.capabilities, self._account.name)
        async with self._client.write_call(deadline):
            try:
                return _to_remote_file(await self._upload(dataset_file))
            except UnsuccessfulResponse as refusal:
                known = refusal.parse_body().get("file_id") if refusal.status == httpx2.codes.CONFLICT else None
                if known is None:
                    raise
                return _to_remote_file(await self._preprocess(str(known)))

    async def get_file(self, file_id: str) -> RemoteFile:
        async with self._client.read_call():
            path = f"/files/{file_id}"
            file = await self._client.get_decoded(FILE_DECODER, path)
            check_id(file_id, file.id, path)
            return _to_remote_file(file)

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        async with self._client.read_call():
            listed = await self._client.list_items(JOB_LIST_DECODER, "/fine-tunes")
            candidates = [(self._to_remote_job(job), job.suffix or None) for job in listed]
        return select_tagged_jobs(candidates, order)

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        await self._check_funds(order)
        async with self._client.write_call(deadline):
            suffix = tagged_suffix(order, self.capabilities.suffix_length)
            body = _build_job_body(order) | _build_hyperparameters(order.spec) | {"suffix": suffix}
            return self._to_remote_job(await self._client.post_decoded(JOB_DECODER, "/fine-tunes", body))

    async def quote(self, order: JobOrder) -> Quote | None:
        spec = _build_hyperparameters(order.spec)
        options = {name: spec[name] for name in ("n_epochs", "training_method", "training_type") if name in spec}
        try:
            async with self._client.read_call():
                estimate = await self._client.post_decoded(
                    ESTIMATE_DECODER, "/fine-tunes/estimate-price", _build_job_body(order) | options
                )
        except RequestRejected:
            return None  # without an estimate the job may still be created
        usd = estimate.estimated_total_price
        refused = estimate.allowed_to_proceed is False
        why = f"the provider estimates {format_usd(usd)} and the account's limit is {format_usd(estimate.user_limit)}"
        return Quote(usd, "together's estimate", why if refused else None) if usd is not None or refused else None

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        async with self._client.read_call():
            path = f"/fine-tunes/{remote_job_id}"
            job = await self._client.get_decoded(JOB_DECODER, path)
            check_id(remote_job_id, job.id, path)
            return self._to_remote_job(job)

    async def _send_cancel(self, remote_job_id: str) -> None:
        async with self._client.read_call():
            await self._client.post_json(f"/fine-tunes/{remote_job_id}/cancel", {})

    async def events(self, remote_job_id: str) -> list[RemoteEvent]:
        async with self._client.read_call():
            listed = await self._client.list_items(EVENT_LIST_DECODER, f"/fine-tunes/{remote_job_id}/events")
        remote_events = [
            RemoteEvent(at=epoch_from_iso(event.created_at) or 0.0, message=text_or_none(event.message) or "")
            for event in listed
        ]
        return sorted(remote_events, key=lambda event: event.at)

    async def losses(self, remote_job_id: str, after: int) -> list[Loss]:
        """Read the curve, in which training and evaluation steps are separate rows."""
        query = {"global_step_from": str(after + 1), "resolution": str(MAX_CURVE_POINTS)}
        async with self._client.read_call():
            metrics = await self._client.get_decoded(METRICS_DECODER, f"/fine-tunes/{remote_job_id}/metrics", **query)
        rows = metrics.metrics or []
        losses = [parse_loss(row.get(STEP_METRIC), row.get("train/loss"), row.get("eval/loss")) for row in rows]
        return [loss for loss in losses if loss]

    async def checkpoints(self, remote_job_id: str) -> list[Checkpoint]:
        """Return those that are objects of the project: a deployment names the object and its revision."""
        async with self._client.read_call():
            listed = await self._client.list_items(
                CHECKPOINT_LIST_DECODER, f"/fine-tunes/{remote_job_id}/checkpoints"
            )
        listed.sort(key=lambda each: each.checkpoint == "model")  # of one step the last counts: not the adapter
        named = [(each.step, format_object_id(each.object_id, each.object_revision_id)) for each in listed]
        return [Checkpoint(id=model, step=step, model=model) for step, model in named if model]

    async def ask(
        self, address: ModelAddress, question: ChatQuestion, left_out: frozenset[OptionalParameter] | None
    ) -> ChatReply:
        return await ask_openai_model(self._client, address, question, TOGETHER_CHAT, left_out)

    async def score_reference(self, address: ModelAddress, question: ReferenceQuestion) -> ReferenceScore:
        return await score_echoed_reference(self._client, address, question)

    async def delete_file(self, file_id: str) -> None:
        with suppress(RemoteNotFound):
            async with self._client.read_call():
                await self._client.send("DELETE", f"/files/{file_id}")

    async def _upload(self, dataset_file: DatasetFile) -> TogetherFile:
        form = {"purpose": "fine-tune", "file_name": dataset_file.filename, "file_type": "jsonl"}
        fields = {name: (None, value) for name, value in (form | {"checksum": dataset_file.sha256}).items()}
        try:
            answer = await self._client.send("POST", "/files", files=fields, expected_status=httpx2.codes.FOUND)
        except UnsuccessfulResponse as refusal:
            if refusal.status not in NOT_FOUND_STATUSES:
                raise
            with open_upload_stream(dataset_file) as handle:
                files = {"file": (dataset_file.filename, handle, "application/jsonl")}
                return await self._client.send_decoded(
                    FILE_DECODER, "POST", "/files/upload", data=form, files=files, timeout=None
                )
        file_id = answer.headers["x-together-file-id"]
        await self._client.put_file(answer.headers["location"], dataset_file)
        return await self._preprocess(file_id)

    async def _preprocess(self, file_id: str) -> TogetherFile:
        """Complete an upload. An older server completes it by itself and does not have the call."""
        try:
            return await self._client.post_decoded(FILE_DECODER, f"/files/{file_id}/preprocess", {})
        except UnsuccessfulResponse as refusal:
            if refusal.status not in NOT_FOUND_STATUSES:
                raise
            return await self._client.get_decoded(FILE_DECODER, f"/files/{file_id}")

    async def _check_funds(self, order: JobOrder) -> None:
        """Raise QuotaExhausted if the account may not pay for the job. Creates nothing."""
        quote = await self.quote(order)
        if quote and quote.refused:
            raise QuotaExhausted(quote.refused, account=self._account.name)

    def _to_remote_job(self, job: TogetherJob) -> RemoteJob:
        status = JOB_STATUS.get(job.status, RemoteJobStatus.UNKNOWN)
        used = parse_hyperparameters({name: getattr(job, name) for name in HYPERPARAMETER_FIELDS})
        return RemoteJob(
            id=job.id,
            status=status,
            raw_status=job.status,
            training_file=job.training_file or "",
            base_model=job.model or "",
            fine_tuned_model=(job.model_output_name or None) if status is RemoteJobStatus.SUCCEEDED else None,
            servable=self.capabilities.servable,
            error_message=_find_last_error(job.events) if status is RemoteJobStatus.FAILED else None,
            trained_tokens=count_or_none(job.token_count) or None,
            created_at=epoch_from_iso(job.created_at),
            hyperparameters=used,
        )


def _find_last_error(events: object) -> str | None:
    entries = [event for event in events if isinstance(event, dict)] if isinstance(events, list) else []
    errors = [text_or_none(event.get("message")) for event in entries if event.get("level") == "error"]
    return errors[-1] if errors else None


def _is_same_file(file: TogetherFile, dataset_file: DatasetFile) -> bool:
    return file.filename == dataset_file.filename and (
        file.bytes is None  # not known yet
        or file.bytes == dataset_file.wire_bytes
    )


def _to_remote_file(file: TogetherFile) -> RemoteFile:
    raw = file.processing_status or ("COMPLETED" if file.processed else PENDING_FILE_STATUS)
    return RemoteFile(
        id=file.id,
        status=FILE_STATUS.get(raw, RemoteFileStatus.PROCESSING),
        raw_status=raw,
        message=text_or_none(file.validation_report.get("error"))
        if isinstance(file.validation_report, dict)
        else None,
        filename=text_or_none(file.filename),
        bytes=file.bytes or None,  # 0 before its bytes were counted
    )


def _build_job_body(order: JobOrder) -> dict[str, Any]:
    body = {"model": order.spec.base_model, "training_file": order.training_file}
    return body | ({"validation_file": order.validation_file} if order.validation_file else {})


def _build_hyperparameters(spec: TrainingSpec) -> dict[str, Any]:
    """Convert the spec to this provider's names, without the options that it leaves open."""
    dpo = spec.method == "dpo"
    values = {
        "n_epochs": None if spec.n_epochs == "auto" else spec.n_epochs,
        "batch_size": "max" if spec.batch_size == "auto" else spec.batch_size,
        "learning_rate": spec.learning_rate,
        "max_seq_length": spec.context_length,
        "random_seed": spec.seed,
        "training_method": {"method": "dpo"} if dpo else {"method": "sft", "train_on_inputs": "auto"},
        "training_type": _build_training_type(spec),
    }
    return {name: value for name, value in values.items() if value is not None}


def _build_training_type(spec: TrainingSpec) -> dict[str, Any] | None:
    """Return the training type; LoRA is the default, and its rank and alpha are only accepted together."""
    if spec.lora is False:
        return {"type": "Full"}
    if spec.lora_rank is None:
        return None
    return {"type": "Lora", "lora_r": spec.lora_rank, "lora_alpha": spec.lora_alpha or 2 * spec.lora_rank}
