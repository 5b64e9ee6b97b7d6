"""What a provider holds, in words common to all providers. The provider's own status word is kept as `raw`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any


class RemoteFileStatus(StrEnum):
    """Whether a job can use the file. UPLOADED: the provider has it, and says no more that is understood."""

    UPLOADED = "uploaded"
    PROCESSING = "processing"
    READY = "ready"
    REFUSED = "refused"
    GONE = "gone"


class RemoteJobStatus(StrEnum):
    """How far the provider is. UNKNOWN is not an end: the job is asked for again and `raw` is shown.

    STOPPED is an end of which the provider does not say whether a person or a fault of the server caused it.
    """

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteModel:
    """A base model at the provider. None is what the provider does not say.

    `shutdown` is the last day on which it, and every model tuned on it, can be called. From `training_ends` on it
    takes no new jobs (`tentative`: on this day at the earliest); from `new_customers_end` on only from customers who
    fine-tuned before.
    """

    id: str
    tunable: bool | None = None
    shutdown: date | None = None
    training_ends: date | None = None
    tentative: bool = False
    new_customers_end: date | None = None


def is_same_model(reported: str, wanted: str) -> bool:
    """Equal, or the same base model with and without its date; what is not shown contradicts nothing."""
    return reported.startswith(wanted) or wanted.startswith(reported)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file at the provider. `filename` is what it was called when it was sent.

    `raw` is empty where the provider tells no status, `bytes` is None where it tells no size.
    """

    id: str
    status: RemoteFileStatus
    raw_status: str
    message: str | None = None
    filename: str | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartUpload:
    """A file on its way in parts: the provider's id of it, and of each part that has arrived, by its place."""

    id: str
    part_bytes: int
    parts: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteEvent:
    """One line of a remote job's own history. `at` is epoch seconds."""

    at: float
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteJob:
    """A fine-tuning job at the provider; None is what it does not say.

    Times are epoch seconds, `progress` is 0 to 1, `quoted_usd` what the provider says the job costs.
    """

    id: str
    status: RemoteJobStatus
    raw_status: str
    training_file: str
    base_model: str
    fine_tuned_model: str | None = None
    servable: bool = True
    error_code: str | None = None
    error_message: str | None = None
    organization: str | None = None
    trained_tokens: int | None = None
    created_at: float | None = None
    estimated_finish: float | None = None
    progress: float | None = None
    quoted_usd: float | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
