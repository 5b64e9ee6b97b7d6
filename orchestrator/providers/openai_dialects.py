"""The dialects of OpenAI's API, as data: what each server says and expects otherwise than the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.capabilities import CAPABILITIES, MB, Capabilities, FoundBy
from orchestrator.core.errors import DailyLimit, NotReady, QuotaExhausted, SlotsTaken, WrongOrganization
from orchestrator.core.remote import FileStatus, JobStatus
from orchestrator.providers.failures import Codes
from orchestrator.providers.tagging import short_tag

FILE_STATUS: Final[Mapping[str, FileStatus]] = {
    "uploaded": FileStatus.UPLOADED,
    "pending": FileStatus.PROCESSING,
    "running": FileStatus.PROCESSING,
    "processed": FileStatus.READY,
    "error": FileStatus.REFUSED,
    "deleting": FileStatus.GONE,
    "deleted": FileStatus.GONE,
}
# OpenAI's own words, and those of compatible servers: an end that is not known as one would be polled for ever.
JOB_STATUS: Final[Mapping[str, JobStatus]] = {
    "created": JobStatus.PENDING,
    "initializing": JobStatus.PENDING,
    "validating": JobStatus.PENDING,
    "validating_files": JobStatus.PENDING,
    "uploading": JobStatus.PENDING,
    "pending": JobStatus.PENDING,
    "queued": JobStatus.PENDING,
    "running": JobStatus.RUNNING,
    "pausing": JobStatus.PAUSED,
    "paused": JobStatus.PAUSED,
    "cancelling": JobStatus.CANCELLING,
    "succeeded": JobStatus.SUCCEEDED,
    "success": JobStatus.SUCCEEDED,
    "complete": JobStatus.SUCCEEDED,
    "completed": JobStatus.SUCCEEDED,
    "failed": JobStatus.FAILED,
    "error": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELLED,
    "canceled": JobStatus.CANCELLED,
    "stopped": JobStatus.STOPPED,
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
    understood, `suffix_length` how long a suffix may be. `vague` codes say that a file is not ready, or anything else
    that is wrong. A file that is too large for one piece goes in parts of `part_bytes`.
    """

    capabilities: Capabilities
    base_url: str | None
    codes: Codes = field(default_factory=lambda: CODES)
    vague: frozenset[str] = frozenset()
    hyperparameters: Mapping[str, str] = field(default_factory=lambda: FACTOR)
    always: Mapping[str, Any] = field(default_factory=dict)
    says_auto: bool = True
    suffix_length: int
    extra: Mapping[str, str] = field(default_factory=dict)
    result_is_checkpoint: bool = False
    part_bytes: int = 16 * MB

    def carries_tag(self, tag: str) -> bool:
        """Whether the tag is sent in the suffix: where the server shows the suffix, and the tag fits."""
        return self.tags_suffix and len(short_tag(tag)) <= self.suffix_length

    def at_server_of(self, account: Account) -> Dialect:
        """The dialect with what the accounts file says of the account's server."""
        if account.send_auto and account.suffix_length is None:  # one value serves ten thousand accounts
            return self
        length = self.suffix_length if account.suffix_length is None else account.suffix_length
        return replace(self, says_auto=self.says_auto and account.send_auto, suffix_length=length)

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
        suffix_length=CAPABILITIES[ProviderName.OPENAI].suffix_length,
        base_url="https://api.openai.com/v1",
    ),
    ProviderName.OPENAI_COMPATIBLE: Dialect(
        capabilities=CAPABILITIES[ProviderName.OPENAI_COMPATIBLE],
        suffix_length=CAPABILITIES[ProviderName.OPENAI_COMPATIBLE].suffix_length,
        base_url=None,
    ),
    ProviderName.AZURE: Dialect(
        capabilities=CAPABILITIES[ProviderName.AZURE],
        suffix_length=CAPABILITIES[ProviderName.AZURE].suffix_length,
        base_url=None,
        codes={**CODES, "invalidPayload": NotReady},
        vague=frozenset({"invalidPayload"}),
        extra={"training_type": "trainingType"},
    ),
    ProviderName.NEBIUS: Dialect(
        capabilities=CAPABILITIES[ProviderName.NEBIUS],
        suffix_length=CAPABILITIES[ProviderName.NEBIUS].suffix_length,
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
