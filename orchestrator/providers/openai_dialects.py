"""The dialects of OpenAI's API, as data: what each server says and expects otherwise than the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES, MB, Capabilities, FoundBy
from orchestrator.core.errors import DailyLimit, NotReady, QuotaExhausted, SlotsTaken, WrongOrganization
from orchestrator.core.remote import FileStatus, JobStatus
from orchestrator.providers.failures import Codes

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
    "pausing": JobStatus.PAUSED,
    "paused": JobStatus.PAUSED,
    "cancelling": JobStatus.CANCELLING,
    "succeeded": JobStatus.SUCCEEDED,
    "failed": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELLED,
}
CODES: Final[Codes] = {
    "insufficient_quota": QuotaExhausted,
    "mismatched_organization": WrongOrganization,
    "mismatched_project": WrongOrganization,
    "file_not_ready": NotReady,
    "too_many_running_jobs": SlotsTaken,
    "daily_rate_limit_exceeded": DailyLimit,
}
FACTOR: Final[Mapping[str, str]] = {name: name for name in ("n_epochs", "batch_size", "learning_rate_multiplier")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One server's way of speaking OpenAI's API.

    `hyperparameters` and `extra` say how options of the spec are called in the method and in the body; `always` are
    hyperparameters that are sent even where the spec leaves them open. `says_auto` is whether the word "auto" is
    understood. `vague` codes say that a file is not ready, or anything else that is wrong. A file that
    is too large for one piece goes in parts of `part_bytes`.
    """

    capabilities: Capabilities
    base_url: str | None
    codes: Codes = field(default_factory=lambda: CODES)
    vague: frozenset[str] = frozenset()
    hyperparameters: Mapping[str, str] = field(default_factory=lambda: FACTOR)
    always: Mapping[str, Any] = field(default_factory=dict)
    says_auto: bool = True
    extra: Mapping[str, str] = field(default_factory=dict)
    result_is_checkpoint: bool = False
    part_bytes: int = 16 * MB

    @property
    def keeps_metadata(self) -> bool:
        """Whether the tag is sent as metadata."""
        return self.capabilities.found_by in {FoundBy.METADATA, FoundBy.EITHER}

    @property
    def tags_suffix(self) -> bool:
        """Whether the tag is sent in the suffix."""
        return self.capabilities.found_by in {FoundBy.SUFFIX, FoundBy.EITHER}


DIALECTS: Final[Mapping[ProviderName, Dialect]] = {
    ProviderName.OPENAI: Dialect(
        capabilities=CAPABILITIES[ProviderName.OPENAI],
        base_url="https://api.openai.com/v1",
    ),
    ProviderName.OPENAI_COMPATIBLE: Dialect(
        capabilities=CAPABILITIES[ProviderName.OPENAI_COMPATIBLE],
        base_url=None,
    ),
    ProviderName.AZURE: Dialect(
        capabilities=CAPABILITIES[ProviderName.AZURE],
        base_url=None,
        codes={**CODES, "invalidPayload": NotReady},
        vague=frozenset({"invalidPayload"}),
        extra={"training_type": "trainingType"},
    ),
    ProviderName.NEBIUS: Dialect(
        capabilities=CAPABILITIES[ProviderName.NEBIUS],
        base_url="https://api.tokenfactory.nebius.com/v1",
        hyperparameters={
            "n_epochs": "n_epochs",
            "batch_size": "batch_size",
            "learning_rate": "learning_rate",
            "context_length": "context_length",
            "lora": "lora",
            "lora_rank": "lora_r",
            "lora_alpha": "lora_alpha",
        },
        always={"lora": True},
        says_auto=False,
        result_is_checkpoint=True,
    ),
}
