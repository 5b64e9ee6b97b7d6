"""What the sandbox remembers: files, jobs, uploads and their parts. Frozen; a change is a new record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DeferredFaults = dict[str, dict[str, Any]]
"""Faults that were laid upon a thing when it was made: kind → its seconds, code and message."""


@dataclass(frozen=True, slots=True)
class SandboxFile:
    """A file as it was received; its status follows from `created_at`, `seconds` and now."""

    id: str
    account: str
    created_at: float
    filename: str
    purpose: str
    bytes: int
    sha256: str
    seconds: float
    lifetime: float | None = None
    fate: DeferredFaults = field(default_factory=dict)

    def is_visible(self, now: float) -> bool:
        return self.lifetime is None or now < self.created_at + self.lifetime


@dataclass(frozen=True, slots=True)
class SandboxVerdict:
    """What reading a file's content found: `unreadable` spoils the file, a method's problem spoils a job of it."""

    id: str
    """The content's SHA-256."""
    examples: int = 0
    tokens: int = 0
    account: str = ""
    """Everyone's: the same bytes are as good in any account."""
    unreadable: str | None = None
    problems: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SandboxJob:
    """A job as it was asked for, and what was done to it since; its course follows from these and now."""

    id: str
    account: str
    created_at: float
    model: str
    training_file: str
    validation_file: str | None
    suffix: str | None
    seed: int
    metadata: dict[str, str] | None
    integrations: list[dict[str, Any]]
    method: str
    asked: dict[str, Any]
    """Hyperparameters as asked for, `auto` among them."""
    resolved: dict[str, Any]
    """Hyperparameters as used."""
    method_options: dict[str, Any]
    examples: int
    tokens: int
    training_sha256: str
    token: str
    """Eight characters that make the fine-tuned model's id unique."""
    result_file: str
    validating_seconds: float
    queue_seconds: float
    training_seconds: float
    problem: dict[str, Any] | None = None
    """The `error` with which validation fails."""
    fate: DeferredFaults = field(default_factory=dict)
    cancelled_at: float | None = None
    pauses: list[list[float | None]] = field(default_factory=list)
    """[from, to]; `to` is null while it lasts."""
    model_deleted: bool = False
    files_ready_at: float = 0.0
    """When its files are processed: validation cannot end earlier. 0 in records of earlier versions."""

    @property
    def validated_at(self) -> float:
        """When validation ends, unless the job is cancelled first."""
        return max(self.created_at, self.files_ready_at) + self.validating_seconds

    @property
    def fine_tuned_model(self) -> str:
        base = self.model.split(":")[1] if self.model.startswith("ft:") else self.model
        return f"ft:{base}:{self.account}:{self.suffix or ''}:{self.token}"

    def is_visible(self, now: float) -> bool:
        return "vanish" not in self.fate or now < self.created_at + float(self.fate["vanish"]["seconds"])


@dataclass(frozen=True, slots=True)
class SandboxUpload:
    """A file that comes in parts."""

    id: str
    account: str
    created_at: float
    filename: str
    purpose: str
    bytes: int
    mime_type: str
    lifetime: float | None = None
    status: str = "pending"
    file: str | None = None


@dataclass(frozen=True, slots=True)
class SandboxUploadPart:
    """One part of an upload; its bytes lie among the blobs."""

    id: str
    account: str
    created_at: float
    upload: str
    bytes: int
