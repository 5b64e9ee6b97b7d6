"""The dialects of OpenAI's API, as data: how the servers that implement it differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.core.account import Account, HyperparameterFormat, ProviderName
from orchestrator.core.capabilities import CAPABILITIES, MB, Capabilities, JobLookup
from orchestrator.core.dataset import short_tag
from orchestrator.core.errors import (
    DailyLimitReached,
    FileNotReady,
    JobLimitReached,
    QuotaExhausted,
    WrongOrganization,
)
from orchestrator.core.remote import RemoteFileStatus, RemoteJobStatus
from orchestrator.core.structs import Struct, field, replace
from orchestrator.providers.chat.openai_chat import COMPATIBLE_CHAT, OPENAI_CHAT, OpenAIChatStyle
from orchestrator.providers.http.status_errors import ErrorCodes

FILE_STATUS: Final[Mapping[str, RemoteFileStatus]] = {
    "uploaded": RemoteFileStatus.UPLOADED,
    "pending": RemoteFileStatus.PROCESSING,
    "running": RemoteFileStatus.PROCESSING,
    "processed": RemoteFileStatus.READY,
    "error": RemoteFileStatus.REFUSED,
    "deleting": RemoteFileStatus.GONE,
    "deleted": RemoteFileStatus.GONE,
}
# OpenAI's own words and those of compatible servers. A final status that is missing here would be polled forever.
JOB_STATUS: Final[Mapping[str, RemoteJobStatus]] = {
    "created": RemoteJobStatus.PENDING,
    "initializing": RemoteJobStatus.PENDING,
    "validating": RemoteJobStatus.PENDING,
    "validating_files": RemoteJobStatus.PENDING,
    "uploading": RemoteJobStatus.PENDING,
    "pending": RemoteJobStatus.PENDING,
    "queued": RemoteJobStatus.PENDING,
    "running": RemoteJobStatus.RUNNING,
    "pausing": RemoteJobStatus.PAUSED,
    "paused": RemoteJobStatus.PAUSED,
    "cancelling": RemoteJobStatus.CANCELLING,
    "succeeded": RemoteJobStatus.SUCCEEDED,
    "success": RemoteJobStatus.SUCCEEDED,
    "complete": RemoteJobStatus.SUCCEEDED,
    "completed": RemoteJobStatus.SUCCEEDED,
    "failed": RemoteJobStatus.FAILED,
    "error": RemoteJobStatus.FAILED,
    "cancelled": RemoteJobStatus.CANCELLED,
    "canceled": RemoteJobStatus.CANCELLED,
    "stopped": RemoteJobStatus.STOPPED,
}
ERROR_CODES: Final[ErrorCodes] = {
    "insufficient_quota": QuotaExhausted,
    "mismatched_organization": WrongOrganization,
    "mismatched_project": WrongOrganization,
    "file_not_ready": FileNotReady,
    "too_many_running_jobs": JobLimitReached,
    "daily_rate_limit_exceeded": DailyLimitReached,
}
DEFAULT_HYPERPARAMETER_NAMES: Final[Mapping[str, str]] = {
    name: name for name in ("n_epochs", "batch_size", "learning_rate_multiplier")
}


class Dialect(Struct, frozen=True, kw_only=True):
    """How one server's API differs from OpenAI's."""

    capabilities: Capabilities
    error_codes: ErrorCodes = field(default_factory=lambda: ERROR_CODES)  # code of the server -> class of error
    ambiguous_codes: frozenset[str] = frozenset()  # codes for "the file is not ready" and for other problems as well
    # Option of the spec -> name in the request's `method`.
    hyperparameter_names: Mapping[str, str] = field(default_factory=lambda: DEFAULT_HYPERPARAMETER_NAMES)
    default_hyperparameters: Mapping[str, Any] = field(default_factory=dict)  # sent unless the spec sets them
    accepts_auto: bool = True  # whether the word "auto" may be sent as a hyperparameter
    suffix_length: int  # maximum, in characters; 0: the server accepts no suffix
    suffix_required: bool = False  # whether the server refuses a job without a suffix
    hyperparameter_format: HyperparameterFormat = HyperparameterFormat.METHOD
    extra_body_fields: Mapping[str, str] = field(default_factory=dict)  # option of the spec -> field of the body
    uses_checkpoint_ids: bool = False  # whether a checkpoint is deployed by its own id, not by a model's
    result_is_checkpoint: bool = False  # whether a job names no model, so that its last checkpoint is the result
    part_bytes: int = 16 * MB  # size of the parts of a multipart upload
    chat: OpenAIChatStyle = COMPATIBLE_CHAT  # how its models are asked

    def suffix_fits_tag(self, tag: str) -> bool:
        """Return whether the tag is sent in the suffix: the server shows the suffix, and the tag fits."""
        return self.uses_suffix_tag and len(short_tag(tag)) <= self.suffix_length

    def for_account(self, account: Account) -> Dialect:
        """Return the dialect with the account's own options for its server."""
        capabilities = self.capabilities
        if account.file_per_job:
            capabilities = replace(capabilities, job_lookup=JobLookup.TRAINING_FILE)
        own = replace(
            self,
            capabilities=capabilities,
            accepts_auto=self.accepts_auto and account.send_auto,
            suffix_length=self.suffix_length if account.suffix_length is None else account.suffix_length,
            suffix_required=account.suffix_required,
            hyperparameter_format=account.hyperparameter_format,
        )
        return self if own == self else own  # 10,000 accounts share one object

    @property
    def uses_metadata_tag(self) -> bool:
        """Whether the tag is sent as metadata. Beside a file of the job's own it is a second sign, if stored."""
        lookups = {JobLookup.METADATA, JobLookup.METADATA_OR_SUFFIX, JobLookup.TRAINING_FILE}
        return self.capabilities.job_lookup in lookups

    @property
    def needs_metadata(self) -> bool:
        """Whether the tag is nowhere else: the server certainly stores metadata, and can filter by it."""
        return self.capabilities.job_lookup is JobLookup.METADATA

    @property
    def uses_suffix_tag(self) -> bool:
        """Whether the tag is sent in the suffix."""
        return self.capabilities.job_lookup in {JobLookup.SUFFIX, JobLookup.METADATA_OR_SUFFIX}


DIALECTS: Final[Mapping[ProviderName, Dialect]] = {
    ProviderName.OPENAI: Dialect(
        capabilities=CAPABILITIES[ProviderName.OPENAI],
        suffix_length=CAPABILITIES[ProviderName.OPENAI].suffix_length,
        chat=OPENAI_CHAT,
    ),
    ProviderName.OPENAI_COMPATIBLE: Dialect(
        capabilities=CAPABILITIES[ProviderName.OPENAI_COMPATIBLE],
        suffix_length=CAPABILITIES[ProviderName.OPENAI_COMPATIBLE].suffix_length,
    ),
    ProviderName.AZURE: Dialect(
        capabilities=CAPABILITIES[ProviderName.AZURE],
        suffix_length=CAPABILITIES[ProviderName.AZURE].suffix_length,
        chat=OPENAI_CHAT,
        error_codes={**ERROR_CODES, "invalidPayload": FileNotReady},
        ambiguous_codes=frozenset({"invalidPayload"}),
        extra_body_fields={"training_type": "trainingType"},
        uses_checkpoint_ids=True,
    ),
    ProviderName.NEBIUS: Dialect(
        capabilities=CAPABILITIES[ProviderName.NEBIUS],
        suffix_length=CAPABILITIES[ProviderName.NEBIUS].suffix_length,
        hyperparameter_names={
            "n_epochs": "n_epochs",
            "batch_size": "batch_size",
            "learning_rate": "learning_rate",
            "context_length": "context_length",
            "lora": "lora",
            "lora_rank": "lora_r",
            "lora_alpha": "lora_alpha",
        },
        default_hyperparameters={"lora": True},
        accepts_auto=False,
        result_is_checkpoint=True,
        uses_checkpoint_ids=True,
    ),
    ProviderName.BEDROCK_MANTLE: Dialect(
        capabilities=CAPABILITIES[ProviderName.BEDROCK_MANTLE],
        suffix_length=CAPABILITIES[ProviderName.BEDROCK_MANTLE].suffix_length,
        accepts_auto=False,
    ),
}
