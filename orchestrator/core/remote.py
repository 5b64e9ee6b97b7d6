"""Files, jobs and models at a provider, in a form common to all. `raw_status` keeps the provider's own word."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Any

from orchestrator.core.structs import Struct, field


class RemoteFileStatus(StrEnum):
    """Whether a job can use the file. UPLOADED: the provider has it, and reports no status that is known here."""

    UPLOADED = "uploaded"
    PROCESSING = "processing"
    READY = "ready"
    REFUSED = "refused"
    GONE = "gone"


class RemoteJobStatus(StrEnum):
    """The status of a remote job. UNKNOWN is not an end: the job is polled again and `raw_status` is shown.

    STOPPED is an end for which the provider does not report whether a user or an error of the server caused it.
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


class RemoteModel(Struct, frozen=True, kw_only=True):
    """A base model at the provider. None: the provider does not report it."""

    id: str
    tunable: bool | None = None  # whether it can be fine-tuned
    shutdown: date | None = None  # last day on which it, and every model tuned on it, can be called
    training_ends: date | None = None  # from this day on it accepts no new jobs
    tentative: bool = False  # training ends on that day at the earliest
    new_customers_end: date | None = None  # from this day on only for customers who fine-tuned before


def is_same_model(reported: str, expected: str) -> bool:
    """Return whether both name the same base model, with or without its date. An empty `reported` matches."""
    return reported.startswith(expected) or expected.startswith(reported)


class RemoteFile(Struct, frozen=True, kw_only=True):
    """A file at the provider."""

    id: str
    status: RemoteFileStatus
    raw_status: str  # empty: the provider reports no status
    message: str | None = None  # why it was refused
    filename: str | None = None  # the name under which it was sent
    bytes: int | None = None  # None: the provider reports no size


class MultipartUpload(Struct, frozen=True, kw_only=True):
    """An unfinished upload of a file in parts."""

    id: str  # the provider's id of the upload
    part_bytes: int  # size of each part except the last
    parts: Mapping[int, str] = field(default_factory=dict)  # the provider's id of each received part, by its index


class RemoteEvent(Struct, frozen=True, kw_only=True):
    """One line of a remote job's own history. `at` is in epoch seconds."""

    at: float
    message: str


class RemoteJob(Struct, frozen=True, kw_only=True):
    """A fine-tuning job at the provider. None: the provider does not report it. Times are epoch seconds."""

    id: str
    status: RemoteJobStatus
    raw_status: str
    training_file: str  # file id; empty: not reported
    base_model: str
    fine_tuned_model: str | None = None  # model id
    servable: bool = True  # whether the model can be called without a deployment
    error_code: str | None = None
    error_message: str | None = None
    organization: str | None = None
    trained_tokens: int | None = None
    created_at: float | None = None
    estimated_finish: float | None = None
    progress: float | None = None  # 0 to 1
    quoted_usd: float | None = None  # price of the job
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)  # as used
    notes: tuple[str, ...] = ()  # what an operator should know about the finished job; shown in its history
    request_id: str | None = None  # of the request that returned this
