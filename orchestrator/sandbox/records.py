"""The records of the sandbox: files, jobs, uploads and their parts. They are frozen; a change creates a new record.

Field names are stored in the state file and must not change.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

DeferredFaults = dict[str, dict[str, Any]]
"""Faults that were attached to a file or job when it was created, by kind, with seconds, code and message."""


class SandboxFile(Struct, frozen=True):
    """A received file. Its status is computed from `created_at`, `seconds` and the current time."""

    id: str
    account: str
    created_at: float
    """Epoch seconds."""
    filename: str
    purpose: str
    bytes: int
    sha256: str
    """Also the name of its content in the BlobStore."""
    seconds: float
    """Processing time until the status is `processed`."""
    lifetime: float | None = None
    """Seconds after which the file expires; None: never."""
    fate: DeferredFaults = field(default_factory=dict)

    def is_visible(self, now: float) -> bool:
        return self.lifetime is None or now < self.created_at + self.lifetime


class SandboxVerdict(Struct, frozen=True):
    """The result of validating the content of a training file."""

    id: str
    """SHA-256 of the content."""
    examples: int = 0
    tokens: int = 0
    """Estimated: four bytes per token."""
    account: str = ""
    """Always empty: the same content has the same verdict in every account."""
    unreadable: str | None = None
    """Why the file is no JSON Lines file; it then gets the status `error`."""
    problems: dict[str, str | None] = field(default_factory=dict)
    """The first problem for each training method; a job with that method fails validation."""


class SandboxJob(Struct, frozen=True):
    """A job with its request and later changes. Its status is computed from these and the current time."""

    id: str
    account: str
    created_at: float
    model: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    """Part of the model id, from the request."""
    seed: int
    metadata: dict[str, str] | None
    integrations: list[dict[str, Any]]
    method: str
    asked: dict[str, Any]
    """Requested hyperparameters, which may be `auto`."""
    resolved: dict[str, Any]
    """Hyperparameters used in training."""
    method_options: dict[str, Any]
    """Options of the method besides its hyperparameters, for example a grader."""
    examples: int
    tokens: int
    training_sha256: str
    token: str
    """Eight characters that make the fine-tuned model's id unique."""
    result_file: str
    """Id of the file with the metrics, visible once the job has succeeded."""
    validating_seconds: float
    queue_seconds: float
    training_seconds: float
    problem: dict[str, Any] | None = None
    """The `error` object with which validation fails; None: it succeeds."""
    fate: DeferredFaults = field(default_factory=dict)
    cancelled_at: float | None = None
    pauses: list[list[float | None]] = field(default_factory=list)
    """[start, end] in epoch seconds; the end is null while the job is paused."""
    model_deleted: bool = False
    files_ready_at: float = 0.0
    """When its files are processed; validation cannot end earlier. 0 in records of earlier versions."""

    @property
    def validated_at(self) -> float:
        """The time at which validation ends, unless the job is cancelled before."""
        return max(self.created_at, self.files_ready_at) + self.validating_seconds

    @property
    def fine_tuned_model(self) -> str:
        base = self.model.split(":")[1] if self.model.startswith("ft:") else self.model
        return f"ft:{base}:{self.account}:{self.suffix or ''}:{self.token}"

    def is_visible(self, now: float) -> bool:
        return "vanish" not in self.fate or now < self.created_at + float(self.fate["vanish"]["seconds"])


class SandboxUpload(Struct, frozen=True):
    """A file that is uploaded in parts."""

    id: str
    account: str
    created_at: float
    filename: str
    purpose: str
    bytes: int
    mime_type: str
    lifetime: float | None = None
    """Lifetime of the resulting file, in seconds."""
    status: str = "pending"
    """pending, completing, completed or cancelled."""
    file: str | None = None
    """Id of the resulting file."""


class SandboxUploadPart(Struct, frozen=True):
    """One part of an upload; its bytes are in the BlobStore under its id."""

    id: str
    account: str
    created_at: float
    upload: str
    bytes: int
